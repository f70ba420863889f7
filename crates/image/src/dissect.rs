//! Finds the root file system, its verity data and its signature in an image, from headers alone.

use std::io;

use serde::{Deserialize, Serialize};

use crate::discoverable::Purpose;
use crate::disk::{self, Disk, PROTECTED, Part, Shape};
use crate::gpt::GptError;
use crate::guid::Guid;
use crate::mbr::MbrError;
use crate::probe::Content;
pub use crate::probe::FileSystem;
use crate::signature;
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
    /// A file system alone that is for the administrator's own images.
    #[error(
        "this is {kind}: of images that come in only squashfs and erofs are mounted, as the kernel's readers of the others are not made for hostile bytes; RootImage= of a unit of the administrator's own takes it"
    )]
    Writable {
        /// The kernel's name.
        kind: &'static str,
    },
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
    /// Two versions that are one.
    #[error(
        "the image has two {what} partitions of the same version, labelled {first:?} and {second:?}: ambiguous"
    )]
    SameVersion {
        /// Of which kind.
        what: &'static str,
        /// The label of one.
        first: String,
        /// The label of the other.
        second: String,
    },
    /// More versions than are looked into.
    #[error("the image has {count} {what} partitions, of which at most 16 are looked into")]
    Versions {
        /// Of which kind.
        what: &'static str,
        /// How many.
        count: usize,
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
    let root = disk.part(Purpose::Root)?;
    let root = root.ok_or_else(|| DissectError::NoRoot {
        others: disk.others.clone(),
    })?;
    if disk.shape == Shape::Bare {
        match root.content {
            Some(Content::FileSystem(kind)) if kind.is_writable() => {
                return Err(DissectError::Writable { kind: kind.name() });
            }
            Some(Content::FileSystem(_)) => {}
            _ => return Err(DissectError::NoImage),
        }
    }
    layout(&disk, root, None).map(Unverified::new)
}

/// A partition with what protects it: what is called as the root hash has it, where one is given, else the newest of what there is.
///
/// # Errors
/// Where it holds no file system that is mounted, or two things protect it.
pub(crate) fn layout(
    disk: &Disk,
    part: &Part,
    wanted: Option<RootHash>,
) -> Result<Layout, DissectError> {
    let what = part.purpose.partition();
    let protection = PROTECTED
        .into_iter()
        .find(|(data, ..)| *data == part.purpose);
    let (verity, signature) = match protection {
        Some((_, verity, signature)) => {
            let id = wanted.map(|hash| hash.partition_ids().1);
            (chosen(disk, verity, id)?, Some(signature))
        }
        None => (None, None),
    };
    let root_hash = verity.map(|verity| RootHash::from_partition_ids(part.id, verity.id));
    let signature = signature
        .map(|purpose| of_root_hash(disk, purpose, wanted.or(root_hash)))
        .transpose()?;
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
    Ok(Layout {
        root: part.extent,
        file_system,
        verity: verity.map(|verity| verity.extent),
        verity_aside: false,
        root_hash,
        signature: signature.flatten().and_then(|part| part.text.clone()),
        label: part.label.clone(),
        length: disk.length,
    })
}

/// The partition of a purpose that is called so, else the newest one.
pub(crate) fn chosen(
    disk: &Disk,
    purpose: Purpose,
    id: Option<Guid>,
) -> Result<Option<&Part>, DissectError> {
    match id.and_then(|id| disk.named(purpose, id)) {
        Some(named) => Ok(Some(named)),
        None => disk.part(purpose),
    }
}

/// The signature that speaks of the root hash, else the newest one, which is refused where it is looked at.
fn of_root_hash(
    disk: &Disk,
    purpose: Purpose,
    root_hash: Option<RootHash>,
) -> Result<Option<&Part>, DissectError> {
    let speaks = |part: &&Part| {
        let text = part.text.as_deref().unwrap_or_default();
        root_hash.is_some_and(|hash| signature::names(text, hash))
    };
    match disk.versions(purpose).find(speaks) {
        Some(signature) => Ok(Some(signature)),
        None => disk.part(purpose),
    }
}

#[cfg(test)]
mod tests;
