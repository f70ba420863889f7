//! Hashing what is stored again: whether the disk still returns what came in.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::Errno;

use super::{DAMAGED, Error, Identity, Store, json};
use crate::digest::{Digest, Hasher};
use crate::files::{failed, lock, replace, step};

/// Bytes read at once.
const PIECE_BYTES: usize = 1 << 20;
/// Where reads past the page cache may begin, in memory: the largest block of disks (open(2), O_DIRECT).
const ALIGNMENT: usize = 4096;

impl Store {
    /// Hashes a stored image again, as the disk returns it now; `progress` is told the bytes so far, and the number of bytes is returned. One
    /// that has another content is used no more: every start refuses it until the image comes in again.
    ///
    /// # Errors
    /// When it is not there, was changed or can't be read.
    pub fn scrub(&self, digest: &Digest, progress: &dyn Fn(u64)) -> Result<u64, Error> {
        // Nobody collects it meanwhile.
        let file = self.hold(digest)?;
        let path = self.path(digest);
        // Memory errs, too: what is said to be damaged has been read twice.
        for _ in 0..2 {
            let (found, bytes) = hashed(&path, progress).map_err(failed("read", &path))?;
            if found == *digest {
                return Ok(bytes);
            }
        }
        self.condemn(digest, &file)?;
        Err(Error::Changed {
            digest: *digest,
            what: DAMAGED,
        })
    }

    /// Records that an image is damaged, and changes its times, so that what was proven of it is about another file.
    fn condemn(&self, digest: &Digest, file: &File) -> Result<(), Error> {
        let path = self.path(digest);
        let _lock = lock(&self.staging())?;
        let identity = Identity {
            damaged: true,
            ..Identity::of(file).map_err(failed("look at", &path))?
        };
        replace(&self.beside(digest, "identity"), &json(&identity), 0o600)?;
        step()
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o400)))
            .and_then(|()| file.sync_all())
            .map_err(failed("protect", &path))?;
        Ok(())
    }
}

/// The digest of what the disk has: memory may have the content as it was long ago.
fn hashed(path: &Path, progress: &dyn Fn(u64)) -> io::Result<(Digest, u64)> {
    let direct = OFlags::DIRECT.bits().cast_signed();
    let past_memory = File::options().read(true).custom_flags(direct).open(path);
    match past_memory.and_then(|file| digest_of(file, progress)) {
        // This file system has no disk below it, or none that can be read so: what memory can forget, it forgets.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            let file = File::open(path)?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
            digest_of(file, progress)
        }
        outcome => outcome,
    }
}

fn digest_of(mut file: File, progress: &dyn Fn(u64)) -> io::Result<(Digest, u64)> {
    let mut room = vec![0; PIECE_BYTES + ALIGNMENT];
    let begin = room.as_ptr().align_offset(ALIGNMENT);
    let piece = room.get_mut(begin..begin.saturating_add(PIECE_BYTES));
    let piece = piece.ok_or(io::ErrorKind::OutOfMemory)?;
    let mut hasher = Hasher::default();
    let mut bytes = 0;
    loop {
        let count = match file.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        let read = piece.get(..count).unwrap_or_default();
        if read.is_empty() {
            return Ok(hasher.finish());
        }
        hasher.update(read);
        bytes += read.len() as u64;
        progress(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// A store in a folder with one image.
    fn stored(folder: &Path, content: &[u8]) -> (Store, Digest) {
        let store = Store::open(folder).unwrap();
        let (staging, digest, _) = store.copy_in(&mut &content[..], 1 << 30).unwrap();
        store.keep(staging, &digest).unwrap();
        (store, digest)
    }

    /// Flips one bit as a disk does: nothing that the store knows of the file changes.
    fn rot(store: &Store, digest: &Digest, at: u64) {
        let path = store.path(digest);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let identity = Identity::of(&file).unwrap();
        replace(&store.beside(digest, "identity"), &json(&identity), 0o600).unwrap();
    }

    fn said(outcome: Result<u64, Error>) -> String {
        outcome.unwrap_err().to_string()
    }

    fn check(folder: &Path) {
        // Neither a whole number of pieces nor of blocks.
        let content: Vec<u8> = (0..PIECE_BYTES * 2 + 777)
            .map(|at| (at * 31 % 251) as u8)
            .collect();
        let (store, digest) = stored(folder, &content);
        let told = Cell::new(0);
        let bytes = store.scrub(&digest, &|so_far| told.set(so_far)).unwrap();
        assert_eq!((bytes, told.get()), (content.len() as u64, bytes));
        for at in [0, bytes / 2, bytes - 1] {
            rot(&store, &digest, at);
            store.get(&digest).unwrap();
            let first = said(store.scrub(&digest, &|_| ()));
            assert!(first.contains(DAMAGED), "{at}: {first}");
            // Nobody gets it any more, and who looks again is told the same.
            assert_eq!(store.get(&digest).unwrap_err().to_string(), first);
            assert_eq!(said(store.scrub(&digest, &|_| ())), first);
            // The image itself heals it.
            let (store, digest) = stored(folder, &content);
            store.scrub(&digest, &|_| ()).unwrap();
        }
    }

    #[test]
    fn one_bit_that_the_disk_changed_is_found_and_the_image_is_used_no_more_until_it_comes_again() {
        check(tempfile::tempdir().unwrap().path());
        // A file system that is in memory.
        check(tempfile::tempdir_in("/dev/shm").unwrap().path());
    }

    #[test]
    fn what_was_proven_of_an_image_is_of_another_file_once_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let (store, digest) = stored(folder.path(), b"an image");
        rot(&store, &digest, 3);
        let before = Identity::of(&store.get(&digest).unwrap()).unwrap();
        store.scrub(&digest, &|_| ()).unwrap_err();
        let after = Identity::of(&File::open(store.path(&digest)).unwrap()).unwrap();
        assert!(before.difference(&after).is_some());
    }

    #[test]
    fn what_is_gone_or_was_changed_is_told_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let (store, digest) = stored(folder.path(), b"an image");
        let path = store.path(&digest);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let changed = said(store.scrub(&digest, &|_| ()));
        assert!(changed.contains("its properties were changed"), "{changed}");
        fs::remove_file(path).unwrap();
        let gone = store.scrub(&digest, &|_| ());
        assert!(matches!(gone, Err(Error::Missing { .. })));
    }
}
