//! What hostile portables do so that something of theirs stays, or so that they get what another one has.

use std::fs;
use std::path::Path;

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::waiting::eventually;
use coracle_system_tests::with_units;

const SLEEPS: &str = "ExecStart=/usr/bin/dash -c 'exec /usr/bin/sleep infinity'\n";

/// The image of a portable with one service of its name that says these lines.
fn image(workshop: &Workshop<'_>, name: &str, lines: &str) -> String {
    let service = format!("[Service]\nType=exec\n{SLEEPS}{lines}\n");
    let unit = format!("{name}.service");
    workshop.image(name, "1", By::Trusted, &[(&unit, &service)])
}

/// Whether a process of the host has this main process's number still.
fn lives(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

#[test]
fn an_instance_of_a_template_ends_with_its_portable() {
    for (verb, refuses) in [
        (&["detach"][..], true),
        (&["detach", "--now"], false),
        (&["purge"], false),
    ] {
        with_units(&[], |coracle| {
            let service = format!("[Service]\nType=exec\n{SLEEPS}");
            let units = [
                ("cellboat.service", service.as_str()),
                ("cellboat@.service", &service),
            ];
            let image = Workshop::new(coracle).image("cellboat", "1", By::Trusted, &units);
            coracle.ok(&["start", &image]);
            coracle.ok(&["start", "cellboat@one.service"]);
            coracle.ok(&["stop", "cellboat.service"]);
            let pid = coracle.property("cellboat@one.service", "MainPID");
            assert!(lives(&pid));
            let words = [verb, &["cellboat"]].concat();
            let said = coracle.coracle(&words);
            assert_eq!(said.status != 0, refuses, "{words:?}: {said:?}");
            if refuses {
                assert!(
                    said.stderr.contains("cellboat@one.service runs"),
                    "{}",
                    said.stderr
                );
            } else {
                assert!(!lives(&pid), "{words:?}");
            }
            if verb != ["purge"] {
                coracle.ok(&["purge", "cellboat"]);
            }
        });
    }
}

#[test]
fn a_portable_of_nothing_but_templates_stands_for_none_of_the_hosts_units() {
    let sleeps = "[Service]\nExecStart=sleep infinity\n";
    with_units(&[("host.service", sleeps)], |coracle| {
        coracle.ok(&["start", "host.service"]);
        let pid = coracle.property("host.service", "MainPID");
        let service = format!("[Service]\nType=exec\n{SLEEPS}");
        let units = [("moldboat@.service", service.as_str())];
        coracle.ok(&[
            "start",
            &Workshop::new(coracle).image("moldboat", "1", By::Trusted, &units),
        ]);
        for words in [
            &["kill"][..],
            &["stop"],
            &["restart"],
            &["reset-failed"],
            &["status"],
            &["logs", "-u"],
        ] {
            let said = coracle.coracle(&[words, &["moldboat"]].concat());
            assert_eq!(said.status, 1, "{words:?}: {said:?}");
            assert!(
                said.stderr.contains("no unit but templates"),
                "{}",
                said.stderr
            );
        }
        coracle.ok(&["start", "moldboat@one.service"]);
        coracle.ok(&["purge", "moldboat"]);
        assert_eq!(coracle.property("host.service", "MainPID"), pid);
    });
}

#[test]
fn a_service_that_only_an_older_version_had_ends_with_its_portable() {
    with_units(&[], |coracle| {
        let service = format!("[Service]\nType=exec\n{SLEEPS}");
        let workshop = Workshop::new(coracle);
        let both = [
            ("oldboat.service", service.as_str()),
            ("oldboat-aft.service", &service),
        ];
        coracle.ok(&["start", &workshop.image("oldboat", "1", By::Trusted, &both)]);
        let pid = coracle.property("oldboat-aft.service", "MainPID");
        coracle.ok(&[
            "start",
            &workshop.image("oldboat", "2", By::Trusted, &both[..1]),
        ]);
        coracle.ok(&["purge", "oldboat"]);
        assert!(!lives(&pid));
    });
}

#[test]
fn a_directory_that_another_portable_claims_is_asked_for_also_while_it_is_not_there() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let first = image(
            &workshop,
            "kinboat-aft",
            "StateDirectory=kinboat-aft\nRuntimeDirectory=kinboat-aft",
        );
        coracle.ok(&["start", "--attach-only", &first]);
        for lines in [
            "StateDirectory=kinboat-aft",
            "RuntimeDirectory=kinboat-aft",
            "BindPaths=-/var/lib/kinboat-aft:/srv",
        ] {
            let second = image(&workshop, "kinboat", lines);
            let said = coracle.coracle(&["start", "--attach-only", &second]);
            fs::remove_file(&second).expect("the image goes");
            assert_eq!(said.status, 1, "{lines}: {said:?}");
            assert!(said.stderr.contains("/kinboat-aft"), "{}", said.stderr);
        }
        coracle.ok(&["purge", "kinboat-aft"]);
    });
}

/// A program that nests directories, each in the one before, deeper than any path can say.
const NEST: &str =
    "exec perl -e 'chdir shift or die; for (1..3000) { mkdir q(d) and chdir q(d) or die $! }' ";

#[test]
fn a_nest_of_directories_goes_with_its_run_and_with_its_portable() {
    with_units(&[], |coracle| {
        let lines = "StateDirectory=nestboat\nRuntimeDirectory=nestboat";
        coracle.ok(&["start", &image(&Workshop::new(coracle), "nestboat", lines)]);
        for place in ["/run/nestboat", "/var/lib/nestboat"] {
            let script = format!("{NEST}{place}");
            coracle.ok(&["shell", "nestboat", "--", "/bin/sh", "-c", &script]);
        }
        let manager = coracle.process("ManagerPID");
        coracle.ok(&["stop", "nestboat.service"]);
        for left in ["/run/nestboat", "/run/private/nestboat"] {
            assert!(
                Path::new(left).symlink_metadata().is_err(),
                "{left} is left"
            );
        }
        eventually("the same manager goes on", || {
            (coracle.process("ManagerPID") == manager).then_some(())
        });
        coracle.ok(&["purge", "nestboat"]);
        for left in ["/var/lib/nestboat", "/var/lib/private/nestboat"] {
            assert!(
                Path::new(left).symlink_metadata().is_err(),
                "{left} is left"
            );
        }
    });
}

#[test]
fn what_commands_left_that_were_cut_short_goes_with_a_purge_of_its_name() {
    with_units(&[], |coracle| {
        let image = image(&Workshop::new(coracle), "cutboat", "");
        let own = coracle.folder().join("state/portables/cutboat");
        let stored = || {
            let entries = fs::read_dir(coracle.folder().join("state/store")).expect("the store");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            names.filter(|name| name != "staging").count()
        };
        for is_purge in [false, true] {
            coracle.ok(&["start", &image]);
            let pid = coracle.property("cutboat.service", "MainPID");
            if is_purge {
                coracle.ok(&["detach", "--now", "cutboat"]);
                fs::create_dir_all(own.join("extensions")).expect("what goes after the record");
                fs::remove_file(own.join("portable.json")).expect("the record goes before that");
            } else {
                fs::remove_dir_all(&own).expect("the record comes last");
            }
            assert_ne!(stored(), 0);
            let said = coracle.coracle(&["purge", "cutboat"]);
            assert_eq!(said.status, 1, "{said:?}");
            let unit = said.stdout.contains("removed unit cutboat.service\n");
            assert_eq!(unit, !is_purge, "{said:?}");
            assert!(said.stdout.contains("removed image sha256:"), "{said:?}");
            assert!(!lives(&pid) && !own.exists());
            assert!(!coracle.folder().join("state/attached").exists());
            assert_eq!(stored(), 0);
        }
        coracle.ok(&["purge", "--forget", "cutboat"]);
    });
}
