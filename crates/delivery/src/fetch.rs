//! Fetching over http and https into a staging directory.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use crate::digest::Digest;

/// Whom a server's certificate must come from.
#[derive(Debug, Clone)]
pub enum Roots {
    /// The system's bundle of certificates.
    System,
    /// Only those in a PEM file that was read by the caller.
    Only(Vec<u8>),
}

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest content in bytes.
    pub size_max_bytes: u64,
    /// Whole transfer, all tries together.
    pub total: Duration,
    /// Silence of the server.
    pub idle: Duration,
    /// Redirects followed.
    pub redirects: u32,
    /// Tries after a cut connection.
    pub retries: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            size_max_bytes: 16 << 30,
            total: Duration::from_secs(6 * 3600),
            idle: Duration::from_secs(30),
            redirects: 10,
            retries: 5,
        }
    }
}

/// What to fetch.
#[derive(Debug, Clone)]
pub struct Request {
    /// `http://…` or `https://…`.
    pub url: String,
    /// Roots of https.
    pub roots: Roots,
    /// Limits.
    pub limits: Limits,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes announced.
    pub total_bytes: Option<u64>,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// The last address after redirects.
    pub url: String,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no http or https address.
    #[error("{url} cannot be fetched: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Fetches into `staging`, an empty file or one with what an earlier try left; `state` keeps what a
/// resumed fetch must know (address, ETag, size) and lies beside it. Nothing else is written.
///
/// # Errors
/// See [`Error`]; what has arrived stays in `staging` for the next try, unless it can be no part of the
/// content.
pub fn fetch(
    request: &Request,
    staging: &File,
    state: &File,
    progress: &mut dyn FnMut(Progress),
) -> Result<Fetched, Error> {
    let _ = (staging, state, progress);
    Err(Error::Address {
        url: request.url.clone(),
        reason: "not yet",
    })
}
