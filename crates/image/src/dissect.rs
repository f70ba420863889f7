//! Finds the root file system, its verity data and its signature in an image, from headers alone.
use serde::{Deserialize, Serialize};

use crate::gpt::GptError;
use crate::source::{Extent, Source};
use crate::verify::Unverified;

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

/// What was found where. All of it is the image's own claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The root file system.
    pub root: Extent,
    /// Its kind, by its magic number.
    pub file_system: FileSystem,
    /// The verity superblock and hash tree.
    pub verity: Option<Extent>,
    /// The text of the verity signature partition: JSON.
    pub signature: Option<String>,
    /// The root partition's label.
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
}

/// Reads an image's headers: GPT, or a bare squashfs or erofs.
///
/// # Errors
/// See [`DissectError`].
pub fn dissect<S: Source + ?Sized>(_source: &S) -> Result<Unverified<Layout>, DissectError> {
    todo!()
}
