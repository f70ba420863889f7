//! One upgrade of a portable at a time, from its first look at the channel to its proof: other changes wait for none of that.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Error, Portables, check_name};
use crate::files::{failed, remove_if_there, step};
use crate::store::is_still;

/// A portable that nobody else upgrades until this is dropped.
#[derive(Debug)]
pub struct Upgrading {
    path: PathBuf,
    _lock: File,
}

impl Portables {
    /// Begins an upgrade of a portable that is here; none where another command is at one.
    ///
    /// # Errors
    /// When the name cannot be a portable's, or the file that is locked can't be made.
    pub fn upgrading(&self, name: &str) -> Result<Option<Upgrading>, Error> {
        lock(self.file(name)?.with_file_name("upgrading"))
    }

    /// Begins to bring in a portable that is not here, with what it had stored elsewhere; none where another command is at it.
    ///
    /// # Errors
    /// As [`Portables::upgrading`].
    pub fn importing(&self, name: &str) -> Result<Option<Upgrading>, Error> {
        check_name(name)?;
        lock(self.state.join(format!("importing-{name}")))
    }
}

fn lock(path: PathBuf) -> Result<Option<Upgrading>, Error> {
    loop {
        let made = step().and_then(|()| {
            let mut options = OpenOptions::new();
            options
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
        });
        let file = made.map_err(failed("make", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(failed("lock", &path)(errno.into()).into()),
            // Who had it before may have removed it: then the lock is on nothing.
            Ok(()) if is_still(&file, &path)? => {
                return Ok(Some(Upgrading { path, _lock: file }));
            }
            Ok(()) => {}
        }
    }
}

impl Drop for Upgrading {
    fn drop(&mut self) {
        // One that stays is locked by nobody, and goes with the next upgrade or the portable.
        remove_if_there(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::portable;
    use super::*;

    #[test]
    fn one_imports_at_a_time_what_is_not_here() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        let first = records.importing("hello").unwrap();
        assert!(first.is_some() && records.importing("hello").unwrap().is_none());
        assert!(records.importing("other").unwrap().is_some());
        assert!(records.importing("../hello").is_err());
        drop(first);
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_upgrades_at_a_time_and_nothing_is_left_of_it() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        assert!(
            records.upgrading("hello").is_err(),
            "what is not here is not upgraded"
        );
        records
            .hold("hello")
            .unwrap()
            .put(&portable("1.0", b"a"))
            .unwrap();
        for _ in 0..3 {
            let first = records.upgrading("hello").unwrap();
            assert!(first.is_some());
            assert!(records.upgrading("hello").unwrap().is_none());
            // The record can be changed meanwhile.
            records
                .hold("hello")
                .unwrap()
                .put(&portable("1.1", b"a"))
                .unwrap();
        }
        let left = crate::files::entries(&state.path().join("portables/hello")).unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(records.upgrading("../hello").is_err());
    }
}
