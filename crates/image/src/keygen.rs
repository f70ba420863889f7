//! Makes a signing key and its self-signed certificate.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use der::asn1::{OctetString, Utf8StringRef};
use der::flagset::FlagSet;
use der::{Any, Decode, Encode, EncodePem};
use rsa::pkcs8::EncodePrivateKey;
use sha2::{Digest, Sha256};
use spki::{EncodePublicKey, ObjectIdentifier, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::TbsCertificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use crate::signature::{SignatureError, Signer, TrustedCertificate};

/// The key's size: the kernel's dm-verity keyring takes RSA, and 3072 bits are good beyond 2030.
const KEY_BITS: usize = 3072;

/// How long a certificate is valid: images outlive their makers' habits, and the administrator can drop a certificate at any time.
const VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A clock that is a little ahead must not make a certificate that is not valid yet elsewhere.
const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// There is one already.
    #[error("{0} exists; a signing key is never overwritten")]
    Exists(PathBuf),
    /// A file can't be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The mathematics failed.
    #[error("no key could be made")]
    Key(#[from] rsa::Error),
    /// The key can't be encoded.
    #[error("the key could not be encoded")]
    Encode(#[from] rsa::pkcs8::Error),
    /// The public key can't be encoded.
    #[error("the public key could not be encoded")]
    PublicKey(#[from] spki::Error),
    /// The certificate can't be made.
    #[error("the certificate could not be made")]
    Certificate(#[from] x509_cert::builder::Error),
    /// The certificate can't be encoded.
    #[error("the certificate could not be encoded")]
    Der(#[from] der::Error),
    /// The name is not one that would be accepted again.
    #[error(transparent)]
    Name(#[from] SignatureError),
}

/// Writes `signing.key` (PKCS#8 PEM, mode 0600) and `signing.crt` (PEM) into a directory, for a subject of this common name.
///
/// # Errors
/// Where either exists or can't be written.
pub fn generate(dir: &Path, common_name: &str) -> Result<Signer, KeygenError> {
    let (key_path, certificate_path) = (dir.join("signing.key"), dir.join("signing.crt"));
    for path in [&key_path, &certificate_path] {
        if path.symlink_metadata().is_ok() {
            return Err(KeygenError::Exists(path.clone()));
        }
    }
    let key = rsa::PrivateKey::new(&mut getrandom::SysRng, KEY_BITS)?;
    let certificate = certificate(&key, common_name)?;
    let signer = TrustedCertificate::parse(certificate.as_bytes())?.signer()?;
    let pem = key.to_pkcs8_pem(der::pem::LineEnding::LF)?;
    write_pair(
        (&key_path, pem.as_bytes()),
        (&certificate_path, certificate.as_bytes()),
    )?;
    Ok(signer)
}

/// Both or none: a key without its certificate is good for nothing, and would be in the way of the next try.
fn write_pair(key: (&Path, &[u8]), certificate: (&Path, &[u8])) -> Result<(), KeygenError> {
    write(key.0, key.1, 0o600)?;
    let written = write(certificate.0, certificate.1, 0o644);
    if written.is_err() {
        // What failed to be written is told; a key that can't be removed either is found there by the next try.
        std::fs::remove_file(key.0).ok();
    }
    written
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeygenError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| {
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a file is none.
            std::fs::remove_file(path).ok();
        }
        written
    });
    written.map_err(|source| KeygenError::Write {
        path: path.into(),
        source,
    })
}

/// A self-signed certificate, PEM.
fn certificate(key: &rsa::PrivateKey, common_name: &str) -> Result<String, KeygenError> {
    let public =
        SubjectPublicKeyInfoOwned::try_from(key.to_public_key().to_public_key_der()?.as_bytes())?;
    let now = SystemTime::now();
    let validity = Validity::new(
        Time::try_from(now - CLOCK_SKEW)?,
        Time::try_from(now + VALIDITY)?,
    );
    let profile = ImageSigner {
        subject: subject(common_name)?,
    };
    let builder = CertificateBuilder::new(profile, serial_number(&public)?, validity, public)?;
    let signer = rsa::pkcs1v15::SigningKey::<Sha256>::new(key.clone());
    let certificate = builder.build::<_, rsa::pkcs1v15::Signature>(&signer)?;
    Ok(certificate.to_pem(der::pem::LineEnding::LF)?)
}

/// A positive number that the key determines: a key has one certificate.
fn serial_number(public: &SubjectPublicKeyInfoOwned) -> der::Result<SerialNumber> {
    let digest = Sha256::digest(public.to_der()?);
    let mut bytes: [u8; 16] = digest.first_chunk().copied().unwrap_or_default();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::new(&bytes)
}

/// A distinguished name of nothing but a common name. Built from parts, because the text form has its own syntax.
fn subject(common_name: &str) -> der::Result<Name> {
    let value = Any::encode_from(&Utf8StringRef::new(common_name)?)?;
    let attribute = AttributeTypeAndValue {
        oid: COMMON_NAME,
        value,
    };
    let mut sequence = RdnSequence::default();
    sequence.push(RelativeDistinguishedName::try_from(vec![attribute])?);
    Name::from_der(&sequence.to_der()?)
}

/// What the certificate says: no authority, signs code.
struct ImageSigner {
    subject: Name,
}

impl BuilderProfile for ImageSigner {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        body: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let subject = body.subject();
        let key_id = Sha256::digest(key.subject_public_key.raw_bytes());
        let key_id = OctetString::new(key_id.get(..20).unwrap_or_default())?;
        let usage: FlagSet<KeyUsages> = KeyUsages::DigitalSignature.into();
        Ok(vec![
            SubjectKeyIdentifier(key_id).to_extension(subject, &[])?,
            BasicConstraints {
                ca: false,
                path_len_constraint: None,
            }
            .to_extension(subject, &[])?,
            KeyUsage(usage).to_extension(subject, &[])?,
            ExtendedKeyUsage(vec![CODE_SIGNING]).to_extension(subject, &[])?,
        ])
    }
}

#[cfg(test)]
mod tests;
