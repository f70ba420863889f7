//! Accept=yes: a service for each connection, up to limits, and none is lost or served twice when the manager dies.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use coracle_system_tests::{manager, waiting, with_units};
use testkit::Instance;

/// Answers with what it was told of the connection, then with what it is sent.
const ECHO: &str = "[Service]\nStandardInput=socket\nStandardOutput=socket\nStandardError=journal\nExecStart=/bin/sh -c 'echo %i $LISTEN_FDS $LISTEN_FDNAMES $REMOTE_ADDR $REMOTE_PORT $SO_COOKIE; exec cat'\n";

fn path(coracle: &Instance) -> PathBuf {
    coracle.folder().join("echo.sock")
}

/// Makes and starts a socket unit in the file system, with further lines.
fn listen(coracle: &Instance, more: &str) {
    let listens = path(coracle).display().to_string();
    let text = format!("[Socket]\nListenStream={listens}\nAccept=yes\n{more}");
    coracle.unit("echo.socket", &text);
    coracle.ok(&["daemon-reload"]);
    coracle.ok(&["start", "echo.socket"]);
}

fn connect(coracle: &Instance) -> UnixStream {
    let stream = UnixStream::connect(path(coracle)).expect("the socket is open all the time");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a time");
    stream
}

/// What comes until the end of the line.
fn line(stream: &mut impl Read) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).unwrap_or_default() == 1 && byte != [b'\n'] {
        line.extend(byte);
    }
    String::from_utf8(line).expect("text")
}

/// Sends a word to a service that greeted already, and reads to the end of the connection.
fn ask(stream: &mut UnixStream, word: &str) -> String {
    stream
        .write_all(word.as_bytes())
        .expect("the word goes out");
    stream.shutdown(Shutdown::Write).expect("its end goes out");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Waits until a socket unit counts so: accepted, served now, refused.
fn counts(coracle: &Instance, expected: [&str; 3]) {
    let mut found = Vec::new();
    waiting::eventually(&format!("the counts {expected:?}"), || {
        let names = ["NAccepted", "NConnections", "NRefused"];
        found = names
            .map(|name| coracle.property("echo.socket", name))
            .to_vec();
        (found == expected).then_some(())
    });
}

#[test]
fn each_connection_has_a_service_of_its_own_and_is_told_of_its_peer() {
    with_units(&[("echo@.service", ECHO)], |coracle| {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
        let port = free.expect("a port").port();
        let text = format!("[Socket]\nListenStream=127.0.0.1:{port}\nAccept=yes\n");
        coracle.unit("net.socket", &text);
        coracle.unit("net@.service", ECHO);
        coracle.ok(&["start", "net.socket"]);
        let mut streams: Vec<TcpStream> = (0..2)
            .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("a connection"))
            .collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            let own = stream.local_addr().expect("an address").port();
            let told = line(stream);
            let words: Vec<&str> = told.split(' ').collect();
            let [name, sockets, names, address, remote, cookie] = words[..] else {
                panic!("{told}");
            };
            let expected = format!("{number}-{cookie}-127.0.0.1:{port}-127.0.0.1:{own}");
            assert_eq!(name, expected);
            assert_eq!(
                [sockets, names, address, remote],
                ["1", "connection", "127.0.0.1", &own.to_string()]
            );
            let unit = format!("net@{name}.service");
            assert_eq!(coracle.property(&unit, "ActiveState"), "active");
        }
        drop(streams);
        listen(coracle, "FileDescriptorName=word\n");
        let mut stream = connect(coracle);
        let told = line(&mut stream);
        let (own, uid) = (std::process::id(), 0);
        assert!(told.contains(&format!("-{own}")), "{told}");
        assert!(told.contains(&format!("-{uid} 1 word ")), "{told}");
        counts(coracle, ["1", "1", "0"]);
        assert_eq!(ask(&mut stream, "hello"), "hello");
        counts(coracle, ["1", "0", "0"]);
        let status = coracle.ok(&["status", "echo.socket"]);
        assert!(
            status.contains("1 accepted, 0 served now, 0 refused"),
            "{status}"
        );
        // What was served is forgotten.
        waiting::eventually("no instance is left", || {
            let units = coracle.ok(&["list-units", "--all"]);
            (!units.contains("echo@") && !units.contains("net@")).then_some(())
        });
    });
}

#[test]
fn connections_over_the_limits_are_closed_and_that_is_said_once() {
    with_units(&[("echo@.service", ECHO)], |coracle| {
        for limits in ["MaxConnections=2\n", "MaxConnectionsPerSource=2\n"] {
            listen(coracle, limits);
            let before: u64 = coracle
                .property("echo.socket", "NAccepted")
                .parse()
                .expect("a number");
            let mut served: Vec<UnixStream> = (0..2).map(|_| connect(coracle)).collect();
            let greetings: Vec<String> = served.iter_mut().map(line).collect();
            assert!(greetings.iter().all(|one| !one.is_empty()), "{greetings:?}");
            for _ in 0..3 {
                assert_eq!(line(&mut connect(coracle)), "", "{limits}");
            }
            // One that ends makes room for another.
            assert_eq!(ask(&mut served[0], "bye"), "bye");
            waiting::eventually("room for another", || {
                (coracle.property("echo.socket", "NConnections") == "1").then_some(())
            });
            assert_ne!(line(&mut connect(coracle)), "", "{limits}");
            let accepted = coracle.property("echo.socket", "NAccepted");
            assert_eq!(accepted, (before + 3).to_string());
            drop(served);
            waiting::eventually("nobody is served", || {
                (coracle.property("echo.socket", "NConnections") == "0").then_some(())
            });
            coracle.ok(&["stop", "echo.socket"]);
        }
        assert_eq!(coracle.property("echo.socket", "NRefused"), "6");
        let said = waiting::lines(coracle, "echo.socket", |lines| {
            let refusals = |line: &&String| line.contains("a connection is refused");
            lines.iter().filter(refusals).count() >= 2
        });
        let refusals = said.iter().filter(|line| line.contains("refused"));
        assert_eq!(refusals.count(), 2, "{said:?}");
    });
}

#[test]
fn a_flood_ends_the_socket_by_the_trigger_limit_and_is_slowed_by_the_poll_limit() {
    with_units(&[("echo@.service", ECHO)], |coracle| {
        listen(coracle, "TriggerLimitBurst=3\n");
        let _streams: Vec<UnixStream> = (0..4).map(|_| connect(coracle)).collect();
        waiting::state(coracle, "echo.socket", "failed");
        assert_eq!(
            coracle.property("echo.socket", "Result"),
            "trigger-limit-hit"
        );
        coracle.ok(&["reset-failed"]);
        listen(coracle, "PollLimitBurst=2\nPollLimitIntervalSec=1h\n");
        let mut streams: Vec<UnixStream> = (0..3).map(|_| connect(coracle)).collect();
        for stream in &mut streams[..2] {
            assert_ne!(line(stream), "");
        }
        // Three of before the failure are served still.
        counts(coracle, ["5", "5", "1"]);
        assert_eq!(
            coracle.property("echo.socket", "ActiveState"),
            "active",
            "the third waits"
        );
        coracle.ok(&["stop", "echo.socket"]);
    });
}

#[test]
fn without_a_template_there_is_no_socket() {
    with_units(&[], |coracle| {
        let listens = path(coracle).display().to_string();
        coracle.unit(
            "echo.socket",
            &format!("[Socket]\nListenStream={listens}\nAccept=yes\n"),
        );
        let refused = coracle.coracle(&["start", "echo.socket"]);
        assert_ne!(refused.status, 0);
        assert!(refused.stderr.contains("echo@.service"), "{refused:?}");
    });
}

#[test]
fn connections_outlive_their_manager_and_none_is_lost_or_served_twice() {
    let unit = format!("{ECHO}ExecStartPre=/bin/sh -c 'echo %i >> @LEDGER@'\n");
    with_units(&[], |coracle| {
        let ledger = coracle.folder().join("ledger");
        let text = unit.replace("@LEDGER@", &ledger.display().to_string());
        coracle.unit("echo@.service", &text);
        listen(
            coracle,
            "MaxConnections=1000\nTriggerLimitIntervalSec=0\nPollLimitIntervalSec=0\n",
        );
        let mut served = connect(coracle);
        assert_ne!(line(&mut served), "");
        let mut waiting = Vec::new();
        for round in 0..6 {
            waiting.extend((0..5).map(|_| connect(coracle)));
            if round % 2 == 0 {
                // At some moment of the accepting.
                waiting[round * 5].write_all(b"x").expect("a word goes out");
            }
            manager::kill(coracle.process("ManagerPID"));
        }
        for stream in &mut waiting {
            assert_ne!(line(stream), "", "a connection was lost");
        }
        counts(coracle, ["31", "31", "0"]);
        let told = std::fs::read_to_string(&ledger).expect("the ledger");
        let mut names: Vec<&str> = told.lines().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 31, "{told}");
        assert_eq!(told.lines().count(), 31, "one was served twice: {told}");
        assert_eq!(ask(&mut served, "still there"), "still there");
        drop(waiting);
        counts(coracle, ["31", "0", "0"]);
    });
}

#[test]
fn a_thousand_connections_at_once_hold_nobody_up() {
    const CONNECTIONS: usize = 1000;
    let other = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
    let quick = "[Service]\nStandardInput=socket\nStandardOutput=socket\nExecStart=/bin/true\n";
    with_units(
        &[("other@.service", other), ("echo@.service", quick)],
        |coracle| {
            listen(
                coracle,
                "Backlog=4096\nMaxConnections=2000\nTriggerLimitIntervalSec=0\nPollLimitIntervalSec=0\n",
            );
            let address = path(coracle);
            let flood = std::thread::spawn(move || {
                let streams: Vec<UnixStream> = (0..CONNECTIONS)
                    .map(|_| UnixStream::connect(&address).expect("a place in the queue"))
                    .collect();
                streams
            });
            for number in 0..10 {
                coracle.ok(&["start", &format!("other@{number}.service")]);
            }
            let streams = flood.join().expect("the flood ends");
            for mut stream in streams {
                assert_eq!(line(&mut stream), "", "its service says nothing");
            }
            counts(coracle, ["1000", "0", "0"]);
            coracle.ok(&["stop", "echo.socket"]);
        },
    );
}

#[test]
fn a_service_that_names_the_socket_does_not_get_what_the_manager_accepts_from() {
    with_units(&[], |coracle| {
        coracle.unit("echo@.service", ECHO);
        let said = coracle.folder().join("said").display().to_string();
        coracle.unit(
            "other.service",
            &format!(
                "[Service]\nType=oneshot\nSockets=echo.socket\nStandardOutput=file:{said}\nExecStart=/bin/sh -c 'echo $${{LISTEN_FDS-none}}'\n"
            ),
        );
        listen(coracle, "");
        coracle.ok(&["start", "other"]);
        // Blocking, it would hold the manager until another connection comes.
        let mut stream = connect(coracle);
        assert!(!line(&mut stream).is_empty());
        assert_eq!(ask(&mut stream, "word"), "word");
        coracle.ok(&["list-units"]);
        let said = std::fs::read_to_string(said).expect("what it said");
        assert_eq!(said.trim(), "none");
    });
}
