//! What the host knows of each portable: `<state>/portables/NAME/portable.json`, and `<state>/remembered`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::channel::Seen;
use crate::digest::Digest;
use crate::files::{
    FileError, entries, lock, make_open_directory, read_if_there, remove_if_empty, remove_if_there,
    replace,
};
use crate::grants::Grants;
use model::version::compare;

mod hold;
#[cfg(test)]
mod power;
mod upgrading;
mod versions;

pub use hold::Held;
pub use upgrading::Upgrading;

/// Longest name, in bytes: unit names begin with it, and have 255.
const NAME_MAX_BYTES: usize = 128;
/// Largest record: grants and settings are bounded by what a command line holds.
const RECORD_MAX_BYTES: u64 = 8 << 20;
/// Largest file of remembered lines: some ten thousand portables.
const REMEMBERED_MAX_BYTES: u64 = 4 << 20;

/// One portable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portable {
    /// Its name, from os-release inside the verified root.
    pub name: String,
    /// The version in use.
    pub current: String,
    /// The versions that are stored.
    pub versions: BTreeMap<String, Version>,
    /// The signer that is pinned: fingerprint and display name; none where `--insecure` or a digest was used.
    pub signer: Option<Signer>,
    /// Who signed it as it says itself, where that was not asked for: good for keeping it out only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Signer>,
    /// How it was allowed in.
    pub trust: Trust,
    /// Where it came from: URL or path.
    pub origin: String,
    /// The only certificates that the server there is trusted by, in PEM, where `--ca` named some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roots: Option<String>,
    /// What the administrator consented to, for this signer.
    pub grants: Grants,
    /// The host's directories that are its own, as they were not there before it.
    #[serde(default)]
    pub directories: BTreeSet<String>,
    /// Those of them of which only what a start has made is its own, as it is noted since it claims them.
    #[serde(default)]
    pub marked: BTreeSet<String>,
    /// What `configure` set, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, Vec<String>>,
    /// Whether it starts at boot.
    #[serde(default)]
    pub enabled: bool,
    /// Whether the administrator said so; else to be started says it.
    #[serde(default)]
    pub boot_is_chosen: bool,
    /// The sandbox that the administrator chose, by its name; empty for the default one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Whether it is attached until the next reboot only: as long as [`until_reboot`] is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub runtime: bool,
    /// What the names of the units begin with that the administrator wants of it; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// What the administrator lays over its root, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<Extension>,
    /// What was last seen of the channel beside the address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Seen>,
    /// Whether it is to stay at its version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// The version to go back to, as the current one has not proven yet that it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<String>,
}

/// An image or a directory that is laid over a portable's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// What its file is called: what it is made for is found by that name.
    pub file: String,
    /// The image in the store; none for a directory.
    #[serde(default)]
    pub image: Option<Digest>,
    /// The directory.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// Who vouches for it.
    #[serde(default)]
    pub signer: Option<Signer>,
    /// As [`Portable::claimed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Signer>,
}

impl Extension {
    /// Who signed it, proven or not.
    pub fn signers(&self) -> impl Iterator<Item = &Signer> {
        self.signer.iter().chain(&self.claimed)
    }
}

impl Portable {
    /// Who signed it and what is laid over it, proven or not.
    pub fn signers(&self) -> impl Iterator<Item = &Signer> {
        let layers = self.extensions.iter().flat_map(Extension::signers);
        self.signer.iter().chain(&self.claimed).chain(layers)
    }
}

/// What says that a portable that is attached until the next reboot still is: it is gone with the runtime directory.
#[must_use]
pub fn until_reboot(runtime: &Path, name: &str) -> PathBuf {
    runtime.join("until-reboot").join(name)
}

/// Notes that a portable is attached until the next reboot, or that it is no longer.
///
/// # Errors
/// When the note can't be written or removed.
pub fn mark_until_reboot(runtime: &Path, name: &str, is_attached: bool) -> Result<(), Error> {
    check_name(name)?;
    let path = until_reboot(runtime, name);
    let folder = path.parent().unwrap_or(runtime);
    if is_attached {
        return note(&path, folder);
    }
    if remove_if_there(&path)? {
        remove_if_empty(folder)?;
    }
    Ok(())
}

/// How often others may take away the folder of notes, as the last one went, before a note is in it.
const FOLDER_TRIES: u32 = 16;

fn note(path: &Path, folder: &Path) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        make_open_directory(folder)?;
        match replace(path, b"", 0o644) {
            Err(error)
                if error.source.kind() == std::io::ErrorKind::NotFound && tries < FOLDER_TRIES =>
            {
                tries += 1;
            }
            noted => return Ok(noted?),
        }
    }
}

/// One version of a portable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The image in the store; none for a directory.
    pub image: Option<Digest>,
    /// The directory, where the portable is one.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// The verity root hash in hexadecimal digits.
    #[serde(default)]
    pub root_hash: Option<String>,
    /// The names of its units.
    pub units: Vec<String>,
    /// When it was installed, microseconds since the epoch.
    pub installed_us: u64,
    /// Whether it was seen to work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub healthy: bool,
    /// Why it was taken back, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
    /// What the administrator consented to for it: going back to it asks for nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// Its display name.
    pub name: String,
    /// The authority that issued the certificate, where that is what is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Digest>,
    /// SHA-256 of its public key, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// What revokes it beside the two: its key, what the same certificate may be called, too, and the same of the issuer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kin: Vec<Digest>,
}

impl Signer {
    /// All whose revocation is its own.
    pub fn revoked_by(&self) -> impl Iterator<Item = Digest> {
        let own = std::iter::once(self.fingerprint).chain(self.issuer);
        own.chain(self.kin.iter().copied())
    }
}

/// How an image was allowed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// A valid signature by a trusted certificate.
    Signed,
    /// `--trust-digest=`.
    Digest,
    /// `--insecure`.
    Insecure,
    /// A directory that belongs to root.
    Directory,
}

/// The one line that is kept after a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The portable's name.
    pub name: String,
    /// The pinned signer's fingerprint.
    pub signer: Option<Digest>,
    /// The highest version ever installed.
    pub highest: String,
}

/// Why the records cannot be read or written, or what they forbid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A record is damaged.
    #[error("the record {} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The name cannot be a portable's.
    #[error("{name:?} cannot be a portable's name")]
    Name {
        /// The name.
        name: String,
    },
    /// The record is not what it was when the change was decided.
    #[error("another command changed or removed {name} meanwhile")]
    Changed {
        /// The portable.
        name: String,
    },
    /// Another portable came first.
    #[error("{directory} is {owner}'s meanwhile")]
    DirectoryTaken {
        /// The directory.
        directory: String,
        /// The portable that has it.
        owner: String,
    },
    /// An older version than was ever installed.
    #[error("{name} {version} is older than {highest}, which was installed before")]
    Downgrade {
        /// The portable.
        name: String,
        /// The version offered.
        version: String,
        /// The highest ever installed.
        highest: String,
    },
    /// Withdrawn by its maker.
    #[error("{name} {version} was withdrawn by its maker: the channel's floor is {floor}")]
    BelowFloor {
        /// The portable.
        name: String,
        /// The version offered.
        version: String,
        /// The channel's floor.
        floor: String,
    },
    /// Another signer than the pinned one.
    #[error(
        "{name} was {} until now, and this image is {}",
        was(pinned),
        said(found)
    )]
    OtherSigner {
        /// The portable.
        name: String,
        /// The pinned signer; none where what is installed has none.
        pinned: Option<Digest>,
        /// This image's signer.
        found: Option<Box<Signer>>,
    },
}

fn was(pinned: &Option<Digest>) -> String {
    pinned.as_ref().map_or_else(
        || "not signed".to_owned(),
        |pinned| format!("signed by {pinned}"),
    )
}

fn said(signer: &Option<Box<Signer>>) -> String {
    signer.as_ref().map_or_else(
        || "not signed".to_owned(),
        |signer| format!("signed by \"{}\" ({})", signer.name, signer.fingerprint),
    )
}

/// The records of a state directory.
#[derive(Debug, Clone)]
pub struct Portables {
    state: PathBuf,
}

impl Portables {
    /// The records below `<state>`.
    #[must_use]
    pub fn new(state: &Path) -> Portables {
        Portables {
            state: state.to_owned(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.state.join("portables")
    }

    fn file(&self, name: &str) -> Result<PathBuf, Error> {
        check_name(name)?;
        Ok(self.folder().join(name).join("portable.json"))
    }

    /// Where what is known of a portable lies.
    pub(crate) fn portable_folder(&self, name: &str) -> Result<PathBuf, Error> {
        check_name(name)?;
        Ok(self.folder().join(name))
    }

    /// Where an extension's image has the name that it came with.
    #[must_use]
    pub fn extension_link(&self, name: &str, file: &str) -> PathBuf {
        self.folder().join(name).join("extensions").join(file)
    }

    fn remembered_file(&self) -> PathBuf {
        self.state.join("remembered")
    }

    /// The record of one portable.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn get(&self, name: &str) -> Result<Option<Portable>, Error> {
        let path = self.file(name)?;
        let Some(content) = read_if_there(&path, RECORD_MAX_BYTES)? else {
            return Ok(None);
        };
        let portable = serde_json::from_slice(&content).map_err(|source| Error::Damaged {
            path,
            source: source.into(),
        })?;
        Ok(Some(portable))
    }

    /// All records, by name.
    ///
    /// # Errors
    /// As [`Portables::get`].
    pub fn list(&self) -> Result<Vec<Portable>, Error> {
        let names = entries(&self.folder())?;
        let names = names
            .iter()
            .filter_map(|path| path.file_name()?.to_str())
            .filter(|name| check_name(name).is_ok());
        names
            .filter_map(|name| self.get(name).transpose())
            .collect()
    }

    fn raise(&self, portable: &Portable) -> Result<(), Error> {
        let known = self.remembered(&portable.name)?;
        let highest = known
            .map(|line| line.highest)
            .filter(|highest| compare(highest, &portable.current).is_gt());
        let line = Remembered {
            name: portable.name.clone(),
            signer: portable.signer.as_ref().map(|signer| signer.fingerprint),
            highest: highest.unwrap_or_else(|| portable.current.clone()),
        };
        self.write_lines(&portable.name, Some(line))
    }

    /// What is remembered of a name.
    ///
    /// # Errors
    /// As [`Portables::get`].
    pub fn remembered(&self, name: &str) -> Result<Option<Remembered>, Error> {
        Ok(self.lines()?.into_iter().find(|line| line.name == name))
    }

    /// Drops what is remembered of a name (`--forget`).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget(&self, name: &str) -> Result<(), Error> {
        let _lock = lock(&self.state)?;
        self.remember_channel(name, None)?;
        self.write_lines(name, None)
    }

    fn channels_file(&self) -> PathBuf {
        self.state.join("remembered-channels")
    }

    /// What was seen of the channel of a portable that is not here any more, while who signed it is the one whose channel it was: an old index
    /// is refused also after a purge.
    ///
    /// # Errors
    /// As [`Portables::get`].
    pub fn remembered_channel(&self, name: &str) -> Result<Option<Seen>, Error> {
        let pinned = self.remembered(name)?.and_then(|line| line.signer);
        let seen = self.channels()?.remove(name);
        Ok(seen.filter(|seen| {
            let both = seen.signer.as_ref().zip(pinned.as_ref());
            both.is_some_and(|(one, other)| one == other || seen.is_one_maker(one, other))
        }))
    }

    fn channels(&self) -> Result<BTreeMap<String, Seen>, Error> {
        let path = self.channels_file();
        let Some(content) = read_if_there(&path, REMEMBERED_MAX_BYTES)? else {
            return Ok(BTreeMap::new());
        };
        serde_json::from_slice(&content).map_err(|source| Error::Damaged {
            path,
            source: source.into(),
        })
    }

    fn remember_channel(&self, name: &str, seen: Option<Seen>) -> Result<(), Error> {
        let mut all = self.channels()?;
        let before = all.clone();
        match seen {
            Some(seen) => all.insert(name.to_owned(), seen),
            None => all.remove(name),
        };
        if all == before {
            return Ok(());
        }
        let path = self.channels_file();
        if all.is_empty() {
            remove_if_there(&path)?;
            return Ok(());
        }
        let content = serde_json::to_vec(&all).map_err(|source| Error::Damaged {
            path: path.clone(),
            source: source.into(),
        })?;
        Ok(replace(&path, &content, 0o600)?)
    }

    fn lines(&self) -> Result<Vec<Remembered>, Error> {
        let path = self.remembered_file();
        let content = read_if_there(&path, REMEMBERED_MAX_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        let lines: Option<Vec<Remembered>> = text.lines().map(Remembered::read).collect();
        lines.ok_or_else(|| Error::Damaged {
            path,
            source: "a line is not NAME SIGNER VERSION".into(),
        })
    }

    fn write_lines(&self, name: &str, line: Option<Remembered>) -> Result<(), Error> {
        let mut lines = self.lines()?;
        lines.retain(|other| other.name != name);
        lines.extend(line);
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        let path = self.remembered_file();
        if lines.is_empty() {
            remove_if_there(&path)?;
            return Ok(());
        }
        let text: String = lines.iter().map(Remembered::print).collect();
        Ok(replace(&path, text.as_bytes(), 0o600)?)
    }

    /// Checks a version about to be installed against what is remembered.
    ///
    /// # Errors
    /// [`Error::Downgrade`] and [`Error::BelowFloor`] unless allowed, each by itself; [`Error::OtherSigner`] unless allowed, or the other one came after the pinned
    /// one by its own word.
    pub fn check(
        &self,
        name: &str,
        version: &str,
        signer: Option<&Signer>,
        allowed: Allowed,
    ) -> Result<(), Error> {
        let Some(known) = self.remembered(name)? else {
            return Ok(());
        };
        let installed = self.get(name)?;
        let of_old = match &installed {
            None => self.remembered_channel(name)?,
            Some(_) => None,
        };
        let seen = installed.as_ref().and_then(|one| one.channel.as_ref());
        let seen = seen.or(of_old.as_ref());
        let found = signer.map(|signer| signer.fingerprint);
        // What nobody signed may get a signer at any time, but not one who takes over what an installed one has: its settings,
        // secrets among them, and its directories.
        let takes_over = known.signer.is_some() || installed.is_some();
        let pinned = known.signer;
        let is_heir = |seen: &Seen| {
            let both = pinned.as_ref().zip(found.as_ref());
            both.is_some_and(|(pinned, found)| seen.is_one_maker(pinned, found))
        };
        let is_same = found == pinned || seen.is_some_and(is_heir);
        if !is_same && takes_over && !allowed.other_signer {
            return Err(Error::OtherSigner {
                name: name.to_owned(),
                pinned,
                found: signer.cloned().map(Box::new),
            });
        }
        if compare(version, &known.highest).is_lt() && !allowed.downgrade {
            return Err(Error::Downgrade {
                name: name.to_owned(),
                version: version.to_owned(),
                highest: known.highest,
            });
        }
        // The floor is the maker's whose channel it was.
        let floor = seen.filter(|_| is_same);
        match floor.and_then(|seen| seen.floor.as_ref()) {
            Some(floor) if compare(version, floor).is_lt() && !allowed.withdrawn => {
                Err(Error::BelowFloor {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    floor: floor.clone(),
                })
            }
            _ => Ok(()),
        }
    }
}

impl Remembered {
    fn read(line: &str) -> Option<Remembered> {
        let mut words = line.splitn(3, ' ');
        let name = words.next()?.to_owned();
        let signer = match words.next()? {
            "-" => None,
            digest => Some(digest.parse().ok()?),
        };
        Some(Remembered {
            name,
            signer,
            highest: words.next()?.to_owned(),
        })
    }

    fn print(&self) -> String {
        let signer = self
            .signer
            .map_or_else(|| "-".to_owned(), |signer| signer.to_string());
        format!(
            "{} {signer} {}\n",
            self.name,
            self.highest.replace('\n', " ")
        )
    }
}

/// A portable's name is the beginning of file names and of unit names.
fn check_name(name: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good = !name.is_empty()
        && name.len() <= NAME_MAX_BYTES
        && !name.starts_with(['.', '-'])
        && name.bytes().all(plain);
    if good {
        Ok(())
    } else {
        Err(Error::Name {
            name: name.chars().take(NAME_MAX_BYTES).collect(),
        })
    }
}

/// What the administrator said on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// A version below the highest one that was ever installed.
    pub downgrade: bool,
    /// One below the floor of the channel.
    pub withdrawn: bool,
    /// Another signer was answered with yes.
    pub other_signer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn portable(version: &str, signer: &[u8]) -> Portable {
        Portable {
            name: "hello".into(),
            current: version.into(),
            versions: BTreeMap::new(),
            signer: Some(Signer {
                fingerprint: Digest::of(signer),
                name: "Maker".into(),
                issuer: None,
                key: None,
                kin: Vec::new(),
            }),
            claimed: None,
            trust: Trust::Signed,
            origin: "https://example/hello.psi".into(),
            roots: None,
            grants: Grants::from_list("network,listen:8080").unwrap(),
            settings: BTreeMap::new(),
            directories: BTreeSet::new(),
            marked: BTreeSet::new(),
            enabled: true,
            boot_is_chosen: false,
            profile: String::new(),
            runtime: false,
            prefixes: Vec::new(),
            extensions: Vec::new(),
            channel: None,
            held: false,
            trial: None,
        }
    }

    fn put(records: &Portables, portable: &Portable) -> Result<(), Error> {
        records.hold(&portable.name)?.put(portable)
    }

    fn remove(records: &Portables) -> Result<(), Error> {
        records.hold("hello")?.remove()
    }

    #[test]
    fn a_record_is_written_and_read_back() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        put(&records, &portable("1.0", b"a")).unwrap();
        assert_eq!(records.get("hello").unwrap(), Some(portable("1.0", b"a")));
        assert_eq!(records.list().unwrap().len(), 1);
        assert!(records.get("../hello").is_err());
    }

    #[test]
    fn the_highest_version_and_the_signer_outlive_the_record() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        put(&records, &portable("1.10", b"a")).unwrap();
        put(&records, &portable("1.9", b"a")).unwrap();
        remove(&records).unwrap();
        assert_eq!(records.get("hello").unwrap(), None);
        let signer = portable("1.9", b"a").signer;
        let check = |version, signer: Option<&Signer>, allowed| {
            records.check("hello", version, signer, allowed)
        };
        assert!(matches!(
            check("1.9", signer.as_ref(), Allowed::default()),
            Err(Error::Downgrade { .. })
        ));
        check(
            "1.9",
            signer.as_ref(),
            Allowed {
                downgrade: true,
                ..Allowed::default()
            },
        )
        .unwrap();
        check("1.10", signer.as_ref(), Allowed::default()).unwrap();
        assert!(matches!(
            check("2", None, Allowed::default()),
            Err(Error::OtherSigner { .. })
        ));
        let other = portable("2", b"b").signer;
        assert!(matches!(
            check("2", other.as_ref(), Allowed::default()),
            Err(Error::OtherSigner { .. })
        ));
        records.forget("hello").unwrap();
        check("1.0", None, Allowed::default()).unwrap();
        assert!(!state.path().join("remembered").exists());
    }

    #[test]
    fn what_was_withdrawn_is_no_mere_older_version() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        let mut known = portable("1.1", b"a");
        known.channel = Some(Seen {
            signer: Some(Digest::of(b"a")),
            serial: 1,
            digest: Digest::of(b"index"),
            floor: Some("1.1".into()),
            lineage: Vec::new(),
            successors: Vec::new(),
        });
        put(&records, &known).unwrap();
        let check = |version, signer: &[u8], allowed| {
            records.check(
                "hello",
                version,
                portable("1", signer).signer.as_ref(),
                allowed,
            )
        };
        let older = Allowed {
            downgrade: true,
            ..Allowed::default()
        };
        assert!(matches!(
            check("1.0", b"a", older),
            Err(Error::BelowFloor { .. })
        ));
        let withdrawn = Allowed {
            withdrawn: true,
            ..older
        };
        check("1.0", b"a", withdrawn).unwrap();
        check("1.1", b"a", Allowed::default()).unwrap();
        // Another maker, who was accepted, withdrew nothing.
        let other = Allowed {
            other_signer: true,
            ..older
        };
        check("1.0", b"b", other).unwrap();
        // A purge forgets none of that, and what is told to forget does.
        remove(&records).unwrap();
        assert!(matches!(
            check("1.0", b"a", older),
            Err(Error::BelowFloor { .. })
        ));
        let seen = || records.remembered_channel("hello").unwrap();
        assert_eq!(seen(), known.channel);
        check("1.0", b"b", other).unwrap();
        put(&records, &portable("1.2", b"b")).unwrap();
        assert_eq!(seen(), None, "it is another maker's now");
        records.forget("hello").unwrap();
        assert!(!state.path().join("remembered-channels").exists());
    }

    #[test]
    fn a_signer_does_not_take_over_what_nobody_signed_unasked() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        let signer = portable("1.1", b"a").signer;
        let unsigned = Portable {
            signer: None,
            ..portable("1.0", b"")
        };
        put(&records, &unsigned).unwrap();
        let check = |signer: Option<&Signer>, other_signer| {
            let allowed = Allowed {
                other_signer,
                ..Allowed::default()
            };
            records.check("hello", "1.1", signer, allowed)
        };
        let said = check(signer.as_ref(), false).unwrap_err().to_string();
        assert!(
            said.starts_with(
                "hello was not signed until now, and this image is signed by \"Maker\""
            ),
            "{said}"
        );
        check(signer.as_ref(), true).unwrap();
        check(None, false).unwrap();
        remove(&records).unwrap();
        check(signer.as_ref(), false).unwrap();
    }

    #[test]
    fn a_damaged_record_is_told_and_not_overlooked() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        put(&records, &portable("1.0", b"a")).unwrap();
        std::fs::write(state.path().join("portables/hello/portable.json"), "{").unwrap();
        assert!(matches!(records.get("hello"), Err(Error::Damaged { .. })));
        std::fs::write(state.path().join("remembered"), "hello\n").unwrap();
        assert!(matches!(
            records.remembered("hello"),
            Err(Error::Damaged { .. })
        ));
    }

    fn installed() -> tempfile::TempDir {
        let state = tempfile::tempdir().unwrap();
        put(&Portables::new(state.path()), &portable("1.0", b"a")).unwrap();
        state
    }

    #[test]
    fn a_power_cut_never_lowers_what_is_remembered_nor_damages_a_record() {
        let update = |state: &Path| put(&Portables::new(state), &portable("1.1", b"a"));
        crate::files::power::at_each_step(installed, update, |state, done| {
            let records = Portables::new(state);
            let current = records.get("hello").unwrap().unwrap().current;
            let highest = records.remembered("hello").unwrap().unwrap().highest;
            let states = [("1.0", "1.0"), ("1.0", "1.1"), ("1.1", "1.1")];
            assert!(
                states.contains(&(&current, &highest)),
                "{current} {highest}"
            );
            assert!(!done || current == "1.1");
            update(state).unwrap();
        });
    }

    #[test]
    fn a_power_cut_during_removal_leaves_a_record_that_can_be_removed_again() {
        crate::files::power::at_each_step(
            installed,
            |state| remove(&Portables::new(state)),
            |state, done| {
                let records = Portables::new(state);
                assert!(records.get("hello").unwrap().is_none() || !done);
                remove(&records).unwrap();
                assert_eq!(records.list().unwrap(), []);
                assert_eq!(entries(state).unwrap(), [state.join("remembered")]);
            },
        );
    }

    #[test]
    fn notes_of_portables_that_come_and_go_at_once_are_not_in_each_others_way() {
        const ROUNDS: usize = 300;
        let runtime = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for name in ["boat", "raft", "ship", "tug"] {
                let runtime = runtime.path();
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        mark_until_reboot(runtime, name, true).unwrap();
                        assert!(until_reboot(runtime, name).exists());
                        mark_until_reboot(runtime, name, false).unwrap();
                    }
                });
            }
        });
        assert!(!runtime.path().join("until-reboot").exists());
    }
}
