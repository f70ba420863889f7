//! Files that came with a verb, where the verb finds them; they go with it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use delivery::digest::{Digest, Hasher};
use delivery::store::Store;
use rustix::fs::{FlockOperation, flock};
use wire::remote;

use crate::failure::WithHint as _;

/// How folders of arrivals begin; a random word follows.
const PREFIX: &str = "arriving-";
/// What is younger may not be locked yet by who made it.
const SETTLED: Duration = Duration::from_secs(60);

/// The files of one request.
pub(crate) struct Arrivals {
    folder: PathBuf,
    /// Who holds it uses the folder.
    _lock: File,
    /// Images of the store that are used.
    kept: Vec<File>,
    files: Vec<(PathBuf, remote::File)>,
    /// Files that have yet to come, and the one that does.
    missing: Vec<usize>,
    arriving: Option<Arriving>,
}

/// A file half of which is here.
struct Arriving {
    file: File,
    hasher: Hasher,
    left: u64,
}

impl Arrivals {
    /// Makes places for the files; those that the store has are here already.
    ///
    /// # Errors
    /// When there is no place, or a file can't be one of ours.
    pub(crate) fn new(state: &Path, files: Vec<remote::File>) -> Result<Arrivals> {
        check(&files)?;
        // Only root has a store; others have what is theirs.
        let store = rustix::process::geteuid()
            .is_root()
            .then(|| Store::open(state))
            .transpose()?;
        let base = match &store {
            Some(_) => state.to_owned(),
            None => std::env::temp_dir(),
        };
        sweep(&base);
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let folder = base.join(format!("{PREFIX}{:016x}", u64::from_ne_bytes(random)));
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        make(&folder).or_hint(
            || format!("cannot make {} for what comes", folder.display()),
            "the disk may be full or read-only",
        )?;
        let lock = File::open(&folder)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let mut arrivals = Arrivals {
            folder,
            _lock: lock,
            kept: Vec::new(),
            files: Vec::new(),
            missing: Vec::new(),
            arriving: None,
        };
        for (index, file) in files.into_iter().enumerate() {
            let place = arrivals.folder.join(index.to_string());
            make(&place)?;
            let path = place.join(&file.name);
            match store.as_ref().and_then(|store| held(store, &file)) {
                Some((stored, kept)) => {
                    symlink(stored, &path)?;
                    arrivals.kept.push(kept);
                }
                None => arrivals.missing.push(index),
            }
            arrivals.files.push((path, file));
        }
        Ok(arrivals)
    }

    /// Indexes of files that have to come.
    pub(crate) fn missing(&self) -> &[usize] {
        &self.missing
    }

    /// Where the verb finds a file.
    pub(crate) fn path(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(|(path, _)| path.as_path())
    }

    /// Takes the next bytes of the files that are missing.
    ///
    /// # Errors
    /// When they can't be written, or are not what was announced.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let Some(index) = self.missing.first().copied() else {
                bail!("more came than was announced");
            };
            self.begin(index)?;
            let Some(arriving) = &mut self.arriving else {
                bail!("no file is arriving");
            };
            let count =
                usize::try_from(arriving.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (now, later) = bytes.split_at(count);
            arriving.file.write_all(now).or_hint(
                || format!("cannot write to {}", self.folder.display()),
                "make room on that disk; `coracle gc` removes versions that are not needed",
            )?;
            arriving.hasher.update(now);
            arriving.left -= count as u64;
            bytes = later;
            self.end_whole()?;
        }
        Ok(())
    }

    /// Files without content are there without a byte of it.
    ///
    /// # Errors
    /// When one can't be made.
    pub(crate) fn take_empty(&mut self) -> Result<()> {
        while let Some(index) = self.missing.first().copied() {
            if self
                .files
                .get(index)
                .is_some_and(|(_, file)| file.length > 0)
            {
                return Ok(());
            }
            self.begin(index)?;
            self.end_whole()?;
        }
        Ok(())
    }

    fn begin(&mut self, index: usize) -> Result<()> {
        let Some((path, file)) = self.files.get(index).filter(|_| self.arriving.is_none()) else {
            return Ok(());
        };
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        self.arriving = Some(Arriving {
            file: opened.with_context(|| format!("cannot make {}", path.display()))?,
            hasher: Hasher::default(),
            left: file.length,
        });
        Ok(())
    }

    /// A file that is whole has the digest that was announced, or nothing is done with it.
    fn end_whole(&mut self) -> Result<()> {
        let Some(arrived) = self.arriving.take_if(|arriving| arriving.left == 0) else {
            return Ok(());
        };
        let index = self.missing.remove(0);
        let (digest, _) = arrived.hasher.finish();
        match self.files.get(index) {
            Some((_, file)) if file.digest == digest.hex() => self.take_empty(),
            Some((_, file)) => bail!("{} changed while it was sent", file.name),
            None => bail!("there is no such file"),
        }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        // What stays is swept by the next one.
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn check(files: &[remote::File]) -> Result<()> {
    if files.len() > remote::FILES_MAX {
        bail!("{} files are more than {}", files.len(), remote::FILES_MAX);
    }
    for file in files {
        let name = file.name.as_str();
        if name.is_empty() || [".", ".."].contains(&name) || name.contains(['/', '\0']) {
            bail!("{name:?} is no name of a file");
        }
        if file.length > remote::FILE_MAX_BYTES {
            bail!("{name:?} is larger than an image may be");
        }
    }
    Ok(())
}

/// The same content, where the store has it; nobody removes it meanwhile.
fn held(store: &Store, file: &remote::File) -> Option<(PathBuf, File)> {
    let itself = Some((&file.digest, file.length));
    let content = file.content.as_ref();
    let content = content.map(|(digest, length)| (digest, *length));
    itself
        .into_iter()
        .chain(content)
        .find_map(|(digest, length)| {
            let digest: Digest = format!("sha256:{digest}").parse().ok()?;
            let kept = store.get(&digest).ok()?;
            flock(&kept, FlockOperation::NonBlockingLockShared).ok()?;
            (kept.metadata().ok()?.len() == length).then(|| (store.path(&digest), kept))
        })
}

/// Removes what a power cut or a kill left. What can't be removed is no reason not to go on.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_settled = || {
            let made = entry
                .metadata()
                .ok()
                .and_then(|found| found.modified().ok());
            made.and_then(|made| made.elapsed().ok())
                .is_some_and(|age| age > SETTLED)
        };
        if !is_ours || !is_settled() {
            continue;
        }
        // Others may put anything there.
        let is_own = entry
            .metadata()
            .is_ok_and(|found| found.uid() == rustix::process::geteuid().as_raw());
        let flags = rustix::fs::OFlags::DIRECTORY
            | rustix::fs::OFlags::NOFOLLOW
            | rustix::fs::OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits().cast_signed());
        if is_own
            && let Ok(folder) = options.open(entry.path())
            && flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> remote::File {
        remote::File {
            name: name.to_owned(),
            digest: Digest::of(content).hex(),
            length: content.len() as u64,
            content: None,
        }
    }

    #[test]
    fn files_arrive_in_turn_however_they_are_cut_and_go_again() {
        let state = tempfile::tempdir().unwrap();
        let files = vec![
            file("a.psi", b"hello"),
            file("empty", b""),
            file("a.psi", b"you"),
        ];
        let mut arrivals = Arrivals::new(state.path(), files).unwrap();
        assert_eq!(arrivals.missing(), [0, 1, 2]);
        for part in [b"he".as_slice(), b"lloy", b"ou"] {
            arrivals.take(part).unwrap();
        }
        assert_eq!(arrivals.missing(), [0_usize; 0]);
        let read = |index| fs::read_to_string(arrivals.path(index).unwrap()).unwrap();
        assert_eq!([read(0), read(1), read(2)], ["hello", "", "you"]);
        let folder = arrivals.folder.clone();
        assert!(arrivals.take(b"x").is_err());
        drop(arrivals);
        assert!(!folder.exists());
    }

    #[test]
    fn what_is_not_as_announced_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let mut arrivals = Arrivals::new(state.path(), vec![file("a", b"hello")]).unwrap();
        let error = arrivals.take(b"hallo").unwrap_err().to_string();
        assert_eq!(error, "a changed while it was sent");
        for name in ["", ".", "..", "../a", "/etc/passwd", "a\0"] {
            assert!(
                Arrivals::new(state.path(), vec![file(name, b"")]).is_err(),
                "{name}"
            );
        }
    }
}
