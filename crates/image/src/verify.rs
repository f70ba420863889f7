//! The gate between what an image claims and what may be mounted.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::crew::Crew;
use crate::dissect::Layout;
use crate::signature::{self, SignatureError, Signer, TrustedCertificate};
use crate::source::{Extent, FileSource, Source};
use crate::verity::{self, RootHash, VerityError};

/// Images are hashed in pieces of this many bytes.
const PIECE_BYTES: u64 = 256 * 1024;

/// A claim from outside. It can be shown and it can be verified, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unverified<T>(T);

impl<T> Unverified<T> {
    pub(crate) fn new(claim: T) -> Self {
        Self(claim)
    }

    /// A part of what was claimed, chosen by whoever read the claim.
    pub fn claimed(part: T) -> Self {
        Self(part)
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
    /// One of the two, where the signature that nobody asked for may be a reason to keep it out: by these certificates is told who
    /// issued that of its signer.
    Waived {
        /// This very file, where one was named.
        digest: Option<String>,
        /// Certificates that the administrator trusts, or trusted.
        known: Vec<TrustedCertificate>,
    },
}

impl Trust {
    fn known(&self) -> &[TrustedCertificate] {
        match self {
            Trust::Waived { known, .. } => known,
            Trust::Certificates(_) | Trust::Digest(_) | Trust::Insecure => &[],
        }
    }
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
    /// Who signed as the image says, where that was not asked for: proven by nothing, and good for keeping it out only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Signer>,
    /// Which file.
    pub identity: Identity,
    /// The hash tree, where there is one: what the kernel needs to check what is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Tree>,
    /// Nobody has looked at the data: the kernel must, at each read, or it must not be mounted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_kernel: bool,
}

/// A hash tree, as dm-verity is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// How large its blocks are; a note of before other sizes were known has none.
    #[serde(default)]
    pub blocks: verity::Blocks,
    /// How many data blocks it covers.
    pub data_blocks: u64,
    /// What every hash begins with, hexadecimal.
    pub salt: String,
}

/// Who looks at the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// This process, at once and all of it.
    Whole,
    /// The kernel, whenever some of it is read.
    ByKernel,
}

/// What tells a file in a root-only directory from any other and from its own past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub length: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i64,
}

/// Why an image is refused.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The signature is missing, wrong or not trusted.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The data are not what the root hash promises.
    #[error(transparent)]
    Verity(#[from] VerityError),
    /// The partitions' identifiers are of another root hash than the signature.
    #[error("the signature is over root hash {signed}, the partitions are named after {named}")]
    OtherRootHash {
        /// From the signature.
        signed: RootHash,
        /// From the identifiers.
        named: RootHash,
    },
    /// The whole file's digest is another.
    #[error("the image is sha256:{found}, not sha256:{expected}")]
    Digest {
        /// What was asked for.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The file is not the one that was verified.
    #[error("the image was changed or replaced after it was verified")]
    Changed,
    /// The file could be changed under our hands.
    #[error("the image can be changed by others than its owner, or belongs to another user")]
    Exposed,
    /// The file can't be read.
    #[error("cannot read the image")]
    Read(#[from] io::Error),
}

/// Proves an image: signature over the root hash, root hash over all its data.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(
    file: &File,
    layout: &Unverified<Layout>,
    trust: &Trust,
) -> Result<Verified<Layout>, VerifyError> {
    verify_with((file, &Crew::default()), None, layout, trust, How::Whole)
}

/// The same with threads that hash, with the verity data in a file of their own where the layout says so, and the data left to the kernel where
/// it looks at them.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify_with(
    (file, crew): (&File, &Crew),
    aside: Option<&File>,
    layout: &Unverified<Layout>,
    trust: &Trust,
    how: How,
) -> Result<Verified<Layout>, VerifyError> {
    let identity = Identity::of(file)?;
    let source = FileSource::new(file)?.hashed_by(crew);
    let layout = layout.claim().clone();
    let aside = match (layout.verity_aside, aside) {
        (true, Some(file)) => Some(FileSource::new(file)?),
        (true, None) => return Err(VerityError::NoSuperblock.into()),
        (false, _) => None,
    };
    let data = Data {
        source: &source,
        hashes: aside.as_ref().unwrap_or(&source),
        layout: &layout,
        how,
    };
    let (root_hash, assurance) = match trust {
        Trust::Certificates(trusted) => data.signed(trusted)?,
        Trust::Digest(expected)
        | Trust::Waived {
            digest: Some(expected),
            ..
        } => {
            same_digest(&source, expected)?;
            (data.intact()?, Assurance::Digest)
        }
        Trust::Insecure | Trust::Waived { digest: None, .. } => {
            (data.intact()?, Assurance::Insecure)
        }
    };
    let tree = data.tree()?;
    if Identity::of(file)? != identity {
        return Err(VerifyError::Changed);
    }
    let claims = || {
        signature::claims_among(layout.signature.as_ref()?, trust.known())
            .ok()?
            .1
    };
    let record = Record {
        layout: layout.clone(),
        root_hash,
        claimed: match assurance {
            Assurance::Signed(_) => None,
            Assurance::Digest | Assurance::Insecure => claims(),
        },
        assurance,
        identity,
        tree,
        by_kernel: how == How::ByKernel,
    };
    Ok(Verified {
        value: layout,
        record,
    })
}

/// What is proven, and where its hashes are.
struct Data<'a, S: ?Sized> {
    source: &'a S,
    hashes: &'a S,
    layout: &'a Layout,
    how: How,
}

impl<S: Source + ?Sized> Data<'_, S> {
    fn signed(
        &self,
        trusted: &[TrustedCertificate],
    ) -> Result<(Option<RootHash>, Assurance), VerifyError> {
        let json = self
            .layout
            .signature
            .as_ref()
            .ok_or(SignatureError::Missing)?;
        let (root_hash, signer) = signature::check(json, trusted, SystemTime::now())?;
        let verity = self.layout.verity.ok_or(SignatureError::Missing)?;
        match self.layout.root_hash {
            Some(named) if named != root_hash => {
                return Err(VerifyError::OtherRootHash {
                    signed: root_hash,
                    named,
                });
            }
            _ => self.check(verity, root_hash)?,
        }
        Ok((Some(root_hash), Assurance::Signed(signer)))
    }

    /// Where there is verity data, the data must be those that it promises, trusted or not.
    fn intact(&self) -> Result<Option<RootHash>, VerifyError> {
        if let (Some(verity), Some(named)) = (self.layout.verity, self.layout.root_hash) {
            self.check(verity, named)?;
        }
        Ok(self.layout.root_hash)
    }

    fn check(&self, verity: Extent, expected: RootHash) -> Result<(), VerityError> {
        match self.how {
            How::Whole => {
                verity::verify_aside(self.source, self.layout.root, self.hashes, verity, expected)
            }
            How::ByKernel => Ok(()),
        }
    }

    fn tree(&self) -> Result<Option<Tree>, VerityError> {
        let Some(verity) = self.layout.verity else {
            return Ok(None);
        };
        let superblock = verity::superblock(self.hashes, verity, self.layout.root)?;
        Ok(Some(Tree {
            blocks: superblock.blocks,
            data_blocks: superblock.data_blocks,
            salt: crate::hex::encode(&superblock.salt),
        }))
    }
}

fn same_digest<S: Source + ?Sized>(source: &S, expected: &str) -> Result<(), VerifyError> {
    let found = digest(source)?;
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(VerifyError::Digest {
        expected: expected.into(),
        found,
    })
}

/// SHA-256 over everything, hexadecimal.
pub(crate) fn digest<S: Source + ?Sized>(source: &S) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut offset = 0;
    while offset < source.length() {
        let length = PIECE_BYTES.min(source.length() - offset);
        hasher.update(source.read_extent(Extent { offset, length }, PIECE_BYTES)?);
        offset += length;
    }
    Ok(crate::hex::encode(&hasher.finalize()))
}

impl Identity {
    /// What a file is now.
    ///
    /// # Errors
    /// Where it can't be asked.
    pub fn of(file: &File) -> io::Result<Self> {
        let status = rustix::fs::fstat(file)?;
        let ns = |seconds: i64, ns: u64| {
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add_unsigned(ns)
        };
        Ok(Self {
            inode: status.st_ino,
            length: u64::try_from(status.st_size).unwrap_or_default(),
            mtime_ns: ns(status.st_mtime, status.st_mtime_nsec),
            ctime_ns: ns(status.st_ctime, status.st_ctime_nsec),
        })
    }
}

impl Record {
    /// Checks that a file is still the one that was verified: same identity, root's or the caller's own, writable by no one else.
    ///
    /// # Errors
    /// Where it is another file, or one that others could have changed.
    pub fn confirm(self, file: &File) -> Result<Verified<Layout>, VerifyError> {
        let status = rustix::fs::fstat(file).map_err(io::Error::from)?;
        let own = [0, rustix::process::geteuid().as_raw()].contains(&status.st_uid);
        if !FileType::from_raw_mode(status.st_mode).is_file() || !own || status.st_mode & 0o022 != 0
        {
            return Err(VerifyError::Exposed);
        }
        if Identity::of(file)? != self.identity {
            return Err(VerifyError::Changed);
        }
        Ok(Verified {
            value: self.layout.clone(),
            record: self,
        })
    }

    /// The record for another file of the same bytes: the store, which names files by their digest, had it already.
    ///
    /// # Errors
    /// Where the file can't be looked at.
    pub fn of_equal(&self, file: &File) -> Result<Self, VerifyError> {
        Ok(Self {
            identity: Identity::of(file)?,
            ..self.clone()
        })
    }

    /// The record of the same file after it was renamed, which changes nothing but its change time.
    ///
    /// # Errors
    /// Where it is another file, or was written to.
    pub fn moved_to(&self, file: &File) -> Result<Self, VerifyError> {
        let now = Identity::of(file)?;
        if now
            != (Identity {
                ctime_ns: now.ctime_ns,
                ..self.identity
            })
        {
            return Err(VerifyError::Changed);
        }
        Ok(Self {
            identity: now,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests;
