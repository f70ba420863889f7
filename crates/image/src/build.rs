//! Builds an image from a directory: squashfs, verity, signature; the same input gives the same bytes.
use std::path::Path;

use crate::sign::SigningKey;
use crate::verity::RootHash;

/// How to build.
#[derive(Default)]
pub struct Options<'key> {
    /// Signs the image where given.
    pub key: Option<&'key SigningKey>,
    /// The time of every file, seconds since 1970 (SOURCE_DATE_EPOCH).
    pub epoch_s: u32,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The portable's name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The root hash.
    pub root_hash: RootHash,
    /// The image's length in bytes.
    pub length: u64,
    /// Unit files found in it.
    pub units: Vec<String>,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No unit file belongs to the portable.
    #[error(
        "no unit file named {name}*.service, .socket, .target, .timer or .path in usr/lib/systemd/system"
    )]
    NoUnits {
        /// The portable's name.
        name: String,
    },
}

/// Builds an image from a directory. `output` appears whole or not at all.
///
/// # Errors
/// See [`BuildError`].
pub fn build(
    _directory: &Path,
    _output: &Path,
    _options: &Options<'_>,
) -> Result<Built, BuildError> {
    todo!()
}
