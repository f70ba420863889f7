//! Fetching over http and https into a staging file, resuming what an earlier try left.
//!
//! Nothing that arrives is trusted here beyond its length: who signed it is asked when it is all there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use rustls::CertificateError;

use crate::channel::Moment;
use crate::credential::{Credential, Login};
use crate::digest::Digest;
use crate::place::Place;
use crate::registry::is_reference;

mod address;
mod calls;
mod confine;
mod dns;
mod exchange;
mod host;
mod known;
mod pace;
mod pieces;
mod registry;
mod resolver;
mod sink;
mod staged;
mod ways;
mod webhook;

pub use confine::{Reduction, confine, confine_alone};
pub use pieces::{Pieces, fetch_pieces};
pub use registry::{Handed, hand_over, referrers, registry_address, there};
pub use sink::{InFile, Sink};
pub use webhook::{PostError, post};

use exchange::{Exchange, Outcome};
use staged::Staged;

/// First pause before a try after a cut; doubles with each.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Longest transfer: a clock can't count to every number of seconds that a command line can hold.
const TOTAL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

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
    /// Tries after cut connections that brought nothing.
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

/// By which ways, how fast, and as whom.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Access {
    /// What the server of the request's address is told, and no other, wherever that one redirects to.
    pub credential: Option<Credential>,
    /// Through whom.
    pub proxy: Option<Proxy>,
    /// Where redirects may lead; none: anywhere.
    pub allowed: Option<Vec<Place>>,
    /// Bytes a second.
    pub rate_bytes: Option<u64>,
}

/// A proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Proxy {
    /// `http://HOST:PORT`.
    pub address: String,
    /// Hosts that are reached without it.
    pub none_for: Vec<String>,
    /// What it is told, and nobody behind it.
    pub login: Option<Login>,
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
    /// Ways and credentials.
    pub access: Access,
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
}

/// What came, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Came {
    /// What its digest has to be, where the place says so.
    pub expected: Option<Digest>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no http or https address, or one that is not followed.
    #[error("{url} cannot be fetched: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The certificates to trust cannot be read.
    #[error("there are no certificates to trust servers by: {reason}")]
    Roots {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The certificate or the key of the client is none.
    #[error("the certificate or the key of the credential can't be used: {reason}")]
    Identity {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// A registry, or what it has, is not as it has to be.
    #[error("{url}: {what}")]
    Registry {
        /// The address.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// The staging file cannot be read or written.
    #[error("cannot {action} the staging file")]
    Staging {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server cannot be reached or trusted, or what it says is no HTTP.
    #[error("{url} does not answer")]
    Server {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The proxy asks who asks.
    #[error("the proxy on the way to {url} {}", if *told { "does not take the name and the password that it is told" } else { "asks for a name and a password" })]
    Proxy {
        /// The address.
        url: String,
        /// Whether it was told one.
        told: bool,
    },
    /// Its certificate is of another time.
    #[error(
        "{url} has a certificate that is not valid now, and this machine's clock says {now}: one of them is wrong"
    )]
    Dated {
        /// The address.
        url: String,
        /// When it is.
        now: Moment,
        /// Which way.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The server has something else to say.
    #[error("{url} answers with status {status}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Redirects without end.
    #[error("{url} redirects more than {limit} times")]
    Redirects {
        /// The address.
        url: String,
        /// The limit.
        limit: u32,
    },
    /// The content is too large.
    #[error("{url} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// The server contradicts itself.
    #[error("{url} sends something else than it announced: {what}")]
    Lie {
        /// The address.
        url: String,
        /// In what.
        what: &'static str,
    },
    /// The server gives out whole files alone.
    #[error("{url} gives out no parts of files")]
    NoRanges {
        /// The address.
        url: String,
    },
    /// A part of the pack is no chunk, or not the one that the list says.
    #[error("chunk {number} of {url} is not what the list says: {what}")]
    Chunk {
        /// The address.
        url: String,
        /// Its number in the list, from 0 on.
        number: usize,
        /// What is wrong.
        what: String,
    },
    /// The connection was cut too often.
    #[error(
        "the connection to {url} was cut after {bytes} bytes, {tries} times without a byte more"
    )]
    Cut {
        /// The address.
        url: String,
        /// What is there; the next try goes on from it.
        bytes: u64,
        /// How often.
        tries: u32,
        /// Why the last time, where anything said so.
        #[source]
        cause: Option<io::Error>,
    },
    /// The time is over.
    #[error("{url} took longer than {} seconds; {bytes} bytes are there, and the next try goes on from them", limit.as_secs())]
    TooSlow {
        /// The address.
        url: String,
        /// What is there.
        bytes: u64,
        /// The limit.
        limit: Duration,
    },
}

impl Error {
    fn staging(action: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Staging { action, source }
    }
}

/// Fetches into `staging`, an empty file or one with what an earlier try left; `state` keeps what a
/// resumed fetch must know (address, validator, size) and lies beside it. Nothing else is written.
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
    let mut file = InFile::open(staging)?;
    let came = fetch_into(request, &mut file, state, progress)?;
    file.finish(came, &request.url)
}

/// The same into whatever takes it, which sees to its digest.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_into(
    request: &Request,
    sink: &mut dyn Sink,
    state: &File,
    progress: &mut dyn FnMut(Progress),
) -> Result<Came, Error> {
    if !is_reference(&request.url) {
        return fetch_address(request, sink, state, progress);
    }
    let (of_blob, digest) = registry::resolve(request)?;
    fetch_address(&of_blob, sink, state, progress)?;
    Ok(Came {
        expected: Some(digest),
    })
}

fn fetch_address(
    request: &Request,
    sink: &mut dyn Sink,
    state: &File,
    progress: &mut dyn FnMut(Progress),
) -> Result<Came, Error> {
    let url = address::parse(&request.url)?;
    let mut tries = Tries::begin(request);
    let mut staged = Staged::open(sink, state, &request.url).map_err(Error::staging("read"))?;
    let exchange = Exchange::new(request, url, tries.until, 0)?;
    loop {
        let before = staged.bytes();
        let failed = match exchange.run(&mut staged, progress) {
            Ok(Outcome::Whole) => return Ok(Came { expected: None }),
            Ok(Outcome::Cut(cause)) => Failed::Cut(cause),
            Ok(Outcome::Trouble(error)) => Failed::Trouble(error),
            Err(error) => return Err(give_up(&mut staged, error)?),
        };
        tries.after(failed, before, staged.bytes())?;
    }
}

/// How often it was tried in vain, and how long it may go on.
struct Tries<'a> {
    request: &'a Request,
    until: Instant,
    fruitless: u32,
}

impl<'a> Tries<'a> {
    fn begin(request: &'a Request) -> Tries<'a> {
        Tries {
            request,
            until: Instant::now() + request.limits.total.min(TOTAL_MAX),
            fruitless: 0,
        }
    }

    /// Waits for the next try, or says why there is none.
    fn after(&mut self, failed: Failed, before: u64, bytes: u64) -> Result<(), Error> {
        let url = || self.request.url.clone();
        self.fruitless = if bytes > before {
            0
        } else {
            self.fruitless + 1
        };
        if self.fruitless > self.request.limits.retries {
            return Err(match failed {
                Failed::Trouble(error) => error,
                Failed::Cut(cause) => Error::Cut {
                    url: url(),
                    bytes,
                    tries: self.fruitless,
                    cause,
                },
            });
        }
        let left = self.until.saturating_duration_since(Instant::now());
        let pause = (PAUSE * 2_u32.saturating_pow(self.fruitless)).min(PAUSE_MAX);
        if pause < left {
            std::thread::sleep(pause);
            return Ok(());
        }
        // The time is over before the next try: what the server says of its trouble tells more than that.
        Err(match failed {
            Failed::Trouble(error) => error,
            Failed::Cut(_) => Error::TooSlow {
                url: url(),
                bytes,
                limit: self.request.limits.total,
            },
        })
    }
}

/// A try after which there may be another.
enum Failed {
    Trouble(Error),
    Cut(Option<io::Error>),
}

/// What can be no part of the content is thrown away: the next try must not go on from it.
fn give_up(staged: &mut Staged<'_>, error: Error) -> Result<Error, Error> {
    if matches!(error, Error::Lie { .. } | Error::TooLarge { .. }) {
        staged.restart().map_err(Error::staging("empty"))?;
    }
    Ok(error)
}

/// A server that can't be asked.
fn no_server(request: &Request, url: String, source: ureq::Error) -> Error {
    if is_asked_by_proxy(&source) {
        let proxy = request.access.proxy.as_ref();
        let told = proxy.is_some_and(|proxy| proxy.login.is_some());
        return Error::Proxy { url, told };
    }
    let source = Box::new(source);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    match is_dated(&source) {
        true => Error::Dated {
            url,
            now: Moment(since.unwrap_or_default().as_secs()),
            source,
        },
        false => Error::Server { url, source },
    }
}

/// Does the proxy ask who we are (407)? The library passes its answer on as a text alone.
fn is_asked_by_proxy(error: &ureq::Error) -> bool {
    let reason = match error {
        ureq::Error::ConnectProxyFailed(reason) => reason,
        _ => return false,
    };
    reason
        .split(|letter: char| !letter.is_ascii_digit())
        .any(|word| word == "407")
}

/// Is it the time of a certificate that is wrong, or ours?
fn is_dated(error: &ureq::Error) -> bool {
    let reason = match error {
        ureq::Error::Io(error) => error.get_ref().and_then(|error| error.downcast_ref()),
        ureq::Error::Rustls(error) => Some(error),
        _ => None,
    };
    matches!(
        reason,
        Some(rustls::Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ))
    )
}

/// Reads a file from its start whatever its offset is.
struct FromStart<'a> {
    file: &'a File,
    place: u64,
}

impl io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.place)?;
        self.place += count as u64;
        Ok(count)
    }
}
