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
