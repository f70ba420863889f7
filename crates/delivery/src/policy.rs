//! `delivery.toml`: what an administrator allows and wants of fetching and of upgrades. A file that can't be understood to its last key
//! allows nothing: what it was meant to forbid nobody knows.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::calendar::Calendar;
use model::value::TimeSpan;
use rustix::fs::OFlags;
use serde::Deserialize;
use ureq::Proxy as UreqProxy;

use crate::credential::{self, Credential, CredentialError, Login};
use crate::place::{Origin, Place};

mod keys;

pub use keys::{KEYS, Key, about};

/// The file's name in the administrator's directory.
pub const FILE: &str = "delivery.toml";
/// Largest file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 256 * 1024;
/// What others than the owner must not have: the right to write.
const WRITE_OF_OTHERS: u32 = 0o022;
/// Slowest rate: below it every server would seem to be silent.
const RATE_MIN_BYTES: u64 = 1024;

/// Everything that the file may say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Policy {
    /// Where may be fetched from; none: anywhere.
    pub sources: Option<Vec<Place>>,
    /// Through whom.
    pub proxy: Option<ProxyAddress>,
    /// Hosts that are reached without it.
    pub no_proxy: Vec<String>,
    /// How fast, all connections of a transfer together.
    pub rate_limit: Option<Rate>,
    /// A netrc(5), for servers that are asked by https.
    pub netrc: Option<PathBuf>,
    /// Where else things lie.
    pub mirror: Vec<Mirror>,
    /// What servers ask for.
    pub credential: Vec<CredentialFiles>,
    /// Upgrades without anybody who asks for them.
    pub upgrade: Automatic,
}

/// A place that has what another one has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mirror {
    /// Of which.
    pub of: Place,
    /// Where it is.
    pub at: Place,
}

/// Files with what a server asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CredentialFiles {
    /// The server.
    pub r#for: Server,
    /// Has a bearer token.
    pub token: Option<PathBuf>,
    /// Has a name and a password, as netrc(5) has them.
    pub netrc: Option<PathBuf>,
    /// Has a client's certificate.
    pub certificate: Option<PathBuf>,
    /// Has its key.
    pub key: Option<PathBuf>,
}

/// Upgrades by a timer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Automatic {
    /// When; none: never.
    pub schedule: Option<Schedule>,
    /// How much later at most.
    pub jitter: Option<Jitter>,
    /// Interfaces over which nothing is fetched by itself, as patterns of their names.
    pub metered: Vec<String>,
}

/// A server that may know a secret, or the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Place")]
pub struct Server(pub Origin);

impl From<Place> for Server {
    fn from(place: Place) -> Server {
        Server(place.origin().clone())
    }
}

/// `http://HOST:PORT` of a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Place")]
pub struct ProxyAddress(pub String);

impl ProxyAddress {
    fn is(&self, origin: &Origin) -> bool {
        Origin::of(&self.0).as_ref() == Some(origin)
    }
}

impl TryFrom<Place> for ProxyAddress {
    type Error = String;

    fn try_from(place: Place) -> Result<ProxyAddress, String> {
        let Origin { host, port, .. } = place.origin();
        match place.origin().scheme.as_str() {
            "http" => Ok(ProxyAddress(format!("http://{host}:{port}"))),
            _ => Err(format!("{place} is no http:// address, as proxies have")),
        }
    }
}

/// Bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate(pub u64);

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Rate, String> {
        let bytes = size(&text).filter(|bytes| *bytes >= RATE_MIN_BYTES);
        let wrong = || format!("{text:?} is no rate of at least 1K bytes a second, such as \"2M\"");
        bytes.map(Rate).ok_or_else(wrong)
    }
}

/// A number with K, M, G or T, to the base of 1024, as unit files have it.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let (number, shift) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            let place = "KMGT".find(unit.to_ascii_uppercase())?;
            (text.get(..at)?, 10 * (place + 1))
        }
        _ => (text, 0),
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(1 << shift)
}

/// As OnCalendar= has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Schedule(pub String);

impl TryFrom<String> for Schedule {
    type Error = String;

    fn try_from(text: String) -> Result<Schedule, String> {
        Calendar::parse(&text).map_err(|error| error.to_string())?;
        Ok(Schedule(text))
    }
}

/// As RandomizedDelaySec= has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Jitter(pub String);

impl TryFrom<String> for Jitter {
    type Error = String;

    fn try_from(text: String) -> Result<Jitter, String> {
        let span = TimeSpan::parse_in(&text, 1_000_000).map_err(|error| error.to_string())?;
        match span.is_infinite() {
            true => Err("it would never be due".to_owned()),
            false => Ok(Jitter(text)),
        }
    }
}

/// Why the file counts for nothing, and nothing is fetched.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It can't be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Others could have written it.
    #[error("{} is not believed: {why}", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Who.
        why: &'static str,
    },
    /// It is no TOML, or has a key or a value that is not known.
    #[error("{}:{line}: {what}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// Why an address is not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not among the sources that {FILE} allows")]
pub struct NotAllowed {
    /// The address.
    pub address: String,
}

/// Values of which each may be so, and not all of them together.
struct Conflict {
    /// The key that shows where.
    key: &'static str,
    /// Which of the places that the text has it in, from 0.
    number: usize,
    what: String,
}

impl Policy {
    /// The file in this directory; one that is not there allows everything and wants nothing.
    ///
    /// # Errors
    /// When it can't be read, could be written by others, or is not understood.
    pub fn read(directory: &Path) -> Result<Policy, PolicyError> {
        let path = directory.join(FILE);
        let unreadable = |source| PolicyError::Unreadable {
            path: path.clone(),
            source,
        };
        let mut options = File::options();
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        options.read(true).custom_flags(flags.bits().cast_signed());
        let file = match options.open(&path) {
            Err(_) if is_absent(directory) || directory.exists() && is_absent(&path) => {
                return Ok(Policy::default());
            }
            opened => opened.map_err(unreadable)?,
        };
        let found = file.metadata().map_err(unreadable)?;
        let own = [0, rustix::process::geteuid().as_raw()];
        let foreign = |why| PolicyError::Foreign {
            path: path.clone(),
            why,
        };
        if !found.is_file() || found.len() > FILE_MAX_BYTES {
            return Err(foreign("it is no regular file of at most 256 kB"));
        }
        if !own.contains(&found.uid()) || found.mode() & WRITE_OF_OTHERS != 0 {
            return Err(foreign(
                "others than its owner, or than root, may write to it",
            ));
        }
        let mut text = String::new();
        let mut limited = file.take(FILE_MAX_BYTES);
        limited.read_to_string(&mut text).map_err(unreadable)?;
        Policy::parse(&path, &text)
    }

    /// Reads the text of a file. Paths in it count from its directory.
    ///
    /// # Errors
    /// With the line.
    pub fn parse(path: &Path, text: &str) -> Result<Policy, PolicyError> {
        let form = |start: usize, what: String| {
            let before = text.get(..start).unwrap_or_default();
            PolicyError::Form {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                what,
            }
        };
        let mut policy: Policy = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            form(start, error.message().to_owned())
        })?;
        policy.resolve(path.parent().unwrap_or(Path::new("")));
        let whole = policy.check();
        whole.map_err(|wrong| {
            let mut places = text.match_indices(wrong.key);
            let place = places.nth(wrong.number);
            form(place.map_or(0, |(at, _)| at), wrong.what)
        })?;
        Ok(policy)
    }

    fn resolve(&mut self, base: &Path) {
        let files = self.credential.iter_mut().flat_map(|one| {
            [
                &mut one.token,
                &mut one.netrc,
                &mut one.certificate,
                &mut one.key,
            ]
        });
        for path in files.chain([&mut self.netrc]).flatten() {
            *path = base.join(&*path);
        }
    }

    /// What no single value says.
    fn check(&self) -> Result<(), Conflict> {
        for (number, one) in self.credential.iter().enumerate() {
            self.check_credential(one).map_err(|wrong| Conflict {
                key: "[[credential]]",
                number,
                what: format!("the credential for {} {wrong}", one.r#for.0),
            })?;
        }
        let of_first = |key, what| Conflict {
            key,
            number: 0,
            what,
        };
        if self.upgrade.schedule.is_none() && self.upgrade.jitter.is_some() {
            let what = "`jitter` says how much later than `schedule`, which says nothing";
            return Err(of_first("jitter", what.to_owned()));
        }
        if let Some(ProxyAddress(address)) = &self.proxy
            && UreqProxy::new(address).is_err()
        {
            let what = format!("{address} is no address of a proxy");
            return Err(of_first("proxy", what));
        }
        Ok(())
    }

    fn check_credential(&self, one: &CredentialFiles) -> Result<(), &'static str> {
        let server = &one.r#for.0;
        let is_of_proxy = self.proxy.as_ref().is_some_and(|proxy| proxy.is(server));
        if is_of_proxy && (one.netrc.is_none() || one.token.is_some() || one.key.is_some()) {
            return Err("is for the proxy, which is told a name and a password: `netrc` has them");
        }
        if !is_of_proxy && !server.is_private() {
            return Err(
                "would be known to everybody on the way, as it is asked without encryption: https:// keeps it",
            );
        }
        if one.certificate.is_some() != one.key.is_some() {
            return Err("has a certificate or a key, and needs both");
        }
        if one.token.is_some() && one.netrc.is_some() {
            return Err("has a token and a netrc, and one of them is sent");
        }
        if one.token.is_none() && one.netrc.is_none() && one.key.is_none() {
            return Err("names no file: `token`, `netrc`, or `certificate` and `key`, do");
        }
        let same = |other: &&CredentialFiles| other.r#for == one.r#for;
        if self.credential.iter().filter(same).count() > 1 {
            return Err("is there twice");
        }
        Ok(())
    }

    /// Where an address may be fetched, the nearest first: from its mirrors, and then from itself.
    ///
    /// # Errors
    /// When it is not among the allowed sources.
    pub fn addresses(&self, address: &str) -> Result<Vec<String>, NotAllowed> {
        self.check_source(address)?;
        let mirrors = self.mirror.iter();
        let mirrors = mirrors.filter_map(|mirror| mirror.of.moved(address, &mirror.at));
        Ok(mirrors.chain([address.to_owned()]).collect())
    }

    /// Whether an address may be asked at all.
    ///
    /// # Errors
    /// When it is not among the allowed sources.
    pub fn check_source(&self, address: &str) -> Result<(), NotAllowed> {
        let Some(sources) = &self.sources else {
            return Ok(());
        };
        match sources.iter().any(|source| source.covers(address)) {
            true => Ok(()),
            false => Err(NotAllowed {
                address: address.chars().take(200).collect(),
            }),
        }
    }

    /// Where a transfer may go, redirects included; none: anywhere. A mirror is allowed by being named.
    #[must_use]
    pub fn allowed(&self) -> Option<Vec<Place>> {
        let mirrors = self.mirror.iter().map(|mirror| mirror.at.clone());
        let sources = self.sources.clone()?;
        Some(sources.into_iter().chain(mirrors).collect())
    }

    /// What the proxy is told, where there is something.
    ///
    /// # Errors
    /// As [`Policy::credential`].
    pub fn proxy_login(&self) -> Result<Option<Login>, CredentialError> {
        let Some(proxy) = &self.proxy else {
            return Ok(None);
        };
        let files = self
            .credential
            .iter()
            .find(|one| proxy.is(&one.r#for.0))
            .and_then(|one| Some((one.netrc.as_deref()?, &one.r#for.0.host)));
        match files {
            Some((netrc, host)) => credential::netrc(netrc, host),
            None => Ok(None),
        }
    }

    /// What the server of an address is told, where there is something: what it has of its own, or what the netrc of all has. That one knows
    /// no ports: without encryption, whoever listens on any port of this machine would be told.
    ///
    /// # Errors
    /// When a file that should have it can't be read, is open to others or is something else.
    pub fn credential(&self, address: &str) -> Result<Option<Credential>, CredentialError> {
        let Some(origin) = Origin::of(address).filter(Origin::is_private) else {
            return Ok(None);
        };
        // What is for the proxy is told as to a proxy alone.
        if self.proxy.as_ref().is_some_and(|proxy| proxy.is(&origin)) {
            return Ok(None);
        }
        let files = self.credential.iter().find(|one| one.r#for.0 == origin);
        let token = files.and_then(|files| files.token.as_deref());
        let own = files.and_then(|files| files.netrc.as_deref());
        let of_all = self.netrc.as_deref().filter(|_| origin.scheme == "https");
        let login = match (token, own.or(of_all)) {
            (Some(token), _) => Some(credential::token(token)?),
            (None, Some(netrc)) => credential::netrc(netrc, &origin.host)?,
            (None, None) => None,
        };
        let identity =
            files.and_then(|files| files.certificate.as_deref().zip(files.key.as_deref()));
        let identity = identity.map(|(certificate, key)| credential::identity(certificate, key));
        let identity = identity.transpose()?;
        let has_one = login.is_some() || identity.is_some();
        Ok(has_one.then_some(Credential {
            origin,
            login,
            identity,
        }))
    }
}

/// Whether there is no such name: a link that leads nowhere was meant to be a policy.
fn is_absent(path: &Path) -> bool {
    let found = path.symlink_metadata();
    found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests;
