//! The verity signature partition: JSON around a detached PKCS#7 signature over the root hash in hexadecimal.
use serde::{Deserialize, Serialize};

use crate::verity::RootHash;

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The common name of the certificate's subject.
    pub common_name: String,
    /// SHA-256 over the certificate's DER, lower-case hexadecimal.
    pub fingerprint: String,
}

/// A certificate that the administrator trusts, DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrustedCertificate(Vec<u8>);

/// Why a certificate or a signature is refused.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Nothing here.
    #[error("the image is not signed")]
    Missing,
}

impl TrustedCertificate {
    /// Reads one certificate, PEM or DER.
    ///
    /// # Errors
    /// Where it is neither, too large, or of a kind that can't sign images.
    pub fn parse(_bytes: &[u8]) -> Result<Self, SignatureError> {
        todo!()
    }

    /// Its name and fingerprint.
    ///
    /// # Errors
    /// Where it has no readable subject.
    pub fn signer(&self) -> Result<Signer, SignatureError> {
        todo!()
    }
}

/// Checks the text of a verity signature partition. Says who signed which root hash.
///
/// # Errors
/// See [`SignatureError`].
pub fn check(
    _json: &str,
    _trusted: &[TrustedCertificate],
) -> Result<(RootHash, Signer), SignatureError> {
    todo!()
}
