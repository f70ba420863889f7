//! Reads a table from hostile bytes: everything is bounded and checked, and what is ambiguous is refused.

use std::io;

use super::crc::crc32;
use super::{HEADER_BYTES, LABEL_BYTES, MAGIC, Partition, REVISION, Table};
use crate::guid::Guid;
use crate::source::{Extent, Source};

/// Sector sizes that disks and images have.
const SECTOR_BYTES: [u64; 2] = [512, 4096];

/// Entries in a table. The usual table has 128; no tool writes more than this.
const ENTRIES_LIMIT: u32 = 1024;

/// Bytes per entry. The specification asks for 128 times a power of two; nothing uses more than 128.
const ENTRY_BYTES_LIMIT: u32 = 1024;

/// Why a table is refused.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// No header at either sector size.
    #[error("no GPT partition table")]
    Missing,
    /// A header for 512-byte sectors and another for 4096-byte sectors.
    #[error("two partition tables, for sectors of 512 and of 4096 bytes: ambiguous")]
    Ambiguous,
    /// A field that is not as the specification has it.
    #[error("the partition table is damaged: {what}")]
    Damaged {
        /// Which field.
        what: &'static str,
    },
    /// An entry that is not as the specification has it.
    #[error("partition {number} is damaged: {what}")]
    Partition {
        /// Counted from one.
        number: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// A reader that goes by the one sees another disk than one that goes by the other.
    #[error(
        "the table at the end of the image is another one than that at its beginning: ambiguous"
    )]
    Backup,
    /// Two entries share bytes or an identifier.
    #[error("partitions {first} and {second} {what}")]
    Clash {
        /// Counted from one.
        first: u32,
        /// Counted from one.
        second: u32,
        /// What they share.
        what: &'static str,
    },
    /// The image can't be read.
    #[error("cannot read the partition table")]
    Read(#[from] io::Error),
}

/// The fields of a header that say where things are.
struct Header {
    sector_bytes: u64,
    header_bytes: u32,
    /// The sector of the other header.
    backup: u64,
    disk: Guid,
    usable: Extent,
    entries: Extent,
    entry_bytes: u32,
    entry_count: u32,
    entries_crc: u32,
}

/// Reads a table.
///
/// # Errors
/// Whatever is not exactly as the UEFI specification has it.
pub fn read<S: Source + ?Sized>(source: &S) -> Result<Table, GptError> {
    let mut headers = Vec::new();
    for sector_bytes in SECTOR_BYTES {
        headers.extend(find_header(source, sector_bytes)?.map(|header| (header, sector_bytes)));
    }
    let (raw, sector_bytes) = match headers.len() {
        0 => return Err(GptError::Missing),
        1 => headers.pop().ok_or(GptError::Missing)?,
        _ => return Err(GptError::Ambiguous),
    };
    protective_mbr(source)?;
    let header = parse_header(&raw, sector_bytes, source.length())?;
    let partitions = read_entries(source, &header)?;
    same_backup(source, &raw, &header)?;
    Ok(Table {
        sector_bytes,
        disk: header.disk,
        partitions,
    })
}

/// The first sector must say that the disk is in use, so that no other reader sees something else here.
fn protective_mbr<S: Source + ?Sized>(source: &S) -> Result<(), GptError> {
    let mut mbr = [0; 512];
    source.read_at(&mut mbr, 0)?;
    let kinds: Vec<u8> = (0..4)
        .filter_map(|index| mbr.get(446 + index * 16 + 4).copied())
        .collect();
    match (mbr.get(510..), kinds.as_slice()) {
        (Some([0x55, 0xaa]), [0xee, 0, 0, 0]) => Ok(()),
        _ => Err(damaged("the first sector is no protective MBR")),
    }
}

fn find_header<S: Source + ?Sized>(
    source: &S,
    sector_bytes: u64,
) -> Result<Option<Vec<u8>>, GptError> {
    if source.length() < sector_bytes.saturating_mul(3) {
        return Ok(None);
    }
    let header = source.read_extent(
        Extent {
            offset: sector_bytes,
            length: sector_bytes,
        },
        4096,
    )?;
    Ok(header.starts_with(MAGIC).then_some(header))
}

fn parse_header(raw: &[u8], sector_bytes: u64, image_bytes: u64) -> Result<Header, GptError> {
    let size = u32_at(raw, 12)?;
    ensure(size >= HEADER_BYTES, "header size")?;
    ensure(
        u32_at(raw, 16)? == header_sum(raw, size)?,
        "header checksum",
    )?;
    ensure(u32_at(raw, 8)? == REVISION, "revision")?;
    ensure(u64_at(raw, 24)? == 1, "own position")?;

    let sectors = image_bytes / sector_bytes;
    let (first, last) = (u64_at(raw, 40)?, u64_at(raw, 48)?);
    let backup = u64_at(raw, 32)?;
    ensure(
        first <= last && last < backup && backup < sectors,
        "the image is shorter than its table says",
    )?;

    let entry_count = u32_at(raw, 80)?;
    let entry_bytes = u32_at(raw, 84)?;
    ensure(
        (1..=ENTRIES_LIMIT).contains(&entry_count),
        "number of entries",
    )?;
    ensure(
        (128..=ENTRY_BYTES_LIMIT).contains(&entry_bytes) && entry_bytes.is_power_of_two(),
        "size of an entry",
    )?;
    let entries = Extent {
        offset: u64_at(raw, 72)?
            .checked_mul(sector_bytes)
            .ok_or(damaged("position of the entries"))?,
        length: u64::from(entry_count) * u64::from(entry_bytes),
    };
    let usable = Extent {
        offset: first * sector_bytes,
        length: (last - first + 1) * sector_bytes,
    };
    let between =
        entries.offset >= 2 * sector_bytes && entries.end().is_some_and(|end| end <= usable.offset);
    ensure(between, "position of the entries")?;

    let disk = Guid::from_disk(array_at(raw, 56)?);
    Ok(Header {
        sector_bytes,
        header_bytes: size,
        backup,
        disk,
        usable,
        entries,
        entry_bytes,
        entry_count,
        entries_crc: u32_at(raw, 88)?,
    })
}

/// What the header at the other end is a copy of, but for its place and the sum over that (UEFI 2.10, 5.3.2).
const COPIED: [std::ops::Range<usize>; 3] = [8..16, 40..72, 80..92];

/// The table at the other end has to be the same. One that is damaged or missing is nobody's: it is read by no one.
fn same_backup<S: Source + ?Sized>(
    source: &S,
    first: &[u8],
    header: &Header,
) -> Result<(), GptError> {
    let place = Extent {
        offset: header.backup * header.sector_bytes,
        length: header.sector_bytes,
    };
    let second = source.read_extent(place, 4096)?;
    let is_whole = second.starts_with(MAGIC)
        && u32_at(&second, 12)? == header.header_bytes
        && u32_at(&second, 16)? == header_sum(&second, header.header_bytes)?;
    let is_same = |field: std::ops::Range<usize>| first.get(field.clone()) == second.get(field);
    if is_whole && !COPIED.into_iter().all(is_same) {
        return Err(GptError::Backup);
    }
    Ok(())
}

/// The sum over a header, in which its own place counts as zeros.
fn header_sum(raw: &[u8], header_bytes: u32) -> Result<u32, GptError> {
    let covered = usize::try_from(header_bytes).ok();
    let covered = covered.and_then(|length| raw.get(..length));
    let mut zeroed = covered.ok_or(damaged("header size"))?.to_vec();
    let sum = zeroed.get_mut(16..20).ok_or(damaged("header size"))?;
    sum.fill(0);
    Ok(crc32(&zeroed))
}

fn read_entries<S: Source + ?Sized>(
    source: &S,
    header: &Header,
) -> Result<Vec<Partition>, GptError> {
    let limit_bytes = u64::from(ENTRIES_LIMIT) * u64::from(ENTRY_BYTES_LIMIT);
    let raw = source.read_extent(header.entries, limit_bytes)?;
    ensure(crc32(&raw) == header.entries_crc, "checksum of the entries")?;
    let mut found: Vec<(u32, Partition)> = Vec::new();
    for (number, entry) in
        (1..=header.entry_count).zip(raw.chunks_exact(header.entry_bytes as usize))
    {
        let Some(partition) = parse_entry(number, entry, header)? else {
            continue;
        };
        for (other, earlier) in &found {
            no_clash((*other, earlier), (number, &partition))?;
        }
        found.push((number, partition));
    }
    Ok(found.into_iter().map(|(_, partition)| partition).collect())
}

fn parse_entry(number: u32, raw: &[u8], header: &Header) -> Result<Option<Partition>, GptError> {
    let wrong = |what| GptError::Partition { number, what };
    let kind = Guid::from_disk(array_at(raw, 0)?);
    if kind == Guid::NIL {
        return Ok(None);
    }
    let id = Guid::from_disk(array_at(raw, 16)?);
    if id == Guid::NIL {
        return Err(wrong("it has no identifier"));
    }
    let (first, last) = (u64_at(raw, 32)?, u64_at(raw, 40)?);
    let sectors = last
        .checked_sub(first)
        .and_then(|count| count.checked_add(1))
        .ok_or(wrong("it ends before it begins"))?;
    let offset = first
        .checked_mul(header.sector_bytes)
        .ok_or(wrong("it lies beyond 64 bits"))?;
    let length = sectors
        .checked_mul(header.sector_bytes)
        .ok_or(wrong("it lies beyond 64 bits"))?;
    let extent = Extent { offset, length };
    let end = extent.end().ok_or(wrong("it lies beyond 64 bits"))?;
    if offset < header.usable.offset || Some(end) > header.usable.end() {
        return Err(wrong("it lies outside the usable space"));
    }
    let label = label(raw.get(56..56 + LABEL_BYTES).unwrap_or_default())
        .ok_or(wrong("its label is no text"))?;
    Ok(Some(Partition {
        kind,
        id,
        flags: u64_at(raw, 48)?,
        label,
        extent,
    }))
}

/// UTF-16 up to the first NUL, without control characters.
fn label(raw: &[u8]) -> Option<String> {
    let units = raw
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u16::from_le_bytes(*pair))
        .take_while(|unit| *unit != 0);
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

fn no_clash((first, a): (u32, &Partition), (second, b): (u32, &Partition)) -> Result<(), GptError> {
    if a.extent.overlaps(b.extent) {
        return Err(GptError::Clash {
            first,
            second,
            what: "overlap",
        });
    }
    if a.id == b.id {
        return Err(GptError::Clash {
            first,
            second,
            what: "have the same identifier",
        });
    }
    Ok(())
}

fn damaged(what: &'static str) -> GptError {
    GptError::Damaged { what }
}

fn ensure(holds: bool, what: &'static str) -> Result<(), GptError> {
    if holds { Ok(()) } else { Err(damaged(what)) }
}

fn array_at<const N: usize>(raw: &[u8], offset: usize) -> Result<[u8; N], GptError> {
    raw.get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(damaged("it is cut short"))
}

fn u32_at(raw: &[u8], offset: usize) -> Result<u32, GptError> {
    array_at(raw, offset).map(u32::from_le_bytes)
}

fn u64_at(raw: &[u8], offset: usize) -> Result<u64, GptError> {
    array_at(raw, offset).map(u64::from_le_bytes)
}
