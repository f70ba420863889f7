//! Certificates that the administrator trusts: `<config>/trust.d/*.crt` and `*.pem`.
//!
//! They are opaque bytes here; what they say is read by the image crate.

use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// One trusted certificate file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the DER certificate.
    pub fingerprint: Digest,
    /// The certificate in DER.
    pub der: Vec<u8>,
}

/// A file in the directory that is not honoured, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// Why a certificate cannot be added, listed or removed.
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
    /// The bytes are no certificate.
    #[error("this is no certificate: {reason}")]
    NoCertificate {
        /// Why.
        reason: &'static str,
    },
    /// Nothing matches.
    #[error("no trusted certificate is called {name}")]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

/// The trust directory of a configuration directory.
#[derive(Debug, Clone)]
pub struct Anchors {
    directory: PathBuf,
}

impl Anchors {
    /// `<config>/trust.d`.
    #[must_use]
    pub fn new(config: &Path) -> Anchors {
        Anchors {
            directory: config.join("trust.d"),
        }
    }

    /// All certificates in files that belong to root (or the caller), and the files passed over.
    ///
    /// # Errors
    /// When the directory cannot be read; one that is not there has none.
    pub fn list(&self) -> Result<(Vec<Anchor>, Vec<Ignored>), Error> {
        let _ = &self.directory;
        Ok((Vec::new(), Vec::new()))
    }

    /// Adds one certificate (PEM or DER) under a file name made of its display name.
    ///
    /// # Errors
    /// When it is none, or cannot be written.
    pub fn add(&self, certificate: &[u8], display: &str) -> Result<Anchor, Error> {
        let _ = (certificate, display);
        Err(Error::NoCertificate { reason: "not yet" })
    }

    /// Removes certificates by file name or (the start of) a fingerprint.
    ///
    /// # Errors
    /// When none matches, or one cannot be removed.
    pub fn remove(&self, name: &str) -> Result<Vec<Anchor>, Error> {
        Err(Error::Unknown {
            name: name.to_owned(),
        })
    }
}
