//! LoadCredential=: secrets that the manager reads for a service.

use kernel::walk::Place;
use model::{Unit, key};
use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};

/// Bytes of all credentials of a unit, as the reference has it.
const CREDENTIALS_BYTES_MAX: u64 = 1 << 20;

/// Names with contents; or the path that can't be read.
pub(crate) type Found = Result<Vec<(String, Vec<u8>)>, (String, io::Error)>;

/// Reads the credentials of a unit. A missing one is left out where SetCredential= has a value for it.
pub(crate) fn read(unit: &Unit) -> Found {
    let mut found = Vec::new();
    let mut room = CREDENTIALS_BYTES_MAX;
    for credential in unit
        .get(&key::LOAD_CREDENTIAL)
        .iter()
        .flat_map(|list| list.iter())
    {
        let path = if credential.source.starts_with('/') {
            credential.source.clone()
        } else {
            from_manager(&credential.source)
        };
        let has_default = unit
            .get(&key::SET_CREDENTIAL)
            .is_some_and(|set| set.iter().any(|other| other.name == credential.name));
        match read_file(&path, room) {
            Ok(bytes) => {
                room = room.saturating_sub(bytes.len() as u64);
                found.push((credential.name.clone(), bytes));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && has_default => {}
            Err(error) => return Err((path, error)),
        }
    }
    Ok(found)
}

/// Where a credential of the manager's own is.
fn from_manager(name: &str) -> String {
    let directory = std::env::var("CREDENTIALS_DIRECTORY")
        .unwrap_or_else(|_| "/run/credentials/@system".into());
    format!("{directory}/{name}")
}

/// A regular file, never one that could make us wait, and not behind a link that a service may have left.
pub(crate) fn read_file(path: &str, room: u64) -> io::Result<Vec<u8>> {
    let place = Place::find(&CString::new(path)?, |_| None)?;
    // A named pipe put in place of the file must not stop the manager.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(place.open_with(flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    file.take(room + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > room {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the credentials of one unit may have 1 MiB together",
        ));
    }
    Ok(bytes)
}
