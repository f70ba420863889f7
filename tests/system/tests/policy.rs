//! What an administrator says in delivery.toml holds: for sources, mirrors, credentials and the timer of upgrades.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use coracle_system_tests::images::{By, Web, Workshop, with_workshop};
use testkit::{HttpsServer, Instance, Mood};

struct Shore<'a> {
    coracle: &'a Instance,
    workshop: &'a Workshop<'a>,
    web: Web,
}

impl Shore<'_> {
    fn open(work: impl FnOnce(&Shore)) {
        with_workshop(|coracle, workshop| {
            let shore = Shore {
                coracle,
                workshop,
                web: Web::of(coracle),
            };
            shore.publish("1.0");
            work(&shore);
        });
    }

    fn publish(&self, version: &str) {
        let release = format!("ID=boat\nVERSION_ID={version}\n");
        let unit = [("boat.service", "[Service]\nExecStart=/bin/x\n")];
        let image = self.workshop.tree(&release, By::Trusted, &unit, |_| ());
        let (web, key) = (
            self.web.folder.display().to_string(),
            self.workshop.key(By::Trusted),
        );
        self.coracle.ok(&["publish", &image, &web, "--key", &key]);
    }

    fn config(&self, file: &str) -> PathBuf {
        self.coracle.folder().join("config").join(file)
    }

    fn write(&self, file: &str, text: &str, mode: u32) {
        let path = self.config(file);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
    }

    fn policy(&self, text: &str) {
        self.write("delivery.toml", text, 0o644);
    }

    fn attach(&self) -> testkit::Finished {
        let url = self.web.server.url("boat.psi");
        self.coracle
            .coracle(&["attach", &url, "--ca", &self.web.ca])
    }

    fn refused(&self, words: &[&str], expected: &[&str]) {
        let said = self.coracle.coracle(words);
        assert_eq!(said.status, 1, "{}", said.stderr);
        for expected in expected {
            assert!(
                said.stderr.contains(expected),
                "{expected}: {}",
                said.stderr
            );
        }
    }
}

#[test]
fn sources_that_are_not_allowed_and_files_that_are_not_understood_end_in_nothing() {
    Shore::open(|shore| {
        let url = shore.web.server.url("boat.psi");
        let attach = ["attach", &url, "--ca", &shore.web.ca];
        shore.policy("sources = [\"https://boats.example/\"]\n");
        shore.refused(
            &attach,
            &["is not among the sources that delivery.toml allows"],
        );
        shore.policy("sources = []\n\nrate-limits = \"1M\"\n");
        let path = shore.config("delivery.toml").display().to_string();
        shore.refused(
            &attach,
            &[
                &format!("{path}:3: unknown field `rate-limits`"),
                "coracle explain",
            ],
        );
        shore.write("delivery.toml", "", 0o666);
        shore.refused(&attach, &["is not believed"]);
        assert_eq!(shore.web.server.take_heads(), [""; 0], "somebody was asked");
        shore.policy(&format!("sources = [\"{}\"]\n", shore.web.server.url("")));
        drop(shore.attach().ok());
        // Upgrades are held to it as well.
        shore.policy("sources = []\n");
        shore.refused(&["upgrade", "boat"], &["is not among the sources"]);
    });
}

#[test]
fn a_token_opens_a_private_source_and_is_in_no_word_that_is_said() {
    Shore::open(|shore| {
        let asks = "authorization: bearer s3cret-t0ken".to_owned();
        shore.web.server.set_mood(Mood::Asks(asks), "");
        let url = shore.web.server.url("boat.psi");
        let attach = ["attach", &url, "--ca", &shore.web.ca];
        shore.refused(
            &attach,
            &["answers with status 401", "coracle explain credential.for"],
        );
        shore.policy(&format!(
            "[[credential]]\nfor = \"{}\"\ntoken = \"token\"\n",
            shore.web.server.url("")
        ));
        shore.write("token", "s3cret-t0ken\n", 0o640);
        shore.refused(&attach, &["token is not used: others may read it"]);
        shore.write("token", "s3cret-t0ken\n", 0o600);
        let said = shore.attach().ok();
        assert!(!said.stderr.contains("s3cret") && !said.stdout.contains("s3cret"));
        // The certificate that --ca named is kept, and the token is asked for from its file.
        shore.publish("1.1");
        let said = shore.coracle.coracle(&["upgrade", "boat"]).ok();
        assert!(said.stdout.contains("→ 1.1"), "{}", said.stdout);
        let record = fs::read_to_string(
            shore
                .coracle
                .folder()
                .join("state/portables/boat/portable.json"),
        );
        assert!(!record.expect("the record").contains("s3cret"));
    });
}

#[test]
fn a_mirror_is_asked_first_and_for_anything_but_the_index() {
    Shore::open(|shore| {
        let (folder, keys) = (
            shore.coracle.folder().join("mirror"),
            shore.coracle.folder().join("mirror-keys"),
        );
        for folder in [&folder, &keys] {
            fs::create_dir(folder).expect("a folder");
        }
        let mirror = HttpsServer::start(&folder, &keys, 0);
        // Both servers' certificates.
        let both = [
            shore.web.ca.clone(),
            keys.join("ca.crt").display().to_string(),
        ];
        let both = both
            .map(|path| fs::read_to_string(path).expect("a certificate"))
            .concat();
        let ca = shore.config("both.crt");
        fs::write(&ca, both).expect("a file");
        let ca = ca.display().to_string();
        shore.policy(&format!(
            "[[mirror]]\nof = \"{}\"\nat = \"{}\"\n",
            shore.web.server.url(""),
            mirror.url("")
        ));
        // It has nothing yet: the place itself is asked.
        let url = shore.web.server.url("boat.psi");
        let said = shore.coracle.coracle(&["attach", &url, "--ca", &ca]).ok();
        assert!(said.stderr.contains("is passed over"), "{}", said.stderr);
        shore.publish("1.1");
        for entry in fs::read_dir(&shore.web.folder).expect("the directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
            }
        }
        drop(shore.web.server.take_heads());
        let said = shore.coracle.coracle(&["upgrade", "boat"]).ok();
        assert!(
            said.stdout.contains("→ 1.1"),
            "{}{}",
            said.stdout,
            said.stderr
        );
        let heads = shore.web.server.take_heads();
        assert!(
            heads.iter().all(|head| head.contains("boat.channel")),
            "{heads:?}"
        );
    });
}

#[test]
fn the_timer_of_upgrades_has_the_schedule_of_the_policy() {
    Shore::open(|shore| {
        let timer = "coracle-upgrade.timer";
        let said = shore.coracle.ok(&["upgrade", "--reschedule"]);
        assert!(said.contains("nothing is upgraded by itself"), "{said}");
        // Any unit brings a manager up.
        shore.coracle.ok(&["start", "timers.target"]);
        shore.policy("[upgrade]\nschedule = \"Sun 03:00\"\njitter = \"4h\"\n");
        let said = shore.coracle.ok(&["upgrade", "--reschedule"]);
        assert!(
            said.contains("portables are upgraded by themselves: Sun 03:00"),
            "{said}"
        );
        assert_eq!(shore.coracle.property(timer, "ActiveState"), "active");
        let said = shore.coracle.ok(&["show", timer]);
        for expected in ["Sun", "RandomizedDelaySec=4h"] {
            assert!(said.contains(expected), "{said}");
        }
        assert_eq!(shore.coracle.ok(&["is-enabled", timer]).trim(), "enabled");
        // What it starts upgrades what is here.
        drop(shore.attach().ok());
        shore.publish("1.1");
        shore.coracle.ok(&["start", "coracle-upgrade.service"]);
        let versions = shore.coracle.ok(&["versions", "boat"]);
        assert!(versions.contains("1.1"), "{versions}");
        shore.policy("");
        shore.coracle.ok(&["upgrade", "--reschedule"]);
        assert_eq!(shore.coracle.property(timer, "ActiveState"), "inactive");
        assert_eq!(
            shore.coracle.coracle(&["is-enabled", timer]).stdout.trim(),
            "disabled"
        );
    });
}

#[test]
fn explain_knows_the_file_and_each_of_its_keys() {
    Shore::open(|shore| {
        let whole = shore.coracle.ok(&["explain", "delivery.toml"]);
        let one = shore.coracle.ok(&["explain", "upgrade.jitter"]);
        assert!(
            whole.contains("upgrade.jitter") && whole.contains("credential.token"),
            "{whole}"
        );
        assert!(
            one.contains("RandomizedDelaySec=") && !one.contains("token"),
            "{one}"
        );
    });
}
