//! The host's file system as a tree.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::tree::{Content, Tree};

/// Most names that are taken from one directory; a unit directory of a large distribution holds about a thousand.
const MAX_ENTRIES: usize = 65_536;

/// O_NONBLOCK: opening a named pipe that someone put in place of a unit must not wait for a writer. The value is the same on every
/// architecture that Coracle runs on.
const OPEN_NON_BLOCKING: i32 = 0o4000;

/// Device number of `/dev/null`, from Documentation/admin-guide/devices.txt.
const NULL_DEVICE: u64 = 1 << 8 | 3;

/// The files of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostTree;

impl Tree for HostTree {
    fn entries(&self, directory: &Path) -> io::Result<Vec<String>> {
        let Some(found) = present(fs::read_dir(directory))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in found.take(MAX_ENTRIES) {
            // A name that is not UTF-8 is no unit's name.
            names.extend(entry?.file_name().into_string());
        }
        model::order::sort(&mut names);
        Ok(names)
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        match fs::read_link(path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
            other => present(other),
        }
    }

    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content> {
        let Some(metadata) = present(fs::metadata(path))? else {
            return Ok(Content::Missing);
        };
        if metadata.file_type().is_char_device() && metadata.rdev() == NULL_DEVICE {
            return Ok(Content::Null);
        }
        if !metadata.is_file() {
            return Ok(Content::NotAFile);
        }
        match present(
            OpenOptions::new()
                .read(true)
                .custom_flags(OPEN_NON_BLOCKING)
                .open(path),
        )? {
            Some(file) => read_file(file, limit_bytes),
            None => Ok(Content::Missing),
        }
    }
}

/// What is not there is no error.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Looks again at what was opened: it may have been exchanged since.
fn read_file(file: File, limit_bytes: usize) -> io::Result<Content> {
    if !file.metadata()?.is_file() {
        return Ok(Content::NotAFile);
    }
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(if bytes.len() > limit_bytes {
        Content::TooLarge
    } else {
        Content::Bytes(bytes)
    })
}
