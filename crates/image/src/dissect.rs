//! Finds the root file system, its verity data and its signature in an image, from headers alone.

use std::io;

use serde::{Deserialize, Serialize};

use crate::discoverable::Purpose;
use crate::disk::{self, Disk, PROTECTED, Part, Shape};
use crate::gpt::GptError;
use crate::mbr::MbrError;
use crate::probe::Content;
pub use crate::probe::FileSystem;
use crate::source::{Extent, Source};
use crate::verify::Unverified;
use crate::verity::RootHash;

/// The largest signature partition that is read: JSON around a signature of a few kilobytes; the reference allows 4 MiB.
pub const SIGNATURE_LIMIT_BYTES: u64 = 1 << 20;

/// One file system with what protects it. All of it is the image's own claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The file system.
    pub root: Extent,
    /// Its kind, by its magic number.
    pub file_system: FileSystem,
    /// The verity superblock and hash tree.
    pub verity: Option<Extent>,
    /// The verity data are in a file of their own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verity_aside: bool,
    /// The root hash that the partitions' identifiers spell, where there is verity data.
    pub root_hash: Option<RootHash>,
    /// The text of the verity signature partition: JSON.
    pub signature: Option<String>,
    /// The partition's label; none in a bare file system.
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
    /// The older kind of table is wrong.
    #[error(transparent)]
    OldTable(#[from] MbrError),
    /// Neither a table nor a file system.
    #[error("this is no image: neither a partition table nor a file system of a known kind")]
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
    #[error("the {what} holds no known file system")]
    UnknownFileSystem {
        /// Which.
        what: &'static str,
    },
    /// What is known, but not mounted.
    #[error("the {what} holds {kind}, which is not mounted from images")]
    Foreign {
        /// Which.
        what: &'static str,
        /// What it holds.
        kind: &'static str,
    },
    /// Two magic numbers in one place.
    #[error("the {what} looks like {first} and like {second}: ambiguous")]
    TwoFileSystems {
        /// Where.
        what: &'static str,
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

/// Reads all headers of an image: its partition table, or the file system that it is.
///
/// # Errors
/// See [`DissectError`].
pub fn survey<S: Source + ?Sized>(source: &S) -> Result<Unverified<Disk>, DissectError> {
    disk::read(source).map(Unverified::new)
}

/// Finds the root of an image that comes from outside: one of its partitions, or a bare squashfs or erofs.
///
/// # Errors
/// See [`DissectError`].
pub fn dissect<S: Source + ?Sized>(source: &S) -> Result<Unverified<Layout>, DissectError> {
    let disk = disk::read(source)?;
    let root = disk.part(Purpose::Root);
    let root = root.ok_or_else(|| DissectError::NoRoot {
        others: disk.others.clone(),
    })?;
    if disk.shape == Shape::Bare
        && !matches!(root.content, Some(Content::FileSystem(kind)) if !kind.is_writable())
    {
        return Err(DissectError::NoImage);
    }
    layout(&disk, root).map(Unverified::new)
}

/// A partition with what protects it.
///
/// # Errors
/// Where it holds no file system that is mounted.
pub(crate) fn layout(disk: &Disk, part: &Part) -> Result<Layout, DissectError> {
    let what = part.purpose.partition();
    let file_system = match part.content {
        None => return Err(DissectError::UnknownFileSystem { what }),
        Some(Content::Foreign(kind)) => {
            return Err(DissectError::Foreign {
                what,
                kind: kind.name(),
            });
        }
        Some(Content::FileSystem(kind)) => kind,
    };
    let protection = PROTECTED
        .into_iter()
        .find(|(data, ..)| *data == part.purpose);
    let verity = protection.and_then(|(_, verity, _)| disk.part(verity));
    let signature = protection.and_then(|(.., signature)| disk.part(signature));
    Ok(Layout {
        root: part.extent,
        file_system,
        verity: verity.map(|verity| verity.extent),
        verity_aside: false,
        root_hash: verity.map(|verity| RootHash::from_partition_ids(part.id, verity.id)),
        signature: signature.and_then(|signature| signature.text.clone()),
        label: part.label.clone(),
        length: disk.length,
    })
}

#[cfg(test)]
mod tests;
