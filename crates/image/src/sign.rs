//! Signs images, with a key and its certificate from files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use der::{DecodePem, Encode};
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use sha2::Sha256;
use spki::EncodePublicKey;
use x509_cert::Certificate;

use crate::assemble::{Parts, WriteImageError};
use crate::dissect::{DissectError, dissect};
use crate::signature::{self, SignatureError, Signer, TrustedCertificate};
use crate::source::{FileSource, Source};
use crate::verity::{self, RootHash, VerityError};

/// The largest key or certificate file.
const FILE_LIMIT_BYTES: u64 = 64 * 1024;

/// A private key with its certificate.
pub struct SigningKey {
    secret: Secret,
    certificate: Certificate,
    signer: Signer,
}

enum Secret {
    Rsa(Box<rsa::PrivateKey>),
    Ecdsa(p256::ecdsa::SigningKey),
}

/// Why an image was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key file of another form.
    #[error("{0} is no private key: PKCS#8 PEM with RSA or P-256 was expected")]
    NoKey(PathBuf),
    /// Key and certificate are strangers.
    #[error("{key} is not the key of {certificate}")]
    NotAPair {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate can't sign images.
    #[error(transparent)]
    Certificate(#[from] SignatureError),
    /// The image can't be taken apart.
    #[error(transparent)]
    Dissect(#[from] DissectError),
    /// It has no verity data.
    #[error("the image has no verity data to sign; build it with `coracle build`")]
    NoVerity,
    /// Its data are not those of its verity data.
    #[error(transparent)]
    Verity(#[from] VerityError),
    /// The mathematics failed.
    #[error("the key cannot sign")]
    Key(#[source] p256::ecdsa::signature::Error),
    /// The structure around the signature failed.
    #[error("the signature cannot be written")]
    Encode(#[from] der::Error),
    /// The signed image can't be written.
    #[error(transparent)]
    Write(#[from] WriteImageError),
}

impl SigningKey {
    /// Reads a key (PKCS#8 PEM, RSA or P-256). Without a certificate's path it is the key's path ending in `.crt`.
    ///
    /// # Errors
    /// Where either can't be read or they do not belong together.
    pub fn load(key: &Path, certificate: Option<&Path>) -> Result<Self, SignError> {
        let certificate_path =
            certificate.map_or_else(|| key.with_extension("crt"), Path::to_path_buf);
        let secret = Secret::parse(&read(key)?).ok_or_else(|| SignError::NoKey(key.into()))?;
        let raw = read(&certificate_path)?;
        let trusted = TrustedCertificate::parse(raw.as_bytes())?;
        let certificate = Certificate::from_pem(&raw)?;
        let public = certificate
            .tbs_certificate()
            .subject_public_key_info()
            .to_der()?;
        if secret.public_der() != Some(public) {
            return Err(SignError::NotAPair {
                key: key.into(),
                certificate: certificate_path,
            });
        }
        Ok(Self {
            secret,
            signer: trusted.signer()?,
            certificate,
        })
    }

    /// Who signs with it.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Its certificate, as one that is trusted.
    ///
    /// # Errors
    /// Where it can't be encoded.
    pub fn trusted(&self) -> Result<TrustedCertificate, SignError> {
        Ok(TrustedCertificate::parse(&self.certificate_der()?)?)
    }

    /// Its certificate's DER.
    pub(crate) fn certificate_der(&self) -> Result<Vec<u8>, SignError> {
        Ok(self.certificate.to_der()?)
    }

    /// The text of a signature partition over a root hash. The same key gives the same text.
    pub(crate) fn sign_root_hash(&self, root_hash: RootHash) -> Result<String, SignError> {
        let der = self.sign_content(root_hash.to_string().as_bytes())?;
        Ok(signature::envelope(root_hash, &self.signer, &der))
    }

    /// A detached signature over any content, DER. The same key gives the same bytes.
    pub(crate) fn sign_content(&self, content: &[u8]) -> Result<Vec<u8>, SignError> {
        let (rsa, raw) = match &self.secret {
            Secret::Rsa(key) => {
                let key = rsa::pkcs1v15::SigningKey::<Sha256>::new((**key).clone());
                let signature: rsa::pkcs1v15::Signature =
                    key.try_sign(content).map_err(SignError::Key)?;
                (true, Box::<[u8]>::from(signature).into_vec())
            }
            Secret::Ecdsa(key) => {
                let signature: p256::ecdsa::DerSignature =
                    key.try_sign(content).map_err(SignError::Key)?;
                (false, signature.as_bytes().to_vec())
            }
        };
        Ok(signature::assemble(&self.certificate, rsa, &raw)?)
    }
}

impl Secret {
    fn parse(pem: &str) -> Option<Self> {
        if let Ok(key) = rsa::PrivateKey::from_pkcs8_pem(pem) {
            return (2048..=4096)
                .contains(&key.n().bit_width())
                .then(|| Self::Rsa(Box::new(key)));
        }
        p256::ecdsa::SigningKey::from_pkcs8_pem(pem)
            .ok()
            .map(Self::Ecdsa)
    }

    fn public_der(&self) -> Option<Vec<u8>> {
        let document = match self {
            Self::Rsa(key) => key.to_public_key().to_public_key_der(),
            Self::Ecdsa(key) => key.verifying_key().to_public_key_der(),
        };
        document.ok().map(|document| document.as_bytes().to_vec())
    }
}

fn read(path: &Path) -> Result<String, SignError> {
    let error = |source| SignError::Read {
        path: path.into(),
        source,
    };
    let length = fs::metadata(path).map_err(error)?.len();
    if length > FILE_LIMIT_BYTES {
        return Err(error(io::ErrorKind::FileTooLarge.into()));
    }
    fs::read_to_string(path).map_err(error)
}

/// Writes a signed copy of an image (signed before or not); `output` may be the image itself, and is replaced atomically.
///
/// # Errors
/// See [`SignError`].
pub fn sign(image: &Path, output: &Path, key: &SigningKey) -> Result<Signer, SignError> {
    let error = |source| SignError::Read {
        path: image.into(),
        source,
    };
    let file = fs::File::open(image).map_err(error)?;
    let source = FileSource::new(&file).map_err(error)?;
    let layout = dissect(&source)?;
    let layout = layout.claim();
    let verity = layout.verity.ok_or(SignError::NoVerity)?;
    let root_hash = verity::root_hash(&source, layout.root, &source, verity)?;
    let superblock = verity::superblock(&source, verity, layout.root)?;
    let tree = superblock.blocks.tree_bytes(superblock.data_blocks) + superblock.blocks.hash_bytes;
    let verity_bytes = source
        .read_extent(
            crate::source::Extent {
                length: tree,
                ..verity
            },
            tree,
        )
        .map_err(error)?;
    let parts = Parts {
        label: layout.label.clone().unwrap_or_default(),
        root_hash,
        verity: verity_bytes,
        signature: Some(key.sign_root_hash(root_hash)?),
    };
    parts.write(&source, layout.root, output)?;
    Ok(key.signer().clone())
}
