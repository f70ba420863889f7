//! The store's note on an image: what was proven of it when it came in, and what was read of it then, so that what is attached again is
//! neither hashed nor read again.

use std::fs::File;

use anyhow::{Context as _, Result};
use delivery::digest::Digest;
use delivery::store::Store;
use image::dissect::Layout;
use image::tree::Contents;
use image::verify::{Record, Verified};
use serde::{Deserialize, Serialize};

/// Most bytes of what was read: every start of a unit of the image reads the note. Of an image with more, units are read each time.
const READ_MAX_BYTES: usize = 64 << 10;

/// Who reads: another version may find something else in the same image.
const READER: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize, Deserialize)]
struct Note<R, C> {
    #[serde(flatten)]
    record: R,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    read: Option<Reading<C>>,
}

#[derive(Serialize, Deserialize)]
struct Reading<C> {
    by: String,
    contents: C,
}

fn none<C>() -> Option<Reading<C>> {
    None
}

/// The text of a note.
///
/// # Errors
/// When it can't be made.
pub(crate) fn text(record: &Record, read: Option<&Contents>) -> Result<Vec<u8>> {
    let note = |read| {
        serde_json::to_vec(&Note {
            record,
            read: read_by_us(read),
        })
    };
    let whole = note(read)?;
    match whole.len() {
        0..=READ_MAX_BYTES => Ok(whole),
        _ => Ok(note(None)?),
    }
}

fn read_by_us(read: Option<&Contents>) -> Option<Reading<&Contents>> {
    read.map(|contents| Reading {
        by: READER.to_owned(),
        contents,
    })
}

fn parse(text: &[u8]) -> Result<(Record, Option<Contents>)> {
    let note: Note<Record, Contents> =
        serde_json::from_slice(text).context("the store's note on the image is damaged")?;
    let read = note.read.filter(|read| read.by == READER);
    Ok((note.record, read.map(|read| read.contents)))
}

/// An image that is in the store, of which what was proven still holds for the same file, and what was read of it, where that is known.
///
/// # Errors
/// When it is missing or was changed.
pub(crate) fn confirmed(
    store: &Store,
    digest: &Digest,
) -> Result<(File, Verified<Layout>, Option<Contents>)> {
    let file = store.get(digest)?;
    let (record, read) = parse(&store.note(digest)?)?;
    let verified = record.confirm(&file)?;
    Ok((file, verified, read))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use image::tree::UnitFile;
    use image::verify::{Trust, verify};

    use super::*;

    fn record() -> Record {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"hsqs").unwrap();
        file.write_all(&[0; 4096]).unwrap();
        let opened = File::open(file.path()).unwrap();
        let source = image::source::FileSource::new(&opened).unwrap();
        let layout = image::dissect::dissect(&source).unwrap();
        let verified = verify(&opened, &layout, &Trust::Insecure).unwrap();
        verified.record().clone()
    }

    fn contents(unit_bytes: usize) -> Contents {
        let unit = UnitFile {
            name: "boat.service".to_owned(),
            text: "x".repeat(unit_bytes),
        };
        Contents {
            os_release: Default::default(),
            units: vec![unit],
            foreign_units: Vec::new(),
            host_places: Vec::new(),
        }
    }

    #[test]
    fn what_was_read_is_known_again_unless_another_version_read_it_or_it_is_large() {
        let (record, small) = (record(), contents(10));
        let noted = text(&record, Some(&small)).unwrap();
        assert_eq!(parse(&noted).unwrap(), (record.clone(), Some(small)));
        // Who only wants what was proven reads the same text.
        let alone: Record = serde_json::from_slice(&noted).unwrap();
        assert_eq!(alone, record);
        let ours = format!("\"by\":\"{READER}\"");
        let other = String::from_utf8(noted)
            .unwrap()
            .replace(&ours, "\"by\":\"0.0\"");
        assert_eq!(parse(other.as_bytes()).unwrap(), (record.clone(), None));
        for read in [None, Some(&contents(READ_MAX_BYTES))] {
            let noted = text(&record, read).unwrap();
            assert_eq!(parse(&noted).unwrap(), (record.clone(), None));
        }
        assert!(parse(b"{}").is_err());
    }
}
