//! What a run of bytes holds, by the numbers that file systems begin with: a fixed list, and two that match are too many.

use std::io;

use serde::{Deserialize, Serialize};

use crate::source::{Extent, Source};

/// File systems that are known by their magic numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    /// squashfs 4.
    Squashfs,
    /// erofs.
    Erofs,
    /// ext2, ext3 or ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

impl FileSystem {
    /// The kernel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Squashfs => "squashfs",
            FileSystem::Erofs => "erofs",
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
            FileSystem::Btrfs => "btrfs",
        }
    }

    /// Whether the kernel can write to it.
    #[must_use]
    pub fn is_writable(self) -> bool {
        !matches!(self, FileSystem::Squashfs | FileSystem::Erofs)
    }
}

/// What is recognized, to be told by its name, and never mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Foreign {
    /// Encrypted: LUKS.
    Luks,
    /// FAT.
    Vfat,
    /// F2FS.
    F2fs,
    /// Swap space.
    Swap,
    /// ISO 9660.
    Iso9660,
    /// NTFS.
    Ntfs,
    /// verity data.
    Verity,
}

impl Foreign {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Foreign::Luks => "LUKS",
            Foreign::Vfat => "vfat",
            Foreign::F2fs => "f2fs",
            Foreign::Swap => "swap",
            Foreign::Iso9660 => "iso9660",
            Foreign::Ntfs => "ntfs",
            Foreign::Verity => "dm-verity",
        }
    }
}

/// What is in a run of bytes, by its own claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A file system that is on the list.
    FileSystem(FileSystem),
    /// Something else that is known.
    Foreign(Foreign),
}

impl Content {
    /// The kernel's name, or the usual one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Content::FileSystem(kind) => kind.name(),
            Content::Foreign(kind) => kind.name(),
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Two magic numbers in one place.
    #[error("looks like {first} and like {second}: ambiguous")]
    Two {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// The bytes can't be read.
    #[error("cannot read the image")]
    Read(#[from] io::Error),
}

/// Where a number is (from the start), and the number.
type Magic = (u64, &'static [u8]);

/// A kind, and the numbers of which each makes it this kind.
const MAGICS: &[(Content, &[Magic])] = &[
    (file_system(FileSystem::Squashfs), &[(0, b"hsqs")]),
    (
        file_system(FileSystem::Erofs),
        &[(1024, &[0xe2, 0xe1, 0xf5, 0xe0])],
    ),
    (
        file_system(FileSystem::Ext4),
        &[(EXT_START + 56, &[0x53, 0xef])],
    ),
    (file_system(FileSystem::Xfs), &[(0, b"XFSB")]),
    (
        file_system(FileSystem::Btrfs),
        &[(0x1_0000 + 64, b"_BHRfS_M")],
    ),
    (
        foreign(Foreign::Luks),
        &[(0, b"LUKS\xba\xbe"), (0x4000, b"SKUL\xba\xbe")],
    ),
    (
        foreign(Foreign::Vfat),
        &[(54, b"FAT12   "), (54, b"FAT16   "), (82, b"FAT32   ")],
    ),
    (foreign(Foreign::F2fs), &[(1024, &[0x10, 0x20, 0xf5, 0xf2])]),
    (
        foreign(Foreign::Swap),
        &[(4086, b"SWAPSPACE2"), (65526, b"SWAPSPACE2")],
    ),
    (foreign(Foreign::Iso9660), &[(0x8001, b"CD001")]),
    (foreign(Foreign::Ntfs), &[(3, b"NTFS    ")]),
    (foreign(Foreign::Verity), &[(0, b"verity\0\0")]),
];

const fn file_system(kind: FileSystem) -> Content {
    Content::FileSystem(kind)
}

const fn foreign(kind: Foreign) -> Content {
    Content::Foreign(kind)
}

/// Where the superblock of ext2 and its successors begins.
const EXT_START: u64 = 1024;

/// What the bytes of `extent` are; nothing where no number of the list is there.
///
/// # Errors
/// Where two kinds match.
pub fn probe<S: Source + ?Sized>(
    source: &S,
    extent: Extent,
) -> Result<Option<Content>, ProbeError> {
    let mut found = None;
    for (kind, magics) in MAGICS {
        let mut matches = false;
        for (offset, magic) in *magics {
            matches |= has(source, extent, *offset, magic)?;
        }
        if !matches || !is_plausible(source, extent, *kind)? {
            continue;
        }
        if let Some(first) = found.replace(*kind) {
            return Err(ProbeError::Two {
                first: first.name(),
                second: kind.name(),
            });
        }
    }
    Ok(found)
}

fn has<S: Source + ?Sized>(
    source: &S,
    extent: Extent,
    offset: u64,
    magic: &[u8],
) -> io::Result<bool> {
    let mut bytes = [0; 16];
    let bytes = bytes.get_mut(..magic.len()).unwrap_or_default();
    if extent.length < offset + bytes.len() as u64 {
        return Ok(false);
    }
    let start = extent.offset.checked_add(offset);
    source.read_at(bytes, start.ok_or(io::ErrorKind::InvalidData)?)?;
    Ok(bytes == magic)
}

/// The number of ext is two bytes, which anything may have: no kernel takes one whose sizes are not these (ext4(5)).
fn is_plausible<S: Source + ?Sized>(source: &S, extent: Extent, kind: Content) -> io::Result<bool> {
    if kind != file_system(FileSystem::Ext4) {
        return Ok(true);
    }
    const LOG_BLOCK_SIZE: u64 = 24;
    const REVISION: u64 = 76;
    const LARGEST_LOG: u32 = 6;
    const LATEST_REVISION: u32 = 1;
    let number = |at: u64| {
        let mut bytes = [0; 4];
        let end = EXT_START + at + bytes.len() as u64;
        if extent.length >= end {
            source.read_at(&mut bytes, extent.offset + EXT_START + at)?;
        }
        io::Result::Ok(u32::from_le_bytes(bytes))
    };
    Ok(number(LOG_BLOCK_SIZE)? <= LARGEST_LOG && number(REVISION)? <= LATEST_REVISION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[Magic], expected: &str) {
        let mut bytes = vec![0; 0x2_0000];
        for (offset, magic) in numbers {
            let start = *offset as usize;
            bytes[start..start + magic.len()].copy_from_slice(magic);
        }
        let whole = Extent {
            offset: 0,
            length: bytes.len() as u64,
        };
        let said = match probe(&bytes, whole) {
            Ok(found) => found.map_or("nothing".to_owned(), |found| found.name().to_owned()),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn each_kind_is_known_by_each_of_its_numbers_and_any_two_are_ambiguous() {
        check(&[], "nothing");
        for (place, (kind, magics)) in MAGICS.iter().enumerate() {
            for magic in *magics {
                check(&[*magic], kind.name());
            }
            for (other, others) in MAGICS.iter().skip(place + 1) {
                let (one, two) = (magics[0], others[0]);
                // Both at one place: only one of them can be there.
                if one.0 < two.0 + two.1.len() as u64 && two.0 < one.0 + one.1.len() as u64 {
                    continue;
                }
                let both = format!(
                    "looks like {} and like {}: ambiguous",
                    kind.name(),
                    other.name()
                );
                check(&[one, two], &both);
            }
        }
    }

    #[test]
    fn two_bytes_in_another_file_system_are_no_ext4() {
        let ext = (1080, [0x53, 0xef].as_slice());
        check(
            &[(0, b"hsqs"), ext],
            "looks like squashfs and like ext4: ambiguous",
        );
        check(&[(0, b"hsqs"), ext, (1048, &[9])], "squashfs");
        check(&[(0, b"hsqs"), ext, (1103, &[1])], "squashfs");
    }

    #[test]
    fn numbers_beyond_the_end_are_not_looked_for() {
        let bytes = b"hs".to_vec();
        let whole = Extent {
            offset: 0,
            length: 2,
        };
        assert_eq!(probe(&bytes, whole).unwrap(), None);
    }
}
