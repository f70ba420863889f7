//! Reading the files back: filters, the last entries, following, printing.
//!
//! Batches are numbered over all directories by the one process that writes them, so directories are merged by
//! that number, forwards or backwards.

use std::io;
use std::path::{Path, PathBuf};

use crate::format::Entry;
pub use crate::format::file::Namespaces;

mod cursor;
mod filter;
mod follow;
mod merge;
mod print;

pub use filter::{Filter, Pattern};
pub use print::{Style, print};

/// Why logs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory or file cannot be read.
    #[error("cannot read the log {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn of<E: Into<io::Error>>(path: &Path) -> impl FnOnce(E) -> Error + use<E> {
        let path = path.to_owned();
        move |source| Error::Read {
            path,
            source: source.into(),
        }
    }
}

/// All logs below a directory.
#[derive(Debug)]
pub struct Logs {
    directory: PathBuf,
    namespaces: Namespaces,
    damage: cursor::Damage,
}

impl Logs {
    /// Logs below `<state>/journal`; a directory that is not there has no entries.
    #[must_use]
    pub fn new(directory: &Path) -> Logs {
        Logs {
            directory: directory.to_owned(),
            namespaces: Namespaces::Usual,
            damage: cursor::Damage::default(),
        }
    }

    /// The same of other namespaces than the usual one.
    #[must_use]
    pub fn of(self, namespaces: Namespaces) -> Logs {
        Logs { namespaces, ..self }
    }

    fn place(&self) -> (&Path, &Namespaces) {
        (&self.directory, &self.namespaces)
    }

    /// Files that could not be read in full, of those that were read so far: damaged, or of another format. What is before and
    /// behind a damage was read.
    #[must_use]
    pub fn damage_met(&self) -> Vec<PathBuf> {
        self.damage.borrow().iter().cloned().collect()
    }

    /// Calls `each` with every entry that passes, oldest first, until it returns false.
    ///
    /// # Errors
    /// When a file cannot be read; a torn tail is no error.
    pub fn each(&self, filter: &Filter, each: &mut dyn FnMut(&Entry) -> bool) -> Result<(), Error> {
        let mut merge = merge::forwards(self.place(), filter.since_us, &self.damage)?;
        while let Some(found) = merge.next()? {
            if !filter.entries(&found).all(|entry| each(&entry)) {
                break;
            }
        }
        Ok(())
    }

    /// The last `count` entries that pass, oldest first; reads from the end.
    ///
    /// # Errors
    /// As [`Logs::each`].
    pub fn last(&self, filter: &Filter, count: usize) -> Result<Vec<Entry>, Error> {
        let mut merge = merge::backwards(self.place(), filter.since_us, &self.damage)?;
        let mut entries = Vec::new();
        while let Some(found) = merge.next()?.filter(|_| entries.len() < count) {
            let wanted = count - entries.len();
            entries.extend(filter.entries(&found).rev().take(wanted));
        }
        entries.reverse();
        Ok(entries)
    }

    /// Calls `each` with every entry that passes and has a number after `after_seqnum` (`None`: that is written from
    /// now on), until it returns false. Waits for more by inotify.
    ///
    /// # Errors
    /// As [`Logs::each`].
    pub fn follow(
        &self,
        filter: &Filter,
        after_seqnum: Option<u64>,
        each: &mut dyn FnMut(&Entry) -> bool,
    ) -> Result<(), Error> {
        follow::Follower::begin(self.place(), after_seqnum, &self.damage)?.go_on(filter, each)
    }

    /// Files whose end is damaged, but for those that are being written: what follows the damage cannot be read.
    ///
    /// # Errors
    /// As [`Logs::each`].
    pub fn damaged(&self) -> Result<Vec<PathBuf>, Error> {
        cursor::damaged(&self.directory)
    }
}
