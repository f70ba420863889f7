//! Lays partitions out and writes the table around them; the same partitions give the same bytes.

use super::crc::crc32;
use super::{HEADER_BYTES, LABEL_BYTES, MAGIC, Partition, REVISION, Table};
use crate::guid::Guid;
use crate::source::Extent;

/// Images have sectors of this size: every tool reads it.
const SECTOR_BYTES: u64 = 512;

/// Entries in the table, as everyone writes it.
const ENTRY_COUNT: u32 = 128;

/// Bytes per entry.
const ENTRY_BYTES: u32 = 128;

/// Bytes of the whole array of entries.
const ENTRIES_BYTES: u64 = ENTRY_COUNT as u64 * ENTRY_BYTES as u64;

/// Partitions begin at multiples of a page, so that files, loop devices and verity blocks agree.
const ALIGNMENT_BYTES: u64 = 4096;

/// A partition to be.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What it is for.
    pub kind: Guid,
    /// Its own identifier.
    pub id: Guid,
    /// Attribute bits.
    pub flags: u64,
    /// Its label; what does not fit 36 UTF-16 units is cut.
    pub label: String,
    /// Its length in bytes; rounded up to a sector.
    pub length: u64,
}

/// A laid out disk: what stands before the partitions, where they are, what stands after them.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Bytes from offset 0: protective MBR, header, entries.
    pub head: Vec<u8>,
    /// The table, with every partition's place.
    pub table: Table,
    /// Where [`Plan::tail`] goes.
    pub tail_offset: u64,
    /// The backup entries and header.
    pub tail: Vec<u8>,
}

impl Plan {
    /// The whole image's length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.tail_offset + self.tail.len() as u64
    }
}

/// Why a disk can't be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// More than the table holds.
    #[error("a partition table holds {ENTRY_COUNT} partitions")]
    TooMany,
    /// Beyond 64 bits.
    #[error("the image would be too large")]
    TooLarge,
}

/// Lays out a disk.
///
/// # Errors
/// Where it would not fit.
pub fn plan(disk: Guid, planned: &[Planned]) -> Result<Plan, WriteError> {
    if planned.len() > ENTRY_COUNT as usize {
        return Err(WriteError::TooMany);
    }
    let mut next = align(2 * SECTOR_BYTES + ENTRIES_BYTES, ALIGNMENT_BYTES)?;
    let first_usable = next / SECTOR_BYTES;
    let mut partitions = Vec::new();
    for partition in planned {
        let extent = Extent {
            offset: next,
            length: align(partition.length.max(1), SECTOR_BYTES)?,
        };
        next = align(extent.end().ok_or(WriteError::TooLarge)?, ALIGNMENT_BYTES)?;
        let Planned {
            kind,
            id,
            flags,
            ref label,
            ..
        } = *partition;
        partitions.push(Partition {
            kind,
            id,
            flags,
            label: label.clone(),
            extent,
        });
    }
    // Padded so that the whole image, too, ends at a page: a loop device of any sector size shows all of it.
    let length = align(
        next.checked_add(ENTRIES_BYTES + SECTOR_BYTES)
            .ok_or(WriteError::TooLarge)?,
        ALIGNMENT_BYTES,
    )?;
    let tail_offset = length - ENTRIES_BYTES - SECTOR_BYTES;
    let table = Table {
        sector_bytes: SECTOR_BYTES,
        disk,
        partitions,
    };
    let entries = entries(&table);
    let sectors = length / SECTOR_BYTES;
    let place = Place {
        first_usable,
        last_usable: tail_offset / SECTOR_BYTES - 1,
        entries_crc: crc32(&entries),
        disk,
    };
    let mut head = protective_mbr(sectors);
    head.extend(header(&place, 1, sectors - 1, 2));
    head.extend(&entries);
    let mut tail = entries;
    tail.extend(header(&place, sectors - 1, 1, tail_offset / SECTOR_BYTES));
    Ok(Plan {
        head,
        table,
        tail_offset,
        tail,
    })
}

fn align(value: u64, to: u64) -> Result<u64, WriteError> {
    value
        .checked_next_multiple_of(to)
        .ok_or(WriteError::TooLarge)
}

fn protective_mbr(sectors: u64) -> Vec<u8> {
    let mut mbr = vec![0; 446];
    mbr.extend([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    mbr.extend(1u32.to_le_bytes());
    mbr.extend(u32::try_from(sectors - 1).unwrap_or(u32::MAX).to_le_bytes());
    mbr.resize(510, 0);
    mbr.extend([0x55, 0xaa]);
    mbr
}

/// What both headers say alike.
struct Place {
    first_usable: u64,
    last_usable: u64,
    entries_crc: u32,
    disk: Guid,
}

fn header(place: &Place, own: u64, other: u64, entries: u64) -> Vec<u8> {
    let build = |crc: u32| {
        let mut raw = MAGIC.to_vec();
        raw.extend(REVISION.to_le_bytes());
        raw.extend(HEADER_BYTES.to_le_bytes());
        raw.extend(crc.to_le_bytes());
        raw.extend([0; 4]);
        for position in [own, other, place.first_usable, place.last_usable] {
            raw.extend(position.to_le_bytes());
        }
        raw.extend(place.disk.to_disk());
        raw.extend(entries.to_le_bytes());
        for number in [ENTRY_COUNT, ENTRY_BYTES, place.entries_crc] {
            raw.extend(number.to_le_bytes());
        }
        raw
    };
    let mut raw = build(crc32(&build(0)));
    raw.resize(SECTOR_BYTES as usize, 0);
    raw
}

fn entries(table: &Table) -> Vec<u8> {
    let mut raw = Vec::with_capacity(ENTRIES_BYTES as usize);
    for partition in &table.partitions {
        let start = raw.len();
        raw.extend(partition.kind.to_disk());
        raw.extend(partition.id.to_disk());
        let first = partition.extent.offset / SECTOR_BYTES;
        let last = first + partition.extent.length / SECTOR_BYTES - 1;
        for number in [first, last, partition.flags] {
            raw.extend(number.to_le_bytes());
        }
        raw.extend(
            partition
                .label
                .encode_utf16()
                .take(LABEL_BYTES / 2)
                .flat_map(u16::to_le_bytes),
        );
        raw.resize(start + ENTRY_BYTES as usize, 0);
    }
    raw.resize(ENTRIES_BYTES as usize, 0);
    raw
}
