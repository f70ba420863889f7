//! The codec whatever arrives: nothing panics, no limit is passed, and any way to cut the bytes gives the same messages.

use coracle_wire as wire;
use proptest::prelude::*;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use std::os::fd::AsFd;
use wire::frame::{Filled, Inbox};
use wire::request::{Request, Response};
use wire::{Call, Failure};

/// Longest message that the inbox of these tests takes.
const LIMIT_BYTES: usize = 64;

/// Reads a call and, if it is one, its parameters.
fn read(frame: &[u8]) -> Option<Call> {
    let request = Request::read(frame).ok()?;
    Call::read(&request.method, request.parameters).ok()
}

const CALL: &str = r#"{"method":"io.coracle.Manager.StartTransient","parameters":{"unit":"a.service","properties":["Nice=1"],"command":["/bin/true","x"],"stdin":0,"wait":true},"more":true}"#;

#[test]
fn the_call_that_is_changed_is_one() {
    assert!(matches!(
        read(CALL.as_bytes()),
        Some(Call::StartTransient(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_call_or_a_failure(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
        drop(serde_json::from_slice::<Response<'_>>(&bytes));
        drop(serde_json::from_slice::<Failure>(&bytes));
    }

    #[test]
    fn a_changed_call_is_a_call_or_a_failure(edits in prop::collection::vec((any::<prop::sample::Index>(), "[{}\\[\\]\":,0-9a-z\\-.]"), 0..8), cut in any::<prop::sample::Index>()) {
        let mut bytes = CALL.as_bytes().to_vec();
        for (place, text) in edits {
            let place = place.index(bytes.len());
            bytes[place] = text.as_bytes()[0];
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        read(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_way_to_cut_a_stream_gives_the_same_messages(messages in prop::collection::vec(prop::collection::vec(1..=255_u8, 0..LIMIT_BYTES + 4), 0..8), sizes in prop::collection::vec(1..40_usize, 1..8)) {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        let stream: Vec<u8> = messages.iter().flat_map(|message| message.iter().copied().chain([0])).collect();
        let mut inbox = Inbox::new(LIMIT_BYTES);
        let (mut found, mut rest, mut sizes) = (Vec::new(), stream.as_slice(), sizes.iter().cycle());
        let mut too_long = false;
        while !rest.is_empty() && !too_long {
            let size = rest.len().min(*sizes.next().unwrap());
            let (now, later) = rest.split_at(size);
            rustix::io::write(&theirs, now).unwrap();
            rest = later;
            prop_assert!(matches!(inbox.fill(ours.as_fd(), RecvFlags::empty()).unwrap(), Filled::Some));
            loop {
                match inbox.frame() {
                    Ok(Some(frame)) => found.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(_) => {
                        too_long = true;
                        break;
                    }
                }
            }
        }
        let fits: Vec<Vec<u8>> = messages.iter().take_while(|message| message.len() <= LIMIT_BYTES).cloned().collect();
        prop_assert_eq!(too_long, fits.len() < messages.len());
        prop_assert_eq!(found, fits);
    }
}
