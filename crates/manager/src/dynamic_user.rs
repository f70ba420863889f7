//! Users that exist only while a service runs: numbers of one range, chosen by the name, locked for all instances of the host.

use crate::directories::{fold, hash};
use crate::users::Tables;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, mkdir, open, rename, rmdir, unlink};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The first number of the range that the reference reserves for dynamic users.
pub(crate) const FIRST: u32 = 61_184;
/// The last one.
pub(crate) const LAST: u32 = 65_519;
/// Numbers that are tried: the one of the name, then others that follow from it.
const TRIES: u32 = 100;
/// Where the reference locks its numbers; they are one range, so where it runs its locks are taken too.
const REFERENCE_LOCKS: &str = "/run/systemd/dynamic-uid";
/// Where all instances lock theirs on a host without it.
const OWN_LOCKS: &str = "/run/coracle-dynamic-users";
const LOCK_FLAGS: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);
const LOCK_MODE: Mode = Mode::from_raw_mode(0o644);

/// A number that is ours while the lock is held. The keeper holds a copy of the descriptor, so the lock outlives the manager.
#[derive(Debug)]
pub(crate) struct DynamicUser {
    pub(crate) uid: u32,
    pub(crate) lock: OwnedFd,
}

/// No number is free, or the locks can't be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DynamicUserError {
    #[error("no number between {FIRST} and {LAST} is free for the user {0}")]
    NoneFree(String),
    #[error("cannot lock a number for a dynamic user in {}", path.display())]
    Lock { path: PathBuf, source: io::Error },
}

/// Takes a number for a name; the same name gets the same one, unless another holds it.
pub(crate) fn take(name: &str, tables: &Tables) -> Result<DynamicUser, DynamicUserError> {
    let directory = lock_directory();
    let failed = |source| DynamicUserError::Lock {
        path: directory.into(),
        source,
    };
    for attempt in 0..TRIES {
        let uid = candidate(name, attempt);
        if tables.has_number(uid) {
            continue;
        }
        if let Some(lock) = try_lock(directory, uid, name).map_err(|errno| failed(errno.into()))? {
            return Ok(DynamicUser { uid, lock });
        }
    }
    Err(DynamicUserError::NoneFree(name.into()))
}

/// Locks a number that a run has, after its lock was lost; none where somebody else took it meanwhile.
pub(crate) fn lock_again(uid: u32, name: &str) -> Result<Option<OwnedFd>, Errno> {
    try_lock(lock_directory(), uid, name)
}

/// Gives a number back; the lock goes with the descriptor.
pub(crate) fn give_back(uid: u32) {
    let directory = lock_directory();
    // The file goes while the lock is held; who waits for it sees that it is another file.
    match std::fs::remove_file(directory.join(uid.to_string())) {
        // A file that nobody has locked is as good as none.
        Ok(()) | Err(_) => {}
    }
}

/// Removes the directory at the end of an instance, unless another has locks in it.
pub(crate) fn remove_directory() {
    match std::fs::remove_dir(OWN_LOCKS) {
        Ok(()) | Err(_) => {}
    }
}

fn lock_directory() -> &'static Path {
    let reference = Path::new(REFERENCE_LOCKS);
    if reference.is_dir() {
        reference
    } else {
        Path::new(OWN_LOCKS)
    }
}

fn candidate(name: &str, attempt: u32) -> u32 {
    let salted = if attempt == 0 {
        name.to_owned()
    } else {
        format!("{name}/{attempt}")
    };
    FIRST + fold(hash(salted.as_bytes())) % (LAST - FIRST + 1)
}

fn try_lock(directory: &Path, uid: u32, name: &str) -> Result<Option<OwnedFd>, Errno> {
    let lock = open_in(directory, &directory.join(uid.to_string()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        other => other?,
    }
    // Its holder may have removed the file between our opening and locking it: then the lock is of nothing.
    if rustix::fs::fstat(&lock)?.st_nlink == 0 {
        return Ok(None);
    }
    rustix::io::pwrite(&lock, format!("{name}\n").as_bytes(), 0)?;
    Ok(Some(lock))
}

/// Opens a lock's file, with the directory: an instance that ends removes it, at any moment.
fn open_in(directory: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    /// Each round that fails is one in which another took a number, or ended.
    const ROUNDS_MAX: u32 = 1000;
    for _ in 0..ROUNDS_MAX {
        match open(path, LOCK_FLAGS, LOCK_MODE) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        if let Some(lock) = open_with_directory(directory, path)? {
            return Ok(lock);
        }
    }
    Err(Errno::NOENT)
}

/// Makes the directory with the lock's file already in it, so that it is never empty and nobody can remove it in between. None where
/// another's directory is there, with files.
fn open_with_directory(directory: &Path, path: &Path) -> Result<Option<OwnedFd>, Errno> {
    let (Some(file), Some(number)) = (path.file_name(), path.file_name().and_then(OsStr::to_str))
    else {
        return Err(Errno::INVAL);
    };
    // Other processes and other threads of this one may be at the same.
    let ahead = directory.with_extension(format!(
        "{}.{}.{number}",
        std::process::id(),
        rustix::thread::gettid().as_raw_nonzero()
    ));
    match mkdir(&ahead, Mode::from_raw_mode(0o755)) {
        // One of the same number that was interrupted here.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let lock = open(ahead.join(file), LOCK_FLAGS, LOCK_MODE)?;
    match rename(&ahead, directory) {
        Ok(()) => Ok(Some(lock)),
        Err(errno) => {
            unlink(ahead.join(file))?;
            rmdir(&ahead)?;
            match errno {
                Errno::NOTEMPTY | Errno::EXIST => Ok(None),
                errno => Err(errno),
            }
        }
    }
}

/// The name of the user of a unit that names none: the unit's own, if a user can have it and the host has no such user. A unit, or an
/// image, must not become somebody by being called like them.
pub(crate) fn name_for(prefix: &str, tables: &Tables) -> String {
    let fits = prefix.len() <= 31
        && prefix.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte)
        })
        && prefix.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    if fits && !tables.has_user(prefix) && !tables.has_group(prefix) {
        prefix.into()
    } else {
        format!("_du{:016x}", hash(prefix.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_always_tries_the_same_numbers_of_the_range() {
        for name in ["web", "a", "some-long-name"] {
            for attempt in 0..TRIES {
                assert_eq!(candidate(name, attempt), candidate(name, attempt));
                assert!((FIRST..=LAST).contains(&candidate(name, attempt)));
            }
        }
    }

    #[test]
    fn a_number_is_locked_while_others_remove_the_directory_of_their_last_one() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let directory =
            std::env::temp_dir().join(format!("coracle-dynamic-users-{}", std::process::id()));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::fs::remove_dir(&directory).ok();
                }
            });
            for _ in 0..2000 {
                let locked = try_lock(&directory, FIRST, "somebody");
                std::fs::remove_file(directory.join(FIRST.to_string())).ok();
                let Ok(Some(_)) = locked else {
                    stop.store(true, Ordering::Relaxed);
                    panic!("{locked:?}");
                };
            }
            stop.store(true, Ordering::Relaxed);
        });
        std::fs::remove_dir(&directory).ok();
    }

    #[test]
    fn a_prefix_that_no_user_can_have_is_hashed() {
        assert_eq!(name_for("web", &Tables::default()), "web");
        assert!(name_for("Web.x", &Tables::default()).starts_with("_du"));
        assert!(name_for("7up", &Tables::default()).starts_with("_du"));
    }
}
