//! Builds an image from one program: its shared libraries, its units, and the few files that a root needs.
use std::path::{Path, PathBuf};

use crate::build::{BuildError, Built, Options};

/// What goes in.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The program, a path on this host. It lies at `/usr/bin/NAME` in the image.
    pub program: PathBuf,
    /// The portable's name; else the file name of the first unit without its ending.
    pub name: Option<String>,
    /// The portable's version; else `0`.
    pub version: Option<String>,
    /// Unit files on this host.
    pub units: Vec<PathBuf>,
    /// Further files or directories: (path on this host, absolute path in the image).
    pub extra: Vec<(PathBuf, PathBuf)>,
    /// Searched for shared libraries instead of this host's `/`, where given (an unpacked package tree).
    pub sysroot: Option<PathBuf>,
}

/// Builds an image from a program.
///
/// # Errors
/// See [`BuildError`].
pub fn build_program(
    _program: &Program,
    _output: &Path,
    _options: &Options<'_>,
) -> Result<Built, BuildError> {
    todo!()
}
