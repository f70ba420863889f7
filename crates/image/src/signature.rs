//! The verity signature partition: JSON around a detached PKCS#7 signature over the root hash in hexadecimal.

mod certificate;
mod pkcs7;
mod public_key;

use std::time::SystemTime;

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use crate::verity::{NotARootHash, RootHash};

pub use certificate::{Signer, TrustedCertificate};
pub(crate) use pkcs7::assemble;

/// The largest PKCS#7 signature that is parsed: a few kilobytes with a short chain.
const SIGNATURE_LIMIT_BYTES: usize = 64 * 1024;

/// The largest certificate that is parsed.
const CERTIFICATE_LIMIT_BYTES: usize = 32 * 1024;

/// Why a certificate or a signature is refused.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("the image is not signed")]
    Missing,
    /// The JSON is not what the specification has.
    #[error("the signature partition is not the JSON object that it should be")]
    Json(#[source] serde_json::Error),
    /// Its root hash is none.
    #[error("the signature's root hash is {0}")]
    RootHash(#[from] NotARootHash),
    /// The signature is no PKCS#7 of the expected form.
    #[error("the signature is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// The signer's certificate is none of those that are trusted, and none of them issued it.
    #[error("the image is signed by \"{}\" ({}), which is not trusted", .0.common_name, .0.fingerprint)]
    NotTrusted(Box<Signer>),
    /// The signature says by its issuer and serial number who signed, and that certificate is not here.
    #[error("the image is signed with a certificate that is neither trusted nor in the signature")]
    UnknownSigner,
    /// The mathematics do not hold.
    #[error("the signature is wrong: it was not made by \"{}\" over this root hash", .0.common_name)]
    Wrong(Box<Signer>),
    /// A certificate that can't be read, or must not sign images.
    #[error("the certificate of \"{subject}\" {what}")]
    Certificate {
        /// Its common name, where known.
        subject: String,
        /// What is wrong with it.
        what: String,
    },
    /// Something that is neither PEM nor DER of a certificate.
    #[error("this is no certificate: one in PEM or DER was expected")]
    NoCertificate,
}

/// The partition's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    root_hash: RootHash,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_fingerprint: Option<String>,
    signature: String,
}

/// The partition's JSON for a signature in DER.
pub(crate) fn envelope(root_hash: RootHash, signer: &Signer, signature: &[u8]) -> String {
    let object = Envelope {
        root_hash,
        certificate_fingerprint: Some(signer.fingerprint.clone()),
        signature: Base64::encode_string(signature),
    };
    // Three strings can't fail to be written.
    serde_json::to_string(&object).unwrap_or_default()
}

/// A signature as text has it.
///
/// # Errors
/// Where it is not Base64, or too long.
pub fn from_base64(text: &str) -> Result<Vec<u8>, SignatureError> {
    if text.len() > SIGNATURE_LIMIT_BYTES * 4 / 3 + 4 {
        return Err(damaged("it is larger than 64 KiB"));
    }
    Base64::decode_vec(text).map_err(|_| damaged("it is not Base64"))
}

/// The same for a signature in DER that came in a file of its own, whoever made it.
pub(crate) fn bare_envelope(root_hash: RootHash, signature: &[u8]) -> String {
    let object = Envelope {
        root_hash,
        certificate_fingerprint: None,
        signature: Base64::encode_string(signature),
    };
    // Three strings can't fail to be written.
    serde_json::to_string(&object).unwrap_or_default()
}

fn open(json: &str) -> Result<(Envelope, Vec<u8>), SignatureError> {
    let envelope: Envelope = serde_json::from_str(json).map_err(SignatureError::Json)?;
    if envelope.signature.len() > SIGNATURE_LIMIT_BYTES * 4 / 3 + 4 {
        return Err(damaged("it is larger than 64 KiB"));
    }
    let der = Base64::decode_vec(&envelope.signature).map_err(|_| damaged("it is not Base64"))?;
    Ok((envelope, der))
}

/// Checks the text of a verity signature partition: says who signed which root hash. `now` is for the certificates' validity.
///
/// # Errors
/// See [`SignatureError`].
pub fn check(
    json: &str,
    trusted: &[TrustedCertificate],
    now: SystemTime,
) -> Result<(RootHash, Signer), SignatureError> {
    let (envelope, der) = open(json)?;
    let signer = pkcs7::verify(
        &der,
        envelope.root_hash.to_string().as_bytes(),
        trusted,
        now,
    )?;
    if envelope
        .certificate_fingerprint
        .is_some_and(|claimed| claimed != signer.fingerprint)
    {
        return Err(damaged("its fingerprint is that of another certificate"));
    }
    Ok((envelope.root_hash, signer))
}

/// Checks a detached signature over any content; says who signed.
pub(crate) fn check_content(
    signature: &[u8],
    content: &[u8],
    trusted: &[TrustedCertificate],
    now: SystemTime,
) -> Result<Signer, SignatureError> {
    pkcs7::verify(signature, content, trusted, now)
}

/// The root hash and the signer that a signature partition names, proven by nothing.
///
/// # Errors
/// Where it is no signature partition.
pub fn claims(json: &str) -> Result<(RootHash, Option<Signer>), SignatureError> {
    claims_among(json, &[])
}

/// The same, with who issued the signer's certificate, where that one is among these or in the signature itself.
///
/// # Errors
/// Where it is no signature partition.
pub fn claims_among(
    json: &str,
    known: &[TrustedCertificate],
) -> Result<(RootHash, Option<Signer>), SignatureError> {
    let (envelope, der) = open(json)?;
    Ok((envelope.root_hash, pkcs7::claimed_signer(&der, known)?))
}

/// Whether a signature partition speaks of this root hash, as it says itself.
pub(crate) fn names(json: &str, root_hash: RootHash) -> bool {
    serde_json::from_str::<Envelope>(json).is_ok_and(|envelope| envelope.root_hash == root_hash)
}

fn damaged(what: &'static str) -> SignatureError {
    SignatureError::Damaged { what }
}

#[cfg(test)]
mod tests;
