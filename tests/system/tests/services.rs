//! Services of each type, their ends, and what the command says of them.

use std::os::unix::fs::MetadataExt as _;

use coracle_system_tests::{waiting, with_units};

const FOREVER: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

#[test]
fn a_simple_service_starts_runs_and_stops() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        assert_eq!(coracle.property("a.service", "ActiveState"), "active");
        assert_eq!(coracle.property("a.service", "SubState"), "running");
        coracle.ok(&["stop", "a"]);
        assert_eq!(coracle.property("a.service", "ActiveState"), "inactive");
    });
}

#[test]
fn several_units_that_were_not_loaded_yet_start_in_one_request() {
    let units = [
        ("a.service", FOREVER),
        ("b.service", FOREVER),
        ("c.service", FOREVER),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "a", "b", "c"]);
        for unit in ["a.service", "b.service", "c.service"] {
            assert_eq!(coracle.property(unit, "ActiveState"), "active");
        }
    });
}

#[test]
fn a_unit_that_is_started_too_often_says_so_and_how_to_go_on() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        let mut said = coracle.coracle(&["start", "a"]);
        // StartLimitBurst= is five in ten seconds.
        for _ in 0..5 {
            coracle.ok(&["stop", "a"]);
            said = coracle.coracle(&["start", "a"]);
        }
        assert_eq!(said.status, 1);
        assert!(said.stderr.contains("started too often"), "{}", said.stderr);
        assert!(
            said.stderr.contains("coracle reset-failed a.service"),
            "{}",
            said.stderr
        );
        coracle.ok(&["reset-failed", "a"]);
        coracle.ok(&["start", "a"]);
    });
}

#[test]
fn what_starts_as_root_and_becomes_a_user_by_itself_is_heard() {
    let program = "use POSIX; use Socket; POSIX::setgid(1); POSIX::setuid(1); socket(S, AF_UNIX, SOCK_DGRAM, 0); \
                   send(S, q(READY=1), 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET})) or die $!; sleep";
    let unit = format!(
        "[Service]\nType=notify\nTimeoutStartSec=10\nExecStart=/usr/bin/perl -e '{program}'\n"
    );
    with_units(&[("a.service", &unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        assert_eq!(coracle.property("a.service", "SubState"), "running");
    });
}

/// Who starts as root and may become another user speaks as that one, too.
#[test]
fn the_notification_socket_is_for_the_users_that_a_service_may_have() {
    let program = "/usr/bin/perl -e 'use POSIX; use Socket; BECOME socket(S, AF_UNIX, SOCK_DGRAM, 0); \
                   send(S, q(READY=1), 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET})) or die $!; sleep'";
    let service = |lines: &str, become_other: &str| {
        let command = program.replace("BECOME", become_other);
        format!("[Service]\nType=notify\nNotifyAccess=all\n{lines}\nExecStart={command}\n")
    };
    let stays = service("NoNewPrivileges=yes\nCapabilityBoundingSet=~CAP_SETUID", "");
    let units = [
        ("root.service", &*service("", "POSIX::setuid(1);")),
        ("stays.service", &*stays),
        ("other.service", &*service("User=daemon", "")),
    ];
    with_units(&units, |coracle| {
        let mode_of = |unit: &str| {
            coracle.ok(&["start", unit]);
            let pid = coracle.property(unit, "MainPID");
            let variables = std::fs::read(format!("/proc/{pid}/environ")).expect("it runs");
            let mut variables = variables.split(|byte| *byte == 0);
            let path = variables.find_map(|one| one.strip_prefix(b"NOTIFY_SOCKET="));
            let path = std::str::from_utf8(path.expect("a socket")).expect("text");
            let found = std::fs::metadata(path).expect("it is there");
            (found.uid(), found.mode() & 0o777)
        };
        assert_eq!(mode_of("root.service"), (0, 0o666));
        assert_eq!(mode_of("stays.service"), (0, 0o600));
        assert_eq!(mode_of("other.service"), (1, 0o600));
    });
}

#[test]
fn a_oneshot_runs_its_commands_in_order_and_remains_when_told() {
    let unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo one'\nExecStart=/bin/sh -c 'echo two'\n";
    with_units(&[("a.service", unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        assert_eq!(coracle.property("a.service", "SubState"), "exited");
        let printed = waiting::lines(coracle, "a.service", |lines| {
            lines.iter().filter(|line| line.len() == 3).count() == 2
        });
        let own: Vec<&String> = printed.iter().filter(|line| line.len() == 3).collect();
        assert_eq!(own, ["one", "two"]);
    });
}

#[test]
fn an_exec_service_whose_program_is_missing_fails_to_start_and_says_why() {
    with_units(
        &[(
            "a.service",
            "[Service]\nType=exec\nExecStart=/nonexistent\n",
        )],
        |coracle| {
            let started = coracle.coracle(&["start", "a"]);
            assert_eq!(started.status, 1);
            assert!(started.stderr.contains("Hint:"), "{}", started.stderr);
            assert_eq!(coracle.property("a.service", "Result"), "exit-code");
            assert_eq!(coracle.property("a.service", "ExecMainStatus"), "203");
        },
    );
}

#[test]
fn a_notify_service_is_active_when_it_says_so_and_shows_its_status() {
    let unit = r#"[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'perl -e "$TELL"; exec sleep infinity'
Environment='TELL=use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); send(S, "READY=1\nSTATUS=at work", 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET}))'
"#;
    with_units(&[("a.service", unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        assert_eq!(coracle.property("a.service", "ActiveState"), "active");
        assert_eq!(coracle.property("a.service", "StatusText"), "at work");
    });
}

#[test]
fn a_failing_service_is_restarted_until_its_limit() {
    let unit = "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=60\n[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=10ms\n";
    with_units(&[("a.service", unit)], |coracle| {
        assert_eq!(coracle.coracle(&["start", "--wait", "a"]).status, 1);
        assert_eq!(coracle.property("a.service", "Result"), "start-limit-hit");
        assert_eq!(coracle.coracle(&["is-failed", "a"]).status, 0);
        coracle.ok(&["reset-failed", "a"]);
        assert_eq!(coracle.property("a.service", "ActiveState"), "inactive");
    });
}

#[test]
fn units_start_after_what_they_are_ordered_after_and_fall_with_what_they_are_bound_to() {
    let units = [
        (
            "a.service",
            "[Unit]\nRequires=b.service\nAfter=b.service\nBindsTo=b.service\n[Service]\nExecStart=/bin/sleep infinity\n",
        ),
        ("b.service", FOREVER),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "a"]);
        assert_eq!(coracle.property("b.service", "ActiveState"), "active");
        coracle.ok(&["stop", "b"]);
        assert_eq!(coracle.property("a.service", "ActiveState"), "inactive");
    });
}

#[test]
fn a_failure_starts_what_on_failure_names() {
    let units = [
        (
            "a.service",
            "[Unit]\nOnFailure=b.service\n[Service]\nType=oneshot\nExecStart=/bin/false\n",
        ),
        (
            "b.service",
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
        ),
    ];
    with_units(&units, |coracle| {
        assert_eq!(coracle.coracle(&["start", "a"]).status, 1);
        coracle.ok(&["start", "b"]);
        assert_eq!(coracle.property("b.service", "ActiveState"), "active");
    });
}

#[test]
fn exit_statuses_are_those_that_administrators_know() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        assert_eq!(coracle.coracle(&["is-active", "a"]).status, 3);
        assert_eq!(coracle.coracle(&["status", "a"]).status, 3);
        assert_eq!(coracle.coracle(&["status", "nobody"]).status, 4);
        coracle.ok(&["start", "a"]);
        assert_eq!(coracle.coracle(&["is-active", "a"]).status, 0);
        assert_eq!(
            coracle
                .coracle(&["start", "--job-mode=nonsense", "a"])
                .status,
            1
        );
        assert_eq!(coracle.coracle(&["frobnicate"]).status, 2);
    });
}

#[test]
fn an_error_is_told_where_stack_traces_are_asked_for_too() {
    with_units(&[], |coracle| {
        let mut command = coracle.command(&["start", "./nothing.psi"]);
        let said = command
            .env("RUST_BACKTRACE", "1")
            .output()
            .expect("it starts");
        assert_eq!(said.status.code(), Some(1));
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(
            text.contains("./nothing.psi") && text.contains("Hint:"),
            "{text}"
        );
    });
}

#[test]
fn a_service_and_its_socket_are_restarted_together_again_and_again() {
    let units = [
        (
            "a.service",
            "[Unit]\nRequires=a.socket\nAfter=a.socket\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep infinity\n",
        ),
        (
            "a.socket",
            "[Unit]\nStartLimitIntervalSec=0\n[Socket]\nListenStream=/run/coracle-test-restart\nRemoveOnStop=yes\n",
        ),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "a.socket", "a.service"]);
        for _ in 0..10 {
            coracle.ok(&["restart", "a.socket", "a.service"]);
        }
        coracle.ok(&["stop", "a.socket", "a.service"]);
    });
}

#[test]
fn a_unit_that_follows_another_one_s_end_hears_how_that_was() {
    let alarm =
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'env | grep ^MONITOR_ | sort; echo over'\n";
    for (relation, script, result, code, status) in [
        ("OnFailure", "exit 7", "exit-code", "exited", "7"),
        ("OnFailure", "kill -9 $$$$", "signal", "killed", "KILL"),
        ("OnSuccess", "exit 0", "success", "exited", "0"),
    ] {
        let unit = format!(
            "[Unit]\n{relation}=alarm.service\n[Service]\nExecStart=/bin/sh -c '{script}'\n"
        );
        with_units(
            &[("a.service", &unit), ("alarm.service", alarm)],
            |coracle| {
                coracle.ok(&["start", "a"]);
                let is_over = |lines: &[String]| lines.iter().any(|line| line == "over");
                let lines = waiting::lines(coracle, "alarm", is_over);
                let invocation = coracle.property("a.service", "InvocationID");
                let heard = [
                    format!("MONITOR_EXIT_CODE={code}"),
                    format!("MONITOR_EXIT_STATUS={status}"),
                    format!("MONITOR_INVOCATION_ID={invocation}"),
                    format!("MONITOR_SERVICE_RESULT={result}"),
                    "MONITOR_UNIT=a.service".to_owned(),
                ];
                for line in &heard {
                    assert!(lines.contains(line), "{line}: {lines:?}");
                }
                waiting::state(coracle, "alarm.service", "inactive");
                // Whoever is started by hand hears of nobody.
                coracle.ok(&["start", "alarm"]);
                let twice =
                    |lines: &[String]| lines.iter().filter(|line| *line == "over").count() == 2;
                let lines = waiting::lines(coracle, "alarm", twice);
                let told = lines.iter().filter(|line| line.starts_with("MONITOR_UNIT"));
                assert_eq!(told.count(), 1, "{lines:?}");
            },
        );
    }
}

#[test]
fn a_process_that_was_started_knows_that_it_is_the_one() {
    with_units(&[], |coracle| {
        let script =
            "echo $$ $SYSTEMD_EXEC_PID; sh -c 'test $$ = $SYSTEMD_EXEC_PID && echo no; true'";
        for options in [&[][..], &["--profile=default"]] {
            let words = [&["run", "--pipe"], options, &["/bin/sh", "-c", script]].concat();
            let said = coracle.ok(&words);
            let (own, told) = said.trim().split_once(' ').expect("two numbers");
            assert_eq!(own, told);
        }
    });
}

#[test]
fn a_start_that_fails_names_what_was_not_there() {
    let cases = [
        ("ExecStart=/nope --x", "ExecStart= names /nope, "),
        ("ExecStartPre=/nope", "ExecStartPre= names /nope, "),
        ("LoadCredential=a:/nope", "LoadCredential= /nope "),
        ("EnvironmentFile=/nope", "EnvironmentFile= /nope "),
        ("BindPaths=/nope:/srv", "BindPaths= can't be applied: "),
        (
            "StandardOutput=file:/nope/x",
            "StandardOutput= can't be applied: ",
        ),
    ];
    with_units(&[], |coracle| {
        for (line, words) in cases {
            let program = if line.starts_with("ExecStart=") {
                ""
            } else {
                "ExecStart=/bin/true"
            };
            coracle.unit(
                "a.service",
                &format!(
                    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\n{line}\n{program}\n"
                ),
            );
            coracle.ok(&["daemon-reload"]);
            let told = coracle.coracle(&["start", "a"]).stderr;
            assert!(
                told.contains(words) && told.contains("/nope"),
                "{line}: {told}"
            );
            let status = coracle.coracle(&["status", "-n", "0", "a"]).stdout;
            assert!(!status.contains("unknown"), "{line}: {status}");
            // The log's lines come when the log has them.
            waiting::eventually("the same words in the log", || {
                let status = coracle.coracle(&["status", "a"]).stdout;
                status.contains(words).then_some(())
            });
        }
    });
}

/// The rooms of roots that go with a run, by where their layers are mounted.
fn rooms() -> Vec<String> {
    let mounts = testkit::mount_table();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let layers = places.filter_map(|place| place.strip_suffix("/layers"));
    let rooms = layers.filter(|room| room.starts_with("/var/tmp/coracle-private-"));
    rooms.map(str::to_owned).collect()
}

#[test]
fn commands_beside_each_other_share_an_ephemeral_root_that_goes_with_the_run() {
    let root = tempfile::tempdir_in("/var").expect("a directory");
    for name in ["usr", "etc"] {
        std::fs::create_dir(root.path().join(name)).expect("a directory");
    }
    for name in ["bin", "lib", "lib64"] {
        let link = root.path().join(name);
        std::os::unix::fs::symlink(format!("usr/{name}"), link).expect("a link");
    }
    let unit = format!(
        "[Service]\nType=exec\nRootDirectory={}\nRootEphemeral=yes\nBindReadOnlyPaths=/usr\n\
         ExecStartPre=/bin/sh -c 'stat -c %%d / > /etc/root'\nExecStart=/bin/sleep infinity\n\
         ExecReload=/bin/sh -c 'test $$(stat -c %%d /) = $$(cat /etc/root) && echo more >> /etc/log'\n",
        root.path().display()
    );
    let before = rooms();
    with_units(&[("layered.service", &unit)], |coracle| {
        coracle.ok(&["start", "layered.service"]);
        coracle.ok(&["reload", "layered.service"]);
        coracle.ok(&["reload", "layered.service"]);
        let mine: Vec<String> = rooms()
            .into_iter()
            .filter(|room| !before.contains(room))
            .collect();
        assert_eq!(mine.len(), 1, "{mine:?}");
        // Killed in between, the next manager lets it go all the same.
        let manager = coracle.process("ManagerPID");
        rustix::process::kill_process(manager, rustix::process::Signal::KILL).expect("a kill");
        coracle.ok(&["stop", "layered.service"]);
        waiting::eventually("the end of the room", || {
            let is_gone = !std::path::Path::new(&mine[0]).exists();
            (is_gone && rooms() == before).then_some(())
        });
    });
    assert_eq!(
        std::fs::read_dir(root.path().join("etc"))
            .expect("it")
            .count(),
        0
    );
}
