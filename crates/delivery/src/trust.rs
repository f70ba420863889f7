//! Certificates that the administrator trusts: `<config>/trust.d/*.crt` and `*.pem`.
//!
//! They are opaque bytes here; what they say is read by the image crate.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::value::Bytes;

use crate::digest::Digest;
use crate::digests::{Digests, others_could_write};
use crate::files::{
    FileError, entries, failed, make_open_directory, read_if_there, remove_if_there, replace,
};

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
    #[error(transparent)]
    File(#[from] FileError),
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
    revoked: Digests,
}

impl Anchors {
    /// `<config>/trust.d`.
    #[must_use]
    pub fn new(config: &Path) -> Anchors {
        Anchors {
            directory: config.join("trust.d"),
            revoked: Digests::revoked(config),
        }
    }

    /// All certificates in files that belong to root (or the caller), and the files passed over.
    ///
    /// # Errors
    /// When the directory cannot be read; one that is not there has none.
    pub fn list(&self) -> Result<(Vec<Anchor>, Vec<Ignored>), Error> {
        let (mut anchors, mut ignored) = (Vec::new(), Vec::new());
        for path in entries(&self.directory)?
            .into_iter()
            .filter(|path| is_certificate_name(path))
        {
            match read(&path)? {
                Ok(anchor) => anchors.push(anchor),
                Err(reason) => ignored.push(Ignored { path, reason }),
            }
        }
        Ok((anchors, ignored))
    }

    /// Those that count: all but the revoked ones.
    ///
    /// # Errors
    /// As [`Anchors::list`].
    pub fn honoured(&self) -> Result<Vec<Anchor>, Error> {
        let mut honoured = Vec::new();
        for anchor in self.list()?.0 {
            if self.revoked.get(&anchor.fingerprint)?.is_none() {
                honoured.push(anchor);
            }
        }
        Ok(honoured)
    }

    /// Adds one certificate (PEM or DER) under a file name made of its display name.
    ///
    /// # Errors
    /// When it is none, or cannot be written.
    pub fn add(&self, certificate: &[u8], display: &str) -> Result<Anchor, Error> {
        let der = to_der(certificate).map_err(|reason| Error::NoCertificate { reason })?;
        let fingerprint = Digest::of(&der);
        if let Some(known) = self
            .list()?
            .0
            .into_iter()
            .find(|anchor| anchor.fingerprint == fingerprint)
        {
            return Ok(known);
        }
        make_open_directory(&self.directory)?;
        let path = self.directory.join(file_name(display, &fingerprint));
        replace(&path, to_pem(&der).as_bytes(), 0o644)?;
        Ok(Anchor {
            path,
            fingerprint,
            der,
        })
    }

    /// Removes certificates by file name or (the start of) a fingerprint.
    ///
    /// # Errors
    /// When none matches, or one cannot be removed.
    pub fn remove(&self, name: &str) -> Result<Vec<Anchor>, Error> {
        let hex = name
            .strip_prefix("sha256:")
            .unwrap_or(name)
            .to_ascii_lowercase();
        let is_start = hex.len() >= FINGERPRINT_START_MIN_DIGITS;
        let named = |anchor: &Anchor| {
            anchor.path.file_name().is_some_and(|file| file == name)
                || (is_start && anchor.fingerprint.hex().starts_with(&hex))
        };
        let chosen: Vec<Anchor> = self.list()?.0.into_iter().filter(named).collect();
        if chosen.is_empty() {
            return Err(Error::Unknown {
                name: name.to_owned(),
            });
        }
        for anchor in &chosen {
            remove_if_there(&anchor.path)?;
        }
        Ok(chosen)
    }
}

/// Fewest digits that name a certificate: fewer could mean another one tomorrow.
pub(crate) const FINGERPRINT_START_MIN_DIGITS: usize = 8;
/// Largest certificate, in bytes; the longest chains of extensions stay far below.
const CERTIFICATE_MAX_BYTES: u64 = 64 * 1024;
/// Longest part of a display name in a file name.
const FILE_NAME_MAX_CHARS: usize = 60;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

fn is_certificate_name(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden
        && path
            .extension()
            .is_some_and(|ending| ending == "crt" || ending == "pem")
}

/// Reads a certificate's file, or says why it is not honoured.
fn read(path: &Path) -> Result<Result<Anchor, String>, Error> {
    let metadata = path.symlink_metadata().map_err(failed("look at", path))?;
    if let Some(reason) = why_not_honoured(&metadata) {
        return Ok(Err(reason));
    }
    let content = read_if_there(path, CERTIFICATE_MAX_BYTES)?.unwrap_or_default();
    Ok(to_der(&content)
        .map(|der| Anchor {
            path: path.to_owned(),
            fingerprint: Digest::of(&der),
            der,
        })
        .map_err(str::to_owned))
}

/// Why what a file says is not believed, if it is not: others than root could have written it.
pub(crate) fn why_not_honoured(metadata: &std::fs::Metadata) -> Option<String> {
    if !metadata.is_file() {
        return Some("it is no plain file".to_owned());
    }
    others_could_write(metadata).then(|| {
        format!(
            "others than root could change it (owner {}, mode {:o})",
            metadata.uid(),
            metadata.mode() & 0o7777
        )
    })
}

/// `Example Maker` becomes `example-maker-9f3c2a11.crt`.
fn file_name(display: &str, fingerprint: &Digest) -> String {
    let words: String = display
        .chars()
        .take(FILE_NAME_MAX_CHARS)
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let start: String = fingerprint
        .hex()
        .chars()
        .take(FINGERPRINT_START_MIN_DIGITS)
        .collect();
    format!("{}-{start}.crt", words.trim_matches('-'))
}

/// The DER bytes of a certificate, PEM or DER; what is in them is not looked at but for the outermost length.
fn to_der(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let der = match std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.split_once(BEGIN))
    {
        Some((_, rest)) => decode_base64(
            rest.split_once(END)
                .ok_or("the end of the PEM block is missing")?
                .0,
        )?,
        None => bytes.to_vec(),
    };
    // An X.509 certificate is a SEQUENCE whose two length bytes count the rest (ITU-T X.690, 8.1.3).
    match der.as_slice() {
        [0x30, 0x82, high, low, rest @ ..]
            if rest.len() == usize::from(*high) << 8 | usize::from(*low) =>
        {
            Ok(der)
        }
        _ => Err("it is neither PEM nor DER"),
    }
}

fn decode_base64(text: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = Bytes::parse_base64(text).map_err(|_| "the PEM block is not Base64")?;
    Ok(bytes.0)
}

fn to_pem(der: &[u8]) -> String {
    let lines: String = der
        .chunks(48)
        .map(|line| Bytes(line.to_vec()).print_base64() + "\n")
        .collect();
    format!("{BEGIN}\n{lines}{END}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SEQUENCE of that many bytes: a certificate as far as this file knows.
    fn der(length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        let body = (0..length).map(|number| number.to_le_bytes()[0]);
        [0x30, 0x82, high, low].into_iter().chain(body).collect()
    }

    #[test]
    fn pem_is_the_other_form_of_der() {
        for length in [300, 301, 302, 1000] {
            assert_eq!(
                to_der(to_pem(&der(length)).as_bytes()).unwrap(),
                der(length)
            );
        }
        assert!(
            to_der(b"nonsense").is_err()
                && to_der(b"").is_err()
                && to_der(&der(300)[..200]).is_err()
        );
    }

    #[test]
    fn certificates_are_added_once_listed_and_removed() {
        let config = tempfile::tempdir().unwrap();
        let anchors = Anchors::new(config.path());
        assert_eq!(anchors.list().unwrap().0, []);
        let added = anchors.add(&der(300), "Example Maker").unwrap();
        assert!(
            added
                .path
                .ends_with(file_name("Example Maker", &added.fingerprint))
        );
        assert_eq!(
            anchors.add(to_pem(&der(300)).as_bytes(), "Other").unwrap(),
            added
        );
        assert_eq!(anchors.list().unwrap().0, std::slice::from_ref(&added));
        assert!(matches!(anchors.remove("12"), Err(Error::Unknown { .. })));
        assert_eq!(
            anchors.remove(&added.fingerprint.hex()[..10]).unwrap(),
            [added]
        );
        assert_eq!(anchors.list().unwrap().0, []);
    }

    #[test]
    fn a_file_that_others_can_write_is_not_honoured() {
        use std::os::unix::fs::PermissionsExt;
        let config = tempfile::tempdir().unwrap();
        let anchors = Anchors::new(config.path());
        let added = anchors.add(&der(300), "Example").unwrap();
        std::fs::set_permissions(&added.path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let (trusted, ignored) = anchors.list().unwrap();
        assert_eq!((trusted.len(), ignored.len()), (0, 1));
    }
}
