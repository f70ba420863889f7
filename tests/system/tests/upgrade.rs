//! Versions from a channel: newer ones come when they may, stay when they work, and go again when they do not.

use std::fs;

use coracle_system_tests::channel::{BAD, GOOD, Harbour};
use coracle_system_tests::images::By;
use coracle_system_tests::waiting::{eventually, lines, state};

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
fn what_comes_from_a_file_says_which_address_it_loses_and_that_there_is_none_to_ask() {
    Harbour::open(|harbour| {
        let (coracle, url) = (harbour.coracle, harbour.server.url("boat.psi"));
        harbour.publish("1.1", GOOD, By::Trusted, &[]);
        let file = harbour.file("boat_1.1.psi").display().to_string();
        let said = coracle.coracle(&["reattach", "--now", &file]).ok().stderr;
        let lost = format!("upgrades of boat came from {url}; it came from {file} now");
        assert!(said.contains(&lost), "{said}");
        assert!(
            said.contains(&format!("`coracle reattach {url}`")),
            "{said}"
        );
        for more in [&["--check"][..], &[]] {
            let said = harbour.upgraded(more);
            let none = format!("boat 1.1 came from {file}, so there is no address to ask");
            assert!(said.starts_with(&none), "{said}");
        }
        let told = harbour.upgraded(&["--check", "--json"]);
        assert!(told.contains("\"newest\""), "{told}");
        // And one that came from no address loses none.
        let said = coracle.coracle(&["reattach", &file]).ok().stderr;
        assert!(!said.contains("came from"), "{said}");
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
