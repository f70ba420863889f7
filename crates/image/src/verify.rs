//! The gate between what an image claims and what may be mounted.
use std::fs::File;

use serde::{Deserialize, Serialize};

use crate::dissect::Layout;
use crate::signature::{Signer, TrustedCertificate};
use crate::verity::RootHash;

/// A claim from outside. It can be shown and it can be verified, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unverified<T>(T);

impl<T> Unverified<T> {
    pub(crate) fn new(claim: T) -> Self {
        Self(claim)
    }

    /// What is claimed, for showing it.
    pub fn claim(&self) -> &T {
        &self.0
    }
}

/// A claim that was proven. Only [`verify`] and [`Record::confirm`] make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    record: Record,
}

impl<T> Verified<T> {
    /// What was proven.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// The proof, for keeping beside the image.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

/// What the administrator accepts for this image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Signed by one of these, or by a certificate that one of these issued.
    Certificates(Vec<TrustedCertificate>),
    /// The whole file has this SHA-256 (64 hexadecimal digits).
    Digest(String),
    /// Anything whose own hashes are right.
    Insecure,
}

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// A trusted signature over the root hash, and the root hash over the data.
    Signed(Signer),
    /// The administrator named this very file.
    Digest,
    /// Nothing: the administrator waived it.
    Insecure,
}

/// What was proven of which file, for the store: checked at attach instead of hashing again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The proven layout.
    pub layout: Layout,
    /// The root hash, where the image has verity data.
    pub root_hash: Option<RootHash>,
    /// What was proven.
    pub assurance: Assurance,
    /// Which file.
    pub identity: Identity,
}

/// What tells a file in a root-only directory from any other and from its own past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub length: u64,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i128,
}

/// Why an image is refused.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The signature is missing, wrong or not trusted.
    #[error(transparent)]
    Signature(#[from] crate::signature::SignatureError),
}

/// Proves an image: signature over the root hash, root hash over all its data.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(
    _file: &File,
    _layout: Unverified<Layout>,
    _trust: &Trust,
) -> Result<Verified<Layout>, VerifyError> {
    todo!()
}

impl Record {
    /// Checks that a file is still the one that was verified: same identity, root's, writable by no one else.
    ///
    /// # Errors
    /// Where it is another file, or one that others could have changed.
    pub fn confirm(self, _file: &File) -> Result<Verified<Layout>, VerifyError> {
        todo!()
    }
}
