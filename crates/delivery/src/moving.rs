//! State that came from elsewhere takes the place of what is there: all directories of a portable or none, also where the power fails.
//!
//! New directories are whole and beside the old ones before the record of the exchange is written; from then on the new ones count. Whoever finds
//! the record goes on with it. It says which directory is the new one by its inode: two names are exchanged in one, and nobody knows of a name
//! whether that was done.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::files::{
    FileError, failed, read_if_there, remove_if_there, rename, replace, step, sync_parent,
};
use crate::portables::{Error, Portables};
use crate::purge;

/// Largest record: a portable has some ten directories.
const RECORD_MAX_BYTES: u64 = 1 << 20;

/// A directory, and what is beside it: the new one before the exchange, the old one after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Where it is to be.
    pub path: PathBuf,
    /// Where it was written.
    pub beside: PathBuf,
}

/// What is recorded of one: the inode that is to be at its path; none: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    #[serde(flatten)]
    places: Exchange,
    inode: Option<u64>,
}

impl Portables {
    fn exchange_file(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.portable_folder(name)?.join("exchange.json"))
    }

    /// Puts new directories in their places. What was there is beside them until [`Portables::end_exchange`]; [`Portables::turn_back`] puts it back.
    /// The portable is held, or being upgraded, by the caller.
    ///
    /// # Errors
    /// When a directory can't be moved. Nothing is moved then, or whoever comes next goes on.
    pub fn exchange(&self, name: &str, all: &[Exchange]) -> Result<(), Error> {
        let mut noted = Vec::new();
        check_apart(all)?;
        for places in all {
            noted.push(Noted {
                inode: inode(&places.beside)?,
                places: places.clone(),
            });
        }
        self.note_exchange(name, &noted)?;
        self.go_on(name)
    }

    /// Puts back what was there before an exchange.
    ///
    /// # Errors
    /// As [`Portables::exchange`].
    pub fn turn_back(&self, name: &str) -> Result<(), Error> {
        let mut noted = self.noted(name)?;
        for one in &mut noted {
            one.inode = inode(&one.places.beside)?;
        }
        self.note_exchange(name, &noted)?;
        self.go_on(name)
    }

    /// Goes on with an exchange that was begun, and removes what nobody needs any more. Says whether there was one.
    ///
    /// # Errors
    /// When a directory can't be moved or removed.
    pub fn end_exchange(&self, name: &str) -> Result<bool, Error> {
        let noted = self.noted(name)?;
        self.go_on(name)?;
        for one in &noted {
            let beside = &one.places.beside;
            for path in [beside.clone(), crate::files::beside(beside)] {
                purge::remove(&path).map_err(|error| failed("remove", &path)(error.source))?;
            }
        }
        let file = self.exchange_file(name)?;
        let was_there = remove_if_there(&file)?;
        if was_there {
            sync_parent(&file)?;
        }
        Ok(was_there)
    }

    fn go_on(&self, name: &str) -> Result<(), Error> {
        for one in self.noted(name)? {
            put(&one)?;
        }
        Ok(())
    }

    fn noted(&self, name: &str) -> Result<Vec<Noted>, Error> {
        let path = self.exchange_file(name)?;
        let Some(content) = read_if_there(&path, RECORD_MAX_BYTES)? else {
            return Ok(Vec::new());
        };
        serde_json::from_slice(&content).map_err(|source| Error::Damaged {
            path,
            source: source.into(),
        })
    }

    fn note_exchange(&self, name: &str, noted: &[Noted]) -> Result<(), Error> {
        let path = self.exchange_file(name)?;
        let content = serde_json::to_vec_pretty(noted).map_err(|source| Error::Damaged {
            path: path.clone(),
            source: source.into(),
        })?;
        Ok(replace(&path, &content, 0o600)?)
    }
}

/// Of two directories of which one is in the other, or is the other, nobody could say any more what is to be where.
fn check_apart(all: &[Exchange]) -> Result<(), FileError> {
    let paths = || all.iter().flat_map(|one| [&one.path, &one.beside]);
    for (number, path) in paths().enumerate() {
        let other = paths().enumerate();
        let mut others = other.filter(|(other, _)| *other != number);
        if others.any(|(_, other)| path.starts_with(other)) {
            let why = io::Error::new(
                io::ErrorKind::InvalidInput,
                "another directory that is replaced is there, or around it",
            );
            return Err(failed("replace", path)(why));
        }
    }
    Ok(())
}

fn inode(path: &Path) -> Result<Option<u64>, FileError> {
    match path.symlink_metadata() {
        Ok(found) => Ok(Some(found.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// Makes what is noted so; done again, it changes nothing.
fn put(one: &Noted) -> Result<(), FileError> {
    let Exchange { path, beside } = &one.places;
    let there = inode(path)?;
    if there == one.inode {
        return Ok(());
    }
    if inode(beside)? != one.inode {
        let gone = io::Error::new(
            io::ErrorKind::NotFound,
            "neither it nor what is beside it is what was written",
        );
        return Err(failed("replace", path)(gone));
    }
    match (there, one.inode) {
        (Some(_), Some(_)) => swap(beside, path)?,
        (None, Some(_)) => rename(beside, path)?,
        (_, None) => rename(path, beside)?,
    }
    sync_parent(path)
}

fn swap(one: &Path, other: &Path) -> Result<(), FileError> {
    let swapped = step().and_then(|()| {
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(io::Error::from)
    });
    match swapped {
        // Not every file system can. In between nothing is there, and who comes next puts the new one there.
        Err(error)
            if [Errno::INVAL, Errno::NOSYS]
                .iter()
                .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) =>
        {
            let aside = crate::files::beside(one);
            rename(other, &aside)?;
            rename(one, other)?;
            rename(&aside, one)
        }
        swapped => swapped.map_err(failed("replace", other)),
    }
}

/// Makes a directory's content last: everything of its file system, which is one call for all files.
///
/// # Errors
/// The kernel's.
pub fn sync(directory: &Path) -> io::Result<()> {
    step()?;
    Ok(rustix::fs::syncfs(fs::File::open(directory)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::power::{Trouble, trouble_at_each_step};

    /// Two directories, one of which has nothing in its place yet.
    fn world() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("state/portables/boat")).unwrap();
        for (place, content) in [("old", "old"), (".new-0", "new"), (".new-1", "new")] {
            let place = folder.path().join(place);
            fs::create_dir(&place).unwrap();
            fs::write(place.join("file"), content).unwrap();
        }
        folder
    }

    fn records(folder: &Path) -> Portables {
        Portables::new(&folder.join("state"))
    }

    fn all(folder: &Path) -> Vec<Exchange> {
        // No link is on the way of what is removed.
        let folder = folder.canonicalize().unwrap();
        let all = [("old", ".new-0"), ("fresh", ".new-1")];
        let all = all.map(|(path, beside)| Exchange {
            path: folder.join(path),
            beside: folder.join(beside),
        });
        all.to_vec()
    }

    fn content(folder: &Path) -> [String; 2] {
        let read = |path: &str| fs::read_to_string(folder.join(path).join("file"));
        [read("old"), read("fresh")].map(Result::unwrap_or_default)
    }

    fn is_tidy(folder: &Path) -> bool {
        all(folder).iter().all(|one| !one.beside.exists())
    }

    #[test]
    fn the_new_is_there_whole_and_the_old_can_come_back() {
        let folder = world();
        let (records, folder) = (records(folder.path()), folder.path());
        records.exchange("boat", &all(folder)).unwrap();
        assert_eq!(content(folder), ["new", "new"]);
        records.turn_back("boat").unwrap();
        assert_eq!(content(folder), ["old", ""]);
        assert!(records.end_exchange("boat").unwrap());
        assert_eq!(content(folder), ["old", ""]);
        assert!(is_tidy(folder));
        assert!(!records.end_exchange("boat").unwrap());
    }

    #[test]
    fn directories_in_each_other_are_refused_before_anything_is_noted() {
        let folder = world();
        let (records, folder) = (records(folder.path()), folder.path());
        let [one, other] = all(folder).try_into().unwrap();
        let inner = Exchange {
            path: one.path.join("inner"),
            ..other.clone()
        };
        let same_beside = Exchange {
            beside: one.beside.clone(),
            ..other
        };
        for wrong in [inner, same_beside, one.clone()] {
            assert!(records.exchange("boat", &[one.clone(), wrong]).is_err());
            assert_eq!(content(folder), ["old", ""]);
            assert!(!records.end_exchange("boat").unwrap());
        }
    }

    #[test]
    fn after_trouble_at_any_step_there_is_the_old_or_the_new_and_never_both() {
        for trouble in [Trouble::PowerCut, Trouble::FullDisk] {
            let act = |folder: &Path| {
                let records = records(folder);
                records.exchange("boat", &all(folder))?;
                records.end_exchange("boat")
            };
            trouble_at_each_step(trouble, world, act, |folder, done| {
                records(folder).end_exchange("boat").unwrap();
                let found = content(folder);
                let is_new = found == ["new", "new"];
                assert!(is_new || !done && found == ["old", ""], "{found:?}");
                assert!(!is_new || is_tidy(folder));
            });
        }
    }

    #[test]
    fn where_two_names_cant_be_exchanged_in_one_what_is_missing_is_put_there() {
        let folder = world();
        let (records, folder) = (records(folder.path()), folder.path());
        let all = all(folder);
        let noted: Vec<Noted> = all
            .iter()
            .map(|one| Noted {
                places: one.clone(),
                inode: inode(&one.beside).unwrap(),
            })
            .collect();
        records.note_exchange("boat", &noted).unwrap();
        fs::rename(&all[0].path, crate::files::beside(&all[0].beside)).unwrap();
        assert!(records.end_exchange("boat").unwrap());
        assert_eq!(content(folder), ["new", "new"]);
        assert!(!crate::files::beside(&all[0].beside).exists());
    }
}
