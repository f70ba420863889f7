//! `run` with options that start the command later: transient timers, paths and sockets, and the services that they start.

use coracle_system_tests::{manager, waiting, with_units};
use testkit::Instance;

/// Until neither of two units is there.
fn gone(coracle: &Instance, stem: &str) {
    waiting::eventually(&format!("the end of {stem}"), || {
        let units = coracle.ok(&["list-units", "--all"]);
        (!units.contains(stem)).then_some(())
    });
}

#[test]
fn a_timer_starts_the_command_and_both_units_go() {
    with_units(&[], |coracle| {
        let mark = coracle.folder().join("mark");
        let told = coracle.coracle(&[
            "run",
            "--on-active=100ms",
            "--timer-property=AccuracySec=1ms",
            "--unit=tea",
            "touch",
            &mark.display().to_string(),
        ]);
        assert_eq!(told.status, 0, "{told:#?}");
        for words in [
            "Running timer as unit: tea.timer",
            "Will run service as unit: tea.service",
        ] {
            assert!(told.stderr.contains(words), "{told:#?}");
        }
        waiting::eventually("the file", || mark.exists().then_some(()));
        gone(coracle, "tea.");
    });
}

#[test]
fn a_timer_outlives_the_manager_and_its_service_goes_when_it_is_stopped() {
    with_units(&[], |coracle| {
        let mark = coracle.folder().join("mark");
        let path = mark.display().to_string();
        coracle.ok(&["run", "-q", "--on-active=1h", "--unit=late", "touch", &path]);
        assert_eq!(coracle.property("late.service", "ActiveState"), "inactive");
        assert_eq!(coracle.property("late.service", "LoadState"), "loaded");
        manager::kill(coracle.process("ManagerPID"));
        assert_eq!(coracle.property("late.timer", "SubState"), "waiting");
        // It can be started by hand, and is there all the same.
        coracle.ok(&["start", "late.service"]);
        waiting::eventually("the file", || mark.exists().then_some(()));
        waiting::state(coracle, "late.service", "inactive");
        assert_eq!(coracle.property("late.service", "LoadState"), "loaded");
        coracle.ok(&["stop", "late.timer"]);
        gone(coracle, "late.");
    });
}

#[test]
fn a_path_and_a_socket_start_a_command_and_a_timer_starts_a_unit_that_is_there() {
    let unit = "[Service]\nType=oneshot\nExecStart=/bin/touch MARK\n";
    with_units(&[], |coracle| {
        let file = |name: &str| coracle.folder().join(name);
        let text = |name: &str| file(name).display().to_string();
        let awaited = |name: &str| {
            waiting::eventually(name, || file(name).exists().then_some(()));
        };
        let exists = format!("--path-property=PathExists={}", text("go"));
        coracle.ok(&[
            "run",
            "-q",
            &exists,
            "--unit=by-path",
            "--remain-after-exit",
            "touch",
            &text("by-path"),
        ]);
        std::fs::write(file("go"), "").expect("a file");
        awaited("by-path");
        let listens = format!("--socket-property=ListenFIFO={}", text("fifo"));
        // What is there is whole.
        let command = format!(
            "head -c4 <&3 > {0}.new && mv {0}.new {0}",
            text("by-socket")
        );
        coracle.ok(&[
            "run",
            "-q",
            &listens,
            "--unit=by-socket",
            "sh",
            "-c",
            &command,
        ]);
        std::fs::write(file("fifo"), "word").expect("a pipe");
        awaited("by-socket");
        let brought = std::fs::read_to_string(file("by-socket"));
        assert_eq!(brought.expect("what came"), "word");
        coracle.unit("there.service", &unit.replace("MARK", &text("there")));
        coracle.ok(&["daemon-reload"]);
        let told = coracle
            .coracle(&["run", "--on-active=1ms", "--unit=there"])
            .ok();
        assert!(
            told.stderr.contains("Running timer as unit: there.timer"),
            "{told:#?}"
        );
        awaited("there");
    });
}
