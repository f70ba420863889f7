//! A log file: its name, its header, and the files of a directory in order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a file begins with: the name of the format and its version.
pub const HEADER: &[u8; 16] = b"coracle log 001\n";
/// Offset of the first frame.
pub const HEADER_BYTES: u64 = 16;
/// How far the clock goes back within one file, in microseconds; where it goes back further, a new file is begun. So the last entry
/// of a file tells how young its entries can be.
pub const CLOCK_BACK_MAX_US: u64 = 60_000_000;
/// The directory of the host's own entries below the directory of all logs.
pub const SYSTEM_DIRECTORY: &str = "system";
/// The directory of namespaces' directories below the directory of all logs.
pub const NAMESPACES_DIRECTORY: &str = "namespaces";
/// The directory of portables' directories below the directory of all logs.
pub const PORTABLES_DIRECTORY: &str = "portables";

/// A file by what its name says: `SEQNUM-REALTIME.log`, both as 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogFile {
    /// Number of the first entry that it can have; orders the files of a directory.
    pub first_seqnum: u64,
    /// When it was begun, microseconds since the epoch.
    pub created_us: u64,
    /// Where it is.
    pub path: PathBuf,
}

impl LogFile {
    /// A file's place in a directory.
    #[must_use]
    pub fn new(directory: &Path, first_seqnum: u64, created_us: u64) -> LogFile {
        let path = directory.join(format!("{first_seqnum:016x}-{created_us:016x}.log"));
        LogFile {
            first_seqnum,
            created_us,
            path,
        }
    }

    fn from_path(path: PathBuf) -> Option<LogFile> {
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
        let (first, created) = name
            .split_once('-')
            .filter(|(a, b)| a.len() == 16 && b.len() == 16)?;
        let number = |hex| u64::from_str_radix(hex, 16).ok();
        let (first_seqnum, created_us) = (number(first)?, number(created)?);
        Some(LogFile {
            first_seqnum,
            created_us,
            path,
        })
    }
}

/// The log files of a directory, oldest first; one that is not there has none.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(directory: &Path) -> io::Result<Vec<LogFile>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        files.extend(LogFile::from_path(entry?.path()));
    }
    model::order::sort(&mut files);
    Ok(files)
}

/// Which logs are meant: every unit writes into those of one namespace, or into the usual ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// The usual ones: the system's and the portables'.
    #[default]
    Usual,
    /// Those of one namespace.
    One(String),
    /// The usual ones, and those of one namespace.
    With(String),
    /// All.
    All,
}

impl Namespaces {
    fn has_usual(&self) -> bool {
        !matches!(self, Namespaces::One(_))
    }

    fn has(&self, namespace: &Path) -> bool {
        match self {
            Namespaces::Usual => false,
            Namespaces::One(name) | Namespaces::With(name) => namespace.ends_with(name),
            Namespaces::All => true,
        }
    }
}

/// The directories that hold log files: the system's first, then the portables' by name, then the namespaces'.
///
/// # Errors
/// When a directory cannot be read.
pub fn directories(root: &Path, namespaces: &Namespaces) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if namespaces.has_usual() {
        found.push(root.join(SYSTEM_DIRECTORY));
        found.extend(below(&root.join(PORTABLES_DIRECTORY))?);
    }
    let named = below(&root.join(NAMESPACES_DIRECTORY))?;
    found.extend(named.into_iter().filter(|path| namespaces.has(path)));
    Ok(found)
}

/// The directories in a directory, by name; one that is not there has none.
fn below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    model::order::sort(&mut found);
    Ok(found)
}

/// Whether a file begins as a log file of this version does.
///
/// # Errors
/// When it cannot be read.
pub fn has_header(file: &File) -> io::Result<bool> {
    let mut bytes = [0; HEADER.len()];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(&bytes == HEADER),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_log_files_are_listed_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let second = LogFile::new(directory.path(), 300, 5);
        let first = LogFile::new(directory.path(), 2, 9);
        for path in [
            &second.path,
            &first.path,
            &directory.path().join("new.tmp"),
            &directory.path().join("x-y.log"),
        ] {
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(list(directory.path()).unwrap(), [first, second]);
        assert_eq!(list(&directory.path().join("none")).unwrap(), []);
    }
}
