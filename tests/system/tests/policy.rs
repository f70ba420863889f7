//! What an administrator says in delivery.toml holds: for sources, mirrors, credentials and the timer of upgrades.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

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
        said.refused(expected);
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

/// A proxy that connects whoever says this name and password, and looks meanwhile whether any process's command line or environment has the password.
fn proxy(login: &'static str, secret: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut head) = (client.expect("a client"), String::new());
            let mut reader = BufReader::with_capacity(1, client.try_clone().expect("a copy"));
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).expect("a line") > 0 {}
            let shown = shown_to_all(secret);
            all.lock()
                .expect("a list")
                .push(format!("{head}{}", shown.join(" ")));
            if !head.contains(&format!("Proxy-Authorization: Basic {login}\r\n")) {
                let who = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 0\r\n\r\n";
                client.write_all(who).ok();
                continue;
            }
            let to = head.split(' ').nth(1).expect("an address");
            let server = TcpStream::connect(to).expect("the server");
            client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok();
            let (mut from, mut to) = (
                client.try_clone().expect("a copy"),
                server.try_clone().expect("a copy"),
            );
            std::thread::spawn(move || {
                std::io::copy(&mut from, &mut to).ok();
                to.shutdown(Shutdown::Write).ok();
            });
            std::thread::spawn(move || {
                std::io::copy(&mut { server }, &mut client).ok();
                client.shutdown(Shutdown::Both).ok();
            });
        }
    });
    (port, seen)
}

/// Command lines and environments that have a word.
fn shown_to_all(word: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let files = processes.flat_map(|one| ["cmdline", "environ"].map(|file| one.path().join(file)));
    let has = |path: &PathBuf| {
        fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains(word))
    };
    files
        .filter(has)
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn a_proxy_that_asks_who_it_is_is_told_and_nobody_else_is() {
    Shore::open(|shore| {
        // "me:s3cret-word".
        let (port, seen) = proxy("bWU6czNjcmV0LXdvcmQ=", "s3cret-word");
        let url = shore
            .web
            .server
            .url("boat.psi")
            .replace("127.0.0.1", "localhost");
        let attach = ["attach", &url, "--ca", &shore.web.ca];
        let way = format!("proxy = \"http://127.0.0.1:{port}\"\n");
        shore.policy(&way);
        shore.refused(
            &attach,
            &[
                "the proxy on the way to",
                "asks for a name and a password",
                "coracle explain credential.for",
            ],
        );
        let credential =
            format!("{way}[[credential]]\nfor = \"http://127.0.0.1:{port}/\"\nnetrc = \"netrc\"\n");
        shore.policy(&credential);
        let netrc = |password: &str, mode| {
            shore.write(
                "netrc",
                &format!("machine 127.0.0.1 login me password {password}\n"),
                mode,
            );
        };
        netrc("s3cret-word", 0o644);
        shore.refused(
            &attach,
            &[
                "what the proxy asks for can't be read",
                "netrc is not used: others may read it",
            ],
        );
        netrc("wr0ng-word", 0o600);
        shore.refused(&attach, &["does not take the name and the password"]);
        netrc("s3cret-word", 0o600);
        let said = shore.coracle.coracle(&attach).ok();
        assert!(!said.stderr.contains("s3cret") && !said.stdout.contains("s3cret"));
        shore.publish("1.1");
        let said = shore.coracle.coracle(&["upgrade", "boat"]).ok();
        assert!(said.stdout.contains("→ 1.1"), "{}", said.stdout);
        let seen = seen.lock().expect("a list");
        assert!(
            seen.iter().filter(|one| one.contains("bWU6czNj")).count() >= 2,
            "{seen:?}"
        );
        assert!(seen.iter().all(|one| !one.contains("/proc/")), "{seen:?}");
        let heads = shore.web.server.take_heads();
        assert!(
            heads.iter().all(|head| !head.contains("authorization")),
            "{heads:?}"
        );
        let logged = shore.coracle.ok(&["logs"]);
        assert!(!logged.contains("s3cret-word"));
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
