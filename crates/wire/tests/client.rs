//! A call over the deaths of managers: it goes on with the next one, and not for ever.

#![allow(clippy::expect_used, reason = "a test that fails says so")]

use coracle_wire as wire;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use wire::methods::Status;
use wire::{Client, ClientError, NamesRequest, ServerReply, StatusReply};

/// What a manager does with a call: answers, or goes away.
type Manager = fn(method: &str, earlier: u32) -> Option<Vec<u8>>;

fn reply<T: serde::Serialize>(parameters: &T) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    wire::request::write_reply(&mut bytes, parameters, false).expect("a reply");
    Some(bytes)
}

fn describes_itself(state: &str) -> Option<Vec<u8>> {
    reply(&ServerReply {
        state: state.into(),
        ..ServerReply::default()
    })
}

/// The outcome of one call, and how many connections it took.
fn ask(manager: Manager) -> (Result<StatusReply, ClientError>, u32) {
    static SOCKETS: AtomicU32 = AtomicU32::new(0);
    let number = SOCKETS.fetch_add(1, Ordering::Relaxed);
    let path: PathBuf =
        std::env::temp_dir().join(format!("coracle-wire-{}-{number}", std::process::id()));
    let listener = UnixListener::bind(&path).expect("a socket");
    let connections = std::sync::Arc::new(AtomicU32::new(0));
    let count = std::sync::Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let earlier = count.fetch_add(1, Ordering::Relaxed);
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("the same connection"));
            let mut frame = Vec::new();
            while reader
                .read_until(0, &mut frame)
                .is_ok_and(|bytes| bytes > 0)
            {
                let text = String::from_utf8_lossy(&frame).into_owned();
                let method = if text.contains(".Describe") {
                    "Describe"
                } else {
                    "Status"
                };
                let Some(bytes) = manager(method, earlier) else {
                    break;
                };
                stream.write_all(&bytes).ok();
                frame.clear();
            }
        }
    });
    let mut client = Client::connect(&path).expect("somebody listens");
    let outcome = client.call(Status, &NamesRequest::default());
    std::fs::remove_file(&path).expect("the socket");
    (outcome, connections.load(Ordering::Relaxed))
}

#[test]
fn a_call_outlives_many_managers_that_are_killed() {
    let (outcome, connections) = ask(|method, earlier| match method {
        "Describe" => describes_itself("running"),
        _ if earlier < 100 => None,
        _ => reply(&StatusReply::default()),
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(connections, 101);
}

#[test]
fn a_call_on_which_managers_crash_says_so_and_ends() {
    let (outcome, connections) = ask(|method, _| match method {
        "Describe" => describes_itself(wire::ADOPT_ONLY),
        _ => None,
    });
    let told = outcome.expect_err("no answer").to_string();
    assert!(told.starts_with("5 managers went away"), "{told}");
    assert_eq!(connections, 6);
}

#[test]
fn a_call_that_no_manager_lives_to_answer_ends() {
    let (outcome, connections) = ask(|_, _| None);
    let told = outcome.expect_err("no answer").to_string();
    assert!(told.starts_with("200 managers in a row"), "{told}");
    assert!(connections <= 2 * 200, "{connections}");
}
