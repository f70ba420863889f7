//! The workers: short-lived processes, each confined to what its one task needs, and the caller's side of them.
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::dissect::Layout;
use crate::inspect::Report;
use crate::tree::Contents;
use crate::verify::{Trust, Unverified, Verified};

/// Which worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Reads hostile headers.
    Dissect,
    /// Checks signature and hashes.
    Verify,
    /// Mounts what was verified; the only one with a privilege.
    Mount,
    /// Reads os-release and units from a mounted root.
    Extract,
    /// Looks at an image for `coracle inspect`.
    Inspect,
}

impl Kind {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Dissect => "dissect",
            Kind::Verify => "verify",
            Kind::Mount => "mount",
            Kind::Extract => "extract",
            Kind::Inspect => "inspect",
        }
    }

    /// The worker of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Kind> {
        [
            Kind::Dissect,
            Kind::Verify,
            Kind::Mount,
            Kind::Extract,
            Kind::Inspect,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// What went wrong with a worker, or what it said.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The worker refused; its own words.
    #[error("{0}")]
    Refused(String),
}

/// The whole life of a worker process (`coracle worker NAME`): descriptor 0 is the channel to the caller, 1 the image or root.
/// Confines itself before it reads a byte. Call it first thing in a process of one thread.
///
/// # Errors
/// Where it can't confine itself or the channel fails. What it refuses goes over the channel.
pub fn main(_kind: Kind) -> Result<(), WorkerError> {
    todo!()
}

/// How to start workers: `PROGRAM ARGUMENTS… NAME`.
#[derive(Debug, Clone)]
pub struct Workers {
    /// The executable, `/proc/self/exe` as a rule.
    pub program: PathBuf,
    /// What comes before the worker's name, `worker` as a rule.
    pub arguments: Vec<OsString>,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: vec!["worker".into()],
        }
    }
}

impl Workers {
    /// Reads an image's headers.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn dissect(&self, _image: &File) -> Result<Unverified<Layout>, WorkerError> {
        todo!()
    }

    /// Proves an image.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn verify(
        &self,
        _image: &File,
        _layout: &Unverified<Layout>,
        _trust: &Trust,
    ) -> Result<Verified<Layout>, WorkerError> {
        todo!()
    }

    /// Mounts an image.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn mount(&self, _image: &File, _layout: &Verified<Layout>) -> Result<OwnedFd, WorkerError> {
        todo!()
    }

    /// Reads os-release and units below a root.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn extract(&self, _root: BorrowedFd<'_>) -> Result<Contents, WorkerError> {
        todo!()
    }

    /// Looks at an image.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn inspect(&self, _image: &File) -> Result<Report, WorkerError> {
        todo!()
    }
}
