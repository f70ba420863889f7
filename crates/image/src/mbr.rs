//! Partition tables of the older kind (MBR): four primary partitions in the first sector. Nothing else of them is read.

use std::io;

use crate::source::{Extent, Source};

/// Bytes per sector, as the table counts.
const SECTOR_BYTES: u64 = 512;

/// Where the entries are in the first sector.
const ENTRIES: usize = 446;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 16;

/// Some file system of Linux.
const LINUX: u8 = 0x83;

/// Says that there is a GPT.
const PROTECTIVE: u8 = 0xee;

/// The boot flag, in the first byte of an entry.
const ACTIVE: u8 = 0x80;

/// The only values that this byte has.
const STATES: [u8; 2] = [0, ACTIVE];

/// Why a table is refused.
#[derive(Debug, thiserror::Error)]
pub enum MbrError {
    /// An entry that is not as a table has it.
    #[error("partition {number} of the MBR is damaged: {what}")]
    Partition {
        /// Counted from one.
        number: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// Two entries share bytes.
    #[error("partitions {first} and {second} of the MBR overlap")]
    Overlap {
        /// Counted from one.
        first: u32,
        /// Counted from one.
        second: u32,
    },
    /// It names a GPT that is not there.
    #[error("the MBR is one that protects a GPT, but there is no GPT")]
    Orphan,
    /// The image can't be read.
    #[error("cannot read the partition table")]
    Read(#[from] io::Error),
}

/// A used entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Counted from one.
    pub number: u32,
    /// Whether it is said to hold a file system of Linux.
    pub is_linux: bool,
    /// Whether it is marked as the one to boot from.
    pub is_active: bool,
    /// Where it lies, in bytes.
    pub extent: Extent,
}

/// Reads the table; none where there is no sign of one, or it is empty, as in the first sector of a file system.
///
/// # Errors
/// See [`MbrError`].
pub fn read<S: Source + ?Sized>(source: &S) -> Result<Option<Vec<Entry>>, MbrError> {
    if source.length() < SECTOR_BYTES {
        return Ok(None);
    }
    let mut sector = [0; SECTOR_BYTES as usize];
    source.read_at(&mut sector, 0)?;
    if !sector.ends_with(&[0x55, 0xaa]) {
        return Ok(None);
    }
    let table = sector.get(ENTRIES..).unwrap_or_default();
    let raw = || (1..=4).zip(table.chunks_exact(ENTRY_BYTES));
    // Code of a boot loader ends with the same two bytes.
    let is_table = raw().all(|(_, entry)| entry.first().is_some_and(|byte| STATES.contains(byte)));
    if !is_table {
        return Ok(None);
    }
    let mut found: Vec<Entry> = Vec::new();
    for (number, bytes) in raw() {
        let Some(entry) = parse(number, bytes, source.length())? else {
            continue;
        };
        if let Some(other) = found
            .iter()
            .find(|other| other.extent.overlaps(entry.extent))
        {
            return Err(MbrError::Overlap {
                first: other.number,
                second: number,
            });
        }
        found.push(entry);
    }
    Ok((!found.is_empty()).then_some(found))
}

fn parse(number: u32, raw: &[u8], image_bytes: u64) -> Result<Option<Entry>, MbrError> {
    let wrong = |what| MbrError::Partition { number, what };
    let [state, _, _, _, kind, _, _, _, a, b, c, d, e, f, g, h] = *raw else {
        return Err(wrong("it is cut short"));
    };
    let start = u64::from(u32::from_le_bytes([a, b, c, d]));
    let sectors = u64::from(u32::from_le_bytes([e, f, g, h]));
    match (kind, start, sectors) {
        (0, 0, 0) => return Ok(None),
        (0, ..) => return Err(wrong("it has a place, but no type")),
        (PROTECTIVE, ..) => return Err(MbrError::Orphan),
        (_, 0, _) => return Err(wrong("it begins at the table itself")),
        (_, _, 0) => return Err(wrong("it has no length")),
        _ => {}
    }
    let extent = Extent {
        offset: start * SECTOR_BYTES,
        length: sectors * SECTOR_BYTES,
    };
    if extent.end().is_none_or(|end| end > image_bytes) {
        return Err(wrong("it lies beyond the image's end"));
    }
    Ok(Some(Entry {
        number,
        is_linux: kind == LINUX,
        is_active: state == ACTIVE,
        extent,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of so many sectors with these entries: state, type, first sector, length.
    fn disk(sectors: usize, entries: &[(u8, u8, u32, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; sectors * 512];
        for (place, (state, kind, start, length)) in entries.iter().enumerate() {
            let entry = &mut bytes[446 + place * 16..][..16];
            entry[0] = *state;
            entry[4] = *kind;
            entry[8..12].copy_from_slice(&start.to_le_bytes());
            entry[12..16].copy_from_slice(&length.to_le_bytes());
        }
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }

    fn check(entries: &[(u8, u8, u32, u32)], expected: &str) {
        let said = match read(&disk(100, entries)) {
            Ok(None) => "none".to_owned(),
            Ok(Some(found)) => {
                let words = found.iter().map(|entry| {
                    let linux = if entry.is_linux { " linux" } else { "" };
                    let active = if entry.is_active { " active" } else { "" };
                    let Extent { offset, length } = entry.extent;
                    format!("{}: {offset}+{length}{linux}{active}", entry.number)
                });
                words.collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn entries_are_where_they_say_or_the_table_is_refused() {
        check(&[], "none");
        check(&[(0, 0x83, 1, 9)], "1: 512+4608 linux");
        check(
            &[(0x80, 0x83, 1, 9), (0, 0x0c, 10, 90)],
            "1: 512+4608 linux active, 2: 5120+46080",
        );
        check(&[(7, 0x83, 1, 9)], "none");
        check(
            &[(0, 0x83, 1, 100)],
            "partition 1 of the MBR is damaged: it lies beyond the image's end",
        );
        check(
            &[(0, 0x83, u32::MAX, u32::MAX)],
            "partition 1 of the MBR is damaged: it lies beyond the image's end",
        );
        check(
            &[(0, 0x83, 0, 9)],
            "partition 1 of the MBR is damaged: it begins at the table itself",
        );
        check(
            &[(0, 0x83, 1, 0)],
            "partition 1 of the MBR is damaged: it has no length",
        );
        check(
            &[(0, 0, 1, 9)],
            "partition 1 of the MBR is damaged: it has a place, but no type",
        );
        check(
            &[(0, 0x83, 1, 9), (0, 0x83, 9, 9)],
            "partitions 1 and 2 of the MBR overlap",
        );
        check(
            &[(0, 0xee, 1, 99)],
            "the MBR is one that protects a GPT, but there is no GPT",
        );
    }

    #[test]
    fn a_file_that_has_no_table_has_none() {
        assert!(read(&b"short".to_vec()).unwrap().is_none());
        assert!(read(&vec![0; 4096]).unwrap().is_none());
    }
}
