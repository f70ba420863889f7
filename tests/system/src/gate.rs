//! Gates: what a program of a test waits at until the test lets it through.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::waiting;

/// A pipe with a name: whoever opens it to read waits until somebody opens it to write.
pub struct Gate(PathBuf);

impl Gate {
    /// Makes it.
    ///
    /// # Panics
    /// When there is something already, or no directory.
    #[must_use]
    pub fn at(path: PathBuf) -> Gate {
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a gate");
        Gate(path)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Lets through who waits, with a line to read.
    ///
    /// # Panics
    /// When nobody comes in time.
    #[track_caller]
    pub fn open(&self) {
        self.writer().write_all(b"go\n").expect("a reader");
    }

    /// The other end, as soon as somebody reads; who reads to the end waits until it is dropped. Never waited for by the kernel, which would do it for
    /// ever where the reader has failed.
    ///
    /// # Panics
    /// When nobody comes in time.
    #[track_caller]
    #[must_use]
    pub fn writer(&self) -> File {
        let mut way = File::options();
        let way = way.write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        waiting::eventually("somebody at the gate", || way.open(&self.0).ok())
    }
}
