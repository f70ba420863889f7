//! State that came from elsewhere takes the place of what is there: all directories of a portable or none, also where the power fails.
//!
//! New directories are whole and beside the old ones before the record of the exchange is written; from then on the new ones count. Whoever finds
//! the record goes on with it. It says which directory is the new one by its inode, and which the old: two names are exchanged in one, and nobody
//! knows of a name whether that was done.
//!
//! Where the whole portable is replaced, the record has what it was, too ([`Former`]), and as long as the new one is not proven that is what counts:
//! whoever finds it turns back.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::files::{
    FileError, failed, make_open_directory, read_if_there, remove_if_empty, remove_if_there,
    rename, replace, step, sync_parent,
};
use crate::portables::{Error, Held, Portable, Portables};
use crate::purge;

/// Largest record: some ten directories, and of a portable that is replaced its record and its drop-ins, which have bounds of their own.
const RECORD_MAX_BYTES: u64 = 32 << 20;
/// Everybody may read what administrators write for units.
const DROP_IN_MODE: u32 = 0o644;

/// A directory, and what is beside it: the new one before the exchange, the old one after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Where it is to be.
    pub path: PathBuf,
    /// Where it was written.
    pub beside: PathBuf,
}

/// What is recorded of one: the inode of what is to be at its path, and that of what was there before; none where that is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    #[serde(flatten)]
    places: Exchange,
    inode: Option<u64>,
    before: Option<u64>,
}

/// What a portable was that another one takes the place of: all that is needed to have it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its record.
    pub record: Portable,
    /// Whether its units were attached.
    pub attached: bool,
    /// What ran of it.
    pub ran: Vec<String>,
    /// The boot that it ran in: in another one nothing of that runs any more.
    pub boot: String,
    /// Drop-ins as they were; none where there was no such file.
    pub drop_ins: Vec<(PathBuf, Option<String>)>,
    /// Those of its directories that a start of it made.
    pub made: Vec<PathBuf>,
}

/// What counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    /// The new ones.
    Forth,
    /// What was there, unless the new ones are proven.
    Trial(Box<Former>),
    /// What was there.
    Back(Option<Box<Former>>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    directories: Vec<Noted>,
    stage: Stage,
}

impl Record {
    fn begin(all: &[Exchange], stage: Stage) -> Result<Record, FileError> {
        check_apart(all)?;
        let noted = |places: &Exchange| {
            Ok(Noted {
                inode: inode(&places.beside)?,
                before: inode(&places.path)?,
                places: places.clone(),
            })
        };
        let directories = all.iter().map(noted).collect::<Result<_, FileError>>()?;
        Ok(Record { directories, stage })
    }

    fn former(self) -> Option<Former> {
        match self.stage {
            Stage::Trial(former) | Stage::Back(Some(former)) => Some(*former),
            Stage::Forth | Stage::Back(None) => None,
        }
    }

    fn put(&self, is_back: bool) -> Result<(), FileError> {
        self.directories.iter().try_for_each(|one| {
            let wanted = if is_back { one.before } else { one.inode };
            put(&one.places, wanted)
        })
    }
}

impl Portables {
    fn exchange_file(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.portable_folder(name)?.join("exchange.json"))
    }

    /// Notes which directories are about to be written beside what is there, so that what is cut leaves nothing of them.
    ///
    /// # Errors
    /// As [`Portables::exchange`].
    pub fn begin_writing(&self, name: &str, all: &[Exchange]) -> Result<(), Error> {
        self.note_exchange(name, &Record::begin(all, Stage::Back(None))?)
    }

    /// Puts new directories in their places. What was there is beside them until [`Portables::end_exchange`]; [`Portables::turn_back`] puts it back.
    /// The portable is held, or being upgraded, by the caller.
    ///
    /// # Errors
    /// When a directory can't be moved. Nothing is moved then, or whoever comes next goes on.
    pub fn exchange(&self, name: &str, all: &[Exchange]) -> Result<(), Error> {
        let record = Record::begin(all, Stage::Forth)?;
        self.note_exchange(name, &record)?;
        Ok(record.put(false)?)
    }

    /// Puts the directories of a replacement in their places.
    ///
    /// # Errors
    /// When one can't be moved.
    pub fn go_forth(&self, name: &str) -> Result<(), Error> {
        match self.noted(name)? {
            Some(record) => Ok(record.put(false)?),
            None => Ok(()),
        }
    }

    /// Removes the drop-ins that the former one had; they are noted, and those that come are written next.
    ///
    /// # Errors
    /// When one can't be removed.
    pub fn remove_drop_ins(&self, name: &str) -> Result<(), Error> {
        let former = self.former(name)?;
        let all = former.into_iter().flat_map(|former| former.drop_ins);
        for (path, _) in all.filter(|(_, text)| text.is_some()) {
            put_drop_in(&path, None)?;
        }
        Ok(())
    }

    /// The new one is proven: from now on it is what counts.
    ///
    /// # Errors
    /// When it can't be noted; the former one counts then.
    pub fn approve(&self, name: &str) -> Result<(), Error> {
        let Some(record) = self.noted(name)? else {
            return Ok(());
        };
        let stage = Stage::Forth;
        self.note_exchange(name, &Record { stage, ..record })
    }

    /// Whether an exchange was begun and not ended.
    ///
    /// # Errors
    /// When the name cannot be a portable's.
    pub fn is_exchanging(&self, name: &str) -> Result<bool, Error> {
        Ok(self.exchange_file(name)?.symlink_metadata().is_ok())
    }

    /// What a portable was, where its replacement was begun, and neither approved nor taken back to the end.
    ///
    /// # Errors
    /// When the record can't be read.
    pub fn former(&self, name: &str) -> Result<Option<Former>, Error> {
        Ok(self.noted(name)?.and_then(Record::former))
    }

    /// Puts back what was there before an exchange, and what the portable was before a replacement: its directories, drop-ins and record. Done
    /// again, it changes nothing. Not to be called by who holds the portable: it is held here.
    ///
    /// # Errors
    /// As [`Portables::exchange`].
    pub fn turn_back(&self, name: &str) -> Result<(), Error> {
        let Some(record) = self.noted(name)? else {
            return Ok(());
        };
        let directories = record.directories.clone();
        let former = record.former();
        let stage = Stage::Back(former.clone().map(Box::new));
        let record = Record { directories, stage };
        self.note_exchange(name, &record)?;
        record.put(true)?;
        if let Some(former) = former {
            for (path, text) in &former.drop_ins {
                put_drop_in(path, text.as_deref())?;
            }
            self.hold(name)?.put(&former.record)?;
        }
        Ok(())
    }

    /// Goes on with an exchange that was begun, back where nobody approved it, and removes what nobody needs any more. Says whether there was one.
    ///
    /// # Errors
    /// When a directory can't be moved or removed.
    pub fn end_exchange(&self, name: &str) -> Result<bool, Error> {
        if self.former(name)?.is_some() {
            self.turn_back(name)?;
        }
        if let Some(record) = self.noted(name)? {
            record.put(record.stage != Stage::Forth)?;
            for one in &record.directories {
                let beside = &one.places.beside;
                for path in [beside.clone(), crate::files::beside(beside)] {
                    purge::remove(&path).map_err(|error| failed("remove", &path)(error.source))?;
                }
            }
        }
        let file = self.exchange_file(name)?;
        let was_there = remove_if_there(&file)?;
        if was_there {
            sync_parent(&file)?;
        }
        Ok(was_there)
    }

    fn noted(&self, name: &str) -> Result<Option<Record>, Error> {
        let path = self.exchange_file(name)?;
        let Some(content) = read_if_there(&path, RECORD_MAX_BYTES)? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&content).map_err(|source| Error::Damaged {
            path,
            source: source.into(),
        })?;
        Ok(Some(record))
    }

    fn note_exchange(&self, name: &str, record: &Record) -> Result<(), Error> {
        let path = self.exchange_file(name)?;
        let content = serde_json::to_vec_pretty(record).map_err(|source| Error::Damaged {
            path: path.clone(),
            source: source.into(),
        })?;
        // What can't be read again could never come back.
        if content.len() as u64 > RECORD_MAX_BYTES {
            let why = format!("it would have more than {RECORD_MAX_BYTES} bytes");
            let why = io::Error::new(io::ErrorKind::FileTooLarge, why);
            return Err(failed("write", &path)(why).into());
        }
        Ok(replace(&path, &content, 0o600)?)
    }
}

impl Held {
    /// Notes what a portable is before anything of it is replaced; from here to [`Portables::approve`] that is what counts. Nothing is moved yet:
    /// [`Portables::go_forth`] does that, once nothing of it runs. As it is held, no change of it is lost where it comes back.
    ///
    /// # Errors
    /// When it is not what it was, directories are in each other, or it can't be noted.
    pub fn begin_replacement(&self, all: &[Exchange], former: Former) -> Result<(), Error> {
        self.check_unchanged(Some(&former.record))?;
        let name = former.record.name.clone();
        let record = Record::begin(all, Stage::Trial(Box::new(former)))?;
        self.records().note_exchange(&name, &record)
    }
}

/// A drop-in as it was.
fn put_drop_in(path: &Path, text: Option<&str>) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(path);
    match text {
        Some(text) => {
            make_open_directory(folder)?;
            sync_parent(folder)?;
            replace(path, text.as_bytes(), DROP_IN_MODE)
        }
        None => {
            if remove_if_there(path)? {
                sync_parent(path)?;
            }
            remove_if_empty(folder)
        }
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

/// Puts the wanted directory into its place; done again, it changes nothing.
fn put(places: &Exchange, wanted: Option<u64>) -> Result<(), FileError> {
    let Exchange { path, beside } = places;
    let there = inode(path)?;
    if there == wanted {
        return Ok(());
    }
    let aside = crate::files::beside(beside);
    match (there, wanted) {
        (_, None) => rename(path, beside)?,
        (Some(_), Some(_)) if inode(beside)? == wanted => swap(beside, path)?,
        (None, Some(_)) if inode(beside)? == wanted => rename(beside, path)?,
        // Where the kernel can't swap two names it takes three steps; they were cut, and what was put aside is what counts.
        (_, Some(_)) if inode(&aside)? == wanted => {
            if there.is_some() {
                rename(path, beside)?;
            }
            rename(&aside, path)?;
        }
        _ => {
            let gone = io::Error::new(
                io::ErrorKind::NotFound,
                "neither it nor what is beside it is what was written",
            );
            return Err(failed("replace", path)(gone));
        }
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
mod tests;
