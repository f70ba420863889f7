//! Reads what the dynamic loader would read of an ELF file: interpreter, needed libraries, search paths.

use std::io;

use crate::source::{Extent, Source};

/// Program headers in one file; real ones have about a dozen.
const HEADERS_LIMIT: u16 = 128;

/// Bytes of one program header, 64-bit.
const HEADER_BYTES: u16 = 56;

/// The dynamic section: 16 bytes per entry, some dozen entries.
const DYNAMIC_LIMIT_BYTES: u64 = 64 * 1024;

/// A path or a library's name.
const STRING_LIMIT_BYTES: u64 = 4096;

/// Libraries that one file names itself.
const NEEDED_LIMIT: usize = 512;

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

const TAG_END: u64 = 0;
const TAG_NEEDED: u64 = 1;
const TAG_STRINGS: u64 = 5;
const TAG_RPATH: u64 = 15;
const TAG_RUNPATH: u64 = 29;

/// What the dynamic loader would do with a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dynamic {
    /// The processor's number (`e_machine`).
    pub machine: u16,
    /// The dynamic loader; none in static programs and in libraries.
    pub interpreter: Option<String>,
    /// Libraries that it names, in its order.
    pub needed: Vec<String>,
    /// `DT_RPATH`, which counts only where there is no `DT_RUNPATH`.
    pub rpath: Option<String>,
    /// `DT_RUNPATH`.
    pub runpath: Option<String>,
}

/// Why a file can't be read as ELF.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// Another kind of file.
    #[error("it is no ELF file for 64-bit little-endian processors")]
    NotElf,
    /// A field that leads nowhere.
    #[error("its ELF headers are damaged: {0}")]
    Damaged(&'static str),
    /// It can't be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// One program header.
#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: u32,
    file: Extent,
    address: u64,
}

/// Reads a program or a library.
///
/// # Errors
/// See [`ElfError`].
pub fn read<S: Source + ?Sized>(source: &S) -> Result<Dynamic, ElfError> {
    let mut header = [0; 64];
    match source.read_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(ElfError::NotElf),
        read => read?,
    }
    // Magic number, 64-bit, little-endian, version 1.
    if !header.starts_with(b"\x7fELF\x02\x01\x01") {
        return Err(ElfError::NotElf);
    }
    let machine = u16_at(&header, 18)?;
    let segments = segments(source, &header)?;
    let of_kind = |kind| segments.iter().find(|segment| segment.kind == kind);
    let mut dynamic = match of_kind(DYNAMIC) {
        Some(segment) => read_dynamic(source, segment.file, &segments)?,
        None => Dynamic::default(),
    };
    dynamic.machine = machine;
    dynamic.interpreter = of_kind(INTERPRETER)
        .map(|segment| string(source, segment.file.offset))
        .transpose()?;
    Ok(dynamic)
}

fn segments<S: Source + ?Sized>(source: &S, header: &[u8]) -> Result<Vec<Segment>, ElfError> {
    let (offset, size, count) = (
        u64_at(header, 32)?,
        u16_at(header, 54)?,
        u16_at(header, 56)?,
    );
    if count > HEADERS_LIMIT || (count > 0 && size != HEADER_BYTES) {
        return Err(ElfError::Damaged("program headers"));
    }
    let length = u64::from(count) * u64::from(HEADER_BYTES);
    let raw = source.read_extent(Extent { offset, length }, length)?;
    let segment = |raw: &[u8]| {
        Ok(Segment {
            kind: u32_at(raw, 0)?,
            file: Extent {
                offset: u64_at(raw, 8)?,
                length: u64_at(raw, 32)?,
            },
            address: u64_at(raw, 16)?,
        })
    };
    raw.chunks_exact(usize::from(HEADER_BYTES))
        .map(segment)
        .collect()
}

fn read_dynamic<S: Source + ?Sized>(
    source: &S,
    at: Extent,
    segments: &[Segment],
) -> Result<Dynamic, ElfError> {
    let raw = source.read_extent(at, DYNAMIC_LIMIT_BYTES)?;
    let mut entries = Vec::new();
    for pair in raw.chunks_exact(16) {
        let (tag, value) = (u64_at(pair, 0)?, u64_at(pair, 8)?);
        if tag == TAG_END {
            break;
        }
        entries.push((tag, value));
    }
    let value = |tag| {
        entries
            .iter()
            .find(|(candidate, _)| *candidate == tag)
            .map(|(_, value)| *value)
    };
    let Some(address) = value(TAG_STRINGS) else {
        return Ok(Dynamic::default());
    };
    let strings =
        file_offset(segments, address).ok_or(ElfError::Damaged("position of its strings"))?;
    let text = |offset: u64| {
        let at = strings
            .checked_add(offset)
            .ok_or(ElfError::Damaged("position of a string"))?;
        string(source, at)
    };
    let needed: Vec<u64> = entries
        .iter()
        .filter(|(tag, _)| *tag == TAG_NEEDED)
        .map(|(_, value)| *value)
        .collect();
    if needed.len() > NEEDED_LIMIT {
        return Err(ElfError::Damaged("number of libraries"));
    }
    Ok(Dynamic {
        needed: needed.into_iter().map(text).collect::<Result<_, _>>()?,
        rpath: value(TAG_RPATH).map(text).transpose()?,
        runpath: value(TAG_RUNPATH).map(text).transpose()?,
        ..Dynamic::default()
    })
}

/// Where an address lies in the file.
fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    let loaded = segments.iter().filter(|segment| segment.kind == LOAD);
    loaded.into_iter().find_map(|segment| {
        let inside = address
            .checked_sub(segment.address)
            .filter(|inside| *inside < segment.file.length)?;
        segment.file.offset.checked_add(inside)
    })
}

fn string<S: Source + ?Sized>(source: &S, offset: u64) -> Result<String, ElfError> {
    let left = source
        .length()
        .checked_sub(offset)
        .ok_or(ElfError::Damaged("position of a string"))?;
    let raw = source.read_extent(
        Extent {
            offset,
            length: left.min(STRING_LIMIT_BYTES),
        },
        STRING_LIMIT_BYTES,
    )?;
    let end = raw
        .iter()
        .position(|byte| *byte == 0)
        .ok_or(ElfError::Damaged("a string without an end"))?;
    let text = raw.get(..end).unwrap_or_default();
    String::from_utf8(text.to_vec()).map_err(|_| ElfError::Damaged("a string that is no text"))
}

fn array_at<const N: usize>(raw: &[u8], offset: usize) -> Result<[u8; N], ElfError> {
    raw.get(offset..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(ElfError::Damaged("it is cut short"))
}

fn u16_at(raw: &[u8], offset: usize) -> Result<u16, ElfError> {
    array_at(raw, offset).map(u16::from_le_bytes)
}

fn u32_at(raw: &[u8], offset: usize) -> Result<u32, ElfError> {
    array_at(raw, offset).map(u32::from_le_bytes)
}

fn u64_at(raw: &[u8], offset: usize) -> Result<u64, ElfError> {
    array_at(raw, offset).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A small dynamic library, made by hand: one LOAD segment over all of it, one DYNAMIC segment.
    fn library() -> Vec<u8> {
        let strings = b"\0libc.so.6\0$ORIGIN/../lib\0/lib64/ld.so\0";
        let (dynamic_at, strings_at) = (64 + 3 * 56u64, 64 + 3 * 56 + 5 * 16u64);
        let length = strings_at + strings.len() as u64;
        let mut raw = b"\x7fELF\x02\x01\x01".to_vec();
        raw.resize(16, 0);
        raw.extend([3, 0, 62, 0, 1, 0, 0, 0]);
        raw.resize(32, 0);
        raw.extend(64u64.to_le_bytes());
        raw.resize(54, 0);
        raw.extend([56, 0, 3, 0]);
        raw.resize(64, 0);
        let interpreter = strings_at + 26;
        for (kind, offset, size) in [
            (LOAD, 0, length),
            (DYNAMIC, dynamic_at, 80),
            (INTERPRETER, interpreter, 13),
        ] {
            raw.extend(kind.to_le_bytes());
            raw.extend([0; 4]);
            for number in [offset, offset + 0x1000, 0, size, size, 0] {
                raw.extend(number.to_le_bytes());
            }
        }
        let tags = [
            (TAG_NEEDED, 1),
            (TAG_RUNPATH, 11),
            (TAG_STRINGS, strings_at + 0x1000),
            (TAG_END, 0),
            (TAG_NEEDED, 99),
        ];
        for (tag, value) in tags {
            raw.extend(tag.to_le_bytes());
            raw.extend(u64::to_le_bytes(value));
        }
        raw.extend(strings);
        raw
    }

    #[test]
    fn interpreter_libraries_and_search_paths_are_found() {
        let expected = Dynamic {
            machine: 62,
            interpreter: Some("/lib64/ld.so".into()),
            needed: vec!["libc.so.6".into()],
            rpath: None,
            runpath: Some("$ORIGIN/../lib".into()),
        };
        assert_eq!(read(&library()).unwrap(), expected);
    }

    #[test]
    fn a_static_program_needs_nothing_and_a_script_is_no_elf() {
        let own = std::fs::File::open("/proc/self/exe").unwrap();
        let own = read(&crate::source::FileSource::new(&own).unwrap()).unwrap();
        assert_eq!(
            (own.needed, own.interpreter),
            (vec![], None),
            "tests are static, as what is shipped"
        );
        assert_eq!(
            read(b"#!/bin/sh\n".as_slice()).unwrap_err().to_string(),
            "it is no ELF file for 64-bit little-endian processors"
        );
    }

    proptest! {
        #[test]
        fn flipped_and_cut_files_never_panic(edits in prop::collection::vec((0usize..300, any::<u8>()), 0..10), cut in 0usize..400) {
            let mut raw = library();
            for (at, byte) in edits {
                raw[at] = byte;
            }
            raw.truncate(cut);
            drop(read(&raw));
        }
    }
}
