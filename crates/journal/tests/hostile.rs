//! Log files and stream names whatever their bytes: nothing panics, and only what was written is ever shown.

// A failed call fails the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use coracle_journal as journal;
use journal::format::batch::{Batch, Line, Opening, Payload};
use journal::format::file::{HEADER, LogFile};
use journal::format::frame::seal;
use journal::query::{Filter, Logs};
use journal::stream::Stream;
use proptest::prelude::*;

/// Entries of the file that is damaged.
const ENTRIES: u64 = 12;

/// A whole log file.
fn whole() -> Vec<u8> {
    let opening = Opening {
        fields: vec![("_BOOT_ID".into(), b"boot".to_vec())],
        next_seqnum: 1,
        streams: Vec::new(),
    };
    let mut bytes = [
        HEADER.as_slice(),
        &seal(&Payload::Opening(opening).encode()),
    ]
    .concat();
    for number in 1..=ENTRIES {
        let line = Line {
            priority: 6,
            fields: Vec::new(),
            message: format!("message {number}").into_bytes(),
        };
        let batch = Batch {
            first_seqnum: number,
            realtime_us: number,
            lines: vec![line],
            ..Batch::default()
        };
        bytes.extend(seal(&Payload::Batch(batch).encode()));
    }
    bytes
}

fn read(directory: &Path, count: Option<usize>) -> Vec<String> {
    let logs = Logs::new(directory);
    let text =
        |entry: &journal::format::Entry| String::from_utf8_lossy(entry.message()).into_owned();
    match count {
        Some(count) => logs
            .last(&Filter::default(), count)
            .unwrap()
            .iter()
            .map(text)
            .collect(),
        None => {
            let mut found = Vec::new();
            logs.each(&Filter::default(), &mut |entry| {
                found.push(text(entry));
                true
            })
            .unwrap();
            found
        }
    }
}

/// What is read of a file with these bytes, from the front and from the back.
fn hold(bytes: &[u8]) {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("system")).unwrap();
    std::fs::write(LogFile::new(&home.path().join("system"), 1, 1).path, bytes).unwrap();
    let written: Vec<String> = (1..=ENTRIES)
        .map(|number| format!("message {number}"))
        .collect();
    for count in [None, Some(100)] {
        let mut rest = written.iter();
        for message in read(home.path(), count) {
            assert!(
                rest.any(|known| *known == message),
                "{message:?} was not written, or not there"
            );
        }
    }
}

#[test]
fn a_whole_file_is_read_wholly() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("system")).unwrap();
    std::fs::write(
        LogFile::new(&home.path().join("system"), 1, 1).path,
        whole(),
    )
    .unwrap();
    for count in [None, Some(100)] {
        assert_eq!(read(home.path(), count).len(), 12);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_shows_nothing_that_was_not_written(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in any::<prop::sample::Index>(), cuts in any::<bool>()) {
        let mut bytes = whole();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        hold(&bytes);
    }

    #[test]
    fn any_bytes_behind_the_header_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        hold(&[HEADER.as_slice(), &bytes].concat());
        hold(&bytes);
    }

    #[test]
    fn any_payload_is_read_or_refused_and_what_is_read_is_written_again(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4_u8) {
        let payload = [&[kind][..], &bytes].concat();
        if let Some(read) = Payload::decode(&payload) {
            prop_assert_eq!(Payload::decode(&read.encode()), Some(read));
        }
    }

    #[test]
    fn any_name_of_a_stream_is_understood_or_refused(name in "[a-z%|=0-9.\\PC]{0,80}") {
        if let Ok(stream) = name.parse::<Stream>() {
            prop_assert_eq!(stream.to_string().parse::<Stream>(), Ok(stream));
        }
    }
}
