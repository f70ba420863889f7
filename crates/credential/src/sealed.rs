//! The bytes of a sealed credential (systemd-creds(1), version 262, by experiment):
//!
//! | bytes | what |
//! |---|---|
//! | 16 | the kind of key |
//! | 4 × 4, little-endian | bytes of the key (32), of a block (1), of the initialization vector (12), of the tag (16) |
//! | 12, and 4 of zero | the initialization vector |
//! | sealed: 8, 8, 4, n | microseconds since 1970 at which it was sealed, at which it ends (all ones: never), bytes of the name, the name, zeros up to 8 |
//! | sealed: the rest | the content |
//! | 16 | the tag, which is also over what is not sealed |
//!
//! The key is the SHA-256 hash of the host's secret, or of nothing with the null key, which protects from nobody.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::path::PathBuf;
use zeroize::Zeroizing;

use crate::host::{HostSecret, HostSecrets, SecretError};

/// Bytes of a credential's content, as the reference has it.
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 20;
/// Bytes of a sealed credential: what is around the content has less than a kilobyte.
pub const SEALED_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 1024;
/// Bytes of a credential's name: it is a file's.
pub const NAME_BYTES_MAX: usize = 255;

const ID_BYTES: usize = 16;
const BY_HOST: [u8; ID_BYTES] = [
    0x5a, 0x1c, 0x6a, 0x86, 0xdf, 0x9d, 0x40, 0x96, 0xb1, 0xd5, 0xa6, 0x5e, 0x08, 0x62, 0xf1, 0x9a,
];
const BY_NULL: [u8; ID_BYTES] = [
    0x05, 0x84, 0x69, 0xda, 0xf6, 0xf5, 0x43, 0x24, 0x80, 0x05, 0x49, 0xda, 0x0f, 0x8e, 0xa2, 0xfb,
];
const KEY_BYTES: u32 = 32;
const BLOCK_BYTES: u32 = 1;
const VECTOR_BYTES: usize = 12;
const TAG_BYTES: u32 = 16;
/// Up to the initialization vector.
const FIXED_BYTES: usize = ID_BYTES + 4 * 4;
/// All that is not sealed.
const HEADER_BYTES: usize = (FIXED_BYTES + VECTOR_BYTES).next_multiple_of(8);
/// Up to the name.
const METADATA_BYTES: usize = 8 + 8 + 4;
const NEVER: u64 = u64::MAX;

/// What seals it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The host's secret.
    Host,
    /// Nothing: anybody can read and write it.
    Null,
}

/// What was sealed.
#[derive(Debug)]
pub struct Credential {
    /// Its content.
    pub content: Zeroizing<Vec<u8>>,
    /// The name that it is bound to; none: any.
    pub name: Option<String>,
    /// When it was sealed, in microseconds since 1970.
    pub sealed_us: u64,
    /// After when it must not be used, in microseconds since 1970.
    pub not_after_us: Option<u64>,
    /// What sealed it.
    pub key: KeyKind,
    /// The file of the host's secret that opened it.
    pub secret: Option<PathBuf>,
}

/// Why a credential can't be opened or sealed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not one.
    #[error("it is no sealed credential: {0}")]
    Malformed(&'static str),
    /// It is sealed with a key of another kind.
    #[error(
        "it is sealed with a key that this version does not have: the host's secret and the null key are known, a TPM2's is not"
    )]
    UnknownKey,
    /// Its tag is wrong.
    #[error("it was sealed with another secret, or is damaged")]
    Unauthentic,
    /// It is bound to another name.
    #[error("it was sealed for the name {sealed_for:?}, and not for {asked:?}")]
    OtherName {
        /// The name inside.
        sealed_for: String,
        /// The name that was asked for.
        asked: String,
    },
    /// Its time is over.
    #[error("its time is over")]
    Expired,
    /// It would be over before it began.
    #[error("its time would be over before it begins")]
    EndsBeforeItBegins,
    /// More than a credential may have.
    #[error("a credential may have {PLAINTEXT_BYTES_MAX} bytes")]
    TooLarge,
    /// The host's secret is not to be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The kernel gives no random numbers, or the cipher did not work.
    #[error("the cipher failed")]
    Cipher,
}

/// Opens a sealed credential that is to be used under one of these names, at this moment, in microseconds since 1970. No names: any is right.
/// The secrets are asked for where they are needed, and each is tried.
///
/// # Errors
/// When it is not authentic by any of them, for another name, or over.
pub fn open(
    sealed: &[u8],
    names: &[&str],
    now_us: u64,
    secrets: impl FnOnce() -> Result<HostSecrets, SecretError>,
) -> Result<Credential, Error> {
    let key = check_header(sealed)?;
    let (header, body) = sealed
        .split_at_checked(HEADER_BYTES)
        .ok_or(Error::Malformed("it is too short"))?;
    let vector = header
        .get(FIXED_BYTES..FIXED_BYTES + VECTOR_BYTES)
        .ok_or(Error::Malformed("it is too short"))?;
    let by = |secret: &[u8]| {
        let nonce = Nonce::try_assume_unique_for_key(vector).map_err(|_| Error::Cipher)?;
        let mut inside = Zeroizing::new(body.to_vec());
        let opened = cipher(secret)?.open_in_place(nonce, Aad::from(header), &mut inside);
        let length = opened.map_err(|_| Error::Unauthentic)?.len();
        inside.truncate(length);
        Ok(inside)
    };
    let (plain, secret) = match key {
        KeyKind::Host => by_any(secrets()?, by)?,
        KeyKind::Null => (by(&[])?, None),
    };
    let (sealed_us, not_after_us, name, content) = read_inside(&plain)?;
    if let Some(name) = &name
        && !names.is_empty()
        && !names.contains(&name.as_str())
    {
        return Err(Error::OtherName {
            sealed_for: name.clone(),
            asked: names.first().copied().unwrap_or_default().to_owned(),
        });
    }
    if not_after_us.is_some_and(|end| end < now_us) {
        return Err(Error::Expired);
    }
    Ok(Credential {
        content: Zeroizing::new(content.to_vec()),
        name,
        sealed_us,
        not_after_us,
        key,
        secret,
    })
}

/// What the first that is right opens, and its file. Where none is, one that can't be used may have been the right one.
fn by_any(
    secrets: HostSecrets,
    open: impl Fn(&[u8]) -> Result<Zeroizing<Vec<u8>>, Error>,
) -> Result<(Zeroizing<Vec<u8>>, Option<PathBuf>), Error> {
    for secret in &secrets.usable {
        match open(secret.bytes()) {
            Err(Error::Unauthentic) => {}
            opened => return Ok((opened?, Some(secret.path().to_owned()))),
        }
    }
    Err(secrets.unusable.map_or(Error::Unauthentic, Error::Secret))
}

fn check_header(sealed: &[u8]) -> Result<KeyKind, Error> {
    if sealed.len() > SEALED_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let (id, rest) = sealed
        .split_first_chunk::<ID_BYTES>()
        .ok_or(Error::Malformed("it is too short"))?;
    let key = match *id {
        BY_HOST => KeyKind::Host,
        BY_NULL => KeyKind::Null,
        _ => return Err(Error::UnknownKey),
    };
    let sizes = rest
        .first_chunk::<16>()
        .ok_or(Error::Malformed("it is too short"))?;
    let (sizes, _) = sizes.as_chunks::<4>();
    let vector = u32::try_from(VECTOR_BYTES).unwrap_or_default();
    let expected = [KEY_BYTES, BLOCK_BYTES, vector, TAG_BYTES];
    if sizes
        .iter()
        .map(|size| u32::from_le_bytes(*size))
        .ne(expected)
    {
        return Err(Error::Malformed("its sizes are not those of AES-256-GCM"));
    }
    Ok(key)
}

/// What is sealed: when it was sealed, when it ends, its name, its content.
pub type Inside<'a> = (u64, Option<u64>, Option<String>, &'a [u8]);

/// Reads what is sealed. What is authentic may still have been sealed by somebody hostile: the null key is everybody's.
///
/// # Errors
/// When it is too short, or its name is no file's.
pub fn read_inside(plain: &[u8]) -> Result<Inside<'_>, Error> {
    let short = Error::Malformed("what is sealed is too short");
    let Some((begin, rest)) = plain.split_first_chunk::<8>() else {
        return Err(short);
    };
    let Some((end, rest)) = rest.split_first_chunk::<8>() else {
        return Err(short);
    };
    let Some((length, rest)) = rest.split_first_chunk::<4>() else {
        return Err(short);
    };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > NAME_BYTES_MAX {
        return Err(Error::Malformed("its name is too long"));
    }
    let padded = (METADATA_BYTES + length).next_multiple_of(8) - METADATA_BYTES;
    let Some((name, content)) = rest.split_at_checked(padded) else {
        return Err(short);
    };
    let name = name.get(..length).unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(|_| Error::Malformed("its name is no text"))?;
    if name.contains(['\0', '/']) {
        return Err(Error::Malformed("its name is no file's"));
    }
    if content.len() > PLAINTEXT_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let end = u64::from_le_bytes(*end);
    Ok((
        u64::from_le_bytes(*begin),
        (end != NEVER).then_some(end),
        (!name.is_empty()).then(|| name.to_owned()),
        content,
    ))
}

/// Seals a content for a name (empty: for any), with the host's secret or, without one, with the null key.
///
/// # Errors
/// When the content or the name is too large, or the time is over before it begins.
pub fn seal(
    content: &[u8],
    name: &str,
    (sealed_us, not_after_us): (u64, Option<u64>),
    secret: Option<&HostSecret>,
) -> Result<Vec<u8>, Error> {
    if content.len() > PLAINTEXT_BYTES_MAX || name.len() > NAME_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    if not_after_us.is_some_and(|end| end <= sealed_us) {
        return Err(Error::EndsBeforeItBegins);
    }
    let (id, cipher) = match secret {
        Some(secret) => (BY_HOST, cipher(secret.bytes())?),
        None => (BY_NULL, cipher(&[])?),
    };
    let mut vector = [0; VECTOR_BYTES];
    SystemRandom::new()
        .fill(&mut vector)
        .map_err(|_| Error::Cipher)?;
    let mut header = id.to_vec();
    for size in [KEY_BYTES, BLOCK_BYTES, 12, TAG_BYTES] {
        header.extend_from_slice(&size.to_le_bytes());
    }
    header.extend_from_slice(&vector);
    header.resize(HEADER_BYTES, 0);
    let mut inside = Vec::with_capacity(METADATA_BYTES + name.len() + content.len() + 64);
    inside.extend_from_slice(&sealed_us.to_le_bytes());
    inside.extend_from_slice(&not_after_us.unwrap_or(NEVER).to_le_bytes());
    inside.extend_from_slice(&u32::try_from(name.len()).unwrap_or_default().to_le_bytes());
    inside.extend_from_slice(name.as_bytes());
    inside.resize(inside.len().next_multiple_of(8), 0);
    inside.extend_from_slice(content);
    let nonce = Nonce::assume_unique_for_key(vector);
    cipher
        .seal_in_place_append_tag(nonce, Aad::from(&header), &mut inside)
        .map_err(|_| Error::Cipher)?;
    header.append(&mut inside);
    Ok(header)
}

fn cipher(secret: &[u8]) -> Result<LessSafeKey, Error> {
    let hash = ring::digest::digest(&ring::digest::SHA256, secret);
    let key = UnboundKey::new(&AES_256_GCM, hash.as_ref()).map_err(|_| Error::Cipher)?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    /// What `systemd-creds encrypt --with-key=null --name=foo` of systemd 262 made of `hello`.
    const PEERS: &str = "BYRp2vb1QySABUnaD46i+yAAAAABAAAADAAAABAAAADTDINZF3zoRJRsckYAAAAA\
MiZ/oCbW7sL234HQ1sahLfOcf62Zx4pJqieq1Yb8OcMZmDW54Pp6unmKd8ag";

    fn no_secret() -> Result<HostSecrets, SecretError> {
        panic!("the null key needs none")
    }

    #[test]
    fn what_the_reference_sealed_is_opened() {
        let sealed = crate::from_text(PEERS.as_bytes()).unwrap();
        let found = open(&sealed, &["foo"], 1, no_secret).unwrap();
        assert_eq!(&**found.content, b"hello");
        assert_eq!(found.name.as_deref(), Some("foo"));
        assert_eq!((found.not_after_us, found.key), (None, KeyKind::Null));
        assert!(found.sealed_us > 1_700_000_000_000_000);
        let other = open(&sealed, &["bar"], 1, no_secret).unwrap_err();
        assert!(matches!(other, Error::OtherName { sealed_for, .. } if sealed_for == "foo"));
    }

    #[test]
    fn what_is_sealed_is_opened_with_its_name_and_in_its_time_alone() {
        let check = |content: &[u8], name: &str, end: Option<u64>| {
            let sealed = seal(content, name, (5, end), None).unwrap();
            let found = open(&sealed, &["other", name], 5, no_secret).unwrap();
            assert_eq!(&**found.content, content);
            assert_eq!((found.sealed_us, found.not_after_us), (5, end));
            let late = open(&sealed, &[name], 8, no_secret);
            assert_eq!(
                matches!(late, Err(Error::Expired)),
                end.is_some_and(|end| end < 8)
            );
            let other = open(&sealed, &["other"], 5, no_secret);
            assert_eq!(other.is_err(), !name.is_empty());
        };
        check(b"", "", None);
        check(b"x", "a", Some(7));
        check(&[7; 4099], &"n".repeat(NAME_BYTES_MAX), Some(8));
        check(&vec![1; PLAINTEXT_BYTES_MAX], "large", None);
        let many = vec![1; PLAINTEXT_BYTES_MAX + 1];
        assert!(matches!(
            seal(&many, "", (5, None), None),
            Err(Error::TooLarge)
        ));
        assert!(matches!(
            seal(b"", "", (5, Some(5)), None),
            Err(Error::EndsBeforeItBegins)
        ));
    }

    #[test]
    fn whatever_bit_is_changed_it_is_noticed() {
        let sealed = seal(b"content", "name", (5, None), None).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                open(&changed, &["name"], 5, no_secret).is_err(),
                "bit {bit}"
            );
        }
        for length in 0..sealed.len() {
            assert!(open(&sealed[..length], &["name"], 5, no_secret).is_err());
        }
    }
}
