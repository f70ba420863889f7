//! The log process: streams in, files out.
//!
//! The keeper holds each stream's socket too, so a kill at any moment loses nothing: what is read is on file before
//! it is taken from the socket (`position.rs` has the steps), and whoever comes next goes on from there.
//!
//! The manager's own stream (`fields=yes`) may give fields of its own in a line:
//! `<N>`, then `0x1f NAME=value` for each, then `0x1f` and the message.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::stream::{NameError, Rate};

mod directory;
mod lines;
mod position;
mod rate;
mod reader;
mod reading;
mod shelf;
mod vacuum;

/// Where streams come from: the daemon implements it with the keeper's client.
pub trait StreamSource {
    /// The descriptor that becomes readable when [`StreamSource::receive`] has something.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Takes the next event without waiting; `None` when there is none now.
    ///
    /// # Errors
    /// When the channel is broken.
    fn receive(&mut self) -> io::Result<Option<SourceEvent>>;

    /// Tells the keeper to let go of a stream that ended; its last entry is on file.
    ///
    /// # Errors
    /// When the channel is broken.
    fn let_go(&mut self, name: &str) -> io::Result<()>;

    /// Says what went wrong without ending the process, where an administrator looks when the logs themselves fail.
    fn trouble(&mut self, trouble: &Trouble);
}

/// What a source says.
#[derive(Debug)]
pub enum SourceEvent {
    /// A stream to read, under the name that the keeper holds it by ([`crate::stream::Stream`]).
    /// A name that is already read is passed over.
    Stream {
        /// The name.
        name: String,
        /// The read end of a stream socket.
        descriptor: OwnedFd,
    },
    /// The channel closed or the system shuts down: drain what is there and return.
    Stop,
}

/// Where files go and how large they may grow.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of all logs: `<state>/journal`.
    pub directory: PathBuf,
    /// Where the manager keeps files of fields, each `NAME=value` ended by a NUL: `<runtime>/log`.
    pub extra: PathBuf,
    /// The group that may read the logs besides root.
    pub reader_group: Option<u32>,
    /// A file larger than this is closed and a new one begun.
    pub file_max_bytes: u64,
    /// A file older than this is closed and a new one begun.
    pub file_max_age_us: u64,
    /// All files of one directory (the system's, or one portable's) together; the oldest go first.
    pub directory_max_bytes: u64,
    /// All files of all directories together; the oldest go first.
    pub total_max_bytes: u64,
    /// Rate limit of a unit whose stream names none.
    pub rate: Rate,
}

impl Options {
    /// The defaults below a state directory and a runtime directory.
    #[must_use]
    pub fn new(state: &Path, runtime: &Path) -> Options {
        Options {
            extra: runtime.join("log"),
            directory: state.join("journal"),
            reader_group: None,
            file_max_bytes: 8 << 20,
            file_max_age_us: 30 * 24 * 3600 * 1_000_000,
            directory_max_bytes: 64 << 20,
            total_max_bytes: 512 << 20,
            rate: Rate {
                burst: 10_000,
                interval_us: 30_000_000,
            },
        }
    }
}

/// What went wrong without ending the process.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A stream came under a name that says nothing; its output is kept as that of a unit of that name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A socket cannot be read; it is let go.
    #[error("the output of {unit} cannot be read")]
    Stream {
        /// Whose.
        unit: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The fields that a unit gives its entries cannot be read; its lines come without them.
    #[error("the fields in {} cannot be read", path.display())]
    Extra {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Entries cannot be stored; they are counted, and the count is an entry once that works again.
    #[error("{} cannot be written", path.display())]
    Store {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Old files cannot be removed.
    #[error("old files below {} cannot be removed", path.display())]
    Vacuum {
        /// The directory of all logs.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why the log process ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call of the loop failed.
    #[error("the log process cannot {action}")]
    Loop {
        /// What it was about to do.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn of<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::Loop {
            action,
            source: source.into(),
        }
    }
}

/// Reads streams until the source says stop.
///
/// # Errors
/// When the loop itself cannot go on; a fault of one stream or file ends neither.
pub fn run(source: &mut dyn StreamSource, options: &Options) -> Result<(), Error> {
    reading::Reading::begin(source, options)?.go_on()
}
