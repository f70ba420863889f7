//! Signs images, with a key and its certificate from files.
use std::path::Path;

use crate::signature::Signer;

/// A private key with its certificate.
pub struct SigningKey(());

/// Why an image was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It has no verity data.
    #[error("the image has no verity data to sign; build it with coracle build")]
    NoVerity,
}

impl SigningKey {
    /// Reads a key (PKCS#8 PEM, RSA or P-256). Without a certificate's path it is the key's path ending in `.crt`.
    ///
    /// # Errors
    /// Where either can't be read or they do not belong together.
    pub fn load(_key: &Path, _certificate: Option<&Path>) -> Result<Self, SignError> {
        todo!()
    }

    /// Who signs with it.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        todo!()
    }
}

/// Writes a signed copy of an image (signed before or not); `output` may be the image itself, and is replaced atomically.
///
/// # Errors
/// See [`SignError`].
pub fn sign(_image: &Path, _output: &Path, _key: &SigningKey) -> Result<Signer, SignError> {
    todo!()
}
