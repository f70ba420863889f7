//! Sealed credentials: read and written as systemd-creds(1) reads and writes them, with the host's secret or with the null key.
//!
//! A sealed credential names its key, holds the credential's name and the moment after which it must not be used, and is
//! authenticated as a whole (AES-256-GCM). Keys of a TPM2 are not known here. Everything read here may be hostile.

#![forbid(unsafe_code)]

mod host;
mod sealed;
mod text;

pub use host::{HostSecret, HostSecrets, SecretError, machine_id};
pub use sealed::{
    Credential, Error, Inside, KeyKind, NAME_BYTES_MAX, PLAINTEXT_BYTES_MAX, SEALED_BYTES_MAX,
    open, read_inside, seal,
};
pub use text::{from_text, to_text};
pub use zeroize::Zeroizing;
