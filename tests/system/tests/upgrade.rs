//! Versions from a channel: newer ones come when they may, stay when they work, and go again when they do not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_system_tests::images::{By, Web, Workshop, with_workshop};
use coracle_system_tests::waiting::{eventually, lines, state};
use testkit::{Finished, HttpsServer, Instance};

const GOOD: &str = "ExecStart=/usr/bin/sleep infinity";
/// Up at first, and gone a moment later.
const BAD: &str = "ExecStart=/usr/bin/dash -c 'sleep 0.3; exit 7'";

/// A maker's directory, a server that gives it out, and the host that has version 1.0 from there.
struct Harbour<'a> {
    coracle: &'a Instance,
    workshop: &'a Workshop<'a>,
    web: PathBuf,
    ca: String,
    server: HttpsServer,
}

fn unit(version: &str, line: &str) -> String {
    format!("[Unit]\nDescription=boat {version}\n[Service]\nType=exec\n{line}\n")
}

/// The signer that a refusal says can be accepted.
fn acceptable(said: &str) -> String {
    let word = said.split("--accept-signer=").nth(1).expect("a hint");
    let end = word.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != ':');
    format!("--accept-signer={}", &word[..end.unwrap_or(word.len())])
}

impl Harbour<'_> {
    fn open(work: impl FnOnce(&Harbour)) {
        with_workshop(|coracle, workshop| {
            let Web {
                folder: web,
                ca,
                server,
            } = Web::of(coracle);
            let harbour = Harbour {
                coracle,
                workshop,
                web,
                ca,
                server,
            };
            harbour.publish("1.0", GOOD, By::Trusted, &[]);
            coracle.ok(&[
                "start",
                &harbour.server.url("boat.psi"),
                "--ca",
                &harbour.ca,
            ]);
            work(&harbour);
        });
    }

    fn publish(&self, version: &str, line: &str, by: By, more: &[&str]) {
        self.publish_units(version, &[("boat.service", line)], by, more);
    }

    fn publish_units(&self, version: &str, units: &[(&str, &str)], by: By, more: &[&str]) {
        let units: Vec<(&str, String)> = units
            .iter()
            .map(|(name, line)| (*name, unit(version, line)))
            .collect();
        let units: Vec<(&str, &str)> = units
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let image = self.workshop.image("boat", version, by, &units);
        let (web, key) = (self.web.display().to_string(), self.workshop.key(by));
        let mut words = vec!["publish", &image, &web, "--key", &key];
        words.extend(more);
        self.coracle.ok(&words);
    }

    fn upgrade(&self, more: &[&str]) -> Finished {
        let mut words = vec!["upgrade", "boat", "--ca", &self.ca];
        if !more.contains(&"--healthy-for") {
            words.extend(["--healthy-for", "1"]);
        }
        words.extend(more);
        self.coracle.coracle(&words)
    }

    /// The same where it succeeds; what it says.
    fn upgraded(&self, more: &[&str]) -> String {
        self.upgrade(more).ok().stdout
    }

    /// What is refused changes nothing of what runs.
    fn refused(&self, more: &[&str], expected: &[&str]) {
        let before = self.running();
        let said = self.upgrade(more);
        assert_eq!(said.status, 1, "{}{}", said.stdout, said.stderr);
        for expected in expected {
            assert!(
                said.stderr.contains(expected),
                "{expected}: {}",
                said.stderr
            );
        }
        assert_eq!(self.running(), before);
        let staged = self.coracle.folder().join("state/store/staging");
        if let Ok(left) = fs::read_dir(&staged) {
            let left: Vec<_> = left.map(|entry| entry.expect("an entry").path()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    /// Which version runs, and in which process.
    fn running(&self) -> (String, String) {
        let [state, what, process] = ["ActiveState", "Description", "MainPID"]
            .map(|name| self.coracle.property("boat.service", name));
        assert_eq!(state, "active");
        (what, process)
    }

    fn versions(&self) -> Vec<(String, String)> {
        let text = self.coracle.ok(&["versions", "boat", "--json"]);
        let lines: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let lines = lines.as_array().expect("a list").iter();
        let word =
            |line: &serde_json::Value, name: &str| line[name].as_str().expect("text").to_owned();
        lines
            .map(|line| (word(line, "version"), word(line, "state")))
            .collect()
    }

    fn check_versions(&self, expected: &[(&str, &str)]) {
        let found = self.versions();
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.web.join(name)
    }
}

#[test]
fn a_newer_version_comes_stays_and_can_be_gone_back_from() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        let said = harbour.upgraded(&[]);
        assert_eq!(said, "boat 1.0 is the newest\n");
        coracle.ok(&["configure", "boat", "--env", "WORD=kept"]);
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        harbour.publish("1.2", GOOD, By::Trusted, &["--needs-kernel", "99"]);
        let said = harbour.upgraded(&["--check"]);
        assert!(said.starts_with("boat 1.0 → 1.1 · "), "{said}");
        assert!(
            said.contains("passed over: 1.2: it needs Linux 99"),
            "{said}"
        );
        assert_eq!(harbour.running().0, "boat 1.0");
        let said = harbour.upgraded(&[]);
        assert!(said.ends_with("boat 1.0 → 1.1\n"), "{said}");
        assert_eq!(harbour.running().0, "boat 1.1");
        assert!(
            coracle
                .property("boat.service", "Environment")
                .contains("WORD=kept")
        );
        harbour.check_versions(&[("1.1", "current"), ("1.0", "healthy")]);
        assert!(
            coracle
                .ok(&["status", "boat"])
                .contains(&harbour.server.url("boat.psi"))
        );

        let said = coracle.ok(&["rollback", "boat"]);
        assert!(said.ends_with("boat 1.1 → 1.0\n"), "{said}");
        assert_eq!(harbour.running().0, "boat 1.0");
        harbour.check_versions(&[("1.1", "taken back"), ("1.0", "current")]);
        let said = harbour.upgraded(&[]);
        assert!(
            said.contains("1.1 was taken back (the administrator"),
            "{said}"
        );
        assert_eq!(harbour.running().0, "boat 1.0");
        // What is stored is not fetched again.
        for file in ["boat_1.1.psi", "boat_1.1.psi.zst"] {
            fs::remove_file(harbour.file(file)).expect("a file that is there");
        }
        harbour.upgraded(&["--retry"]);
        assert_eq!(harbour.running().0, "boat 1.1");

        coracle.ok(&["hold", "boat"]);
        let held = coracle.ok(&["status", "boat"]);
        assert!(held.contains("until `coracle unhold boat`"), "{held}");
        harbour.refused(&[], &["boat is held at 1.1", "coracle unhold boat"]);
        let all = coracle
            .coracle(&["upgrade", "--all", "--ca", &harbour.ca])
            .ok();
        assert!(all.stderr.contains("boat is held at 1.1"), "{}", all.stderr);
        coracle.ok(&["unhold", "boat"]);
        let said = coracle.ok(&["gc", "--keep", "1"]);
        assert_eq!(said, "boat 1.0\n");
        harbour.check_versions(&[("1.1", "current")]);
        let nowhere = coracle.coracle(&["rollback", "boat"]);
        assert!(nowhere.status == 1 && nowhere.stderr.contains("no version of boat below 1.1"));
    });
}

#[test]
fn a_version_that_does_not_work_is_taken_back_with_the_reason_and_not_tried_again_by_itself() {
    Harbour::open(|harbour| {
        harbour.publish("1.1", BAD, By::Trusted, &[]);
        let said = harbour.upgrade(&["--healthy-for", "60"]);
        assert_eq!(said.status, 1, "{}", said.stderr);
        for part in [
            "boat 1.1 is taken back, 1.0 comes again",
            "boat.service failed (exit-code)",
        ] {
            assert!(said.stderr.contains(part), "{}", said.stderr);
        }
        assert_eq!(harbour.running().0, "boat 1.0");
        harbour.check_versions(&[("1.1", "taken back"), ("1.0", "current")]);
        assert!(
            harbour
                .coracle
                .ok(&["versions", "boat"])
                .contains("boat.service failed")
        );
        let said = harbour.upgraded(&[]);
        assert!(
            said.contains("boat stays at 1.0: 1.1 was taken back"),
            "{said}"
        );
        let never = harbour.coracle.coracle(&["rollback", "boat", "1.1"]);
        assert!(
            never.stderr.contains("never seen to work"),
            "{}",
            never.stderr
        );
        // One that can't even start.
        let line = format!("ExecStartPre=/usr/bin/dash -c 'exit 3'\n{GOOD}");
        harbour.publish("1.2", &line, By::Trusted, &[]);
        let said = harbour.upgrade(&[]);
        assert_eq!(said.status, 1, "{}", said.stderr);
        assert_eq!(harbour.running().0, "boat 1.0");
        // And the next one is taken.
        harbour.publish("1.3", GOOD, By::Trusted, &[]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.3");
    });
}

/// Works for as long as it is not asked a second time; nothing else is done about it.
const SICK: &str = "ExecStart=/usr/bin/sleep infinity\nRuntimeDirectory=boat\nHealthCommand=/usr/bin/dash -c 'if test -e /run/boat/asked; then echo sick; exit 1; fi; : > /run/boat/asked'\n\
                    HealthIntervalSec=100ms\nHealthRetries=2";
/// Who is told of what goes wrong, and does not end.
const ALARM: &str = "ExecStart=/usr/bin/sleep infinity";

#[test]
fn a_version_that_is_unhealthy_is_taken_back_and_others_are_told_though_it_did_not_fail() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        let told = |good: &str| format!("{good}\n[Unit]\nOnFailure=boat-alarm.service");
        let publish = |version: &str, line: &str| {
            let units = [
                ("boat.service", &*told(line)),
                ("boat-alarm.service", ALARM),
            ];
            harbour.publish_units(version, &units, By::Trusted, &[]);
        };
        publish("1.1", GOOD);
        harbour.upgraded(&[]);
        coracle.ok(&["stop", "boat-alarm.service"]);
        publish("1.2", SICK);
        let said = harbour.upgrade(&["--healthy-for", "60"]);
        assert_eq!(said.status, 1, "{}{}", said.stdout, said.stderr);
        let why = "boat 1.2 is taken back, 1.1 comes again: boat.service is unhealthy (sick)";
        assert!(said.stderr.contains(why), "{}", said.stderr);
        assert_eq!(harbour.running().0, "boat 1.1");
        lines(coracle, "boat.service", |lines| {
            lines.iter().any(|line| line.contains(why))
        });
        state(coracle, "boat-alarm.service", "active");
        let because = coracle.ok(&["status", "boat-alarm.service"]);
        assert!(
            because.contains("a version of boat.service was taken back"),
            "{because}"
        );
        // One that never answers while it is on trial has not proven that it works.
        let silent = format!(
            "{GOOD}\nHealthCommand=/usr/bin/dash -c 'exit 1'\nHealthReady=no\nHealthStartPeriodSec=1h"
        );
        publish("1.3", &silent);
        let said = harbour.upgrade(&[]);
        assert_eq!(said.status, 1, "{}{}", said.stdout, said.stderr);
        let why = "boat.service has not answered its probes (exit status 1)";
        assert!(said.stderr.contains(why), "{}", said.stderr);
        assert_eq!(harbour.running().0, "boat 1.1");
        // And one that is well stays.
        publish(
            "1.4",
            &format!("{GOOD}\nHealthCommand=/usr/bin/dash -c 'exit 0'\nHealthIntervalSec=100ms"),
        );
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.4");
    });
}

#[test]
fn an_index_that_is_old_forked_foreign_or_nonsense_is_refused_and_what_runs_goes_on() {
    Harbour::open(|harbour| {
        let index = harbour.file("boat.channel");
        let old = fs::read(&index).expect("an index");
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        let new = fs::read(&index).expect("an index");
        harbour.upgraded(&["--check"]);
        let serve = |bytes: &[u8]| fs::write(&index, bytes).expect("another index");
        serve(&old);
        harbour.refused(
            &[],
            &["serial 1, and 2 was seen before", "boat stays as it is"],
        );
        // The same serial made twice.
        harbour.publish("1.1.1", GOOD, By::Trusted, &[]);
        harbour.refused(&[], &["two channel indexes with serial 2"]);
        // Somebody else's, and a changed one.
        let ship = String::from_utf8(new.clone())
            .expect("text")
            .replace("channel 1 boat", "channel 1 ship");
        serve(ship.as_bytes());
        harbour.refused(&[], &["was changed on its way"]);
        let changed = String::from_utf8(new.clone())
            .expect("text")
            .replace("\"1.1\"", "\"1.9\"");
        serve(changed.as_bytes());
        harbour.refused(&[], &["was changed on its way"]);
        for nonsense in [&b""[..], b"<html>not found</html>\n", &vec![b'x'; 2 << 20]] {
            serve(nonsense);
            harbour.refused(&[], &["boat.channel"]);
        }
        fs::remove_file(&index).expect("the index");
        harbour.refused(&[], &["404"]);
        serve(&new);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.1");
    });
}

#[test]
fn files_that_are_not_what_the_index_says_are_refused_and_the_next_try_succeeds() {
    Harbour::open(|harbour| {
        // Whoever has the chunks needs no file of the whole.
        harbour.publish("1.1", GOOD, By::Trusted, &["--no-chunks", "--patches", "0"]);
        let file = harbour.file("boat_1.1.psi.zst");
        let good = fs::read(&file).expect("the image");
        let check = |bytes: &[u8], expected: &str| {
            fs::write(&file, bytes).expect("another file");
            harbour.refused(&[], &[expected]);
        };
        check(
            &good[..good.len() - 1],
            "files of several versions are mixed",
        );
        check(&[&good[..], b"x"].concat(), "larger than");
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        check(&flipped, "files of several versions are mixed");
        let other = fs::read(harbour.file("boat_1.0.psi.zst")).expect("the other version");
        check(&other, "boat_1.1.psi.zst");
        fs::write(&file, &good).expect("the image again");
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.1");
    });
}

#[test]
fn what_is_below_the_floor_is_neither_offered_nor_gone_back_to() {
    Harbour::open(|harbour| {
        harbour.publish("1.1", GOOD, By::Trusted, &["--floor", "1.1"]);
        harbour.upgraded(&[]);
        harbour.check_versions(&[("1.1", "current"), ("1.0", "healthy")]);
        let said = harbour.coracle.coracle(&["rollback", "boat", "1.0"]);
        assert!(
            said.status == 1 && said.stderr.contains("1.0 was withdrawn by its maker"),
            "{}",
            said.stderr
        );
        let said = harbour.coracle.coracle(&["rollback", "boat"]);
        assert_eq!(said.status, 1, "{}", said.stdout);
        assert_eq!(harbour.running().0, "boat 1.1");
    });
}

#[test]
fn a_maker_changes_its_key_and_hosts_go_along_while_nobody_else_takes_over() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        coracle.ok(&["configure", "boat", "--env", "WORD=kept"]);
        let former = harbour.workshop.key(By::Trusted);
        // Somebody else's index under the same name: not trusted, and trusted but not the maker.
        let index = harbour.file("boat.channel");
        let good = fs::read(&index).expect("the index");
        fs::remove_file(&index).expect("the index");
        harbour.publish("3.0", GOOD, By::Unknown, &[]);
        harbour.refused(
            &[],
            &["\"Unknown Maker\"", "not trusted", "coracle trust add"],
        );
        let certificate = Path::new(&harbour.workshop.key(By::Unknown)).with_extension("crt");
        let certificate = certificate.display().to_string();
        let trusted = coracle.ok(&["trust", "add", &certificate]);
        harbour.refused(
            &[],
            &[
                "does not follow by that one's word",
                "--accept-signer=sha256:",
            ],
        );
        let fingerprint = trusted.split("sha256:").nth(1).expect("a fingerprint");
        let fingerprint: String = fingerprint
            .chars()
            .take_while(char::is_ascii_hexdigit)
            .collect();
        coracle.ok(&["trust", "remove", &fingerprint]);
        for file in ["boat_3.0.psi", "boat_3.0.psi.zst"] {
            fs::remove_file(harbour.file(file)).expect("a file");
        }
        // The maker's own word.
        fs::write(&index, good).expect("the index");
        harbour.publish("1.1", GOOD, By::Unknown, &["--former-key", &former]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.1");
        assert!(
            coracle
                .property("boat.service", "Environment")
                .contains("WORD=kept")
        );
        harbour.publish("1.2", GOOD, By::Unknown, &[]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.2");
        assert!(coracle.ok(&["status", "boat"]).contains("Unknown Maker"));
        // Back over the change of keys, with what was chosen.
        coracle.ok(&["rollback", "boat", "1.0"]);
        assert_eq!(harbour.running().0, "boat 1.0");
        assert!(
            coracle
                .property("boat.service", "Environment")
                .contains("WORD=kept")
        );
        // The new key counts for this portable alone.
        let other = harbour.workshop.image(
            "ship",
            "1",
            By::Unknown,
            &[("ship.service", "[Service]\nExecStart=/usr/bin/sleep 1\n")],
        );
        let said = coracle.coracle(&["start", &other]);
        assert!(
            said.status == 1 && said.stderr.contains("not trusted"),
            "{}",
            said.stderr
        );
    });
}

#[test]
fn an_upgrade_that_was_cut_off_before_its_proof_is_undone_at_the_next_boot() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        let mut upgrade = coracle
            .command(&[
                "upgrade",
                "boat",
                "--ca",
                &harbour.ca,
                "--healthy-for",
                "600",
            ])
            .spawn()
            .expect("an upgrade");
        eventually("the new version runs", || {
            let is_new = coracle.property("boat.service", "Description") == "boat 1.1";
            (is_new && coracle.property("boat.service", "ActiveState") == "active").then_some(())
        });
        harbour.check_versions(&[("1.1", "on trial"), ("1.0", "healthy")]);
        let status = coracle.ok(&["status", "boat"]);
        assert!(
            status.contains("and 1.0 comes back where it does not"),
            "{status}"
        );
        harbour.refused(&[], &["another command is upgrading boat"]);
        let kept = coracle.coracle(&["gc", "--keep", "1"]).ok();
        assert!(
            kept.stderr.contains("boat is being upgraded"),
            "{}",
            kept.stderr
        );
        upgrade.kill().expect("it runs");
        upgrade.wait().expect("its end");
        coracle.ok(&["stop", "boat"]);
        let said = coracle.coracle(&["start", "--enabled"]).ok();
        assert!(
            said.stderr.contains("its proof was interrupted"),
            "{}",
            said.stderr
        );
        assert_eq!(harbour.running().0, "boat 1.0");
        harbour.check_versions(&[("1.1", "stored"), ("1.0", "current")]);
        // It was not its fault: it is tried again.
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.1");
    });
}

#[test]
fn after_the_loss_of_a_key_a_new_maker_is_accepted_once_and_has_a_history_of_its_own() {
    Harbour::open(|harbour| {
        let index = harbour.file("boat.channel");
        let start_anew = || fs::remove_file(&index).expect("the index");
        harbour.publish("1.1", GOOD, By::Trusted, &["--floor", "1.1"]);
        harbour.upgraded(&[]);
        let of_former = fs::read(&index).expect("an index");
        start_anew();
        harbour.publish("2.0", GOOD, By::Unknown, &[]);
        let first = fs::read(&index).expect("an index");
        let certificate = Path::new(&harbour.workshop.key(By::Unknown)).with_extension("crt");
        harbour
            .coracle
            .ok(&["trust", "add", &certificate.display().to_string()]);
        let said = harbour.upgrade(&[]);
        assert_eq!(said.status, 1, "{}", said.stdout);
        let accept = acceptable(&said.stderr);
        let another = format!("--accept-signer=sha256:{}", "0".repeat(64));
        harbour.refused(&[&another], &["does not follow by that one's word"]);
        // To look at it only forgets nothing of the former maker's.
        harbour.upgraded(&["--check", &accept]);
        fs::write(&index, &of_former).expect("another index");
        assert_eq!(harbour.upgraded(&[]), "boat 1.1 is the newest\n");
        fs::write(&index, &first).expect("another index");
        harbour.upgraded(&[&accept]);
        assert_eq!(harbour.running().0, "boat 2.0");
        let status = harbour.coracle.ok(&["status", "boat"]);
        assert!(status.contains("Unknown Maker"), "{status}");
        // What was seen when it was accepted counts from then on.
        start_anew();
        harbour.publish("2.0.1", GOOD, By::Unknown, &[]);
        harbour.refused(&[], &["two channel indexes with serial 1"]);
        fs::write(&index, &first).expect("another index");
        harbour.publish("2.1", GOOD, By::Unknown, &["--floor", "2.1"]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 2.1");
        fs::write(&index, &first).expect("another index");
        harbour.refused(&[], &["serial 1, and 2 was seen before"]);
        fs::write(&index, &of_former).expect("another index");
        harbour.refused(&[], &["does not follow by that one's word"]);
    });
}

#[test]
fn a_new_maker_whose_version_does_not_work_leaves_the_former_one_in_place() {
    Harbour::open(|harbour| {
        fs::remove_file(harbour.file("boat.channel")).expect("the index");
        harbour.publish("2.0", BAD, By::Unknown, &[]);
        let certificate = Path::new(&harbour.workshop.key(By::Unknown)).with_extension("crt");
        harbour
            .coracle
            .ok(&["trust", "add", &certificate.display().to_string()]);
        let accept = acceptable(&harbour.upgrade(&[]).stderr);
        let said = harbour.upgrade(&[&accept, "--healthy-for", "60"]);
        assert_eq!(said.status, 1, "{}", said.stdout);
        assert_eq!(harbour.running().0, "boat 1.0");
        let status = harbour.coracle.ok(&["status", "boat"]);
        assert!(status.contains("Trusted Maker"), "{status}");
    });
}

#[test]
fn what_nobody_signed_follows_nobody_who_was_not_accepted() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        coracle.ok(&["purge", "boat", "--forget"]);
        let text = unit("1.0", GOOD);
        let units = [("boat.service", text.as_str())];
        let unsigned = harbour.workshop.image("boat", "1.0", By::Nobody, &units);
        fs::copy(&unsigned, harbour.file("plain.psi")).expect("a copy");
        let url = harbour.server.url("plain.psi");
        coracle.ok(&["start", &url, "--insecure", "--ca", &harbour.ca]);
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        harbour.refused(&["--check"], &["--accept-signer=sha256:"]);
        harbour.refused(&[], &["--accept-signer=sha256:"]);
        let accept = acceptable(&harbour.upgrade(&[]).stderr);
        harbour.upgraded(&[&accept]);
        assert_eq!(harbour.running().0, "boat 1.1");
        harbour.publish("1.2", GOOD, By::Trusted, &[]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.2");
    });
}

/// Nothing of it runs, and what is attached is this version.
fn stands_still(harbour: &Harbour, version: &str) {
    let property = |name: &str| harbour.coracle.property("boat.service", name);
    assert_eq!(property("MainPID"), "0");
    assert_ne!(property("ActiveState"), "active");
    assert_eq!(property("Description"), format!("boat {version}"));
}

#[test]
fn a_withdrawn_version_does_not_come_back_where_the_new_one_fails_or_was_cut_off() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        harbour.publish("1.1", BAD, By::Trusted, &["--floor", "1.1"]);
        let said = harbour.upgrade(&["--healthy-for", "60"]);
        assert_eq!(said.status, 1, "{}", said.stdout);
        for part in ["1.0 was withdrawn by its maker", "boat.service failed"] {
            assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
        }
        stands_still(harbour, "1.1");
        let listed = coracle.ok(&["versions", "boat"]);
        assert!(listed.contains("boat.service failed"), "{listed}");

        // The next one comes, and is cut off.
        harbour.publish("1.2", GOOD, By::Trusted, &[]);
        harbour.upgraded(&[]);
        coracle.ok(&["start", "boat"]);
        harbour.publish("1.3", GOOD, By::Trusted, &["--floor", "1.3"]);
        let words = ["upgrade", "boat", "--ca", &harbour.ca];
        let mut upgrade = coracle
            .command(&[&words[..], &["--healthy-for", "600"]].concat())
            .spawn()
            .expect("an upgrade");
        eventually("the new version runs", || {
            let is_new = coracle.property("boat.service", "Description") == "boat 1.3";
            (is_new && coracle.property("boat.service", "ActiveState") == "active").then_some(())
        });
        upgrade.kill().expect("it runs");
        upgrade.wait().expect("its end");
        let status = coracle.ok(&["status", "boat"]);
        let words = "is stopped where it does not, as 1.2 was withdrawn by its maker";
        assert!(status.contains(words), "{status}");
        coracle.ok(&["stop", "boat"]);
        let said = coracle.coracle(&["start", "--enabled"]);
        assert_eq!(said.status, 1, "{}", said.stderr);
        assert!(
            said.stderr.contains("1.2 was withdrawn by its maker"),
            "{}",
            said.stderr
        );
        stands_still(harbour, "1.3");
    });
}

#[test]
fn what_is_detached_stays_so_and_what_is_attached_until_the_next_reboot_stays_that() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        let attached = || coracle.coracle(&["is-attached", "boat"]).stdout;
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        coracle.ok(&["detach", "--now", "boat"]);
        let said = harbour.upgraded(&[]);
        assert!(said.contains("boat 1.0 is detached"), "{said}");
        let all = ["upgrade", "--all", "--ca", &harbour.ca];
        let said = coracle.ok(&all);
        assert!(said.contains("boat 1.0 is detached"), "{said}");
        assert_eq!(attached(), "detached\n");
        harbour.check_versions(&[("1.0", "current")]);
        coracle.ok(&["attach", "boat", "--runtime", "--now"]);
        harbour.upgraded(&[]);
        assert_eq!(harbour.running().0, "boat 1.1");
        assert_eq!(attached(), "running-runtime\n");
        coracle.ok(&["rollback", "boat"]);
        assert_eq!(attached(), "running-runtime\n");
        coracle.ok(&["detach", "--now", "boat"]);
        let said = coracle.coracle(&["rollback", "boat"]);
        assert!(
            said.status == 1 && said.stderr.contains("boat 1.0 is detached"),
            "{}",
            said.stderr
        );
        assert_eq!(attached(), "detached\n");
    });
}

#[test]
fn instances_are_proven_too_and_what_ran_must_not_be_gone() {
    Harbour::open(|harbour| {
        let coracle = harbour.coracle;
        let of = |name: &str| coracle.property("boat@1.service", name);
        let units = |line| [("boat.service", GOOD), ("boat@.service", line)];
        harbour.publish_units("1.1", &units(GOOD), By::Trusted, &[]);
        harbour.upgraded(&[]);
        coracle.ok(&["start", "boat@1.service"]);
        harbour.publish_units("1.2", &units(BAD), By::Trusted, &[]);
        let said = harbour.upgrade(&["--healthy-for", "60"]);
        assert_eq!(said.status, 1, "{}", said.stdout);
        assert!(
            said.stderr.contains("boat@1.service failed"),
            "{}",
            said.stderr
        );
        assert_eq!(harbour.running().0, "boat 1.1");
        assert_eq!(of("ActiveState"), "active");
        assert_eq!(of("Description"), "boat 1.1");
        harbour.publish("1.3", GOOD, By::Trusted, &[]);
        let said = harbour.upgrade(&[]);
        assert_eq!(said.status, 1, "{}", said.stdout);
        let gone = "boat@1.service ran, and 1.3 does not have it";
        assert!(said.stderr.contains(gone), "{}", said.stderr);
        assert_eq!(of("ActiveState"), "active");
        // Where nobody needs it any more, it is stopped before.
        coracle.ok(&["stop", "boat@1.service"]);
        harbour.upgraded(&["--retry"]);
        assert_eq!(harbour.running().0, "boat 1.3");
    });
}

#[test]
fn an_image_of_another_version_than_the_index_says_is_refused() {
    Harbour::open(|harbour| {
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        let index = harbour.file("boat.channel");
        let text = fs::read_to_string(&index).expect("an index");
        let (_, body) = text.split_once("\n\n").expect("a body");
        let body = body.replace("\"version\": \"1.1\"", "\"version\": \"1.9\"");
        let first = "coracle-channel 1 boat\n";
        let key = harbour.workshop.key(By::Trusted);
        let signed = Path::new(&key).with_file_name("signed");
        fs::write(&signed, format!("{first}{body}")).expect("what is to be signed");
        let made = Command::new("openssl")
            .args(["smime", "-sign", "-binary", "-noattr", "-outform", "PEM"])
            .args(["-md", "sha256", "-inkey", &key, "-signer"])
            .arg(Path::new(&key).with_extension("crt"))
            .arg("-in")
            .arg(&signed)
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{made:?}");
        let pem = String::from_utf8(made.stdout).expect("text");
        let signature: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let lying = format!("{first}signature {signature}\n\n{body}");
        fs::write(&index, lying).expect("another index");
        harbour.refused(
            &[],
            &["is boat 1.1, and the channel index says 1.9", "boat_1.1"],
        );
        harbour.check_versions(&[("1.0", "current")]);
    });
}

#[test]
fn an_old_index_is_refused_also_after_a_purge() {
    Harbour::open(|harbour| {
        let index = harbour.web.join("boat.channel");
        let old = fs::read(&index).expect("an index");
        let kept = harbour.web.join("kept.psi");
        fs::copy(harbour.web.join("boat_1.0.psi"), &kept).expect("an image");
        harbour.publish("1.1", GOOD, By::Trusted, &["--floor", "1.1"]);
        harbour.upgraded(&["--check"]);
        let new = fs::read(&index).expect("an index");
        harbour.coracle.ok(&["purge", "boat"]);
        fs::write(&index, &old).expect("an index");
        let (url, ca) = (harbour.server.url("boat_1.1.psi"), harbour.ca.as_str());
        let withdrawn = harbour.server.url("kept.psi");
        let words = ["start", &withdrawn, "--ca", ca];
        let said = harbour.coracle.coracle(&words);
        assert!(
            said.stderr.contains("was withdrawn by its maker"),
            "{said:#?}"
        );
        harbour.coracle.ok(&["start", &url, "--ca", ca]);
        harbour.refused(&[], &["an old one is served again"]);
        fs::write(&index, &new).expect("an index");
        harbour.upgraded(&[]);
        harbour.coracle.ok(&["purge", "boat", "--forget"]);
        fs::write(&index, &old).expect("an index");
        harbour.coracle.ok(&["start", &withdrawn, "--ca", ca]);
        let seen = harbour.upgrade(&["--check"]).ok();
        assert!(!seen.stderr.contains("old one"), "{seen:#?}");
    });
}
