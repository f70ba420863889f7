//! Who could change a file: what is trusted because it is root's must be root's all the way up.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The part of a path, itself or a directory on the way to it, that others than root could change; none if only root can change it.
///
/// # Errors
/// When there is nothing at the path, or it can't be looked at.
pub(crate) fn open_to_others(path: &Path) -> io::Result<Option<PathBuf>> {
    for part in path.canonicalize()?.ancestors() {
        let metadata = part.symlink_metadata()?;
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            return Ok(Some(part.to_owned()));
        }
    }
    Ok(None)
}
