//! Bad weather: whatever a server, the clock, the disk or another command does, the reason is told in time, what runs goes on in its
//! process, and the next try succeeds.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coracle_system_tests::cut;
use coracle_system_tests::images::{By, Small, Web, Workshop, with_workshop};
use coracle_system_tests::manager::reboot;
use coracle_system_tests::waiting::eventually;
use testkit::{Finished, HttpsServer, Instance, Mood, Papers};

/// How long a try may take at most: what `--max-time` says, and what a loaded machine adds to that.
const BOUND: Duration = Duration::from_secs(60);

struct Harbour<'a> {
    coracle: &'a Instance,
    workshop: &'a Workshop<'a>,
    web: Web,
    /// The newest version is 1. and this.
    newest: Cell<u32>,
}

impl Harbour<'_> {
    /// One that has version 1.0, which runs, and a server with 1.1: whole, in chunks and as a patch.
    fn open(work: impl FnOnce(&Harbour)) {
        with_workshop(|coracle, workshop| {
            let harbour = Harbour {
                coracle,
                workshop,
                web: Web::of(coracle),
                newest: Cell::new(0),
            };
            harbour.publish();
            let url = harbour.web.server.url("boat.psi");
            coracle.ok(&["start", &url, "--ca", &harbour.web.ca]);
            harbour.next();
            work(&harbour);
        });
    }

    fn next(&self) {
        self.newest.set(self.newest.get() + 1);
        self.publish();
    }

    fn publish(&self) {
        let version = &format!("1.{}", self.newest.get());
        let unit = format!(
            "[Unit]\nDescription=boat {version}\n[Service]\nType=exec\nExecStart=/usr/bin/sleep infinity\n"
        );
        let image = self
            .workshop
            .image("boat", version, By::Trusted, &[("boat.service", &unit)]);
        let (web, key) = (
            self.web.folder.display().to_string(),
            self.workshop.key(By::Trusted),
        );
        self.coracle.ok(&["publish", &image, &web, "--key", &key]);
    }

    fn upgrade(&self) -> Finished {
        let words = ["upgrade", "boat", "--healthy-for", "0", "--max-time", "3"];
        self.coracle.coracle(&words)
    }

    fn process(&self) -> String {
        assert_eq!(
            self.coracle.property("boat.service", "ActiveState"),
            "active"
        );
        self.coracle.property("boat.service", "MainPID")
    }

    /// The host goes down where it is and comes up again; says what was told of that, and which version is up, all of it.
    fn reboots(&self, what: &str) -> (String, String) {
        reboot(self.coracle);
        let said = self.coracle.coracle(&["start", "--enabled"]);
        assert_eq!(said.status, 0, "{what}: {}", said.stderr);
        let [up, version] =
            ["ActiveState", "Description"].map(|name| self.coracle.property("boat.service", name));
        assert_eq!(up, "active", "{what}");
        let version = version.trim_start_matches("boat ").to_owned();
        let recorded = self.coracle.ok(&["versions", "boat"]);
        let current = recorded.lines().find(|line| line.contains("current"));
        let is_it = current.is_some_and(|line| line.starts_with(&format!("{version} ")));
        assert!(is_it, "{what}: {version} is up: {recorded}");
        (said.stderr, version)
    }

    fn staging(&self) -> PathBuf {
        self.coracle.folder().join("state/store/staging")
    }

    /// A try in this weather ends in time with these words, and changes nothing.
    fn fails(&self, what: &str, expected: &[&str]) {
        let (process, begin) = (self.process(), Instant::now());
        let said = self.upgrade();
        assert!(begin.elapsed() < BOUND, "{what} took {:?}", begin.elapsed());
        assert_eq!(said.status, 1, "{what}: {}{}", said.stdout, said.stderr);
        said.refused(expected).refused(&["Hint:"]);
        assert_eq!(self.process(), process, "{what}");
    }

    /// The next try succeeds. What came by other ways is kept for a week.
    fn clears_up(&self, what: &str) {
        let said = self.upgrade();
        let expected = format!("→ 1.{}", self.newest.get());
        assert!(
            said.stdout.contains(&expected),
            "{what}: {}{}",
            said.stdout,
            said.stderr
        );
        self.next();
    }
}

#[test]
fn what_a_server_does_is_told_and_ends_in_time() {
    Harbour::open(|harbour| {
        let bomb = vec![0; 1 << 20];
        let cases: [(&str, Mood, &[&str]); 13] = [
            // These first: of what comes nothing is there yet.
            (
                "sends something else",
                Mood::Instead(b"<html>".to_vec()),
                &["nothing of"],
            ),
            (
                "sends too much",
                Mood::Instead(vec![b'x'; 2 << 20]),
                &["is larger than"],
            ),
            ("cut at once", Mood::Cut(0), &["cannot fetch"]),
            ("stalls", Mood::Stall(500), &["took longer than 3 seconds"]),
            ("drips", Mood::Drip, &["took longer than 3 seconds"]),
            ("announces less", Mood::Miscounts(-5), &["cannot fetch"]),
            ("announces more", Mood::Miscounts(50), &["cannot fetch"]),
            (
                "redirects in circles",
                Mood::Redirect(String::new()),
                &["redirects more than 10 times"],
            ),
            (
                "redirects to http",
                Mood::Redirect("http://127.0.0.1:1/x".into()),
                &["from https to http is not followed"],
            ),
            (
                "redirects to a file",
                Mood::Redirect("file:///etc/shadow".into()),
                &["cannot be fetched"],
            ),
            (
                "redirects to ftp",
                Mood::Redirect("ftp://127.0.0.1/x".into()),
                &["cannot be fetched"],
            ),
            (
                "is not found",
                Mood::Status(404),
                &["answers with status 404"],
            ),
            ("has trouble", Mood::Status(503), &["status 503"]),
        ];
        for (what, mood, expected) in cases {
            harbour.web.server.set_mood(mood, ".channel");
            harbour.fails(what, expected);
            harbour.web.server.set_mood(Mood::Fair, "");
        }
        harbour.clears_up("the index");
        // The same with what the index names: by patch, by chunks and whole, which all fail.
        let cases: [(&str, Mood, &[&str]); 8] = [
            (
                "mixed versions",
                Mood::Instead(b"another".to_vec()),
                &["and the channel index says"],
            ),
            (
                "a bomb",
                Mood::Instead(zstd_of(&bomb)),
                &["and the channel index says"],
            ),
            (
                "more than was announced",
                Mood::Instead(vec![7; 64 << 20]),
                &["is larger than"],
            ),
            ("cut", Mood::Cut(100), &["can't be used", "cannot fetch"]),
            ("stalls", Mood::Stall(100), &["took longer than 3 seconds"]),
            ("miscounts", Mood::Miscounts(50), &["cannot fetch"]),
            (
                "circles",
                Mood::Redirect(String::new()),
                &["redirects more than 10 times"],
            ),
            ("trouble", Mood::Status(500), &["status 500"]),
        ];
        for (what, mood, expected) in cases {
            harbour.web.server.set_mood(mood, "boat_");
            harbour.fails(what, expected);
            harbour.web.server.set_mood(Mood::Fair, "");
        }
        harbour.clears_up("the image");
        // Ranges that are others, and none at all: the whole comes.
        for (what, mood) in [
            ("other ranges", Mood::OtherRange),
            ("no ranges", Mood::NoRanges),
        ] {
            harbour.web.server.set_mood(mood, ".pack");
            harbour.clears_up(what);
        }
    });
}

/// A zstd stream, made by the host's program.
fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x");
    fs::write(&path, bytes).expect("a file");
    let made = Command::new("zstd")
        .args(["-q", "-c"])
        .arg(&path)
        .output()
        .expect("zstd is installed");
    made.stdout
}

#[test]
fn a_certificate_that_is_expired_or_of_another_host_is_no_server() {
    Harbour::open(|harbour| {
        for (papers, name, expected) in [
            // The same to us as a clock that is far behind, or before, the right time.
            (Papers::Expired, "expired", "this machine's clock says"),
            (Papers::Early, "early", "this machine's clock says"),
            (Papers::OfAnother, "another", "not valid for name"),
        ] {
            let keys = harbour.coracle.folder().join(name);
            fs::create_dir(&keys).expect("a folder");
            let server = HttpsServer::with(&harbour.web.folder, &keys, 0, papers);
            let ca = keys.join("ca.crt").display().to_string();
            let process = harbour.process();
            let said = harbour
                .coracle
                .coracle(&["attach", &server.url("boat.psi"), "--ca", &ca]);
            assert_eq!(said.status, 1, "{name}");
            assert!(said.stderr.contains(expected), "{name}: {}", said.stderr);
            assert_eq!(server.sent_bytes(), 0, "{name}");
            assert_eq!(harbour.process(), process);
        }
        harbour.clears_up("certificates");
    });
}

#[test]
fn two_upgrades_at_once_are_one() {
    Harbour::open(|harbour| {
        harbour.web.server.set_mood(Mood::Stall(0), ".channel");
        let mut first = harbour
            .coracle
            .command(&["upgrade", "boat", "--max-time", "20"]);
        let mut first = first
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("coracle");
        eventually("the first one's question", || {
            (!harbour.web.server.take_heads().is_empty()).then_some(())
        });
        harbour.fails("the second one", &["another command is upgrading boat"]);
        // Who is killed in the middle leaves nothing that keeps the next one from it.
        first.kill().expect("it is there");
        first.wait().expect("it ends");
        harbour.web.server.set_mood(Mood::Fair, "");
        harbour.clears_up("two at once");
    });
}

#[test]
fn a_full_disk_is_told_and_what_runs_goes_on() {
    Harbour::open(|harbour| {
        let small = Small::at(harbour.staging());
        harbour.fails("a full disk", &["room for", "No space left"]);
        drop(small);
        harbour.clears_up("a full disk");
    });
}

#[test]
fn a_transfer_that_is_cut_again_and_again_comes_to_its_end() {
    Harbour::open(|harbour| {
        harbour.web.server.set_mood(Mood::Cut(900), ".channel");
        harbour.clears_up("cuts");
    });
}

#[test]
fn a_reboot_while_an_upgrade_is_fetched_or_on_trial_brings_the_former_version() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        let begin = |words: &[&str]| {
            let mut upgrade = coracle.command(&[&["upgrade", "boat"], words].concat());
            let upgrade = upgrade.stdout(Stdio::null()).stderr(Stdio::null());
            upgrade.spawn().expect("coracle")
        };
        let end = |mut upgrade: Child| {
            upgrade.kill().expect("it is there");
            upgrade.wait().expect("it ends");
        };
        // Half of it is there.
        harbour.web.server.set_mood(Mood::Stall(500), "boat_");
        let upgrade = begin(&["--max-time", "60"]);
        eventually("a half of what is to come", || {
            let heads = harbour.web.server.take_heads();
            heads
                .iter()
                .any(|head| head.contains("boat_"))
                .then_some(())
        });
        end(upgrade);
        let (said, version) = harbour.reboots("half is fetched");
        assert!(!said.contains("warning:"), "{said}");
        assert_eq!(version, "1.0");
        harbour.web.server.set_mood(Mood::Fair, "");
        harbour.clears_up("half is fetched");

        // It is there, and nobody knows whether it works.
        let upgrade = begin(&["--healthy-for", "600"]);
        let newest = format!("boat 1.{}", harbour.newest.get());
        eventually("the new version", || {
            (coracle.property("boat.service", "Description") == newest).then_some(())
        });
        end(upgrade);
        let (said, version) = harbour.reboots("it is on trial");
        let told = format!("{newest} is taken back, 1.1 comes again: its proof was interrupted");
        assert!(said.contains(&told), "{said}");
        assert_eq!(version, "1.1");
        harbour.clears_up("it is on trial");
    });
}

#[test]
fn a_reboot_before_any_file_of_an_upgrade_is_in_its_place_leaves_a_version_whole() {
    Harbour::open(|harbour| {
        let mut found = BTreeSet::new();
        for count in 1.. {
            let newest = harbour.newest.get();
            let words = ["upgrade", "boat", "--healthy-for", "0"];
            let cut = cut::before(harbour.coracle, &words, cut::PLACES, count);
            let done = cut.status.success();
            let what = format!("cut before its file {count}");
            let (said, version) = harbour.reboots(&what);
            let (former, newer) = (format!("1.{}", newest - 1), format!("1.{newest}"));
            let is_new = version == newer;
            assert!(is_new || !done && version == former, "{what}: {version}");
            found.insert((is_new, said.contains("its proof was interrupted")));
            if done {
                break;
            }
            match is_new {
                true => harbour.next(),
                false => harbour.clears_up(&what),
            }
        }
        // As it was, gone back from, and proven.
        let expected = [(false, false), (false, true), (true, false)];
        assert_eq!(found, BTreeSet::from(expected));
    });
}
