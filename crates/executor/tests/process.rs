//! Steps that change the process alone: each is seen from inside.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

mod harness;

use harness::{shell, text};
use kernel::Errno;
use kernel::wait::Ending;
use plan::Step;
use plan::frame::Role;
use plan::report::Report;
use plan::step::{Source, UserMap};

#[test]
fn the_service_gets_its_arguments_and_environment_and_nothing_else() {
    let mut start = shell("echo $0 $1 $COLOUR; ls -x /proc/$$/fd");
    start.arguments.extend(["first".into(), "second".into()]);
    start.environment.push("COLOUR=green".into());
    let outcome = start.run(&[]);
    let lines: Vec<_> = outcome.said().lines().collect();
    assert_eq!(lines[..2], ["first second green", "0  1  2"]);
}

#[test]
fn a_program_that_is_not_there_is_told_before_the_filter_and_the_status_is_203() {
    let mut start = shell("true");
    start.program = "/nonexistent/program";
    let outcome = start.run(&[]);
    outcome.failed_at("Program", Errno::NOENT);
    assert_eq!(outcome.ending, Ending::Exited(203));
}

#[test]
fn a_broken_plan_ends_with_a_report() {
    let outcome = shell("true").run_exactly(&[Step::Stream {
        target: 9,
        source: Source::Passed,
    }]);
    outcome.failed_at("Stream", Errno::INVAL);
}

#[test]
fn passed_descriptors_begin_at_three_and_the_process_learns_that_they_are_its_own() {
    let mut start = shell("echo $LISTEN_PID $$; cat <&3; cat <&4");
    for content in ["one", "two"] {
        start.passed.push((
            Role::Service,
            kernel::memory::memory_file(c"passed").unwrap(),
        ));
        let file = &start.passed.last().unwrap().1;
        kernel::rustix::io::write(file, content.as_bytes()).unwrap();
        kernel::rustix::fs::seek(file, kernel::rustix::fs::SeekFrom::Start(0)).unwrap();
    }
    let outcome = start.run(&[]);
    let pid = outcome.pid;
    assert_eq!(outcome.said(), format!("{pid} {pid}\nonetwo"));
}

#[test]
fn descriptors_of_other_roles_do_not_reach_the_service() {
    let mut start = shell("ls -x /proc/$$/fd");
    start
        .passed
        .push((Role::Input, kernel::memory::memory_file(c"input").unwrap()));
    start.passed.push((
        Role::Service,
        kernel::memory::memory_file(c"service").unwrap(),
    ));
    assert_eq!(
        start
            .run(&[Step::Stream {
                target: 0,
                source: Source::Passed
            }])
            .said(),
        "0  1  2  3"
    );
}

#[test]
fn the_process_leads_a_session_without_a_terminal() {
    let outcome = shell("cut -d' ' -f1,6,7 /proc/$$/stat").run(&[Step::Session]);
    assert_eq!(outcome.said(), format!("{0} {0} 0", outcome.pid));
}

#[test]
fn attributes_of_the_process_are_set() {
    let steps = [
        Step::OomScore { adjust: 123 },
        Step::CoredumpFilter { mask: 0x7f },
        Step::Nice { value: 5 },
        Step::TimerSlack {
            nanoseconds: 70_000,
        },
        Step::Umask { mask: 0o027 },
        Step::Affinity {
            mask: &[1, 0, 0, 0, 0, 0, 0, 0],
        },
        Step::Limit {
            resource: 7,
            soft: 55,
            hard: 66,
        },
    ];
    let command = "cat /proc/self/oom_score_adj /proc/self/coredump_filter; nice; cat /proc/$$/timerslack_ns; umask; \
                   grep Cpus_allowed: /proc/self/status; ulimit -Sn; ulimit -Hn";
    let outcome = shell(command).run(&steps);
    assert_eq!(
        outcome.said(),
        "123\n0000007f\n5\n70000\n0027\nCpus_allowed:\t1\n55\n66"
    );
}

#[test]
fn scheduling_and_input_output_priority_are_set() {
    let steps = [
        Step::Scheduling {
            policy: 3,
            priority: 0,
            reset_on_fork: false,
        },
        Step::IoPriority { class: 3, level: 0 },
    ];
    let outcome = shell("cut -d' ' -f41 /proc/$$/stat; ionice -p $$").run(&steps);
    assert_eq!(outcome.said(), "3\nidle");
}

#[test]
fn streams_come_from_null_data_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("output");
    let path = text(file.to_str().unwrap());
    let appended = Source::File {
        path: &path,
        flags: 0o1 | 0o100 | 0o2000,
    };
    for _ in 0..2 {
        let steps = [
            Step::Stream {
                target: 0,
                source: Source::Data { bytes: b"given\n" },
            },
            Step::Stream {
                target: 2,
                source: appended,
            },
        ];
        let outcome = shell("cat; echo error >&2").run_with_error(&steps);
        assert_eq!(outcome.said(), "given");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "error\nerror\n");
    assert_eq!(
        shell("cat")
            .run(&[Step::Stream {
                target: 0,
                source: Source::Null
            }])
            .said(),
        ""
    );
}

#[test]
fn user_group_and_supplementary_groups_change_and_no_capability_is_left() {
    let mut start = shell(
        "id -u; id -g; id -G; grep -E 'Cap(Prm|Eff|Inh|Amb)' /proc/self/status | cut -f2 | sort -u",
    );
    (start.uid, start.gid, start.groups) = (61_234, 61_235, vec![61_236, 61_237]);
    let outcome = start.run(&[
        Step::Groups,
        Step::User {
            keep_capabilities: false,
        },
    ]);
    assert_eq!(
        outcome.said(),
        "61234\n61235\n61235 61236 61237\n0000000000000000"
    );
}

#[test]
fn the_bounding_set_keeps_only_what_was_asked_for_and_binds_root_too() {
    let outcome = shell("grep -E 'Cap(Bnd|Eff)' /proc/self/status | cut -f2; chown 1:1 /proc/self/fd/0 2>&1 | grep -c permitted")
        .run(&[Step::BoundingSet { keep: 1 << 5 }]);
    assert_eq!(outcome.output, "0000000000000020\n0000000000000020\n1\n");
}

#[test]
fn what_the_manager_hands_on_is_no_way_past_the_bounding_set() {
    // Containers give their first process inheritable capabilities: this thread is such a one.
    let started = std::thread::spawn(|| {
        let mut sets = kernel::credentials::capabilities().unwrap();
        sets.inheritable = sets.permitted;
        kernel::credentials::set_capabilities(sets).unwrap();
        shell("grep -E 'Cap(Inh|Eff)' /proc/self/status | cut -f2")
            .run(&[Step::BoundingSet { keep: 1 << 5 }])
    });
    let said = started.join().unwrap().output;
    assert_eq!(said, "0000000000000020\n0000000000000020\n");
}

#[test]
fn ambient_capabilities_outlive_the_change_of_user() {
    let mut start = shell("grep -E 'Cap(Eff|Bnd|Amb)' /proc/self/status | cut -f2 | sort -u");
    (start.uid, start.gid) = (61_234, 61_234);
    let bind = 1 << 10;
    let steps = [
        Step::Groups,
        Step::BoundingSet { keep: bind },
        Step::User {
            keep_capabilities: true,
        },
        Step::Capabilities { ambient: bind },
    ];
    assert_eq!(start.run(&steps).said(), "0000000000000400");
}

#[test]
fn a_set_id_program_gains_nothing_after_no_new_privileges() {
    let folder = tempfile::tempdir_in("/var").unwrap();
    let command = format!(
        "grep NoNewPrivs /proc/self/status | cut -f2; {}/id -u",
        folder.path().display()
    );
    let copy = folder.path().join("id");
    std::fs::copy("/usr/bin/id", &copy).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let run = |steps: &[Step<'_>]| {
        let mut start = shell(&command);
        (start.uid, start.gid) = (61_234, 61_234);
        start.run(steps).said().to_owned()
    };
    let user = [
        Step::Groups,
        Step::User {
            keep_capabilities: false,
        },
    ];
    assert_eq!(run(&user), "0\n0");
    assert_eq!(run(&[user[0], user[1], Step::NoNewPrivileges]), "1\n61234");
}

#[test]
fn a_late_user_namespace_maps_root_and_the_user_and_gives_no_power_over_the_host() {
    let run = |map, uid| {
        let mut start = shell(
            "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id -u; hostname evil 2>/dev/null || echo denied",
        );
        (start.uid, start.gid) = (uid, uid);
        let steps = [
            Step::Groups,
            Step::UserNamespaceLate { map },
            Step::User {
                keep_capabilities: false,
            },
        ];
        start.run(&steps).said().to_owned()
    };
    assert_eq!(
        run(UserMap::SelfAndRoot, 61_234),
        " 0 0 1\n 61234 61234 1\n 0 0 1\n 61234 61234 1\n61234\ndenied"
    );
    assert_eq!(run(UserMap::SelfAndRoot, 0), " 0 0 1\n 0 0 1\n0\ndenied");
    assert_eq!(
        run(UserMap::Identity, 6),
        " 0 0 65536\n 0 0 65536\n6\ndenied"
    );
}

#[test]
fn a_session_keyring_is_fresh_and_belongs_to_the_user() {
    let mut start = shell("cat /proc/keys | grep -c _ses; grep -c _uid.61234 /proc/keys");
    (start.uid, start.gid) = (61_234, 61_234);
    let steps = [
        Step::Keyring { link_user: false },
        Step::Groups,
        Step::User {
            keep_capabilities: false,
        },
    ];
    assert_eq!(start.run(&steps).output, "1\n0\n");
}

#[test]
fn the_working_directory_is_entered_as_the_user() {
    let mut start = shell("pwd");
    (start.uid, start.gid) = (61_234, 61_234);
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir()
        .unwrap();
    let path = text(folder.path().to_str().unwrap());
    let steps = [
        Step::Groups,
        Step::User {
            keep_capabilities: false,
        },
        Step::WorkingDirectory {
            path: &path,
            missing_ok: false,
        },
    ];
    start
        .run(&steps)
        .failed_at("WorkingDirectory", Errno::ACCESS);
    assert_eq!(
        shell("pwd")
            .run(&[Step::WorkingDirectory {
                path: &path,
                missing_ok: false
            }])
            .said(),
        folder.path().to_str().unwrap()
    );
    let missing = Step::WorkingDirectory {
        path: c"/nonexistent",
        missing_ok: true,
    };
    assert_eq!(shell("pwd").run(&[missing]).said(), "/");
}

#[test]
fn the_stub_reports_the_payload_forwards_signals_and_takes_over_its_status() {
    let mut start =
        shell("echo $$ $PPID; trap 'echo terminated; exit 7' TERM; kill -TERM 1; sleep 5 & wait");
    start.new_pid_namespace = true;
    let outcome = start.run(&[Step::Stub]);
    assert_eq!(outcome.reports, [Report::Payload]);
    assert_ne!(outcome.senders[0], outcome.pid);
    assert_eq!(
        (outcome.output.as_str(), outcome.ending),
        ("2 1\nterminated\n", Ending::Exited(7))
    );
}

#[test]
fn the_stub_ends_with_128_and_the_signal_that_ended_the_payload() {
    let mut start = shell("kill -KILL $$");
    start.new_pid_namespace = true;
    assert_eq!(start.run(&[Step::Stub]).ending, Ending::Exited(137));
}

#[test]
fn the_stub_holds_no_descriptor_and_no_capability() {
    let mut start = shell("ls /proc/1/fd; grep CapEff /proc/1/status");
    start.new_pid_namespace = true;
    let steps = [
        Step::Unshare {
            kinds: 0x2_0000,
            told: 0,
        },
        Step::Propagation { flag: 1 << 19 },
        Step::Root {
            from: plan::step::RootSource::Host,
            set: 0,
        },
        Step::Mount {
            at: c"/proc",
            what: plan::step::What::Proc {
                hide: None,
                only_pids: false,
            },
            set: 0,
            clear: 0,
            missing_ok: false,
        },
        Step::EnterRoot { shared: true },
        Step::Stub,
    ];
    let outcome = start.run(&steps);
    assert_eq!(outcome.output, "0\n1\nCapEff:\t0000000000000020\n");
}

#[test]
fn a_payload_that_can_not_be_executed_is_told_through_the_stub() {
    let mut start = shell("true");
    start.new_pid_namespace = true;
    start.program = "/etc/passwd";
    start.run(&[Step::Stub]).failed_at("Program", Errno::ACCESS);
}

/// What a service finds among its descriptors: their number, their names, and what `command` says of them.
fn opened(command: &str, steps: &[Step<'_>]) -> harness::Outcome {
    let mut start = shell(&format!("echo $LISTEN_FDS $LISTEN_FDNAMES; {command}"));
    start.environment.extend([
        format!("LISTEN_FDS={}", steps.len()),
        format!(
            "LISTEN_FDNAMES={}",
            ["a", "b", "c"][..steps.len()].join(":")
        ),
    ]);
    start.run(steps)
}

#[test]
fn files_are_opened_as_they_are_asked_for_and_missing_ones_leave_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(folder.path().join(name).to_str().unwrap());
    let (log, missing, emptied) = (path("log"), path("missing"), path("emptied"));
    std::fs::write(folder.path().join("log"), "old\n").unwrap();
    std::fs::write(folder.path().join("emptied"), "old\n").unwrap();
    let open = |path, flags, optional| Step::OpenFile {
        path,
        flags,
        optional,
    };
    let steps = [
        open(&log, 0o2 | 0o2000, false),
        open(&missing, 0, true),
        open(&emptied, 0o2 | 0o1000, false),
    ];
    let outcome = opened(
        "echo new >&3; echo fresh >&4; ls /proc/self/fd | wc -l",
        &steps,
    );
    // The three streams, the two files, and what ls opens.
    assert_eq!(outcome.said(), "2 a:c\n6");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        (read("log"), read("emptied")),
        ("old\nnew\n".into(), "fresh\n".into())
    );
    let outcome = opened(
        "(echo x >&3) 2>/dev/null || cat <&3",
        &[open(&log, 0, false)],
    );
    assert_eq!(outcome.said(), "1 a\nold\nnew");
    let outcome = opened("echo ${LISTEN_PID-nobody}", &[open(&missing, 0, true)]);
    assert_eq!(outcome.said(), "\nnobody");
    let failed = opened("", &[open(&missing, 0, false)]);
    assert_eq!(failed.ending, Ending::Exited(202));
    // A link where a service could have left it leads nowhere.
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    std::os::unix::fs::chown(folder.path(), Some(61_234), None).unwrap();
    let failed = opened("", &[open(&path("link"), 0, false)]);
    assert_eq!(failed.ending, Ending::Exited(202));
}

#[test]
fn a_socket_among_the_files_is_connected_to_whatever_its_kind() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(folder.path().join(name).to_str().unwrap());
    let (stream, datagram) = (path("stream"), path("datagram"));
    let listener = std::os::unix::net::UnixListener::bind(folder.path().join("stream")).unwrap();
    let receiver = std::os::unix::net::UnixDatagram::bind(folder.path().join("datagram")).unwrap();
    let answer = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"hello\n").unwrap();
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        said
    });
    let open = |path, flags| Step::OpenFile {
        path,
        flags,
        optional: false,
    };
    let steps = [open(&stream, 0), open(&datagram, 0o2)];
    let outcome = opened(
        "head -n 1 <&3; (echo no >&3) 2>/dev/null || echo closed; echo word >&4",
        &steps,
    );
    assert_eq!(outcome.said(), "2 a:b\nhello\nclosed");
    assert_eq!(answer.join().unwrap(), "");
    let mut room = [0; 16];
    let length = receiver.recv(&mut room).unwrap();
    assert_eq!(&room[..length], b"word\n");
}
