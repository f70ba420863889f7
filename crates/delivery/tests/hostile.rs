//! Answers of servers, grants and what lies in the store, whatever their bytes: nothing panics, no limit is passed, nothing is made up.

// A failed call fails the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use coracle_delivery as delivery;
use delivery::fetch::{Limits, Request, Roots, fetch};
use delivery::grants::{Grant, Grants};
use proptest::prelude::*;

/// What may be fetched at most.
const SIZE_MAX_BYTES: u64 = 64;

/// A server that says the same to everybody, and a fetch from it over what an earlier try left.
fn hold(answer: Vec<u8>, left: &[u8], state: &[u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // A client that does not like what it hears hangs up.
        stream.write_all(&answer).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        stream.read_to_end(&mut Vec::new()).ok();
    });
    let (staging, beside) = (file(left), file(state));
    let request = Request {
        url: format!("http://127.0.0.1:{port}/x"),
        roots: Roots::System,
        access: Default::default(),
        limits: Limits {
            size_max_bytes: SIZE_MAX_BYTES,
            total: Duration::from_secs(5),
            idle: Duration::from_secs(2),
            redirects: 0,
            retries: 0,
        },
    };
    let fetched = fetch(&request, &staging, &beside, &mut |_| {});
    let length = staging.metadata().unwrap().len();
    assert!(length <= SIZE_MAX_BYTES, "{length} bytes are on disk");
    if let Ok(fetched) = fetched {
        assert_eq!(fetched.bytes, length);
    }
    server.join().unwrap();
}

fn file(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// Pieces that mean something in the head of an answer.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(
        &[
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 206 Partial Content\r\n",
            "HTTP/1.1 302 Found\r\n",
            "HTTP/1.1 416 No\r\n",
            "Content-Length: 5\r\n",
            "Content-Length: 18446744073709551615\r\n",
            "Content-Length: -1\r\n",
            "Content-Range: bytes 0-4/5\r\n",
            "Content-Range: bytes 3-1/99999999999999999999\r\n",
            "Content-Range: bytes */*\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Location: //\r\n",
            "Location: http://[::1\r\n",
            "ETag: \"a\"\r\n",
            "Content-Encoding: gzip\r\n",
            "\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "ffffffffffffffff\r\nx",
            "hello",
        ][..],
    );
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(vec![b'x'; 100]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_is_taken_within_the_limits_or_refused(pieces in prop::collection::vec(piece(), 0..8), begins in any::<bool>()) {
        let mut answer = if begins { b"HTTP/1.1 200 OK\r\n".to_vec() } else { Vec::new() };
        answer.extend(pieces.concat());
        hold(answer, b"", b"");
    }

    #[test]
    fn whatever_an_earlier_try_left_is_gone_on_with_or_thrown_away(left in prop::collection::vec(any::<u8>(), 0..80), state in "[{}\":,a-z0-9\\PC]{0,60}", pieces in prop::collection::vec(piece(), 0..4)) {
        hold(pieces.concat(), &left, state.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_grant_is_understood_as_it_prints_or_refused(text in "([a-z0-9-]{0,12}:?[\\PC\n\\\\,:]{0,30}|\\PC{0,40})") {
        if let Ok(grant) = text.parse::<Grant>() {
            prop_assert_eq!(grant.to_string().parse::<Grant>(), Ok(grant));
        }
    }

    #[test]
    fn any_list_and_any_file_of_grants_is_understood_or_refused(text in "[a-z0-9:,\\\\# \n\\PC]{0,120}") {
        for grants in [Grants::from_list(&text), Grants::from_file(&text)].into_iter().flatten() {
            let lines: Vec<String> = grants.iter().map(ToString::to_string).collect();
            prop_assert_eq!(Grants::from_file(&lines.join("\n")), Ok(grants));
        }
    }
}
