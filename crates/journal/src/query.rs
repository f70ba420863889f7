//! Reading the files back: filters, the last entries, following, printing.

use std::io;
use std::path::{Path, PathBuf};

use crate::format::Entry;

/// What to show; every condition must hold, empty ones hold always.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Entries of any of these units, or of the manager about them.
    pub units: Vec<String>,
    /// Not before, microseconds since the epoch.
    pub since_us: Option<u64>,
    /// Not after, microseconds since the epoch.
    pub until_us: Option<u64>,
    /// This priority or a graver (smaller) one.
    pub priority_max: Option<u8>,
    /// The message matches.
    pub grep: Option<Pattern>,
    /// Of this boot, 32 hexadecimal digits.
    pub boot: Option<String>,
    /// `FIELD=value` pairs that must all be present.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// What a message is searched for.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// These bytes.
    Text(Vec<u8>),
    /// A regular expression, without regard to case where it has no capital.
    #[cfg(feature = "query")]
    Expression(regex_lite::Regex),
}

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

/// All logs below a directory.
#[derive(Debug)]
pub struct Logs {
    directory: PathBuf,
}

/// How entries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Time, host, identifier, pid, message.
    Short,
    /// One JSON object a line, with the journal's names.
    #[cfg(feature = "query")]
    Json,
    /// The message alone.
    Cat,
}

impl Logs {
    /// Logs below `<state>/journal`; a directory that is not there has no entries.
    #[must_use]
    pub fn new(directory: &Path) -> Logs {
        Logs {
            directory: directory.to_owned(),
        }
    }

    /// Calls `each` with every entry that passes, oldest first, until it returns false.
    ///
    /// # Errors
    /// When a file cannot be read; a torn tail is no error.
    pub fn each(&self, filter: &Filter, each: &mut dyn FnMut(&Entry) -> bool) -> Result<(), Error> {
        let _ = (filter, each, &self.directory);
        Ok(())
    }

    /// The last `count` entries that pass, oldest first; reads from the end.
    ///
    /// # Errors
    /// As [`Logs::each`].
    pub fn last(&self, filter: &Filter, count: usize) -> Result<Vec<Entry>, Error> {
        let _ = (filter, count, &self.directory);
        Ok(Vec::new())
    }

    /// Calls `each` with every entry that passes and is written from now on (or after entry
    /// `after_seqnum`), until it returns false. Waits by inotify.
    ///
    /// # Errors
    /// As [`Logs::each`].
    pub fn follow(
        &self,
        filter: &Filter,
        after_seqnum: Option<u64>,
        each: &mut dyn FnMut(&Entry) -> bool,
    ) -> Result<(), Error> {
        let _ = (filter, after_seqnum, each, &self.directory);
        Ok(())
    }
}

/// Prints one entry as a line; `clock` gives the local time of microseconds since the epoch.
/// Control bytes are escaped where `terminal` is set.
#[must_use]
pub fn print(
    entry: &Entry,
    style: Style,
    terminal: bool,
    clock: &dyn Fn(u64) -> String,
) -> Vec<u8> {
    let _ = (entry, style, terminal, clock);
    Vec::new()
}
