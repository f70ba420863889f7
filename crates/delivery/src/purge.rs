//! What belongs to a portable and how it is removed without following anything out of it.

use std::path::{Path, PathBuf};

/// The directories of this host or instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `<runtime>` of Coracle.
    pub runtime: PathBuf,
    /// `<state>` of Coracle.
    pub state: PathBuf,
    /// `<config>` of Coracle.
    pub config: PathBuf,
    /// Where services' StateDirectory= lie: `/var/lib`.
    pub state_home: PathBuf,
    /// CacheDirectory=: `/var/cache`.
    pub cache_home: PathBuf,
    /// LogsDirectory=: `/var/log`.
    pub logs_home: PathBuf,
    /// RuntimeDirectory=: `/run`.
    pub runtime_home: PathBuf,
    /// ConfigurationDirectory=: `/etc`.
    pub config_home: PathBuf,
}

/// The directories that a portable's units ask for, relative.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directories {
    /// StateDirectory=.
    pub state: Vec<String>,
    /// CacheDirectory=.
    pub cache: Vec<String>,
    /// LogsDirectory=.
    pub logs: Vec<String>,
    /// RuntimeDirectory=.
    pub runtime: Vec<String>,
    /// ConfigurationDirectory=.
    pub configuration: Vec<String>,
}

/// Why something could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {}", path.display())]
pub struct Error {
    /// What.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: std::io::Error,
}

/// Everything that belongs to a portable besides its units, images and records: pure.
#[must_use]
pub fn paths(portable: &str, directories: &Directories, places: &Places) -> Vec<PathBuf> {
    let _ = (portable, directories, places);
    Vec::new()
}

/// Removes a file or tree; follows no symlink, crosses no mount. Says whether it was there.
///
/// # Errors
/// When something in it cannot be removed.
pub fn remove(path: &Path) -> Result<bool, Error> {
    let _ = path;
    Ok(false)
}
