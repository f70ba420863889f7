//! Tells what an image is, without mounting it.
use std::fs::File;

use serde::{Deserialize, Serialize};

use crate::dissect::FileSystem;
use crate::signature::Signer;
use crate::tree::Contents;
use crate::verity::RootHash;

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The whole file, bytes.
    pub length: u64,
    /// SHA-256 of the whole file, hexadecimal.
    pub digest: String,
    /// The root file system's kind.
    pub file_system: FileSystem,
    /// Its length in bytes.
    pub root_bytes: u64,
    /// The hash tree's length in bytes.
    pub verity_bytes: Option<u64>,
    /// The root hash, where the image is signed or its partitions carry it.
    pub root_hash: Option<RootHash>,
    /// Whether all data is under that root hash.
    pub intact: bool,
    /// Who signed, by the certificate inside the signature: a claim, not trust.
    pub claimed_signer: Option<Signer>,
    /// os-release and units, where the file system is one that can be read without mounting.
    pub contents: Option<Contents>,
}

/// Why an image can't be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It is no image.
    #[error(transparent)]
    Dissect(#[from] crate::dissect::DissectError),
}

/// Looks at an image.
///
/// # Errors
/// See [`InspectError`].
pub fn inspect(_file: &File) -> Result<Report, InspectError> {
    todo!()
}
