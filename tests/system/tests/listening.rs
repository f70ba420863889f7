//! What is listened on beside sockets of streams, and what keeps a socket unit from starting.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::process::Command;

use coracle_system_tests::{waiting, with_units};
use testkit::Instance;

/// Says once for each start that it was started, and reads nothing.
const UNREAD: &str =
    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/echo run\n";
/// Says of what kind its first socket is.
const DOMAIN: &str = "[Service]\nType=oneshot\nStandardOutput=journal\nExecStart=/usr/bin/perl -e 'open S, q(<&=3); print unpack(q(i), getsockopt(S, 1, 39)), q( ), unpack(q(i), getsockopt(S, 1, 3)), qq(\\n)'\n";

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|one| one == line)
}

/// Runs a script of Perl with these arguments.
fn perl(script: &str, arguments: &[&str]) {
    let status = Command::new("perl")
        .args(["-e", script])
        .args(arguments)
        .status();
    assert!(status.expect("perl starts").success());
}

/// Sends a message to a queue of this name, which has no slash.
fn send(name: &str) {
    // mq_open(name, O_WRONLY) and mq_timedsend(queue, "x", 1, 0, NULL) of this machine.
    let script = "$n = shift; $x = q(x); $q = syscall 240, $n, 1, 0, 0; die if $q < 0; die if syscall(242, $q, $x, 1, 0, 0) < 0";
    perl(script, &[name]);
}

/// Waits until a service has run as often and its socket listens again.
fn ran(coracle: &Instance, unit: &str, times: usize) {
    let service = format!("{unit}.service");
    waiting::lines(coracle, &service, |lines| {
        lines.iter().filter(|line| *line == "run").count() == times
    });
    waiting::eventually("the socket listens again", || {
        let state = coracle.property(&format!("{unit}.socket"), "SubState");
        (state == "listening").then_some(())
    });
}

#[test]
fn pipes_and_queues_start_their_services_and_are_emptied() {
    with_units(
        &[("pipe.service", UNREAD), ("queue.service", UNREAD)],
        |coracle| {
            let pipe = coracle.folder().join("pipe");
            let queue = format!("coracle-{}", std::process::id());
            let text = format!(
                "[Socket]\nFlushPending=yes\nListenFIFO={}\n",
                pipe.display()
            );
            coracle.unit("pipe.socket", &text);
            let text = format!(
                "[Socket]\nFlushPending=yes\nRemoveOnStop=yes\nListenMessageQueue=/{queue}\nSocketMode=0600\n"
            );
            coracle.unit("queue.socket", &text);
            coracle.ok(&["start", "pipe.socket", "queue.socket"]);
            let kind = fs::symlink_metadata(&pipe).expect("the pipe").file_type();
            assert!(kind.is_fifo());
            // What they hold is thrown away after each run: else they would start again and again.
            for times in 1..=2 {
                fs::write(&pipe, "x").expect("room in the pipe");
                ran(coracle, "pipe", times);
                send(&queue);
                ran(coracle, "queue", times);
            }
            coracle.ok(&["stop", "pipe.socket", "queue.socket"]);
            // With its last name it goes.
            perl(
                "$n = shift; exit(syscall(240, $n, 1, 0, 0) >= 0)",
                &[&queue],
            );
        },
    );
}

#[test]
fn a_queue_that_others_may_use_than_it_says_is_not_listened_on() {
    with_units(&[("queue.service", UNREAD)], |coracle| {
        let queue = format!("coracle-open-{}", std::process::id());
        // mq_open(name, O_CREAT | O_RDWR, 0666, NULL)
        perl(
            "umask 0; $n = shift; die if syscall(240, $n, 66, 438, 0) < 0",
            &[&queue],
        );
        let text = format!("[Socket]\nListenMessageQueue=/{queue}\nSocketMode=0600\n");
        coracle.unit("queue.socket", &text);
        let refused = coracle.coracle(&["start", "queue.socket"]);
        perl("$n = shift; die if syscall(241, $n) < 0", &[&queue]);
        assert!(refused.status != 0, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("ListenMessageQueue="),
            "{}",
            refused.stderr
        );
    });
}

#[test]
fn machines_and_interfaces_are_listened_on_by_name() {
    with_units(&[("machine.service", DOMAIN)], |coracle| {
        coracle.unit("machine.socket", "[Socket]\nListenStream=vsock::47110\n");
        coracle.ok(&["start", "machine.socket"]);
        coracle.ok(&["start", "machine.service"]);
        // AF_VSOCK, SOCK_STREAM
        waiting::lines(coracle, "machine.service", |lines| has(lines, "40 1"));
        coracle.unit(
            "near.socket",
            "[Socket]\nPrivateNetwork=yes\nFreeBind=yes\nListenStream=[fe80::1]:4711%%lo\n",
        );
        let scope = "[Service]\nType=oneshot\nExecStart=/usr/bin/perl -e 'open S, q(<&=3); print unpack(q(x24V), getsockname S), qq(\\n)'\n";
        coracle.unit("near.service", scope);
        coracle.ok(&["start", "near.socket"]);
        coracle.ok(&["start", "near.service"]);
        // The loopback of a new network is its first interface.
        waiting::lines(coracle, "near.service", |lines| has(lines, "1"));
    });
}

#[test]
fn what_a_socket_cannot_be_told_is_named() {
    with_units(&[("odd.service", UNREAD)], |coracle| {
        let room = coracle.folder().display().to_string();
        for (lines, named) in [
            (
                "ListenStream=127.0.0.1:47111\nTCPCongestion=none",
                "TCPCongestion=",
            ),
            ("ListenStream=[fe80::1]:47111%%none", "ListenStream="),
            ("ListenSpecial=/etc", "ListenSpecial="),
            ("ListenFIFO=ROOM/pipe\nPipeSize=2G", "PipeSize="),
            (
                "ListenMessageQueue=/none\nMessageQueueMaxMessages=1",
                "MessageQueueMaxMessages=",
            ),
        ] {
            let text = format!("[Socket]\n{}\n", lines.replace("ROOM", &room));
            coracle.unit("odd.socket", &text);
            coracle.ok(&["daemon-reload"]);
            let refused = coracle.coracle(&["start", "odd.socket"]);
            assert!(refused.status != 0, "{lines}");
            assert!(
                refused.stderr.contains(named),
                "{lines}: {}",
                refused.stderr
            );
        }
    });
}

#[test]
fn what_others_have_at_the_place_of_a_socket_outlives_it() {
    with_units(&[("placed.service", UNREAD)], |coracle| {
        let room = coracle.folder().to_path_buf();
        let (file, socket) = (room.join("precious"), room.join("socket"));
        let queue = format!("coracle-precious-{}", std::process::id());
        fs::write(&file, "precious").expect("a file");
        // mq_open(name, O_CREAT | O_RDWR, 0666, NULL)
        perl(
            "umask 0; $n = shift; die if syscall(240, $n, 66, 438, 0) < 0",
            &[&queue],
        );
        let taken = format!("ListenStream={}", file.display());
        let open = format!("ListenMessageQueue=/{queue}\nSocketMode=0600");
        for (lines, named) in [(taken, "ListenStream="), (open, "ListenMessageQueue=")] {
            let own = socket.display();
            let text = format!("[Socket]\nRemoveOnStop=yes\nListenStream={own}\n{lines}\n");
            coracle.unit("placed.socket", &text);
            coracle.ok(&["daemon-reload"]);
            let refused = coracle.coracle(&["start", "placed.socket"]);
            assert!(refused.status != 0, "{lines}");
            assert!(refused.stderr.contains(named), "{}", refused.stderr);
            // What was made before it is there no more.
            waiting::state(coracle, "placed.socket", "failed");
            assert!(!socket.exists(), "{lines}");
        }
        assert_eq!(fs::read(&file).expect("the file"), b"precious");
        // mq_unlink(name)
        perl("$n = shift; die if syscall(241, $n) < 0", &[&queue]);
    });
}

/// Ends, and leaves behind who makes its socket one that waits, again and again, until there is a file.
const UNDOES: &str = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nKillMode=process\nExecStart=/bin/echo run\nExecStart=/usr/bin/perl -e 'open S, q(+<&=3); exit if fork; until (-e q(ROOM/over)) { fcntl S, 4, 0 }'\n";

#[test]
fn a_service_that_makes_its_socket_wait_holds_up_nobody_but_itself() {
    with_units(&[], |coracle| {
        let room = coracle.folder().display().to_string();
        coracle.unit("undoes.service", &UNDOES.replace("ROOM", &room));
        let text = format!("[Socket]\nFlushPending=yes\nListenStream={room}/socket\n");
        coracle.unit("undoes.socket", &text);
        coracle.ok(&["start", "undoes.socket"]);
        let socket = format!("{room}/socket");
        // Each is thrown away, or starts it once more.
        let told = |lines: &[String]| {
            lines
                .iter()
                .any(|line| line.contains("not all thrown away"))
        };
        waiting::eventually("a flush that does not end", || {
            std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
            let printed = coracle.ok(&["logs", "-u", "undoes.socket", "--cat"]);
            let lines: Vec<String> = printed.lines().map(str::to_owned).collect();
            told(&lines).then_some(())
        });
        coracle.ok(&["list-units"]);
        // A last connection may have started the service once more.
        coracle.ok(&["stop", "undoes.socket", "undoes.service"]);
        // Who waits at it has it no more: its name is free, and it is made anew.
        coracle.ok(&["start", "undoes.socket"]);
        fs::write(format!("{room}/over"), "").expect("a file");
        coracle.ok(&["stop", "undoes.socket", "undoes.service"]);
    });
}

/// Alone a socket can't come up again while its service is up without it: what goes down with it goes first, however the two are named.
#[test]
fn a_service_and_its_socket_restart_together() {
    let units = [
        (
            "both.socket",
            "[Socket]\nListenStream=/run/coracle-test-both.socket\nRemoveOnStop=yes\n",
        ),
        ("both.service", "[Service]\nExecStart=/bin/sleep infinity\n"),
    ];
    with_units(&units, |coracle| {
        for names in [
            ["both.socket", "both.service"],
            ["both.service", "both.socket"],
        ] {
            coracle.ok(&["start", "both.socket", "both.service"]);
            let before = coracle.property("both.service", "MainPID");
            coracle.ok(&[&["restart"][..], &names].concat());
            assert_ne!(coracle.property("both.service", "MainPID"), before);
            assert_eq!(coracle.property("both.service", "ActiveState"), "active");
            assert_eq!(coracle.property("both.socket", "ActiveState"), "active");
            coracle.ok(&[&["stop"][..], &names].concat());
            assert_eq!(coracle.property("both.socket", "ActiveState"), "inactive");
        }
    });
}
