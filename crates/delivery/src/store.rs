//! Images by digest: `<state>/store/sha256-…`, beside each its recorded identity and a note of what was proven of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Hasher};
use crate::files::{
    FileError, entries, failed, lock, make_directory, read_if_there, remove_if_there, rename,
    replace, step, sync_parent,
};

mod scrub;
#[cfg(test)]
mod tests;

/// Bytes copied at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// How long what came of a transfer is kept for another try.
const ABANDONED_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);
/// Largest identity record: it has five numbers.
const IDENTITY_MAX_BYTES: u64 = 4096;
/// Largest note: a layout, a root hash, a signer and a signature of some kilobytes.
pub const NOTE_MAX_BYTES: u64 = 1 << 20;

/// The store of a state directory.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// Why the store cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// No such image.
    #[error("the store has no image {digest}")]
    Missing {
        /// The digest asked for.
        digest: Digest,
    },
    /// The file is not what was stored.
    #[error("the stored image {digest} was changed: {what}")]
    Changed {
        /// The digest it should have.
        digest: Digest,
        /// Which property differs.
        what: &'static str,
    },
    /// More than the limit.
    #[error("the image is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// Another process works on the same file.
    #[error("another command is working on {}", path.display())]
    Busy {
        /// The staging file.
        path: PathBuf,
    },
    /// The directory could be changed by others.
    #[error("{} belongs to user {uid}, or others may write to it", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
}

/// A staging file: content that has no name in the store yet. It is locked while the value lives.
#[derive(Debug)]
pub struct Staging {
    /// Open for reading and writing.
    pub file: File,
    /// What a resumed transfer must know: beside it.
    pub state: File,
    /// Where it lies, below `<state>/store/staging/`.
    pub path: PathBuf,
}

/// What is said of an image whose content is another one than it was.
const DAMAGED: &str = "it was hashed again, and the disk has another content";

/// What tells a stored file from any other and from its own past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    inode: u64,
    bytes: u64,
    modified_ns: i64,
    changed_ns: i64,
    /// What is in it was found to be another content.
    #[serde(default)]
    damaged: bool,
}

impl Identity {
    fn of(file: &File) -> io::Result<Identity> {
        let metadata = file.metadata()?;
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Ok(Identity {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            damaged: false,
        })
    }

    fn difference(&self, other: &Identity) -> Option<&'static str> {
        let checks = [
            (!self.damaged, DAMAGED),
            (self.inode == other.inode, "it is another file"),
            (self.bytes == other.bytes, "its size differs"),
            (self.modified_ns == other.modified_ns, "it was written to"),
            (
                self.changed_ns == other.changed_ns,
                "its properties were changed",
            ),
        ];
        checks
            .into_iter()
            .find(|(same, _)| !same)
            .map(|(_, what)| what)
    }
}

impl Store {
    /// The store below `<state>`; makes its directories.
    ///
    /// # Errors
    /// When they cannot be made, or belong to someone else.
    pub fn open(state: &Path) -> Result<Store, Error> {
        let directory = state.join("store");
        let is_new = !directory.exists();
        make_directory(&directory.join("staging"))?;
        if is_new {
            sync_parent(&directory)?;
        }
        let metadata = fs::symlink_metadata(&directory).map_err(failed("look at", &directory))?;
        if metadata.uid() != rustix::process::geteuid().as_raw()
            || metadata.mode() & 0o022 != 0
            || !metadata.is_dir()
        {
            return Err(Error::Foreign {
                path: directory,
                uid: metadata.uid(),
            });
        }
        Ok(Store { directory })
    }

    /// Where an image lies.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("sha256-{}", digest.hex()))
    }

    fn beside(&self, digest: &Digest, what: &str) -> PathBuf {
        self.directory
            .join(format!("sha256-{}.{what}", digest.hex()))
    }

    /// Opens a staging file for a key (a URL): the same key continues what was begun.
    ///
    /// # Errors
    /// When it cannot be made, or another process works on it.
    pub fn stage(&self, key: &str) -> Result<Staging, Error> {
        self.stage_as(&Digest::of(key.as_bytes()).hex())
    }

    fn stage_as(&self, name: &str) -> Result<Staging, Error> {
        let path = self.staging().join(name);
        let file = open_staging(&path)?;
        // Between opening and locking, whoever had the lock may have given the file its name in the store.
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
            || !is_still(&file, &path)?
        {
            return Err(Error::Busy { path });
        }
        let state = open_staging(&path.with_extension("state"))?;
        Ok(Staging { file, state, path })
    }

    /// Somebody who collects may have the file for a moment, before it is locked: then another one is taken.
    fn stage_copy(&self, own: u32, number: u32) -> Result<Staging, Error> {
        const TRIES: u32 = 64;
        let stage = |again| self.stage_as(&format!("{COPY_PREFIX}{own}-{number}-{again}"));
        (0..TRIES)
            .map(stage)
            .find(|staged| !matches!(staged, Err(Error::Busy { .. })))
            .unwrap_or_else(|| stage(TRIES))
    }

    fn staging(&self) -> PathBuf {
        self.directory.join("staging")
    }

    /// Copies a local file into a staging file, hashing it: nothing can change under our hands after.
    ///
    /// # Errors
    /// When it cannot be read or is larger than the limit.
    pub fn copy_in(
        &self,
        source: &mut dyn Read,
        limit_bytes: u64,
    ) -> Result<(Staging, Digest, u64), Error> {
        // One command may copy several before it keeps them.
        static COPIES: AtomicU32 = AtomicU32::new(0);
        let (own, number) = (std::process::id(), COPIES.fetch_add(1, Ordering::Relaxed));
        let mut staging = self.stage_copy(own, number)?;
        let copied = copy(source, &mut staging, limit_bytes);
        match copied {
            Ok((digest, bytes)) => Ok((staging, digest, bytes)),
            Err(error) => {
                self.discard(staging)?;
                Err(error)
            }
        }
    }

    /// Gives a staged file its name: synced, read-only, its identity recorded, atomically. Nobody collects the image while the
    /// value that is returned lives: long enough for a record that refers to it.
    ///
    /// # Errors
    /// When a step fails; the staged file then has no name.
    pub fn keep(&self, staging: Staging, digest: &Digest) -> Result<File, Error> {
        let path = self.path(digest);
        if let Ok(known) = self.hold(digest) {
            self.discard(staging)?;
            return Ok(known);
        }
        let readable = fs::Permissions::from_mode(0o400);
        step()
            .and_then(|()| staging.file.set_permissions(readable))
            .map_err(failed("protect", &staging.path))?;
        staging
            .file
            .sync_all()
            .map_err(failed("sync", &staging.path))?;
        // Who collects what is unused looks at names, and one that is damaged here gets another file.
        let _lock = lock(&self.staging())?;
        rename(&staging.path, &path)?;
        sync_parent(&path)?;
        remove_if_there(&staging.path.with_extension("state"))?;
        // A rename changes a file's times, so the identity is that of the named file.
        let identity = Identity::of(&staging.file).map_err(failed("look at", &path))?;
        replace(&self.beside(digest, "identity"), &json(&identity), 0o600)?;
        Ok(staging.file)
    }

    /// A stored image, kept from being collected.
    fn hold(&self, digest: &Digest) -> Result<File, Error> {
        let (file, path) = (self.get(digest)?, self.path(digest));
        flock(&file, FlockOperation::LockShared)
            .map_err(|errno| failed("lock", &path)(errno.into()))?;
        if is_still(&file, &path)? {
            Ok(file)
        } else {
            Err(Error::Missing { digest: *digest })
        }
    }

    /// Throws a staged file away.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self, staging: Staging) -> Result<(), Error> {
        remove_if_there(&staging.path)?;
        remove_if_there(&staging.path.with_extension("state"))?;
        Ok(())
    }

    /// Opens a stored image after checking its identity record.
    ///
    /// # Errors
    /// When it is not there or was changed.
    pub fn get(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing { digest: *digest });
            }
            Err(error) => return Err(failed("open", &path)(error).into()),
        };
        let changed = |what| Error::Changed {
            digest: *digest,
            what,
        };
        let record = read_if_there(&self.beside(digest, "identity"), IDENTITY_MAX_BYTES)?
            .ok_or_else(|| changed("its identity was never recorded"))?;
        let recorded: Identity = serde_json::from_slice(&record)
            .map_err(|_| changed("its identity record is damaged"))?;
        let found = Identity::of(&file).map_err(failed("look at", &path))?;
        recorded
            .difference(&found)
            .map_or(Ok(file), |what| Err(changed(what)))
    }

    /// Where the note on an image lies, beside it; for readers that know only the image's path.
    #[must_use]
    pub fn note_path(image: &Path) -> PathBuf {
        image.with_extension("note")
    }

    /// Writes down what was proven of an image; opaque here.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_note(&self, digest: &Digest, note: &[u8]) -> Result<(), Error> {
        // Two portables may be brought at once with one and the same image laid over each.
        let _lock = lock(&self.staging())?;
        Ok(replace(&Store::note_path(&self.path(digest)), note, 0o600)?)
    }

    /// Reads the note on an image.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn note(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let note = read_if_there(&Store::note_path(&self.path(digest)), NOTE_MAX_BYTES)?;
        note.ok_or(Error::Changed {
            digest: *digest,
            what: "there is no note of what was proven of it",
        })
    }

    /// All stored images.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Digest>, Error> {
        let name = |path: &PathBuf| {
            path.file_name()
                .and_then(|name| name.to_str()?.strip_prefix("sha256-")?.parse().ok())
        };
        Ok(entries(&self.directory)?.iter().filter_map(name).collect())
    }

    /// Removes what `referenced` does not name and nobody is about to refer to, and copies that were left by commands which are
    /// gone; gives the images that were removed. It is asked again when nobody can begin to refer to what is unused: whoever is
    /// about to waits then, and whoever was has recorded it.
    ///
    /// # Errors
    /// When a file cannot be removed, or it can't be told what is referred to.
    pub fn collect<E: From<Error>>(
        &self,
        mut referenced: impl FnMut() -> Result<Vec<Digest>, E>,
    ) -> Result<Vec<Digest>, E> {
        let _lock = lock(&self.staging()).map_err(Error::from)?;
        let used = referenced()?;
        let mut unused = Vec::new();
        for digest in self.list()?.into_iter().filter(|one| !used.contains(one)) {
            let locked = lock_unused(&self.path(&digest)).map_err(Error::from)?;
            unused.extend(locked.map(|locked| (digest, locked)));
        }
        let used = referenced()?;
        unused.retain(|(digest, _)| !used.contains(digest));
        for (digest, _) in &unused {
            for path in [
                self.path(digest),
                self.beside(digest, "identity"),
                self.beside(digest, "note"),
            ] {
                remove_if_there(&path).map_err(Error::from)?;
            }
        }
        self.sweep()?;
        Ok(unused.into_iter().map(|(digest, _)| digest).collect())
    }

    /// Removes what is beside images that are gone, what commands that are gone were copying, and transfers that nobody goes on with.
    fn sweep(&self) -> Result<(), Error> {
        // The power went, or somebody removed an image and not what is beside it.
        for path in &entries(&self.directory)? {
            if of_image(path).is_some_and(|image| !self.directory.join(image).exists()) {
                remove_if_there(path)?;
            }
        }
        for path in &entries(&self.staging())? {
            // The copy was kept, and the power went before its state was removed: it is made after the copy.
            if is_state_of_copy(path) && !path.with_extension("").exists() {
                remove_if_there(path)?;
            }
            if !is_copy(path) && !is_abandoned(path) {
                continue;
            }
            if let Some(_locked) = lock_unused(path)? {
                remove_if_there(path)?;
                remove_if_there(&path.with_extension("state"))?;
            }
        }
        Ok(())
    }
}

/// The name of the image that a file is beside: an identity, a note, or one of them that was not finished.
fn of_image(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let (image, _) = name.trim_start_matches('.').split_once('.')?;
    image.starts_with("sha256-").then_some(image)
}

/// How the names of copies of local files begin. What is fetched is kept for a later try; of a copy, a later try makes another.
const COPY_PREFIX: &str = "copy-";

fn is_copy(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(COPY_PREFIX.as_bytes()) && path.extension().is_none()
}

/// Whether nothing came of a transfer for so long that nobody will go on with it. A clock that went back keeps it.
fn is_abandoned(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|found| found.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    path.extension().is_none() && age.is_some_and(|age| age > ABANDONED_AFTER)
}

fn is_state_of_copy(path: &Path) -> bool {
    is_copy(&path.with_extension("")) && path.extension().is_some_and(|suffix| suffix == "state")
}

/// Whether a path still leads to a file that was opened by it.
pub(crate) fn is_still(file: &File, path: &Path) -> Result<bool, FileError> {
    let opened = file.metadata().map_err(failed("look at", path))?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// Locks a file that nobody works with; none where somebody does, or it is gone.
fn lock_unused(path: &Path) -> Result<Option<File>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(failed("lock", path)(errno.into())),
    }
}

fn open_staging(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(failed("make", path))
}

fn copy(
    source: &mut dyn Read,
    staging: &mut Staging,
    limit_bytes: u64,
) -> Result<(Digest, u64), Error> {
    staging
        .file
        .set_len(0)
        .map_err(failed("empty", &staging.path))?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut total: u64 = 0;
    loop {
        let count = source
            .read(&mut buffer)
            .map_err(failed("copy into", &staging.path))?;
        let chunk = buffer.get(..count).unwrap_or_default();
        if chunk.is_empty() {
            let grown = step().and_then(|()| staging.file.set_len(total));
            grown.map_err(failed("write", &staging.path))?;
            return Ok(hasher.finish());
        }
        total += chunk.len() as u64;
        if total > limit_bytes {
            return Err(Error::TooLarge { limit_bytes });
        }
        hasher.update(chunk);
        // What is a hole in an image, or could be one, takes no room here either.
        let placed = step().and_then(|()| match chunk.iter().all(|byte| *byte == 0) {
            true => staging
                .file
                .seek(SeekFrom::Current(count as i64))
                .map(|_| ()),
            false => staging.file.write_all(chunk),
        });
        placed.map_err(failed("write", &staging.path))?;
    }
}

fn json(identity: &Identity) -> Vec<u8> {
    let Identity {
        inode,
        bytes,
        modified_ns,
        changed_ns,
        damaged,
    } = identity;
    format!("{{\"inode\":{inode},\"bytes\":{bytes},\"modified_ns\":{modified_ns},\"changed_ns\":{changed_ns},\"damaged\":{damaged}}}\n").into_bytes()
}
