//! Reads os-release and unit files below a mounted root, resolving every path inside it.
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use crate::os_release::OsRelease;

/// One unit file or drop-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFile {
    /// Its path inside the image's unit directory: `hello.service`, `hello.service.d/limits.conf`.
    pub name: String,
    /// Its text, UTF-8.
    pub text: String,
}

/// What attaching needs to know of an image's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The os-release file.
    pub os_release: OsRelease,
    /// Unit files and drop-ins whose names begin with one of the prefixes, sorted by name.
    pub units: Vec<UnitFile>,
    /// Names of unit files that no prefix covers; they are left alone.
    pub foreign_units: Vec<String>,
}

/// Why the content is refused.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// No os-release.
    #[error("the image has neither usr/lib/os-release nor etc/os-release")]
    NoOsRelease,
}

/// Reads what attaching needs from a root directory (an image's mount or a plain directory).
///
/// # Errors
/// See [`TreeError`].
pub fn read(_root: BorrowedFd<'_>) -> Result<Contents, TreeError> {
    todo!()
}
