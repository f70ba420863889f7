//! Services that put themselves into the background: who their main process is, and that nobody else is taken for it.

use coracle_system_tests::dead::Dead;
use coracle_system_tests::gate::Gate;
use coracle_system_tests::{manager, waiting, with_units};
use rustix::process::{Pid, Signal};
use testkit::Instance;

/// A daemon that leaves its parent by two forks, writes its number to the file that it is told, and ends by a signal with status 7.
const DAEMON: &str = "use POSIX; exit if fork; POSIX::setsid(); exit if fork; $SIG{USR1} = sub { exit 7 }; if (@ARGV) { open F, q(>), $ARGV[0]; print F qq($$\\n); close F } sleep while 1";

/// A unit of Type=forking with these lines; the daemon is `perl DAEMON`, and what is to come after it.
fn unit(coracle: &Instance, name: &str, lines: &str) {
    let folder = coracle.folder().display().to_string();
    std::fs::write(coracle.folder().join("daemon.pl"), DAEMON).expect("the daemon");
    let text = lines.replace("DAEMON", "/usr/bin/perl FOLDER/daemon.pl");
    let text = format!("[Service]\nType=forking\n{text}").replace("FOLDER", &folder);
    coracle.unit(name, &text);
}

fn main_of(coracle: &Instance, unit: &str) -> Pid {
    let number = coracle.property(unit, "MainPID").parse().expect("a number");
    Pid::from_raw(number).expect("a main process")
}

/// What the file says, as soon as it says a number.
fn number_in(path: &std::path::Path) -> String {
    waiting::eventually("a number in the file", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    })
}

/// Starts without waiting, and comes back when the unit waits for its PID file.
fn start_and_wait(coracle: &Instance, unit: &str) {
    coracle.ok(&["start", "--no-block", unit]);
    waiting::eventually("the end of ExecStart=", || {
        let status = coracle.ok(&["status", "--json", unit]);
        (status.contains("\"code\":\"exited\"") || status.contains("\"code\": \"exited\""))
            .then_some(())
    });
    assert_eq!(coracle.property(unit, "SubState"), "start");
}

#[test]
fn the_process_of_the_pid_file_is_the_service_and_its_end_is_the_services() {
    with_units(&[], |coracle| {
        let file = coracle.folder().join("pid");
        unit(
            coracle,
            "a.service",
            "PIDFile=FOLDER/pid\nExecStart=DAEMON FOLDER/pid\nExecStartPost=/bin/sh -c 'echo $MAINPID > FOLDER/post'\n",
        );
        coracle.ok(&["start", "a"]);
        assert_eq!(coracle.property("a.service", "SubState"), "running");
        let main = main_of(coracle, "a.service");
        assert_eq!(number_in(&file), main.as_raw_pid().to_string());
        manager::kill(coracle.process("ManagerPID"));
        waiting::eventually("the next manager", || {
            (coracle.coracle(&["is-active", "a"]).status == 0).then_some(())
        });
        assert_eq!(main_of(coracle, "a.service"), main);
        manager::end(main, Signal::USR1);
        waiting::state(coracle, "a.service", "failed");
        assert_eq!(coracle.property("a.service", "ExecMainStatus"), "7");
        waiting::eventually("the end of the file", || (!file.exists()).then_some(()));
    });
}

#[test]
fn one_process_that_is_left_is_guessed_and_several_are_a_group() {
    with_units(&[], |coracle| {
        unit(
            coracle,
            "a.service",
            "ExecStart=/bin/sh -c 'sleep infinity &'\n",
        );
        unit(
            coracle,
            "b.service",
            "ExecStart=/bin/sh -c 'sleep infinity & echo $! > FOLDER/one; sleep infinity & echo $! > FOLDER/other'\n",
        );
        unit(
            coracle,
            "c.service",
            "GuessMainPID=no\nExecStart=/bin/sh -c 'sleep infinity & echo $! > FOLDER/alone'\n",
        );
        coracle.ok(&["start", "a", "b", "c"]);
        assert!(manager::lives(
            &main_of(coracle, "a.service").as_raw_pid().to_string()
        ));
        for name in ["b.service", "c.service"] {
            assert_eq!(coracle.property(name, "SubState"), "running");
            assert_eq!(coracle.property(name, "MainPID"), "0", "{name}");
        }
        let end = |name: &str| {
            let number = number_in(&coracle.folder().join(name));
            let pid = Pid::from_raw(number.parse().expect("a number")).expect("a process");
            manager::kill(pid);
        };
        end("one");
        assert_eq!(coracle.property("b.service", "SubState"), "running");
        end("other");
        waiting::state(coracle, "b.service", "inactive");
        manager::kill(coracle.process("ManagerPID"));
        waiting::eventually("the next manager", || {
            (coracle.coracle(&["is-active", "c"]).status == 0).then_some(())
        });
        end("alone");
        waiting::state(coracle, "c.service", "inactive");
        manager::kill(main_of(coracle, "a.service"));
        waiting::state(coracle, "a.service", "failed");
        assert_eq!(coracle.property("a.service", "Result"), "signal");
    });
}

#[test]
fn a_late_pid_file_is_waited_for_also_by_the_next_manager() {
    with_units(&[], |coracle| {
        unit(
            coracle,
            "a.service",
            "PIDFile=FOLDER/later/deep/pid\nExecStart=DAEMON FOLDER/own\n",
        );
        let own = coracle.folder().join("own");
        for round in 0..2 {
            start_and_wait(coracle, "a.service");
            let number = number_in(&own);
            if round == 1 {
                manager::kill(coracle.process("ManagerPID"));
                waiting::eventually("the next manager", || {
                    (coracle.property("a.service", "SubState") == "start").then_some(())
                });
            }
            let place = coracle.folder().join("later/deep");
            std::fs::create_dir_all(&place).expect("a directory");
            std::fs::write(place.join("pid"), &number).expect("the file");
            waiting::state(coracle, "a.service", "active");
            assert_eq!(coracle.property("a.service", "MainPID"), number);
            coracle.ok(&["stop", "a"]);
            assert_eq!(coracle.property("a.service", "Result"), "success");
            assert!(!place.join("pid").exists());
            std::fs::remove_dir_all(coracle.folder().join("later")).expect("it goes");
            std::fs::remove_file(&own).expect("it goes");
        }
    });
}

#[test]
fn a_process_of_somebody_else_is_never_taken_for_the_main_process() {
    with_units(&[], |coracle| {
        let other = std::process::id();
        let file = coracle.folder().join("pid");
        unit(
            coracle,
            "a.service",
            &format!(
                "TimeoutStartSec=2\nPIDFile=FOLDER/pid\nExecStart=DAEMON FOLDER/own\nExecStartPre=/bin/sh -c 'echo {other} > FOLDER/pid'\n"
            ),
        );
        let refused = coracle.coracle(&["start", "a"]);
        assert_eq!(refused.status, 1);
        assert_eq!(coracle.property("a.service", "Result"), "timeout");
        waiting::lines(coracle, "a.service", |lines| {
            let why = format!("names process {other}, which is not in the unit's control group");
            lines.iter().any(|line| line.contains(&why))
        });
        assert!(!file.exists());
    });
}

#[test]
fn a_link_that_a_service_may_have_left_is_not_followed_to_a_pid_file() {
    with_units(&[], |coracle| {
        let target = coracle.folder().join("target");
        std::fs::create_dir(&target).expect("a directory");
        unit(
            coracle,
            "a.service",
            "TimeoutStartSec=2\nPIDFile=FOLDER/open/link/pid\nExecStartPre=/bin/sh -c 'mkdir -p FOLDER/open; chmod 777 FOLDER/open; ln -sfn FOLDER/target FOLDER/open/link'\nExecStart=DAEMON FOLDER/target/pid\n",
        );
        assert_eq!(coracle.coracle(&["start", "a"]).status, 1);
        assert_eq!(coracle.property("a.service", "Result"), "timeout");
        // Nor is it followed to remove the file.
        assert!(target.join("pid").exists());
    });
}

#[test]
fn a_start_without_anybody_left_or_with_a_bad_status_fails() {
    with_units(&[], |coracle| {
        unit(
            coracle,
            "a.service",
            "PIDFile=FOLDER/pid\nExecStart=/bin/true\n",
        );
        unit(coracle, "b.service", "ExecStart=/bin/sh -c 'exit 3'\n");
        assert_eq!(coracle.coracle(&["start", "a"]).status, 1);
        assert_eq!(coracle.property("a.service", "Result"), "protocol");
        assert_eq!(coracle.coracle(&["start", "b"]).status, 1);
        assert_eq!(coracle.property("b.service", "Result"), "exit-code");
    });
}

#[test]
fn a_main_process_hands_over_to_the_one_that_it_named() {
    with_units(&[], |coracle| {
        unit(
            coracle,
            "a.service",
            "PIDFile=FOLDER/pid\nExecStart=DAEMON FOLDER/pid\nExecReload=DAEMON FOLDER/pid.next\n",
        );
        coracle.ok(&["start", "a"]);
        let first = main_of(coracle, "a.service");
        coracle.ok(&["reload", "a"]);
        let next = number_in(&coracle.folder().join("pid.next"));
        std::fs::write(coracle.folder().join("pid"), &next).expect("the file");
        manager::end(first, Signal::USR1);
        waiting::eventually("the next main process", || {
            (coracle.property("a.service", "MainPID") == next).then_some(())
        });
        assert_eq!(coracle.property("a.service", "SubState"), "running");
        coracle.ok(&["stop", "a"]);
        assert!(!manager::lives(&next));
    });
}

#[test]
fn a_main_process_hands_over_while_there_is_no_manager() {
    with_units(&[], |coracle| {
        unit(
            coracle,
            "a.service",
            "PIDFile=FOLDER/pid\nExecStart=DAEMON FOLDER/pid\nExecReload=DAEMON FOLDER/pid.next\n",
        );
        coracle.ok(&["start", "a"]);
        let first = main_of(coracle, "a.service");
        coracle.ok(&["reload", "a"]);
        let next = number_in(&coracle.folder().join("pid.next"));
        std::fs::write(coracle.folder().join("pid"), &next).expect("the file");
        let (keeper, dies) = (coracle.process("KeeperPID"), coracle.process("ManagerPID"));
        // As long as the keeper stands still there is no next one.
        rustix::process::kill_process(keeper, Signal::STOP).expect("it stops");
        manager::end(dies, Signal::KILL);
        manager::end(first, Signal::USR1);
        rustix::process::kill_process(keeper, Signal::CONT).expect("it goes on");
        waiting::eventually("the next main process", || {
            let said = coracle.coracle(&["show", "-p", "MainPID", "--value", "a.service"]);
            (said.stdout.trim() == next).then_some(())
        });
        assert_eq!(coracle.property("a.service", "SubState"), "running");
        // It is the service, whose end is the service's, with its status.
        let next = Pid::from_raw(next.parse().expect("a number")).expect("a process");
        manager::end(next, Signal::USR1);
        waiting::state(coracle, "a.service", "failed");
        assert_eq!(coracle.property("a.service", "ExecMainStatus"), "7");
    });
}

#[test]
fn a_manager_that_dies_while_commands_of_the_start_run_loses_nothing() {
    with_units(&[], |coracle| {
        let gates = ["one", "two"].map(|name| Gate::at(coracle.folder().join(name)));
        unit(
            coracle,
            "a.service",
            "PIDFile=FOLDER/pid\nExecStart=/bin/sh -c 'read x < FOLDER/one; exec DAEMON FOLDER/pid'\nExecStartPost=/bin/sh -c 'read x < FOLDER/two'\n",
        );
        coracle.ok(&["start", "--no-block", "a"]);
        for (gate, phase) in gates.iter().zip(["start", "start-post"]) {
            let in_phase = || (coracle.property("a.service", "SubState") == phase).then_some(());
            waiting::eventually(phase, in_phase);
            manager::kill(coracle.process("ManagerPID"));
            waiting::eventually("the next manager", in_phase);
            gate.open();
        }
        waiting::state(coracle, "a.service", "active");
        let number = number_in(&coracle.folder().join("pid"));
        assert_eq!(coracle.property("a.service", "MainPID"), number);
        coracle.ok(&["stop", "a"]);
        assert!(!manager::lives(&number));
    });
}

#[test]
fn a_pid_file_that_does_not_answer_holds_up_its_own_service_alone() {
    let other = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
    with_units(&[("other.service", other)], |coracle| {
        unit(
            coracle,
            "late.service",
            "TimeoutStartSec=500ms\nPIDFile=FOLDER/dead/pid\nExecStart=DAEMON FOLDER/own\n",
        );
        let dead = Dead::at(coracle.folder().join("dead"));
        assert_eq!(coracle.coracle(&["start", "late"]).status, 1);
        assert_eq!(coracle.property("late.service", "Result"), "timeout");
        coracle.ok(&["start", "other"]);
        drop(dead);
    });
}

#[test]
fn what_is_left_of_a_pid_file_that_does_not_answer_is_removed_before_the_next_start() {
    let other = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
    with_units(&[("other.service", other)], |coracle| {
        let place = coracle.folder().join("place");
        std::fs::create_dir(&place).expect("a directory");
        unit(
            coracle,
            "a.service",
            "PIDFile=FOLDER/place/pid\nExecStart=DAEMON FOLDER/place/pid\n",
        );
        coracle.ok(&["start", "a"]);
        let main = main_of(coracle, "a.service");
        let dead = Dead::at(place.clone());
        manager::end(main, Signal::USR1);
        coracle.ok(&["start", "other"]);
        // Nobody knows whether it named another one, and that is not waited for without end.
        waiting::state(coracle, "a.service", "failed");
        assert_eq!(coracle.property("a.service", "ExecMainStatus"), "7");
        waiting::lines(coracle, "a.service", |lines| {
            let mut lines = lines.iter();
            lines.any(|line| line.contains("its file system does not answer"))
        });
        // What waits for the removal can be taken back.
        for _ in 0..2 {
            coracle.ok(&["start", "--no-block", "a"]);
            coracle.ok(&["start", "other"]);
            assert_eq!(coracle.property("a.service", "SubState"), "start");
            coracle.ok(&["stop", "a"]);
        }
        coracle.ok(&["start", "--no-block", "a"]);
        drop(dead);
        waiting::state(coracle, "a.service", "active");
        let main = main_of(coracle, "a.service").as_raw_pid().to_string();
        assert_eq!(number_in(&place.join("pid")), main);
        coracle.ok(&["stop", "a"]);
        // A thread removes it.
        waiting::eventually("the end of its PID file", || {
            (!place.join("pid").exists()).then_some(())
        });
    });
}
