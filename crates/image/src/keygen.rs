//! Makes a signing key and its self-signed certificate.
use std::path::Path;

use crate::signature::Signer;

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// There is one already.
    #[error("{0} exists; a signing key is never overwritten")]
    Exists(String),
}

/// Writes `signing.key` (PKCS#8 PEM, mode 0600) and `signing.crt` (PEM) into a directory, for a subject of this common name.
///
/// # Errors
/// Where either exists or can't be written.
pub fn generate(_dir: &Path, _common_name: &str) -> Result<Signer, KeygenError> {
    todo!()
}
