//! The host's file system as a tree.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::digest::Digest;
use crate::tree::{Content, Named, Stamp, Tree};

/// Most names that are taken from one directory; a unit directory of a large distribution holds about a thousand.
const MAX_ENTRIES: usize = 65_536;

/// O_NONBLOCK: opening a named pipe that someone put in place of a unit must not wait for a writer. The value is the same on every
/// architecture that Coracle runs on.
pub(crate) const OPEN_NON_BLOCKING: i32 = 0o4000;

/// Device number of `/dev/null`, from Documentation/admin-guide/devices.txt.
const NULL_DEVICE: u64 = 1 << 8 | 3;

/// The kernel stamps files by a clock that moves with its tick, at most 10 ms (CONFIG_HZ), so that two changes can have one time; ten
/// times that.
const GRAIN: Duration = Duration::from_millis(100);

/// File systems without parts of seconds: ext4 with small inodes has whole ones, FAT every other one.
const COARSE_GRAIN: Duration = Duration::from_millis(2_100);

/// The files of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostTree;

impl Tree for HostTree {
    fn entries(&self, directory: &Path) -> io::Result<Vec<Named>> {
        let Some(found) = present(fs::read_dir(directory))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in found.take(MAX_ENTRIES) {
            let entry = entry?;
            // Most file systems say it beside the name. Where one does not and the file is gone, the next look tells.
            let is_link = entry.file_type().map_or(true, |kind| kind.is_symlink());
            // A name that is not UTF-8 is no unit's name.
            let name = entry.file_name().into_string();
            names.extend(name.map(|name| Named { name, is_link }));
        }
        model::order::sort(&mut names);
        Ok(names)
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let Some(found) = present(fs::metadata(path))? else {
            return Ok(None);
        };
        // Its times say nothing: it is what it is.
        if is_null(&found) {
            return Ok(Some(Stamp {
                version: 0,
                is_settled: true,
            }));
        }
        let changed = (found.ctime(), found.ctime_nsec());
        let mut digest = Digest::new();
        for number in [found.dev(), found.ino(), found.size()] {
            digest.add_number(number);
        }
        for number in [found.mtime(), found.mtime_nsec(), changed.0, changed.1] {
            digest.add_number(number.cast_unsigned());
        }
        let changed = u64::try_from(changed.0)
            .ok()
            .zip(u32::try_from(changed.1).ok());
        let changed = changed.map(|(seconds, ns)| Duration::new(seconds, ns));
        Ok(Some(Stamp {
            version: digest.number,
            is_settled: changed
                .zip(now.ok())
                .is_some_and(|(changed, now)| is_settled(changed, now)),
        }))
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
        if is_null(&metadata) {
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

/// Whether another change by now would have stamped a file anew.
fn is_settled(changed: Duration, now: Duration) -> bool {
    let grain = if changed.subsec_nanos() == 0 {
        COARSE_GRAIN
    } else {
        GRAIN
    };
    changed + grain < now
}

/// Whether it is `/dev/null`.
fn is_null(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == NULL_DEVICE
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
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(Content::NotAFile);
    }
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    // With room for one byte more, a second read sees the end.
    let size = usize::try_from(found.size().min(limit)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size.saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(if bytes.len() > limit_bytes {
        Content::TooLarge
    } else {
        Content::Bytes(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::is_settled;
    use std::time::Duration;

    #[test]
    fn a_time_in_whole_seconds_is_settled_only_after_the_coarsest_of_them() {
        let at = Duration::from_millis;
        assert!(!is_settled(at(10_500), at(10_600)));
        assert!(is_settled(at(10_500), at(10_601)));
        assert!(!is_settled(at(10_000), at(12_100)));
        assert!(is_settled(at(10_000), at(12_101)));
    }
}
