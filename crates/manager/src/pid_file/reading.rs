//! What threads do with PID files: each call may wait for a file system.

use kernel::walk::Place;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Room for a PID file, in bytes; only its first line counts.
const FILE_BYTES_MAX: u64 = 4096;
/// A directory that comes to be while it is looked for is looked for again, so often at most.
const LOOKS_MAX: usize = 64;

/// Watches the directory of a file, or the deepest one above it that is there. What comes to be after this is told.
pub(super) fn watch(inotify: &OwnedFd, path: &str) -> io::Result<()> {
    let flags = WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    let mut last = None;
    for _ in 0..LOOKS_MAX {
        let Some(directory) = deepest(path) else {
            break;
        };
        // The same number again where the directory is still the one that is watched.
        let watch = match inotify::add_watch(inotify, &directory, flags) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            watch => Some((directory, watch?)),
        };
        if watch == last {
            break;
        }
        last = watch;
    }
    Ok(())
}

pub(super) fn read(path: &str) -> io::Result<Vec<u8>> {
    crate::credentials::read_file(path, FILE_BYTES_MAX)
}

pub(super) fn remove(path: &str) -> io::Result<()> {
    let place = Place::find(&CString::new(path)?, |_| None)?;
    Ok(unlinkat(&place.parent, place.name(), AtFlags::empty())?)
}

/// The deepest directory above a file that is there.
fn deepest(path: &str) -> Option<PathBuf> {
    let mut above = Path::new(path).ancestors().skip(1);
    above
        .find(|directory| directory.is_dir())
        .map(Path::to_owned)
}

/// The process that the first line names; never the first one of the machine.
pub(super) fn first_number(text: &[u8]) -> Option<u32> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let number = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    (number > 1).then_some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn the_first_line_of_a_pid_file_is_the_number_of_a_process() {
        let number = |text: &str| first_number(text.as_bytes());
        assert_eq!(number("42"), Some(42));
        assert_eq!(number(" 42 \n/var/lib/postgresql\n"), Some(42));
        for wrong in ["", "\n42", "1\n", "0", "-1", "42 43", "4294967296", "self"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        assert_eq!(first_number(b"4\xff2"), None);
    }

    #[test]
    fn a_pid_file_behind_a_link_of_a_service_stays_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let (own, target) = (folder.path().join("own"), folder.path().join("target"));
        std::fs::create_dir_all(&target).unwrap();
        std::fs::create_dir(&own).unwrap();
        std::fs::write(target.join("pid"), "42").unwrap();
        std::os::unix::fs::symlink(&target, own.join("sub")).unwrap();
        let path = own.join("sub/pid");
        // Who may change the directory may have left the link.
        std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        assert!(remove(path.to_str().unwrap()).is_err());
        assert!(target.join("pid").exists());
        remove(target.join("pid").to_str().unwrap()).unwrap();
        assert!(!target.join("pid").exists());
    }
}
