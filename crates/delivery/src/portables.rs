//! What the host knows of each portable: `<state>/portables/NAME/portable.json`, and `<state>/remembered`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::channel::Seen;
use crate::digest::Digest;
use crate::files::{
    FileError, entries, lock, read_if_there, remove_if_empty, remove_if_there, replace,
};
use crate::grants::Grants;
use model::version::compare;

mod hold;
#[cfg(test)]
mod power;
mod remembered;
mod upgrading;
mod versions;

pub use hold::Held;
pub use remembered::Remembered;
pub use upgrading::Upgrading;

/// Longest name, in bytes: unit names begin with it, and have 255.
const NAME_MAX_BYTES: usize = 128;
/// Largest record: grants and settings are bounded by what a command line holds.
const RECORD_MAX_BYTES: u64 = 8 << 20;

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
    /// One of which nothing is known yet but its name and how it was allowed in: it starts at boot, and has no version.
    #[must_use]
    pub fn new(name: String, trust: Trust) -> Self {
        Self {
            name,
            current: String::new(),
            versions: BTreeMap::new(),
            signer: None,
            claimed: None,
            trust,
            origin: String::new(),
            roots: None,
            grants: Grants::default(),
            directories: BTreeSet::new(),
            marked: BTreeSet::new(),
            settings: BTreeMap::new(),
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
        let _lock = notes(folder)?;
        return Ok(replace(&path, b"", 0o644)?);
    }
    if path.exists() {
        let _lock = notes(folder)?;
        remove_if_there(&path)?;
        remove_if_empty(folder)?;
    }
    Ok(())
}

/// The folder of notes, which nobody removes until this is dropped: it goes with the last note, and others may be about to write one.
fn notes(folder: &Path) -> Result<File, FileError> {
    use std::io::ErrorKind::{AlreadyExists, NotFound};
    // What is there and is no folder stays so.
    let is_going = |error: &FileError| match error.source.kind() {
        NotFound => folder.parent().is_some_and(Path::is_dir),
        AlreadyExists => folder
            .symlink_metadata()
            .map_or(true, |found| found.is_dir()),
        _ => false,
    };
    loop {
        // Between two steps of this another one may take the last note away; each time that one has done what it wanted.
        match lock(folder) {
            Err(error) if is_going(&error) => {}
            locked => {
                let locked = locked?;
                if hold::is_still_there(&locked, folder)? {
                    return Ok(locked);
                }
            }
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
mod tests;
