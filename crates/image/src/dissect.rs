//! Finds the root file system, its verity data and its signature in an image, from headers alone.

use std::io;

use serde::{Deserialize, Serialize};

use crate::discoverable::{self, Purpose};
use crate::gpt::{self, GptError, Partition, Table};
use crate::source::{Extent, Source};
use crate::verify::Unverified;
use crate::verity::RootHash;

/// The largest signature partition that is read: JSON around a signature of a few kilobytes; the reference allows 4 MiB.
pub const SIGNATURE_LIMIT_BYTES: u64 = 1 << 20;

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
}

/// A kind, where its magic number is (from the file system's start), and the number.
const MAGICS: &[(FileSystem, u64, &[u8])] = &[
    (FileSystem::Squashfs, 0, b"hsqs"),
    (FileSystem::Erofs, 1024, &[0xe2, 0xe1, 0xf5, 0xe0]),
    (FileSystem::Ext4, 1024 + 56, &[0x53, 0xef]),
    (FileSystem::Xfs, 0, b"XFSB"),
    (FileSystem::Btrfs, 0x1_0000 + 64, b"_BHRfS_M"),
];

/// What was found where. All of it is the image's own claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The root file system.
    pub root: Extent,
    /// Its kind, by its magic number.
    pub file_system: FileSystem,
    /// The verity superblock and hash tree.
    pub verity: Option<Extent>,
    /// The root hash that the partitions' identifiers spell, where there is verity data.
    pub root_hash: Option<RootHash>,
    /// The text of the verity signature partition: JSON.
    pub signature: Option<String>,
    /// The root partition's label; none in a bare file system.
    pub label: Option<String>,
    /// The whole image's length in bytes.
    pub length: u64,
}

/// Why an image is refused.
#[derive(Debug, thiserror::Error)]
pub enum DissectError {
    /// The table is wrong.
    #[error(transparent)]
    Table(#[from] GptError),
    /// Neither a table nor a file system.
    #[error("this is no image: neither a GPT partition table nor a squashfs or erofs file system")]
    NoImage,
    /// A table without a root partition for this processor.
    #[error("the image has no root partition for this processor{}", others.as_ref().map(|o| format!(" (but for {o})")).unwrap_or_default())]
    NoRoot {
        /// Processors that it is made for.
        others: Option<String>,
    },
    /// More than one partition of a kind.
    #[error("the image has more than one {what} partition")]
    Ambiguous {
        /// Of which kind.
        what: &'static str,
    },
    /// A partition whose content has no known magic number.
    #[error("the root partition holds no known file system")]
    UnknownFileSystem,
    /// Two magic numbers in one place.
    #[error("the root partition looks like {first} and like {second}: ambiguous")]
    TwoFileSystems {
        /// The kernel's name of one.
        first: &'static str,
        /// The kernel's name of the other.
        second: &'static str,
    },
    /// A partition that only makes sense with another.
    #[error("the image has a {what} partition, but no {needs} partition for it")]
    Alone {
        /// What is there.
        what: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// A signature partition that is too large or no text.
    #[error("the signature partition is damaged: {what}")]
    Signature {
        /// What is wrong.
        what: &'static str,
    },
    /// The image can't be read.
    #[error("cannot read the image")]
    Read(#[from] io::Error),
}

/// Reads an image's headers: GPT, or a bare squashfs or erofs.
///
/// # Errors
/// See [`DissectError`].
pub fn dissect<S: Source + ?Sized>(source: &S) -> Result<Unverified<Layout>, DissectError> {
    match gpt::read(source) {
        Ok(table) => from_table(source, &table),
        Err(GptError::Missing) => bare(source),
        Err(error) => Err(error.into()),
    }
    .map(Unverified::new)
}

fn bare<S: Source + ?Sized>(source: &S) -> Result<Layout, DissectError> {
    let root = Extent {
        offset: 0,
        length: source.length(),
    };
    let file_system = match probe(source, root) {
        Ok(kind @ (FileSystem::Squashfs | FileSystem::Erofs)) => kind,
        Ok(_) | Err(DissectError::UnknownFileSystem) => return Err(DissectError::NoImage),
        Err(error) => return Err(error),
    };
    let length = root.length;
    Ok(Layout {
        root,
        file_system,
        verity: None,
        root_hash: None,
        signature: None,
        label: None,
        length,
    })
}

fn from_table<S: Source + ?Sized>(source: &S, table: &Table) -> Result<Layout, DissectError> {
    let root = only(table, Purpose::Root, "root")?;
    let verity = only(table, Purpose::Verity, "verity")?;
    let signature = only(table, Purpose::Signature, "verity signature")?;
    let root = root.ok_or_else(|| no_root(table))?;
    if signature.is_some() && verity.is_none() {
        return Err(DissectError::Alone {
            what: "verity signature",
            needs: "verity",
        });
    }
    Ok(Layout {
        root: root.extent,
        file_system: probe(source, root.extent)?,
        verity: verity.map(|partition| partition.extent),
        root_hash: verity.map(|partition| RootHash::from_partition_ids(root.id, partition.id)),
        signature: signature
            .map(|partition| signature_text(source, partition.extent))
            .transpose()?,
        label: Some(root.label.clone()),
        length: source.length(),
    })
}

/// The one partition of a purpose for this processor.
fn only<'t>(
    table: &'t Table,
    purpose: Purpose,
    what: &'static str,
) -> Result<Option<&'t Partition>, DissectError> {
    let kind =
        discoverable::native().and_then(|architecture| discoverable::kind(purpose, architecture));
    let mut found = table
        .partitions
        .iter()
        .filter(|partition| Some(partition.kind) == kind);
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        _ => Err(DissectError::Ambiguous { what }),
    }
}

fn no_root(table: &Table) -> DissectError {
    let roots = table
        .partitions
        .iter()
        .filter_map(|partition| discoverable::purpose(partition.kind));
    let others: Vec<_> = roots
        .filter(|(purpose, _)| *purpose == Purpose::Root)
        .map(|(_, name)| name)
        .collect();
    DissectError::NoRoot {
        others: (!others.is_empty()).then(|| others.join(", ")),
    }
}

/// The file system's kind; two magic numbers in one place are refused.
fn probe<S: Source + ?Sized>(source: &S, extent: Extent) -> Result<FileSystem, DissectError> {
    let mut found = Vec::new();
    for (kind, offset, magic) in MAGICS {
        let needed = offset + magic.len() as u64;
        let mut bytes = vec![0; magic.len()];
        if extent.length < needed {
            continue;
        }
        source.read_at(&mut bytes, extent.offset + offset)?;
        if bytes == *magic {
            found.push(*kind);
        }
    }
    match found.as_slice() {
        [] => Err(DissectError::UnknownFileSystem),
        [kind] => Ok(*kind),
        [first, second, ..] => Err(DissectError::TwoFileSystems {
            first: first.name(),
            second: second.name(),
        }),
    }
}

/// The JSON text, without the NUL bytes that fill the partition.
fn signature_text<S: Source + ?Sized>(source: &S, extent: Extent) -> Result<String, DissectError> {
    let wrong = |what| DissectError::Signature { what };
    if extent.length > SIGNATURE_LIMIT_BYTES {
        return Err(wrong("it is larger than a mebibyte"));
    }
    let raw = source.read_extent(extent, SIGNATURE_LIMIT_BYTES)?;
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    let (text, padding) = raw.split_at(end);
    if padding.iter().any(|byte| *byte != 0) {
        return Err(wrong("something follows its text"));
    }
    String::from_utf8(text.to_vec()).map_err(|_| wrong("it is no text"))
}

#[cfg(test)]
mod tests;
