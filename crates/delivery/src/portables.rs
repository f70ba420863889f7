//! What the host knows of each portable: `<state>/portables/NAME/portable.json`, and `<state>/remembered`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::grants::Grants;

/// One portable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portable {
    /// Its name, from os-release inside the verified root.
    pub name: String,
    /// The version in use.
    pub current: String,
    /// The versions that are stored.
    pub versions: BTreeMap<String, Version>,
    /// The signer that is pinned: fingerprint and display name; none where `--insecure` or a digest was used.
    pub signer: Option<Signer>,
    /// How it was allowed in.
    pub trust: Trust,
    /// Where it came from: URL or path.
    pub origin: String,
    /// What the administrator consented to, for this signer.
    pub grants: Grants,
    /// What `configure` set, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, Vec<String>>,
    /// Whether it starts at boot.
    #[serde(default)]
    pub enabled: bool,
}

/// One version of a portable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The image in the store; none for a directory.
    pub image: Option<Digest>,
    /// The directory, where the portable is one.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// The verity root hash in hexadecimal digits.
    #[serde(default)]
    pub root_hash: Option<String>,
    /// The names of its units.
    pub units: Vec<String>,
    /// When it was installed, microseconds since the epoch.
    pub installed_us: u64,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// Its display name.
    pub name: String,
}

/// How an image was allowed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// A valid signature by a trusted certificate.
    Signed,
    /// `--trust-digest=`.
    Digest,
    /// `--insecure`.
    Insecure,
    /// A directory that belongs to root.
    Directory,
}

/// The one line that is kept after a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The portable's name.
    pub name: String,
    /// The pinned signer's fingerprint.
    pub signer: Option<Digest>,
    /// The highest version ever installed.
    pub highest: String,
}

/// Why the records cannot be read or written, or what they forbid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A record is damaged.
    #[error("the record {} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The name cannot be a portable's.
    #[error("{name:?} cannot be a portable's name")]
    Name {
        /// The name.
        name: String,
    },
    /// An older version than was ever installed.
    #[error("{name} {version} is older than {highest}, which was installed before")]
    Downgrade {
        /// The portable.
        name: String,
        /// The version offered.
        version: String,
        /// The highest ever installed.
        highest: String,
    },
    /// Another signer than the pinned one.
    #[error("{name} was signed by {pinned} until now, and this image is not")]
    OtherSigner {
        /// The portable.
        name: String,
        /// The pinned signer.
        pinned: Digest,
    },
}

/// The records of a state directory.
#[derive(Debug, Clone)]
pub struct Portables {
    state: PathBuf,
}

impl Portables {
    /// The records below `<state>`.
    #[must_use]
    pub fn new(state: &Path) -> Portables {
        Portables {
            state: state.to_owned(),
        }
    }

    /// The record of one portable.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn get(&self, name: &str) -> Result<Option<Portable>, Error> {
        let _ = (name, &self.state);
        Ok(None)
    }

    /// All records, by name.
    ///
    /// # Errors
    /// As [`Portables::get`].
    pub fn list(&self) -> Result<Vec<Portable>, Error> {
        Ok(Vec::new())
    }

    /// Writes a record, atomically, and raises the remembered line to its current version.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, portable: &Portable) -> Result<(), Error> {
        let _ = portable;
        Ok(())
    }

    /// What is remembered of a name.
    ///
    /// # Errors
    /// As [`Portables::get`].
    pub fn remembered(&self, name: &str) -> Result<Option<Remembered>, Error> {
        let _ = name;
        Ok(None)
    }

    /// Drops what is remembered of a name (`--forget`).
    ///
    /// # Errors
    /// As [`Portables::put`].
    pub fn forget(&self, name: &str) -> Result<(), Error> {
        let _ = name;
        Ok(())
    }

    /// Checks a version about to be installed against what is remembered.
    ///
    /// # Errors
    /// [`Error::Downgrade`] unless allowed; [`Error::OtherSigner`] unless allowed.
    pub fn check(
        &self,
        name: &str,
        version: &str,
        signer: Option<&Signer>,
        allowed: Allowed,
    ) -> Result<(), Error> {
        let _ = (name, version, signer, allowed);
        Ok(())
    }
}

/// What the administrator said on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// `--allow-downgrade`.
    pub downgrade: bool,
    /// Another signer was answered with yes.
    pub other_signer: bool,
}
