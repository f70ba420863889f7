//! Checks one signature with one public key: RSA (PKCS#1 v1.5) and ECDSA on P-256, SHA-256 in both.

use der::Encode;
use p256::ecdsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256};
use spki::{EncodePublicKey, ObjectIdentifier, SubjectPublicKeyInfoOwned};

/// `rsaEncryption`: the key, and, in PKCS#7, the signature too.
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `sha256WithRSAEncryption`.
pub(super) const RSA_SHA256: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// `ecdsa-with-SHA256`.
pub(super) const ECDSA_SHA256: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// Sizes of RSA keys in bits: smaller is weak, larger makes checking a weapon against the checker.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

/// A public key of a supported kind.
pub(super) enum PublicKey {
    /// RSA.
    Rsa(rsa::PublicKey),
    /// ECDSA on P-256.
    Ecdsa(p256::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// Reads a certificate's key; `None` where the kind or the size is not supported.
    pub(super) fn read(info: &SubjectPublicKeyInfoOwned) -> Option<Self> {
        let der = info.to_der().ok()?;
        let borrowed = spki::SubjectPublicKeyInfoRef::try_from(der.as_slice()).ok()?;
        if let Ok(key) = rsa::PublicKey::try_from(borrowed.clone()) {
            return RSA_BITS
                .contains(&key.n().bit_width())
                .then_some(Self::Rsa(key));
        }
        p256::ecdsa::VerifyingKey::try_from(borrowed)
            .ok()
            .map(Self::Ecdsa)
    }

    /// SHA-256 over the key as a SubjectPublicKeyInfo in its one usual form, hexadecimal.
    pub(super) fn digest(&self) -> Option<String> {
        let der = match self {
            Self::Rsa(key) => key.to_public_key_der(),
            Self::Ecdsa(key) => key.to_public_key_der(),
        };
        Some(crate::hex::encode(&Sha256::digest(der.ok()?.as_bytes())))
    }

    /// Whether `signature` is this key's over `message`, by the named algorithm. In PKCS#7 the bare name of RSA is allowed.
    pub(super) fn verifies(
        &self,
        algorithm: ObjectIdentifier,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        match self {
            Self::Rsa(key) if algorithm == RSA || algorithm == RSA_SHA256 => {
                let key = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(key.clone());
                rsa::pkcs1v15::Signature::try_from(signature)
                    .is_ok_and(|s| key.verify(message, &s).is_ok())
            }
            Self::Ecdsa(key) if algorithm == ECDSA_SHA256 => {
                p256::ecdsa::DerSignature::from_bytes(signature)
                    .is_ok_and(|s| key.verify(message, &s).is_ok())
            }
            _ => false,
        }
    }
}
