//! Certificates: whose they are, what they may do, who issued them.

use std::time::SystemTime;

use der::asn1::BitString;
use der::oid::AssociatedOid;
use der::{Any, Decode, DecodePem, Encode, Tag};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use spki::ObjectIdentifier;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::public_key::PublicKey;
use super::{CERTIFICATE_LIMIT_BYTES, SignatureError};

const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// Critical extensions that are understood here; any other forbids the certificate's use.
const UNDERSTOOD: [ObjectIdentifier; 3] =
    [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID];

/// The longest common name that is shown.
const NAME_LIMIT_CHARS: usize = 128;

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The common name of the certificate's subject.
    pub common_name: String,
    /// SHA-256 over the certificate's DER, lower-case hexadecimal.
    pub fingerprint: String,
    /// The fingerprint of the authority that issued it, where not the certificate itself is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// SHA-256 over its public key (SubjectPublicKeyInfo); empty where it was recorded before that was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// What revokes it beside the fingerprints: its key, the same certificate with its signature in the other form that is as
    /// good (of ECDSA there are two), and the same of the issuer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kin: Vec<String>,
}

/// A certificate that the administrator trusts, DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustedCertificate(Vec<u8>);

impl TrustedCertificate {
    /// Reads one certificate, PEM or DER. It must be able to sign images or to issue certificates that do.
    ///
    /// # Errors
    /// Where it is neither, too large, or of a kind that can't sign images.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() > CERTIFICATE_LIMIT_BYTES {
            return Err(SignatureError::NoCertificate);
        }
        let certificate = Certificate::from_pem(bytes).or_else(|_| Certificate::from_der(bytes));
        let certificate = Checked::new(certificate.map_err(|_| SignatureError::NoCertificate)?)?;
        if certificate.is_authority().is_err() {
            certificate.may_sign()?;
        }
        Ok(Self(certificate.der))
    }

    /// Its name and fingerprint.
    ///
    /// # Errors
    /// Where it has no readable subject.
    pub fn signer(&self) -> Result<Signer, SignatureError> {
        Ok(self.open()?.signer)
    }

    /// Until when it is valid, and whether it is at this moment.
    ///
    /// # Errors
    /// Where it has no readable subject.
    pub fn validity(
        &self,
        now: SystemTime,
    ) -> Result<(String, Result<(), SignatureError>), SignatureError> {
        let opened = self.open()?;
        let end = opened.certificate.tbs_certificate().validity().not_after;
        Ok((end.to_date_time().to_string(), opened.is_valid_at(now)))
    }

    /// Refuses what is no signer's own: an authority, or what must not sign.
    ///
    /// # Errors
    /// Where it is one.
    pub(crate) fn is_of_a_signer(&self) -> Result<(), SignatureError> {
        let opened = self.open()?;
        if opened.is_authority().is_ok() {
            return Err(opened.wrong("is a certification authority's, and a signer's was expected"));
        }
        opened.may_sign()
    }

    /// Its DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn open(&self) -> Result<Checked, SignatureError> {
        Checked::new(Certificate::from_der(&self.0).map_err(|_| SignatureError::NoCertificate)?)
    }
}

impl TryFrom<String> for TrustedCertificate {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Self, SignatureError> {
        crate::hex::decode(&text)
            .map(Self)
            .ok_or(SignatureError::NoCertificate)
    }
}

impl From<TrustedCertificate> for String {
    fn from(certificate: TrustedCertificate) -> Self {
        crate::hex::encode(&certificate.0)
    }
}

/// A certificate with a readable name and a key of a supported kind.
pub(super) struct Checked {
    pub(super) certificate: Certificate,
    pub(super) signer: Signer,
    pub(super) key: PublicKey,
    der: Vec<u8>,
}

impl Checked {
    pub(super) fn new(certificate: Certificate) -> Result<Self, SignatureError> {
        let der = certificate
            .to_der()
            .map_err(|_| SignatureError::NoCertificate)?;
        let fingerprint = crate::hex::encode(&Sha256::digest(&der));
        let tbs = certificate.tbs_certificate();
        let common_name = common_name(&certificate)
            .ok_or_else(|| wrong(&fingerprint, "has no readable common name"))?;
        let key = PublicKey::read(tbs.subject_public_key_info());
        let key = key.ok_or_else(|| {
            wrong(
                &common_name,
                "has no RSA key of 2048 to 4096 bits and no P-256 key",
            )
        })?;
        let digest = key
            .digest()
            .ok_or_else(|| wrong(&common_name, "has a key that can't be written"))?;
        let twin = twin(&certificate).map(|der| crate::hex::encode(&Sha256::digest(der)));
        let signer = Signer {
            common_name,
            fingerprint,
            issuer: None,
            kin: std::iter::once(digest.clone()).chain(twin).collect(),
            key: digest,
        };
        let checked = Self {
            certificate,
            signer,
            key,
            der,
        };
        checked.extensions_are_understood()?;
        Ok(checked)
    }

    fn extensions_are_understood(&self) -> Result<(), SignatureError> {
        let extensions = self
            .certificate
            .tbs_certificate()
            .extensions()
            .into_iter()
            .flatten();
        match extensions
            .into_iter()
            .any(|e| e.critical && !UNDERSTOOD.contains(&e.extn_id))
        {
            true => Err(self.wrong("has a critical extension that is not understood here")),
            false => Ok(()),
        }
    }

    /// Key usage and extended key usage, where present, must allow signing code.
    pub(super) fn may_sign(&self) -> Result<(), SignatureError> {
        let usage = self.extension::<KeyUsage>()?;
        if usage.is_some_and(|usage| !usage.digital_signature()) {
            return Err(self.wrong("must not sign: its key usage lacks digitalSignature"));
        }
        let extended = self.extension::<ExtendedKeyUsage>()?;
        if extended
            .is_some_and(|usage| !usage.0.contains(&CODE_SIGNING) && !usage.0.contains(&ANY_USAGE))
        {
            return Err(
                self.wrong("must not sign images: its extended key usage lacks codeSigning")
            );
        }
        Ok(())
    }

    /// Whether it may issue certificates.
    pub(super) fn is_authority(&self) -> Result<(), SignatureError> {
        let authority = self
            .extension::<BasicConstraints>()?
            .is_some_and(|constraints| constraints.ca);
        let may_issue = self
            .extension::<KeyUsage>()?
            .is_none_or(|usage| usage.key_cert_sign());
        if authority && may_issue {
            Ok(())
        } else {
            Err(self.wrong("is no certification authority's"))
        }
    }

    /// Whether this authority issued `other` itself.
    pub(super) fn issued(&self, other: &Checked) -> bool {
        let issuer = other.certificate.tbs_certificate().issuer();
        let outer = other.certificate.signature_algorithm();
        let Some(signature) = other.certificate.signature().as_bytes() else {
            return false;
        };
        let Ok(body) = other.certificate.tbs_certificate().to_der() else {
            return false;
        };
        self.is_authority().is_ok()
            && issuer == self.certificate.tbs_certificate().subject()
            && outer == other.certificate.tbs_certificate().signature()
            && outer.oid != super::public_key::RSA
            && self.key.verifies(outer.oid, &body, signature)
    }

    /// The same, with the authority that issued it.
    pub(super) fn issued_by(mut self, authority: &Checked) -> Checked {
        self.signer.issuer = Some(authority.signer.fingerprint.clone());
        self.signer.kin.extend_from_slice(&authority.signer.kin);
        self
    }

    /// Within its dates.
    pub(super) fn is_valid_at(&self, now: SystemTime) -> Result<(), SignatureError> {
        let validity = self.certificate.tbs_certificate().validity();
        let (begin, end) = (validity.not_before, validity.not_after);
        let here = || moment(now);
        if now < begin.to_system_time() {
            let begin = begin.to_date_time();
            return Err(self.wrong(format!(
                "is not valid before {begin}, and this machine's clock says {}",
                here()
            )));
        }
        if now > end.to_system_time() {
            let end = end.to_date_time();
            return Err(self.wrong(format!(
                "expired: it was valid until {end}, and this machine's clock says {}",
                here()
            )));
        }
        Ok(())
    }

    fn extension<'a, T: Decode<'a> + AssociatedOid>(&'a self) -> Result<Option<T>, SignatureError> {
        let found = self.certificate.tbs_certificate().get_extension::<T>();
        found
            .map(|e| e.map(|(_, value)| value))
            .map_err(|_| self.wrong("has a damaged extension"))
    }

    fn wrong(&self, what: impl Into<String>) -> SignatureError {
        wrong(&self.signer.common_name, what)
    }
}

/// The certificate with the other ECDSA signature that is as good: whoever has (r, s) has (r, n - s), too.
pub(super) fn twin(certificate: &Certificate) -> Option<Vec<u8>> {
    let algorithm = certificate.signature_algorithm();
    if algorithm.oid != super::public_key::ECDSA_SHA256 {
        return None;
    }
    let signature = p256::ecdsa::Signature::from_der(certificate.signature().as_bytes()?).ok()?;
    let (r, s) = signature.split_scalars();
    let other = p256::ecdsa::Signature::from_scalars(r, -s).ok()?;
    let mut parts = certificate.tbs_certificate().to_der().ok()?;
    parts.extend(algorithm.to_der().ok()?);
    let other = BitString::from_bytes(other.to_der().as_bytes()).ok()?;
    parts.extend(other.to_der().ok()?);
    Any::new(Tag::Sequence, parts).ok()?.to_der().ok()
}

fn wrong(subject: &str, what: impl Into<String>) -> SignatureError {
    SignatureError::Certificate {
        subject: subject.into(),
        what: what.into(),
    }
}

/// A moment as certificates have it, to the second.
fn moment(time: SystemTime) -> String {
    der::DateTime::from_system_time(time).map_or_else(
        |_| "nothing sensible".to_owned(),
        |moment| moment.to_string(),
    )
}

/// The subject's common name, where it has exactly one, of printable characters.
fn common_name(certificate: &Certificate) -> Option<String> {
    let name = certificate
        .tbs_certificate()
        .subject()
        .common_name()
        .ok()??;
    let text = name.value();
    let shown = !text.is_empty()
        && text.chars().count() <= NAME_LIMIT_CHARS
        && !text.chars().any(char::is_control);
    shown.then(|| text.into_owned())
}
