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

/// Reads the credentials of a unit. A missing one is left out where SetCredential= has a value for it, and where it has no path: then it
/// is looked for among the manager's own and in the stores, as the reference has it.
pub(crate) fn read(unit: &Unit) -> Found {
    let own = std::env::var("CREDENTIALS_DIRECTORY");
    let own = own.as_deref().unwrap_or("/run/credentials/@system");
    read_from(
        unit,
        &[
            own,
            "/etc/credstore",
            "/run/credstore",
            "/usr/local/lib/credstore",
            "/usr/lib/credstore",
        ],
    )
}

fn read_from(unit: &Unit, stores: &[&str]) -> Found {
    let mut found = Vec::new();
    let mut room = CREDENTIALS_BYTES_MAX;
    for credential in unit
        .get(&key::LOAD_CREDENTIAL)
        .iter()
        .flat_map(|list| list.iter())
    {
        let has_default = unit
            .get(&key::SET_CREDENTIAL)
            .is_some_and(|set| set.iter().any(|other| other.name == credential.name));
        let is_path = credential.source.starts_with('/');
        for store in if is_path { &[""] } else { stores } {
            let slash = if is_path { "" } else { "/" };
            let path = [*store, slash, &credential.source].concat();
            match read_file(&path, room) {
                Ok(bytes) => {
                    room = room.saturating_sub(bytes.len() as u64);
                    found.push((credential.name.clone(), bytes));
                    break;
                }
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && (has_default || !is_path) => {}
                Err(error) => return Err((path, error)),
            }
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::text::Verbatim;

    #[test]
    fn a_name_is_looked_for_in_the_stores_and_may_be_nowhere_a_path_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let stores = ["first", "second"].map(|name| folder.path().join(name).display().to_string());
        for store in &stores {
            std::fs::create_dir(store).unwrap();
            std::fs::write(format!("{store}/key"), store).unwrap();
        }
        std::fs::write(format!("{}/late", stores[1]), "late").unwrap();
        let read = |line: &str| {
            let mut unit = Unit::new("web.service".parse().unwrap());
            settings::apply(&mut unit, "Service", "LoadCredential", line, &Verbatim).unwrap();
            read_from(&unit, &stores.each_ref().map(String::as_str))
        };
        let found = |line: &str| read(line).unwrap();
        assert_eq!(
            found("key"),
            [("key".to_owned(), stores[0].clone().into_bytes())]
        );
        assert_eq!(
            found("other:late"),
            [("other".to_owned(), b"late".to_vec())]
        );
        assert_eq!(found("none"), []);
        let (path, error) = read(&format!("key:{}/none", stores[0])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(path.ends_with("/none"));
    }
}
