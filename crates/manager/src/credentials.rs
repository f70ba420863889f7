//! What a start hands to its service as credentials: files, directories and sockets of the host, the stores, what the unit has sealed.

mod sockets;
mod stores;

pub(crate) use sockets::Fetches;
pub(crate) use stores::handed;

use crate::environment::Variables;
use credential::{HostSecrets, KeyKind, SecretError};
use kernel::walk::Place;
use model::value::{ImportCredential, LoadCredential};
use model::{Unit, key};
use rustix::fs::{Dir, FileType, Mode, OFlags};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use stores::Stores;

/// Bytes of all credentials of a unit, as the reference has it.
const CREDENTIALS_BYTES_MAX: u64 = 1 << 20;
/// Credentials of a unit: each is a file in memory.
const CREDENTIALS_MAX: usize = 1024;
/// Names of one directory that are looked at.
const NAMES_MAX: usize = 1 << 16;
/// Directories in each other below one that is loaded.
const DEPTH_MAX: usize = 16;

/// Names with contents, of each name the first; or what is wrong with which directive.
pub(crate) type Found = Result<Vec<(String, Vec<u8>)>, Wrong>;

/// A credential that can't be had.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    pub(crate) directive: &'static str,
    pub(crate) message: String,
}

impl Wrong {
    /// Whoever read them did not come to an end.
    fn unread() -> Self {
        Self {
            directive: "LoadCredential",
            message: "the credentials were not read to the end".into(),
        }
    }
}

/// Where credentials are kept, and what opens those that are sealed.
struct Sources<'a> {
    /// The keeper's process, which has the variables that the instance was started with.
    keeper: u32,
    /// The state directory, where the host's secret may be.
    state: &'a Path,
    /// Microseconds since 1970.
    now_us: u64,
    /// What sockets have said, by the credential's name.
    said: &'a [(String, io::Result<Vec<u8>>)],
    /// Whether the machine's firmware starts only what is signed.
    boots_securely: &'a dyn Fn() -> bool,
    /// Takes a sentence about a credential that is weaker than it looks.
    warn: &'a dyn Fn(&str),
}

/// Reads the credentials of a unit. A missing one is left out where the unit has a value for it, and where it has no path: then it
/// is looked for among the manager's own and in the stores, as the reference has it.
fn read(unit: &Unit, sources: &Sources<'_>) -> Found {
    let stores = Stores::of(&Variables::of(sources.keeper));
    read_from(unit, sources, &stores)
}

fn read_from(unit: &Unit, sources: &Sources<'_>, stores: &Stores) -> Found {
    let mut reading = Reading {
        sources,
        stores,
        room: CREDENTIALS_BYTES_MAX,
        found: Vec::new(),
        directive: "LoadCredential",
    };
    for (directive, key, is_sealed) in [
        ("LoadCredential", &key::LOAD_CREDENTIAL, false),
        (
            "LoadCredentialEncrypted",
            &key::LOAD_CREDENTIAL_ENCRYPTED,
            true,
        ),
    ] {
        reading.directive = directive;
        let lines: Vec<&LoadCredential> = unit.get(key).into_iter().flatten().collect();
        for (place, line) in lines.iter().enumerate() {
            let later = lines.iter().skip(place + 1);
            // The last line of a name counts.
            if !later.clone().any(|later| later.name == line.name) {
                reading.load(line, is_sealed, has_default(unit, &line.name))?;
            }
        }
    }
    reading.directive = "ImportCredential";
    for import in unit.get(&key::IMPORT_CREDENTIAL).into_iter().flatten() {
        reading.import(import)?;
    }
    reading.directive = "SetCredentialEncrypted";
    let set = unit.get(&key::SET_CREDENTIAL_ENCRYPTED);
    for set in set.into_iter().flatten() {
        if !reading.has(&set.name) {
            let value = reading.unsealed(&set.name, set.data.as_bytes(), &[&set.name]);
            let value = value.map_err(|error| reading.wrong(&set.name, &error))?;
            reading.add(set.name.clone(), value)?;
        }
    }
    Ok(reading.found)
}

/// Does the unit say what takes the place of a missing one?
fn has_default(unit: &Unit, name: &str) -> bool {
    let says = |key: &model::Key<model::value::SetCredentials>| {
        let set = unit.get(key);
        set.is_some_and(|set| set.iter().any(|other| other.name == name))
    };
    says(&key::SET_CREDENTIAL) || says(&key::SET_CREDENTIAL_ENCRYPTED)
}

struct Reading<'a> {
    sources: &'a Sources<'a>,
    stores: &'a Stores,
    room: u64,
    found: Vec<(String, Vec<u8>)>,
    directive: &'static str,
}

impl Reading<'_> {
    fn has(&self, name: &str) -> bool {
        self.found.iter().any(|(known, _)| known == name)
    }

    fn wrong(&self, what: &str, error: &dyn std::fmt::Display) -> Wrong {
        Wrong {
            directive: self.directive,
            message: format!("{what} can't be read: {error}"),
        }
    }

    fn add(&mut self, name: String, value: Vec<u8>) -> Result<(), Wrong> {
        if self.has(&name) {
            return Ok(());
        }
        let fits = self.found.len() < CREDENTIALS_MAX;
        let room = self.room.checked_sub(value.len() as u64);
        let Some(room) = room.filter(|_| fits) else {
            return Err(self.wrong(&name, &too_much()));
        };
        self.room = room;
        self.found.push((name, value));
        Ok(())
    }

    fn load(
        &mut self,
        line: &LoadCredential,
        is_sealed: bool,
        may_be_missing: bool,
    ) -> Result<(), Wrong> {
        if !line.source.starts_with('/') {
            return self.load_by_name(line, is_sealed);
        }
        let path = &line.source;
        let mut said = self.sources.said.iter();
        let opened = match said.find(|(name, _)| *name == line.name) {
            Some((_, Ok(bytes))) => Ok(Opened::Bytes(bytes.clone())),
            Some((_, Err(error))) => Err(io::Error::new(error.kind(), error.to_string())),
            None => open(path, self.room_of(is_sealed)),
        };
        match opened {
            Ok(Opened::Bytes(bytes)) => self.take(&line.name, path, bytes, is_sealed),
            Ok(Opened::Directory(directory)) => {
                self.walk(&line.name, path, &directory, is_sealed, DEPTH_MAX)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_missing => Ok(()),
            Err(error) => Err(self.wrong(path, &error)),
        }
    }

    /// Sealed ones are larger, and text.
    fn room_of(&self, is_sealed: bool) -> u64 {
        if is_sealed {
            2 * credential::SEALED_BYTES_MAX as u64
        } else {
            self.room
        }
    }

    fn take(
        &mut self,
        name: &str,
        path: &str,
        bytes: Vec<u8>,
        is_sealed: bool,
    ) -> Result<(), Wrong> {
        self.take_as(name.to_owned(), &[name], path, bytes, is_sealed)
    }

    fn take_as(
        &mut self,
        name: String,
        sealed_for: &[&str],
        path: &str,
        bytes: Vec<u8>,
        is_sealed: bool,
    ) -> Result<(), Wrong> {
        if self.has(&name) {
            return Ok(());
        }
        let value = if is_sealed {
            self.unsealed(path, &bytes, sealed_for)
                .map_err(|error| self.wrong(path, &error))?
        } else {
            bytes
        };
        self.add(name, value)
    }

    fn unsealed(&self, what: &str, text: &[u8], names: &[&str]) -> Result<Vec<u8>, Unopened> {
        let sealed = credential::from_text(text)?;
        let secrets = || HostSecrets::read(self.sources.state);
        let opened = credential::open(&sealed, names, self.sources.now_us, secrets)?;
        if opened.key == KeyKind::Null {
            self.accept_null(what)?;
        }
        Ok(opened.content.to_vec())
    }

    /// The null key is everybody's: what it sealed is used, as the reference does, but where nothing else is that nobody has signed.
    fn accept_null(&self, what: &str) -> Result<(), Unopened> {
        if (self.sources.boots_securely)() {
            return Err(Unopened::Null);
        }
        if !matches!(
            HostSecrets::read(self.sources.state),
            Err(SecretError::None)
        ) {
            (self.sources.warn)(&format!(
                "{what} is sealed with the null key, so anybody who can write there may have made it: `coracle creds encrypt` seals with this host's secret"
            ));
        }
        Ok(())
    }

    fn load_by_name(&mut self, line: &LoadCredential, is_sealed: bool) -> Result<(), Wrong> {
        for (store, store_is_sealed) in &self.stores.directories {
            // What is not sealed does as well where something sealed is asked for, but not the other way round.
            if *store_is_sealed && !is_sealed {
                continue;
            }
            let path = format!("{store}/{}", line.source);
            match read_file(&path, self.room_of(*store_is_sealed)) {
                Ok(bytes) => return self.take(&line.name, &path, bytes, *store_is_sealed),
                Err(error) if self.stores.is_absent(&error) => {}
                Err(error) => return Err(self.wrong(&path, &error)),
            }
        }
        Ok(())
    }

    /// What the stores have of a name, or of all that begin like one.
    fn import(&mut self, import: &ImportCredential) -> Result<(), Wrong> {
        let stores = self.stores;
        for (store, is_sealed) in &stores.directories {
            let names = match import.pattern.strip_suffix('*') {
                Some(beginning) => match beginning_with(store, beginning) {
                    Err(error) if stores.is_absent(&error) => continue,
                    names => names.map_err(|error| self.wrong(store, &error))?,
                },
                None => vec![import.pattern.clone()],
            };
            for name in names {
                let own = import.name_of(&name);
                // Not even looked at: what it is, and how large, does not matter.
                if self.has(&own) {
                    continue;
                }
                let path = format!("{store}/{name}");
                match read_file(&path, self.room_of(*is_sealed)) {
                    Ok(bytes) => {
                        self.take_as(own.clone(), &[&name, &own], &path, bytes, *is_sealed)?;
                    }
                    Err(error) if stores.is_absent(&error) => {}
                    Err(error) => return Err(self.wrong(&path, &error)),
                }
            }
        }
        Ok(())
    }

    /// Every file of a directory, as `NAME_FILE` and `NAME_DIRECTORY_FILE`; links and hidden files are none.
    fn walk(
        &mut self,
        name: &str,
        path: &str,
        directory: &OwnedFd,
        is_sealed: bool,
        depth: usize,
    ) -> Result<(), Wrong> {
        let failed = |reading: &Self, error: io::Error| reading.wrong(path, &error);
        let entries = entries(directory, |_| true).map_err(|error| failed(self, error))?;
        for (entry, kind) in entries {
            let (own, path) = (format!("{name}_{entry}"), format!("{path}/{entry}"));
            if own.len() > credential::NAME_BYTES_MAX {
                return Err(self.wrong(&path, &"its name would be too long"));
            }
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
            let open = |more| {
                rustix::fs::openat(
                    directory,
                    &entry,
                    flags | more | OFlags::CLOEXEC,
                    Mode::empty(),
                )
            };
            match kind {
                FileType::RegularFile if self.has(&own) => {}
                FileType::RegularFile => {
                    let room = self.room_of(is_sealed);
                    let bytes = open(OFlags::empty()).map_err(io::Error::from);
                    let bytes = bytes.and_then(|file| read_regular(file.into(), room));
                    let bytes = bytes.map_err(|error| self.wrong(&path, &error))?;
                    self.take(&own, &path, bytes, is_sealed)?;
                }
                FileType::Directory if depth == 0 => {
                    return Err(self.wrong(&path, &"it lies too deep"));
                }
                FileType::Directory => {
                    let inner = open(OFlags::DIRECTORY);
                    let inner = inner.map_err(|errno| self.wrong(&path, &errno))?;
                    self.walk(&own, &path, &inner, is_sealed, depth - 1)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Why what is sealed is not used.
#[derive(Debug, thiserror::Error)]
enum Unopened {
    #[error(transparent)]
    Sealed(#[from] credential::Error),
    #[error(
        "it is sealed with the null key, so anybody may have made it, and this machine starts only what is signed (Secure Boot): `coracle creds encrypt` seals with the host's secret"
    )]
    Null,
}

fn too_much() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        "the credentials of one unit may have 1 MiB together, and be 1024",
    )
}

/// What is in a directory and fits, by name, without what is hidden. Names that are no text are no credentials'.
fn entries(
    directory: impl AsFd,
    fits: impl Fn(&str) -> bool,
) -> io::Result<Vec<(String, FileType)>> {
    let mut found = Vec::new();
    for (place, entry) in Dir::read_from(directory)?.enumerate() {
        let entry = entry?;
        if place >= NAMES_MAX {
            return Err(io::Error::other(format!(
                "it has more than {NAMES_MAX} names"
            )));
        }
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if !name.starts_with('.') && fits(name) {
            found.push((name.to_owned(), entry.file_type()));
        }
        if found.len() > CREDENTIALS_MAX {
            return Err(too_much());
        }
    }
    model::order::sort_by(&mut found, |a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn beginning_with(store: &str, beginning: &str) -> io::Result<Vec<String>> {
    let directory = match open(store, 0) {
        Ok(Opened::Directory(directory)) => directory,
        Ok(Opened::Bytes(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let entries = entries(directory, |name| name.starts_with(beginning))?;
    Ok(entries.into_iter().map(|(name, _)| name).collect())
}

enum Opened {
    Bytes(Vec<u8>),
    Directory(OwnedFd),
}

fn open(path: &str, room: u64) -> io::Result<Opened> {
    let place = Place::find(&CString::new(path)?, |_| None)?;
    // A named pipe put in place of the file must not stop the manager.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(place.open_with(flags, Mode::empty())?);
    if file.metadata()?.is_dir() {
        return Ok(Opened::Directory(file.into()));
    }
    read_regular(file, room).map(Opened::Bytes)
}

/// A regular file, never one that could make us wait, and not behind a link that a service may have left.
pub(crate) fn read_file(path: &str, room: u64) -> io::Result<Vec<u8>> {
    match open(path, room)? {
        Opened::Bytes(bytes) => Ok(bytes),
        Opened::Directory(_) => Err(no_file()),
    }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

fn read_regular(file: File, room: u64) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(no_file());
    }
    let mut bytes = Vec::new();
    file.take(room + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > room {
        return Err(too_much());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
