//! Unit files at their edges: what administrators and packages write, and what must come of it.

use std::fs;
use std::path::PathBuf;

use coracle_system_tests::dead::Dead;
use coracle_system_tests::{waiting, with_units};

const FOREVER: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

#[test]
fn what_is_stopped_before_it_was_born_stops_at_once() {
    let units = [
        (
            "a.service",
            "[Unit]\nConflicts=b.service\n[Service]\nExecStart=/bin/sleep infinity\nTimeoutStopSec=infinity\n",
        ),
        ("b.service", FOREVER),
    ];
    with_units(&units, |coracle| {
        // The second start takes the place of the first, whose process is asked for and not there yet.
        let said = coracle.coracle(&["start", "a", "b"]);
        assert_eq!(said.status, 1);
        waiting::eventually("the end of the loser", || {
            (coracle.property("a.service", "ActiveState") == "inactive").then_some(())
        });
        assert_eq!(coracle.property("b.service", "ActiveState"), "active");
    });
}

#[test]
fn the_commands_after_a_stop_run_also_when_all_had_to_be_killed() {
    let unit = "[Service]\nTimeoutStopSec=200ms\nExecStart=/bin/sh -c 'trap \"\" TERM; echo deaf; while :; do sleep 1; done'\nExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS'\n";
    with_units(&[("a.service", unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        waiting::lines(coracle, "a.service", |lines| {
            lines.iter().any(|line| line == "deaf")
        });
        coracle.ok(&["stop", "a"]);
        waiting::lines(coracle, "a.service", |lines| {
            lines.iter().any(|line| line == "timeout killed KILL")
        });
        assert_eq!(coracle.property("a.service", "Result"), "timeout");
    });
}

#[test]
fn sockets_are_handed_on_in_the_order_of_their_lines() {
    let service = "[Service]\nExecStart=/bin/sh -c 'for fd in 3 4 5; do readlink /proc/self/fd/$fd | grep -o pipe.of.order || echo socket; done; exec sleep infinity'\n";
    with_units(&[("a.service", service)], |coracle| {
        let folder = coracle.folder().join("run");
        let folder = folder.display();
        coracle.unit("a.socket", &format!("[Socket]\nListenDatagram={folder}/datagrams\nListenFIFO={folder}/pipe-of-order\nListenStream={folder}/stream\n"));
        coracle.ok(&["start", "a.socket"]);
        coracle.ok(&["start", "a.service"]);
        waiting::lines(coracle, "a.service", |lines| {
            let own: Vec<&str> = lines
                .iter()
                .map(String::as_str)
                .filter(|line| *line == "socket" || *line == "pipe-of-order")
                .collect();
            own == ["socket", "pipe-of-order", "socket"]
        });
    });
}

#[test]
fn further_unit_directories_come_before_the_instances_own() {
    with_units(
        &[("a.service", "[Service]\nExecStart=/bin/false\n")],
        |coracle| {
            let further = coracle.folder().join("further");
            std::fs::create_dir(&further).expect("a folder");
            std::fs::write(further.join("a.service"), FOREVER).expect("a unit file");
            let mut command = coracle.command(&["start", "a"]);
            command.env("CORACLE_UNIT_PATH", &further);
            assert!(command.status().expect("the command starts").success());
            // The manager knows them, and so does the next one.
            coracle.ok(&["daemon-reexec"]);
            coracle.ok(&["daemon-reload"]);
            let file = coracle.property("a.service", "FragmentPath");
            assert_eq!(file, further.join("a.service").display().to_string());
            assert_eq!(coracle.property("a.service", "ActiveState"), "active");
        },
    );
}

#[test]
fn what_this_version_can_not_do_is_refused_by_name_and_found_by_verify() {
    let text = "[Service]\nType=forking\nPrivatePIDs=yes\nExecStart=/bin/true\n";
    with_units(&[("f.service", text)], |coracle| {
        for verb in ["start", "verify"] {
            let refused = coracle.coracle(&[verb, "f.service"]);
            assert_ne!(refused.status, 0, "{verb}");
            let reason = "Type=forking does not go with PrivatePIDs=yes";
            assert!(
                refused.stderr.contains(reason),
                "{verb}: {}",
                refused.stderr
            );
        }
    });
}

#[test]
fn a_failed_command_beside_the_main_process_is_named() {
    let units = [
        (
            "a.service",
            "[Service]\nExecStart=/bin/sleep infinity\nExecStartPost=/bin/sh -c 'exit 5'\n",
        ),
        (
            "b.service",
            "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/sh -c 'exit 4'\n",
        ),
    ];
    with_units(&units, |coracle| {
        let failed = coracle.coracle(&["start", "a"]);
        assert!(
            failed
                .stderr
                .contains("start-post process of a.service exited with status 5"),
            "{}",
            failed.stderr
        );
        coracle.ok(&["start", "b"]);
        let failed = coracle.coracle(&["reload", "b"]);
        assert!(
            failed
                .stderr
                .contains("reload process of b.service exited with status 4"),
            "{}",
            failed.stderr
        );
        assert_eq!(coracle.property("b.service", "ActiveState"), "active");
    });
}

#[test]
fn a_socket_without_its_service_or_after_it_refuses_and_says_why() {
    let units = [
        ("a.service", FOREVER),
        ("a.socket", "[Socket]\nListenStream=@coracle-test-units-a\n"),
        ("b.socket", "[Socket]\nListenStream=@coracle-test-units-b\n"),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "a.service"]);
        for (socket, why) in [
            ("a.socket", "its service a.service is up without it"),
            ("b.socket", "its service b.service is not loaded"),
        ] {
            let refused = coracle.coracle(&["start", socket]);
            assert_eq!(refused.status, 1);
            assert!(refused.stderr.contains(why), "{}", refused.stderr);
        }
        coracle.ok(&["stop", "a.service"]);
        coracle.ok(&["start", "a.socket"]);
    });
}

#[test]
fn what_is_wrong_in_a_unit_file_is_in_the_log_of_its_unit() {
    let unit = "[Service]\nUtmpIdentifier=a\nExecStrat=/bin/true\nExecStart=/bin/sleep infinity\n";
    with_units(&[("a.service", unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        waiting::lines(coracle, "a.service", |lines| {
            let has = |text: &str| lines.iter().any(|line| line.contains(text));
            has("a.service:2: UtmpIdentifier= has no effect") && has("did you mean ExecStart=?")
        });
    });
}

#[test]
fn a_restriction_that_is_mistyped_is_told_at_the_start_and_fails_verify() {
    let unit = |line: &str| format!("[Service]\nExecStart=/bin/sleep infinity\n{line}\n");
    for (line, meant) in [
        ("ProtectSystem=yess", "ProtectSystem="),
        ("ProtectHomes=yes", "ProtectHome="),
        ("NoNewPriviliges=yes", "NoNewPrivileges="),
        ("PrivateTmp=maybe", "PrivateTmp="),
    ] {
        with_units(&[("a.service", &unit(line))], |coracle| {
            for verb in ["start", "restart"] {
                let started = coracle.coracle(&[verb, "a"]).ok();
                assert!(
                    started.stderr.contains("a.service:3: ") && started.stderr.contains(meant),
                    "{line}: {started:?}"
                );
            }
            let again = coracle.coracle(&["start", "a"]).ok();
            assert_eq!(again.stderr, "", "nothing was started");
            assert_eq!(coracle.coracle(&["stop", "a"]).ok().stderr, "");
            let verified = coracle.coracle(&["verify", "a"]);
            assert_eq!(verified.status, 1, "{line}");
            let words = format!("{meant} restricts the service, and its line is ignored");
            assert!(verified.stderr.contains(&words), "{verified:?}");
        });
    }
    with_units(&[("a.service", &unit("Nicee=1"))], |coracle| {
        assert_eq!(coracle.coracle(&["verify", "a"]).status, 0);
    });
}

#[test]
fn verify_names_a_unit_that_is_required_and_not_there_and_hints_help_or_are_left_out() {
    let unit = |needed: &str| {
        format!("[Unit]\nRequires={needed}\nWants=other.service\n[Service]\nExecStart=/bin/true\n")
    };
    let (good, bad) = (unit("basic.target b.service"), unit("nosuch.service"));
    let units = [
        ("a.service", bad.as_str()),
        ("b.service", FOREVER),
        ("c.service", &good),
        (
            "t.service",
            "[Service]\nType=forking\nPrivatePIDs=yes\nExecStart=/bin/true\n",
        ),
    ];
    with_units(&units, |coracle| {
        let found = coracle.coracle(&["verify", "a"]);
        assert_eq!(found.status, 1, "{found:?}");
        let words = "Requires=nosuch.service: there is no such unit";
        assert!(found.stderr.contains(words), "{found:?}");
        assert_eq!(coracle.coracle(&["verify", "c"]).status, 0);
        for word in ["t.service", ""] {
            let refused = coracle.coracle(&["start", word]);
            assert_ne!(refused.status, 0, "{word:?}");
            assert!(!refused.stderr.contains("coracle logs"), "{refused:?}");
        }
        let nothing = coracle.coracle(&["status", "zz*"]);
        assert_eq!(nothing.status, 4);
        assert!(nothing.stderr.contains("no unit in memory"), "{nothing:?}");
    });
}

#[test]
fn what_does_not_run_is_left_alone_by_a_try_restart_also_where_it_can_not_start() {
    let unit = "[Service]\nExecStart=/bin/true\nRootEphemeral=yes\n";
    with_units(&[("a.service", unit)], |coracle| {
        assert_eq!(coracle.coracle(&["start", "a"]).status, 1);
        let left_alone = coracle.coracle(&["try-restart", "a"]).ok();
        assert_eq!((left_alone.stdout, left_alone.stderr), Default::default());
    });
}

#[test]
fn a_drop_in_that_came_later_asks_for_a_reload() {
    with_units(&[("a-b.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a-b"]);
        assert_eq!(coracle.property("a-b.service", "NeedDaemonReload"), "no");
        for (number, folder) in ["a-b.service.d", "a-.service.d", "service.d"]
            .iter()
            .enumerate()
        {
            let folder = coracle.folder().join("config/units").join(folder);
            std::fs::create_dir(&folder).expect("a folder");
            let text = "[Service]\nEnvironment=A=1\n";
            std::fs::write(folder.join(format!("{number}.conf")), text).expect("a drop-in");
            assert_eq!(coracle.property("a-b.service", "NeedDaemonReload"), "yes");
            coracle.ok(&["daemon-reload"]);
            assert_eq!(coracle.property("a-b.service", "NeedDaemonReload"), "no");
        }
    });
}

#[test]
fn the_mount_point_of_credentials_goes_with_the_run() {
    // What stops it is not told where they are, as the reference has it.
    let unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nSetCredential=a:b\nExecStart=/bin/sh -c 'grep -q b $CREDENTIALS_DIRECTORY/a && test $CREDENTIALS_DIRECTORY = %d'\nExecStop=/bin/sh -c 'test -z \"$CREDENTIALS_DIRECTORY\"'\n";
    let name = "coracle-test-credentials.service";
    with_units(&[(name, unit)], |coracle| {
        coracle.ok(&["start", name]);
        assert_eq!(mount_points(name).len(), 1);
        coracle.ok(&["stop", name]);
        assert_eq!(coracle.property(name, "Result"), "success");
        assert_eq!(mount_points(name), Vec::<PathBuf>::new());
    });
}

/// Directories of the host on which instances mount the credentials of a unit.
fn mount_points(unit: &str) -> Vec<PathBuf> {
    let instances = fs::read_dir("/run/credentials").into_iter().flatten();
    let paths = instances.flatten().map(|entry| entry.path().join(unit));
    paths.filter(|path| path.exists()).collect()
}

#[test]
fn a_unit_keeps_its_credentials_when_one_of_its_name_ends_in_another_instance() {
    let name = "coracle-test-shared.service";
    let unit = "[Service]\nType=exec\nSetCredential=a:b\nExecStart=sleep infinity\nExecReload=/bin/sh -c 'grep -q b %d/a'\n";
    with_units(&[(name, unit)], |first| {
        first.ok(&["start", name]);
        with_units(&[(name, unit)], |second| {
            second.ok(&["start", name]);
            second.ok(&["reload", name]);
            assert_eq!(mount_points(name).len(), 2);
            second.ok(&["stop", name]);
        });
        let pid = first.property(name, "MainPID");
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("its mounts");
        let [own] = mount_points(name).try_into().expect("one that is left");
        let own = own.to_str().expect("a name").to_owned();
        assert!(mounts.contains(&own), "{own} is not mounted:\n{mounts}");
        first.ok(&["reload", name]);
    });
}

#[test]
fn a_test_of_a_path_that_does_not_answer_holds_up_its_own_start_alone() {
    let other = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";
    with_units(&[("other.service", other)], |coracle| {
        let dead = Dead::at(coracle.folder().join("dead"));
        let path = dead.place.join("file").display().to_string();
        let stuck = format!("[Unit]\nConditionPathExists=|{path}\n{other}");
        coracle.unit("stuck.service", &stuck);
        coracle.ok(&["start", "--no-block", "stuck"]);
        coracle.ok(&["start", "other"]);
        assert!(coracle.ok(&["list-jobs"]).contains("stuck.service"));
        // The start is taken back, and what its test says at last concerns nobody.
        coracle.ok(&["stop", "stuck"]);
        assert!(!coracle.ok(&["list-jobs"]).contains("stuck.service"));
        coracle.ok(&["start", "--no-block", "stuck"]);
        drop(dead);
        coracle.ok(&["start", "stuck"]);
        let status = coracle.coracle(&["status", "stuck"]).stdout;
        let line = format!("ConditionPathExists={path} does not hold");
        assert!(status.contains(&line), "{status}");
    });
}

#[test]
fn a_credential_of_a_path_that_does_not_answer_holds_up_its_own_start_alone() {
    let other = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";
    with_units(&[("other.service", other)], |coracle| {
        let dead = Dead::at(coracle.folder().join("dead"));
        let path = dead.place.join("file").display().to_string();
        let lines = format!("LoadCredential=word:{path}\nTimeoutStartSec=100ms\n");
        for unit in ["stuck.service", "late.service"] {
            coracle.unit(unit, &format!("{other}{lines}"));
        }
        coracle.ok(&["start", "--no-block", "stuck"]);
        coracle.ok(&["start", "other"]);
        // As long as any start may take, and no longer.
        let said = coracle.coracle(&["start", "late"]);
        assert_eq!(said.status, 1, "{}", said.stderr);
        assert_eq!(coracle.property("late.service", "Result"), "timeout");
        drop(dead);
        coracle.ok(&["is-active", "other"]);
    });
}
