//! LUKS2: what a header says of itself, before cryptsetup is let near it. Bounded, and checked by the header's own checksum.
//!
//! The format: LUKS2 On-Disk Format Specification 1.1. Numbers of the binary part are big-endian; a JSON text follows it.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::source::{Extent, Source};

/// Bytes of the binary part, which is followed by the text.
const BINARY_BYTES: u64 = 4096;
/// Bytes that both together may have, by the format; there are two copies, the second behind the first.
const SMALLEST_BYTES: u64 = 16 << 10;
const LARGEST_BYTES: u64 = 4 << 20;
/// Where the checksum is.
const CHECKSUM: std::ops::Range<usize> = 448..448 + 64;
/// Where the number is that grows with each change.
const SEQUENCE: std::ops::Range<usize> = 16..24;
/// Keys that a header may have.
const SLOTS_MAX: usize = 32;
/// Memory that opening may need, in KiB: what cryptsetup takes at most for keys that it makes.
const MEMORY_KIB_MAX: u64 = 1 << 20;
/// Bytes of a cipher's name.
const CIPHER_BYTES_MAX: usize = 64;

/// What an encrypted partition says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// As cryptsetup can open it.
    Luks2(Header),
    /// It is not opened, for this reason.
    Refused(String),
}

/// A header that is as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The kernel's name of the cipher.
    pub cipher: String,
    /// Changes are found, too.
    pub has_integrity: bool,
}

/// Why a header is refused.
#[derive(Debug, thiserror::Error)]
pub enum LuksError {
    /// The bytes can't be read.
    #[error("cannot read its LUKS header")]
    Read(#[from] io::Error),
    /// Another version.
    #[error("it is LUKS version {0}, of which only 2 is opened: see cryptsetup-convert(8)")]
    Version(u16),
    /// The binary part.
    #[error("its LUKS header is damaged: {0}")]
    Damaged(&'static str),
    /// The two copies: a change was cut short, or one of them is for somebody who looks at the other.
    #[error("its two LUKS headers differ: let cryptsetup repair it first")]
    Differs,
    /// The text.
    #[error("the JSON text of its LUKS header is damaged, or says too little, at its byte {0}")]
    Text(usize),
    /// What the text says can't be.
    #[error("its LUKS header says what can't be: {0}")]
    Impossible(&'static str),
    /// Nothing is encrypted in truth, or by what is no cipher.
    #[error("its LUKS header names the cipher {0:?}, which protects nothing or is none")]
    Cipher(String),
    /// An attack, or made for another machine.
    #[error("its key slot {slot:?} takes {mib} MiB of memory to be opened, and {} is the most", MEMORY_KIB_MAX >> 10)]
    Hungry {
        /// Which.
        slot: String,
        /// How much.
        mib: u64,
    },
    /// Being encrypted anew, or something newer.
    #[error("it is marked with {0:?}, with which it is not opened: finish what cryptsetup began")]
    Marked(String),
}

#[derive(Deserialize)]
struct Text {
    keyslots: BTreeMap<String, Slot>,
    segments: BTreeMap<String, Segment>,
    config: Config,
}

#[derive(Deserialize)]
struct Slot {
    area: Area,
    kdf: Derivation,
}

#[derive(Deserialize)]
struct Area {
    offset: String,
    size: String,
}

#[derive(Deserialize)]
struct Derivation {
    /// Of the kinds that take some, in KiB.
    #[serde(default)]
    memory: u64,
}

#[derive(Deserialize)]
struct Segment {
    #[serde(rename = "type")]
    kind: String,
    offset: String,
    size: String,
    encryption: String,
    sector_size: u32,
    integrity: Option<Integrity>,
}

#[derive(Deserialize)]
struct Integrity {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Config {
    json_size: String,
    keyslots_size: String,
    #[serde(default)]
    requirements: Requirements,
}

#[derive(Deserialize, Default)]
struct Requirements {
    #[serde(default)]
    mandatory: Vec<String>,
}

/// What the header in `extent` says.
pub(crate) fn look<S: Source + ?Sized>(source: &S, extent: Extent) -> io::Result<Encryption> {
    match read(source, extent) {
        Ok(header) => Ok(Encryption::Luks2(header)),
        Err(LuksError::Read(error)) => Err(error),
        Err(error) => Ok(Encryption::Refused(error.to_string())),
    }
}

/// Reads a header: both copies, which must say the same.
///
/// # Errors
/// See [`LuksError`].
pub fn read<S: Source + ?Sized>(source: &S, extent: Extent) -> Result<Header, LuksError> {
    let (length, first) = copy(source, extent, b"LUKS\xba\xbe", 0)?;
    // Of two that differ cryptsetup takes the newer one: what it takes must be what is checked here. It looks for the second one where
    // the first one ends, and looks elsewhere only where the first one can't be read.
    let (second_length, second) = copy(source, extent, b"SKUL\xba\xbe", length)?;
    let of_both = |bytes: std::ops::Range<usize>| first.get(bytes.clone()) == second.get(bytes);
    if second_length != length || !of_both(SEQUENCE) || !of_both(BINARY_BYTES as usize..first.len())
    {
        return Err(LuksError::Differs);
    }
    let text = first.get(BINARY_BYTES as usize..).unwrap_or_default();
    let end = text.iter().position(|byte| *byte == 0);
    let (text, behind) = text.split_at(end.unwrap_or(text.len()));
    if behind.iter().any(|byte| *byte != 0) {
        return Err(LuksError::Damaged("something follows its text"));
    }
    read_text(text, length, extent.length)
}

/// Reads one of the two copies, which has this name and is there, and says how long it is.
fn copy<S: Source + ?Sized>(
    source: &S,
    extent: Extent,
    name: &[u8; 6],
    at: u64,
) -> Result<(u64, Vec<u8>), LuksError> {
    // The first one has shown that there is room for both.
    let part = |length| Extent {
        offset: extent.offset + at,
        length,
    };
    let binary = part(BINARY_BYTES.min(extent.length));
    let binary = source.read_extent(binary, BINARY_BYTES)?;
    if binary.get(..6) != Some(name) {
        return Err(match at {
            0 => LuksError::Damaged("it does not begin with its name"),
            _ => LuksError::Differs,
        });
    }
    let version = u16::from_be_bytes(array(&binary, 6)?);
    if version != 2 {
        return Err(LuksError::Version(version));
    }
    let length = u64::from_be_bytes(array(&binary, 8)?);
    if !length.is_power_of_two() || !(SMALLEST_BYTES..=LARGEST_BYTES).contains(&length) {
        return Err(LuksError::Damaged("it has no length that headers have"));
    }
    if u64::from_be_bytes(array(&binary, 256)?) != at {
        return Err(LuksError::Damaged("it is not where it says that it is"));
    }
    if at + length > extent.length || length * 2 > extent.length {
        return Err(LuksError::Damaged("it is longer than where it is"));
    }
    let whole = source.read_extent(part(length), LARGEST_BYTES)?;
    check_sum(&whole)?;
    Ok((length, whole))
}

/// Reads the JSON text of a header of so many bytes, with its checks against where it is, which has so many.
///
/// # Errors
/// See [`LuksError`].
pub fn read_text(text: &[u8], header: u64, extent: u64) -> Result<Header, LuksError> {
    let text: Text =
        serde_json::from_slice(text).map_err(|error| LuksError::Text(error.column()))?;
    text.check(header, extent)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], LuksError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(LuksError::Damaged("it is cut short"))
}

/// Over all of the header, with zeros where the sum itself is.
fn check_sum(whole: &[u8]) -> Result<(), LuksError> {
    let short = LuksError::Damaged("it is cut short");
    let name: [u8; 32] = array(whole, 72)?;
    if name.split(|byte| *byte == 0).next() != Some(b"sha256") {
        return Err(LuksError::Damaged("its checksum is not by SHA-256"));
    }
    let parts = (
        whole.get(..CHECKSUM.start),
        whole.get(CHECKSUM),
        whole.get(CHECKSUM.end..),
    );
    let (Some(before), Some(sum), Some(behind)) = parts else {
        return Err(short);
    };
    let mut digest = Sha256::new();
    digest.update(before);
    digest.update([0; 64]);
    digest.update(behind);
    if sum.get(..32) != Some(&*digest.finalize()) {
        return Err(LuksError::Damaged("its checksum is wrong"));
    }
    Ok(())
}

impl Text {
    /// `header` and `extent` are lengths in bytes.
    fn check(&self, header: u64, extent: u64) -> Result<Header, LuksError> {
        if let Some(mark) = self.config.requirements.mandatory.first() {
            return Err(LuksError::Marked(shortened(mark)));
        }
        if number(&self.config.json_size)? != header - BINARY_BYTES {
            return Err(LuksError::Impossible("the length of its own text"));
        }
        let slots_end = number(&self.config.keyslots_size)?
            .checked_add(header * 2)
            .filter(|end| *end <= extent)
            .ok_or(LuksError::Impossible("its keys lie outside"))?;
        self.check_slots(header * 2, slots_end)?;
        let mut segments = self.segments.values();
        let (Some(segment), None) = (segments.next(), segments.next()) else {
            return Err(LuksError::Impossible(
                "it has not exactly one run of encrypted data",
            ));
        };
        segment.check(slots_end, extent)
    }

    fn check_slots(&self, begin: u64, end: u64) -> Result<(), LuksError> {
        if self.keyslots.is_empty() {
            return Err(LuksError::Impossible("it has no key slot"));
        }
        if self.keyslots.len() > SLOTS_MAX {
            return Err(LuksError::Impossible("it has more than 32 key slots"));
        }
        for (slot, Slot { area, kdf }) in &self.keyslots {
            let offset = number(&area.offset)?;
            let is_inside = offset >= begin
                && offset
                    .checked_add(number(&area.size)?)
                    .is_some_and(|area_end| area_end <= end);
            if !is_inside {
                return Err(LuksError::Impossible("a key lies where none may be"));
            }
            if kdf.memory > MEMORY_KIB_MAX {
                return Err(LuksError::Hungry {
                    slot: shortened(slot),
                    mib: kdf.memory >> 10,
                });
            }
        }
        Ok(())
    }
}

impl Segment {
    fn check(&self, begin: u64, extent: u64) -> Result<Header, LuksError> {
        if self.kind != "crypt" {
            return Err(LuksError::Impossible("its data is not encrypted"));
        }
        let offset = number(&self.offset)?;
        let length = match self.size.as_str() {
            "dynamic" => extent.checked_sub(offset),
            size => Some(number(size)?),
        };
        let end = length.and_then(|length| offset.checked_add(length));
        if offset < begin || end.is_none_or(|end| end > extent) || length == Some(0) {
            return Err(LuksError::Impossible(
                "its data lies where none may be, or is none",
            ));
        }
        if !self.sector_size.is_power_of_two() || !(512..=4096).contains(&self.sector_size) {
            return Err(LuksError::Impossible("the length of its sectors"));
        }
        if !is_cipher(&self.encryption) {
            return Err(LuksError::Cipher(shortened(&self.encryption)));
        }
        Ok(Header {
            cipher: self.encryption.clone(),
            // With "none", sectors only have room for an initialization vector.
            has_integrity: self
                .integrity
                .as_ref()
                .is_some_and(|integrity| integrity.kind != "none"),
        })
    }
}

/// A cipher with its mode, as dm-crypt is told: the one that leaves everything as it is would make "encrypted" a lie.
fn is_cipher(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:()".contains(&byte);
    name.len() <= CIPHER_BYTES_MAX
        && name.contains('-')
        && name.bytes().all(is_usual)
        && !name.contains("null")
}

/// Numbers of the text that may have more than 53 bits are strings of digits.
fn number(text: &str) -> Result<u64, LuksError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or(LuksError::Impossible("a number that is none"))
}

/// A word of the image's in an error.
fn shortened(text: &str) -> String {
    text.chars().take(CIPHER_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests;
