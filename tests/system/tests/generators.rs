//! Generators: what they write is there before any unit is read, and one that fails is told and stops nothing.

use coracle_system_tests::gate::Gate;
use coracle_system_tests::{manager, waiting, with_units_below};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use testkit::Instance;

/// Not below /tmp: there generators have no file system of their own for temporary files.
fn with_units(units: &[(&str, &str)], work: impl FnOnce(&Instance)) {
    with_units_below(Path::new("/run"), units, work);
}

fn generator(coracle: &Instance, name: &str, script: &str) {
    let directory = coracle.folder().join("config/generators");
    fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be executed");
}

/// Writes a unit with a description.
fn unit(place: &str, name: &str, description: &str) -> String {
    format!(
        "printf '[Unit]\\nDescription=%s\\n[Service]\\nExecStart=/bin/true\\n' \"{description}\" > \"{place}/{name}\""
    )
}

fn description(coracle: &Instance, unit: &str) -> String {
    coracle.property(unit, "Description")
}

#[test]
fn what_generators_write_is_read_at_the_start_and_after_each_reload_and_counts_by_its_place() {
    let by_hand = "[Unit]\nDescription=by hand\n[Service]\nExecStart=/bin/true\n";
    let units = [("normal.service", by_hand), ("early.service", by_hand)];
    with_units(&units, |coracle| {
        let lines = [
            unit("$1", "normal.service", "generated"),
            unit("$2", "early.service", "generated early"),
            unit("$1", "made.service", "generated"),
            unit("$3", "made.service", "generated late"),
            unit(
                "$3",
                "late.service",
                "$SYSTEMD_SCOPE $SYSTEMD_IN_INITRD $SYSTEMD_FIRST_BOOT",
            ),
        ];
        generator(coracle, "one", &lines.join("\n"));
        coracle.ok(&["daemon-reload"]);
        let told = |unit| description(coracle, unit);
        assert_eq!(told("normal.service"), "by hand");
        assert_eq!(told("early.service"), "generated early");
        assert_eq!(told("made.service"), "generated");
        assert_eq!(told("late.service"), "system 0 0");
        let enabled = coracle.coracle(&["is-enabled", "made.service"]);
        assert_eq!(enabled.stdout.trim(), "generated", "{enabled:?}");
        coracle.ok(&["start", "made.service"]);
        generator(coracle, "one", &unit("$1", "made.service", "otherwise"));
        generator(coracle, "two", &unit("$1", "two.service", "beside"));
        coracle.ok(&["daemon-reload"]);
        assert_eq!(told("made.service"), "otherwise");
        assert_eq!(told("two.service"), "beside");
        assert_eq!(told("early.service"), "by hand");
        fs::remove_dir_all(coracle.folder().join("config/generators")).expect("they go");
        coracle.ok(&["daemon-reload"]);
        assert_eq!(coracle.property("two.service", "LoadState"), "not-found");
    });
}

#[test]
fn who_starts_the_instance_finds_what_was_generated() {
    with_units(&[], |coracle| {
        generator(coracle, "one", &unit("$1", "made.service", "generated"));
        coracle.ok(&["daemon-exit"]);
        coracle.ok(&["start", "made.service"]);
        assert_eq!(description(coracle, "made.service"), "generated");
    });
}

#[test]
fn a_generator_writes_nowhere_else_and_one_that_fails_stops_nothing() {
    with_units(&[], |coracle| {
        let outside = coracle.folder().join("outside");
        generator(coracle, "bad", &format!("touch {}", outside.display()));
        generator(coracle, "good", &unit("$1", "made.service", "generated"));
        coracle.ok(&["daemon-reload"]);
        assert!(!outside.exists());
        assert_eq!(description(coracle, "made.service"), "generated");
        let service = "coracle-generator-bad.service";
        assert_eq!(coracle.property(service, "ActiveState"), "failed");
        let said = coracle.ok(&["logs", "-u", service, "--cat"]);
        assert!(
            said.contains("what it should have made is missing"),
            "{said}"
        );
        assert!(said.contains("Read-only file system"), "{said}");
    });
}

#[test]
fn a_reload_that_waits_for_generators_outlives_the_manager() {
    with_units(&[], |coracle| {
        let gate = Gate::at(coracle.folder().join("gate"));
        // A reload does not start an instance.
        assert_eq!(coracle.property("made.service", "LoadState"), "not-found");
        // The client that comes back may be late: the next run must not wait again.
        let open = coracle.folder().join("open");
        let waits = format!(
            "test -e {} || read line <{}",
            open.display(),
            gate.path().display()
        );
        generator(
            coracle,
            "slow",
            &format!("{waits}\n{}", unit("$1", "made.service", "generated")),
        );
        std::thread::scope(|scope| {
            let reload = scope.spawn(|| coracle.coracle(&["daemon-reload"]));
            waiting::eventually("the generator runs", || {
                let state = coracle.property("coracle-generator-slow.service", "ActiveState");
                (state == "activating").then_some(())
            });
            manager::kill(coracle.process("ManagerPID"));
            fs::write(&open, "").expect("a file");
            // Also where nobody is there to read, as it was open before anybody looked.
            let mut gate = File::options().read(true).write(true).open(gate.path());
            let gate = gate.as_mut().expect("the gate");
            gate.write_all(b"\n").expect("room for a line");
            let reloaded = reload.join().expect("it ends");
            assert_eq!(reloaded.status, 0, "{reloaded:?}");
        });
        assert_eq!(description(coracle, "made.service"), "generated");
    });
}

#[test]
fn what_a_generator_leaves_running_is_ended_soon_and_who_is_only_called_like_one_holds_nobody_up() {
    let never = "[Service]\nType=notify\nTimeoutStartSec=infinity\nExecStart=/bin/sleep infinity\n";
    with_units(&[("coracle-generator-never.service", never)], |coracle| {
        coracle.ok(&["start", "--no-block", "coracle-generator-never.service"]);
        let stays = "trap '' TERM\nsleep infinity &\n";
        let made = unit("$1", "made.service", "generated");
        generator(coracle, "stays", &format!("{stays}{made}"));
        let begin = std::time::Instant::now();
        coracle.ok(&["daemon-reload"]);
        // As long as the program itself may take was not waited for.
        assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
        assert_eq!(description(coracle, "made.service"), "generated");
        let state = |unit| coracle.property(unit, "ActiveState");
        assert_eq!(state("coracle-generator-never.service"), "activating");
        assert_ne!(state("coracle-generator-stays.service"), "deactivating");
        coracle.ok(&["stop", "coracle-generator-never.service"]);
    });
}

/// Whatever is hidden by a file system for temporary files that is theirs.
#[test]
fn a_reload_tells_which_failed_and_what_others_write_counts_below_tmp_too() {
    coracle_system_tests::with_units(&[], |coracle| {
        coracle.ok(&["start", "--no-block", "default.target"]);
        assert!(coracle.folder().starts_with("/tmp"));
        generator(coracle, "good", &unit("$1", "made.service", "generated"));
        generator(coracle, "bad", "exit 3");
        let reload = coracle.coracle(&["daemon-reload"]);
        assert_eq!(reload.status, 0, "{reload:?}");
        let told = "coracle-generator-bad.service: units that it makes may be missing";
        assert!(reload.stderr.contains(told), "{reload:?}");
        assert!(!reload.stderr.contains("generator-good"), "{reload:?}");
        assert_eq!(description(coracle, "made.service"), "generated");
    });
}
