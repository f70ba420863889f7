//! Files that came with a verb, where the verb finds them; they go with it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, symlink,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use delivery::chunks::List;
use delivery::chunks::local::{Local, complete};
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
    store: Option<Store>,
    /// Files that have yet to come.
    missing: Vec<usize>,
    /// What is not here of those of them that the store has in part.
    parts: BTreeMap<usize, Parts>,
    /// The one that comes now.
    arriving: Option<Arriving>,
}

/// What of a file is not here: places and lengths.
struct Parts {
    list: List,
    ranges: VecDeque<(u64, u64)>,
}

impl Parts {
    fn bytes(&self) -> u64 {
        self.ranges.iter().map(|(_, length)| length).sum()
    }
}

/// A file half of which is here.
struct Arriving {
    file: File,
    how: How,
    left: u64,
}

enum How {
    Whole(Hasher),
    Parts(Parts),
}

impl Arriving {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.left -= bytes.len() as u64;
        let parts = match &mut self.how {
            How::Whole(hasher) => {
                hasher.update(bytes);
                return self.file.write_all(bytes);
            }
            How::Parts(parts) => parts,
        };
        while let Some((place, left)) = parts.ranges.front_mut().filter(|_| !bytes.is_empty()) {
            let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (now, later) = bytes.split_at(count);
            self.file.write_all_at(now, *place)?;
            (*place, *left, bytes) = (*place + count as u64, *left - count as u64, later);
            if *left == 0 {
                parts.ranges.pop_front();
            }
        }
        Ok(())
    }

    fn digest(mut self) -> io::Result<Digest> {
        match self.how {
            How::Whole(hasher) => Ok(hasher.finish().0),
            How::Parts(Parts { list, .. }) => {
                complete(&list, &self.file)?;
                self.file.rewind()?;
                Ok(Digest::of_reader(&mut self.file)?.0)
            }
        }
    }
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
            store: None,
            missing: Vec::new(),
            parts: BTreeMap::new(),
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
        arrivals.store = store;
        Ok(arrivals)
    }

    /// Indexes of missing files of which the store may have parts: the other side is asked how they are cut.
    ///
    /// # Errors
    /// When it can't be listed.
    pub(crate) fn askable(&self) -> Result<Vec<usize>> {
        let Some(store) = &self.store else {
            return Ok(Vec::new());
        };
        if store.list()?.is_empty() {
            return Ok(Vec::new());
        }
        let has_parts = |index: &usize| {
            let file = self.files.get(*index);
            file.is_some_and(|(_, file)| file.has_parts)
        };
        Ok(self.missing.iter().copied().filter(has_parts).collect())
    }

    /// Puts together what stored images have of a file that is cut so; the ranges that are to come, where that is not all of it.
    ///
    /// # Errors
    /// When the list is of another file, or nothing can be read or written.
    pub(crate) fn fill(&mut self, index: usize, list: &[u8]) -> Result<Option<Vec<(u64, u64)>>> {
        let (Some(store), Some((path, file))) = (&self.store, self.files.get(index)) else {
            return Ok(None);
        };
        if list.is_empty() || !self.missing.contains(&index) || self.parts.contains_key(&index) {
            return Ok(None);
        }
        let list = List::parse_own(list, file.length)?;
        let local = Local::of(store, &list)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let target = options.open(path)?;
        let wanted = local.fill(&list, &target).or_hint(
            || format!("cannot write to {}", self.folder.display()),
            "make room on that disk; `coracle gc` removes versions that are not needed",
        )?;
        let parts = Parts {
            ranges: list.ranges(&wanted).into(),
            list,
        };
        if parts.bytes() >= file.length {
            fs::remove_file(path)?;
            return Ok(None);
        }
        let ranges = parts.ranges.iter().copied().collect();
        self.parts.insert(index, parts);
        Ok(Some(ranges))
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
            arriving.write(now).or_hint(
                || format!("cannot write to {}", self.folder.display()),
                "make room on that disk; `coracle gc` removes versions that are not needed",
            )?;
            bytes = later;
            self.end_whole()?;
        }
        Ok(())
    }

    /// Files of which nothing is to come are there without a byte of it.
    ///
    /// # Errors
    /// When one can't be made.
    pub(crate) fn take_empty(&mut self) -> Result<()> {
        while let Some(index) = self.missing.first().copied() {
            if self.is_to_come(index) {
                return Ok(());
            }
            self.begin(index)?;
            self.end_whole()?;
        }
        Ok(())
    }

    fn is_to_come(&self, index: usize) -> bool {
        match (self.parts.get(&index), self.files.get(index)) {
            (Some(parts), _) => parts.bytes() > 0,
            (None, file) => file.is_some_and(|(_, file)| file.length > 0),
        }
    }

    fn begin(&mut self, index: usize) -> Result<()> {
        let Some((path, file)) = self.files.get(index).filter(|_| self.arriving.is_none()) else {
            return Ok(());
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let (how, left) = match self.parts.remove(&index) {
            Some(parts) => {
                let bytes = parts.bytes();
                (How::Parts(parts), bytes)
            }
            None => {
                options.create_new(true);
                (How::Whole(Hasher::default()), file.length)
            }
        };
        let opened = options.open(path);
        self.arriving = Some(Arriving {
            file: opened.with_context(|| format!("cannot make {}", path.display()))?,
            how,
            left,
        });
        Ok(())
    }

    /// A file that is whole has the digest that was announced, or nothing is done with it.
    fn end_whole(&mut self) -> Result<()> {
        let Some(arrived) = self.arriving.take_if(|arriving| arriving.left == 0) else {
            return Ok(());
        };
        let index = self.missing.remove(0);
        let digest = arrived.digest()?;
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
            has_parts: true,
        }
    }

    #[test]
    fn what_the_store_has_of_a_file_does_not_come_again() {
        let state = tempfile::tempdir().unwrap();
        let old: Vec<u8> = (0_u32..200_000)
            .flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes())
            .collect();
        let mut new = old.clone();
        new.splice(300_000..300_000, b"changed".repeat(100));
        let store = Store::open(state.path()).unwrap();
        let arrivals = || Arrivals::new(state.path(), vec![file("a.psi", &new)]).unwrap();
        assert_eq!(arrivals().askable().unwrap(), [0_usize; 0]);
        let (staging, digest, _) = store.copy_in(&mut &*old, 1 << 30).unwrap();
        store.keep(staging, &digest).unwrap();
        let list = delivery::chunks::local::own_list(&mut &*new)
            .unwrap()
            .print();
        let ask = || {
            let mut arrivals = arrivals();
            assert_eq!(arrivals.askable().unwrap(), [0]);
            let ranges = arrivals.fill(0, &list).unwrap().unwrap();
            let bytes: u64 = ranges.iter().map(|(_, length)| length).sum();
            assert!((700..300_000).contains(&bytes), "{bytes}");
            let part = |(place, length): &(u64, u64)| &new[*place as usize..][..*length as usize];
            (
                arrivals,
                ranges.iter().flat_map(part).copied().collect::<Vec<u8>>(),
            )
        };
        let (mut arrivals, bytes) = ask();
        for part in bytes.chunks(1000) {
            assert_eq!(arrivals.missing(), [0]);
            arrivals.take(part).unwrap();
        }
        assert_eq!(arrivals.missing(), [0_usize; 0]);
        assert!(fs::read(arrivals.path(0).unwrap()).unwrap() == new);
        // What is put together is what was announced, or nothing.
        let (mut arrivals, mut bytes) = ask();
        bytes[0] ^= 1;
        assert!(arrivals.take(&bytes).is_err());
        let (mut arrivals, _) = ask();
        assert!(arrivals.fill(0, &list).unwrap().is_none(), "asked once");
        assert!(
            self::arrivals_of(&state, &new)
                .fill(0, &list[..list.len() - 1])
                .is_err()
        );
    }

    fn arrivals_of(state: &tempfile::TempDir, content: &[u8]) -> Arrivals {
        Arrivals::new(state.path(), vec![file("a.psi", content)]).unwrap()
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
