//! Where an archive goes: a file that has its name when it is whole, or standard output. What is read while services wait goes to the
//! disk first, as nobody knows how long a reader takes.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Seek as _, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use kernel::signal::{self, SignalSet};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use crate::failure::{WithHint, hint};

/// SIGHUP, SIGINT and SIGTERM (signal(7)): what ends a command while services wait for it.
const CAUGHT: [i32; 3] = [1, 2, 15];

/// Where it goes in the end.
enum Goal {
    /// Written beside its name.
    File {
        beside: PathBuf,
        path: PathBuf,
    },
    Output,
}

/// An archive's way.
pub(crate) struct Sink {
    goal: Goal,
    to: File,
    /// While services wait.
    spool: Option<File>,
    signals: Option<OwnedFd>,
    spool_directory: PathBuf,
}

impl Sink {
    /// `-` is standard output.
    ///
    /// # Errors
    /// When the file can't be made, or a terminal would get it.
    pub(crate) fn open(word: &str, spool_directory: &Path) -> Result<Sink> {
        let (goal, to) = if word == "-" {
            let output = io::stdout();
            if output.is_terminal() {
                return Err(hint(
                    "an archive is nothing for a terminal",
                    "send it on, as in `| ssh HOST coracle import -`, or name a file",
                ));
            }
            (Goal::Output, output.as_fd().try_clone_to_owned()?.into())
        } else {
            let path = std::path::absolute(word)?;
            let name = path.file_name().context("the archive has no name")?;
            let beside = path.with_file_name(format!(".{}.new", name.display()));
            let made = || {
                // What an earlier try left.
                std::fs::remove_file(&beside).ok();
                let mut options = OpenOptions::new();
                options
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&beside)
            };
            let file = made().or_hint(
                || format!("cannot write {}", path.display()),
                "name a file in a directory that is there, or - for standard output",
            )?;
            (Goal::File { beside, path }, file)
        };
        Ok(Sink {
            goal,
            to,
            spool: None,
            signals: None,
            spool_directory: spool_directory.to_owned(),
        })
    }

    /// From here on services wait: what is written stays on this host's disks, and a signal ends it as an error.
    ///
    /// # Errors
    /// When there is no room for that, or signals can't be held back.
    pub(crate) fn hold(&mut self) -> Result<()> {
        if matches!(self.goal, Goal::Output) {
            self.spool = Some(unnamed(&self.spool_directory)?);
        }
        let set = CAUGHT
            .iter()
            .fold(SignalSet::EMPTY, |set, signal| set.with(*signal));
        signal::set_mask(set).context("cannot hold signals back")?;
        self.signals = Some(signal::descriptor(set).context("cannot take signals over")?);
        Ok(())
    }

    /// No service waits any more. A signal that came meanwhile has its effect now.
    ///
    /// # Errors
    /// When what was held can't be written.
    pub(crate) fn let_go(&mut self) -> Result<()> {
        self.signals = None;
        signal::set_mask(SignalSet::EMPTY).context("cannot let signals through")?;
        let Some(mut spool) = self.spool.take() else {
            return Ok(());
        };
        spool.rewind()?;
        io::copy(&mut spool, &mut self.to).context("cannot write the archive")?;
        Ok(())
    }

    /// Gives the whole file its name.
    ///
    /// # Errors
    /// When it can't be synced or renamed.
    pub(crate) fn finish(self) -> Result<()> {
        if let Goal::File { beside, path } = &self.goal {
            let name = || {
                self.to.sync_all()?;
                std::fs::rename(beside, path)
            };
            name().with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn check_signals(&self) -> io::Result<()> {
        let Some(signals) = &self.signals else {
            return Ok(());
        };
        let mut fds = [PollFd::new(signals, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match poll(&mut fds, Some(&now))? {
            0 => Ok(()),
            _ => Err(io::Error::other("it was interrupted")),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_signals()?;
        match &mut self.spool {
            Some(spool) => spool.write(bytes),
            None => self.to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Goal::File { beside, .. } = &self.goal {
            // It has its name, or is not whole.
            std::fs::remove_file(beside).ok();
        }
    }
}

/// A file without a name, on a disk of root's.
///
/// # Errors
/// When it can't be made.
pub(super) fn unnamed(directory: &Path) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR);
    let opened =
        opened.with_context(|| format!("cannot make a file in {}", directory.display()))?;
    Ok(opened.into())
}
