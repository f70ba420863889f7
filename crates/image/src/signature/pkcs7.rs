//! Detached PKCS#7 signatures (RFC 5652), as `openssl smime -sign -binary -noattr` makes them and the kernel's dm-verity takes them.

use std::time::SystemTime;

use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use der::asn1::{ObjectIdentifier, OctetString, SetOfVec};
use der::{Any, Decode, Encode};
use sha2::{Digest, Sha256};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Certificate;
use x509_cert::attr::Attributes;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use super::certificate::{Checked, Signer, TrustedCertificate};
use super::public_key::{ECDSA_SHA256, RSA};
use super::{SIGNATURE_LIMIT_BYTES, SignatureError, damaged};

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// Certificates in one signature: the signer's and a short chain.
const CERTIFICATES_LIMIT: usize = 8;

/// Takes a signature apart as far as its one signer.
fn open(der: &[u8]) -> Result<(SignedData, SignerInfo), SignatureError> {
    if der.len() > SIGNATURE_LIMIT_BYTES {
        return Err(damaged("it is larger than 64 KiB"));
    }
    let outer = ContentInfo::from_der(der).map_err(|_| damaged("it is no PKCS#7 structure"))?;
    if outer.content_type != SIGNED_DATA {
        return Err(damaged("it is not signed data"));
    }
    let signed: SignedData = outer
        .content
        .decode_as()
        .map_err(|_| damaged("its signed data can't be read"))?;
    let content = &signed.encap_content_info;
    if content.econtent_type != DATA || content.econtent.is_some() {
        return Err(damaged("it is not a detached signature over data"));
    }
    if signed
        .certificates
        .as_ref()
        .is_some_and(|set| set.0.len() > CERTIFICATES_LIMIT)
    {
        return Err(damaged("it holds more than 8 certificates"));
    }
    match signed.signer_infos.0.as_slice() {
        [signer] if signer.digest_alg.oid == SHA256 => Ok((signed.clone(), signer.clone())),
        [_] => Err(damaged("its digest is not SHA-256")),
        _ => Err(damaged("it does not have exactly one signer")),
    }
}

/// Checks a detached signature over `content` against trusted certificates; says who signed.
pub(super) fn verify(
    der: &[u8],
    content: &[u8],
    trusted: &[TrustedCertificate],
    now: SystemTime,
) -> Result<Signer, SignatureError> {
    let (signed, info) = open(der)?;
    let signer = trusted_signer(&signed, &info, trusted, now)?;
    signer.may_sign()?;
    signer.is_valid_at(now)?;
    let message = signed_bytes(&info, content)?;
    if !signer.key.verifies(
        info.signature_algorithm.oid,
        &message,
        info.signature.as_bytes(),
    ) {
        return Err(SignatureError::Wrong(Box::new(signer.signer)));
    }
    Ok(signer.signer)
}

/// The signer's certificate: itself trusted, or in the signature and issued by a trusted authority.
fn trusted_signer(
    signed: &SignedData,
    info: &SignerInfo,
    trusted: &[TrustedCertificate],
    now: SystemTime,
) -> Result<Checked, SignatureError> {
    let trusted = trusted
        .iter()
        .map(TrustedCertificate::open)
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(at) = trusted
        .iter()
        .position(|candidate| names(&info.sid, &candidate.certificate))
    {
        let mut trusted = trusted;
        return Ok(trusted.swap_remove(at));
    }
    let enclosed = enclosed_signer(signed, info)?.ok_or(SignatureError::UnknownSigner)?;
    let Some(issuer) = trusted.iter().find(|authority| authority.issued(&enclosed)) else {
        return Err(SignatureError::NotTrusted(Box::new(enclosed.signer)));
    };
    issuer.is_valid_at(now)?;
    Ok(enclosed.issued_by(issuer))
}

fn enclosed_signer(
    signed: &SignedData,
    info: &SignerInfo,
) -> Result<Option<Checked>, SignatureError> {
    let mut found = enclosed(signed).filter(|certificate| names(&info.sid, certificate));
    found.next().cloned().map(Checked::new).transpose()
}

fn enclosed(signed: &SignedData) -> impl Iterator<Item = &Certificate> {
    let set = signed.certificates.iter().flat_map(|set| set.0.iter());
    set.filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        _ => None,
    })
}

/// The signer that a signature names by an enclosed certificate or one of these, and who issued that; proven by nothing.
pub(super) fn claimed_signer(
    der: &[u8],
    known: &[TrustedCertificate],
) -> Result<Option<Signer>, SignatureError> {
    let (signed, info) = open(der)?;
    let known: Vec<Checked> = known.iter().filter_map(|one| one.open().ok()).collect();
    let Some(signer) = enclosed_signer(&signed, &info)? else {
        let mut named = known.into_iter();
        let named = named.find(|one| names(&info.sid, &one.certificate));
        return Ok(named.map(|one| one.signer));
    };
    let others = enclosed(&signed).take(ENCLOSED_MAX).cloned();
    let others = others.filter_map(|one| Checked::new(one).ok());
    let mut authorities = known.into_iter().chain(others);
    let issuer = authorities.find(|one| one.issued(&signer));
    Ok(Some(match issuer {
        Some(issuer) => signer.issued_by(&issuer).signer,
        None => signer.signer,
    }))
}

/// Certificates of a signature that are looked through for the one that issued its signer's: a chain is of two or three.
const ENCLOSED_MAX: usize = 16;

fn names(id: &SignerIdentifier, certificate: &Certificate) -> bool {
    let body = certificate.tbs_certificate();
    match id {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            id.issuer == *body.issuer() && id.serial_number == *body.serial_number()
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            matches!(body.get_extension::<SubjectKeyIdentifier>(), Ok(Some((_, own))) if own == *id)
        }
    }
}

/// What the signature is really over: the content, or, where there are signed attributes, these, which then name the content.
fn signed_bytes(info: &SignerInfo, content: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let Some(attributes) = &info.signed_attrs else {
        return Ok(content.to_vec());
    };
    let wrong = || damaged("its attributes are about something else than this root hash");
    let digest = OctetString::new(Sha256::digest(content).as_slice())
        .and_then(|digest| Any::encode_from(&digest));
    let kind = Any::encode_from(&DATA);
    let named = attribute(attributes, CONTENT_TYPE)? == &kind.map_err(|_| wrong())?
        && attribute(attributes, MESSAGE_DIGEST)? == &digest.map_err(|_| wrong())?;
    if !named {
        return Err(wrong());
    }
    attributes
        .to_der()
        .map_err(|_| damaged("its attributes can't be read"))
}

/// The one value of the one attribute of a kind.
fn attribute(attributes: &Attributes, kind: ObjectIdentifier) -> Result<&Any, SignatureError> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == kind);
    match (
        found.next().map(|attribute| attribute.values.as_slice()),
        found.next(),
    ) {
        (Some([value]), None) => Ok(value),
        _ => Err(damaged("an attribute is missing or there twice")),
    }
}

/// Puts a signature structure around a raw signature over the content, in the form that the kernel takes: no attributes, the
/// signer named by issuer and serial number.
pub(crate) fn assemble(
    certificate: &Certificate,
    rsa: bool,
    signature: &[u8],
) -> der::Result<Vec<u8>> {
    let sha256 = AlgorithmIdentifierOwned {
        oid: SHA256,
        parameters: Some(Any::null()),
    };
    let algorithm = match rsa {
        true => AlgorithmIdentifierOwned {
            oid: RSA,
            parameters: Some(Any::null()),
        },
        false => AlgorithmIdentifierOwned {
            oid: ECDSA_SHA256,
            parameters: None,
        },
    };
    let body = certificate.tbs_certificate();
    let id = IssuerAndSerialNumber {
        issuer: body.issuer().clone(),
        serial_number: body.serial_number().clone(),
    };
    let info = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(id),
        digest_alg: sha256.clone(),
        signed_attrs: None,
        signature_algorithm: algorithm,
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let certificates = SetOfVec::from_iter([CertificateChoices::Certificate(certificate.clone())])?;
    let signed = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::from_iter([sha256])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: DATA,
            econtent: None,
        },
        certificates: Some(CertificateSet(certificates)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::from_iter([info])?),
    };
    ContentInfo {
        content_type: SIGNED_DATA,
        content: Any::encode_from(&signed)?,
    }
    .to_der()
}
