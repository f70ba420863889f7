//! Files of the host that services with the network see: name servers, names, the time zone, trusted certificates.
//!
//! A mount of a file stays what it was when the host puts another file in its place. So the services see copies below the runtime
//! directory: single files are overwritten and never replaced, the bundle of certificates is replaced within a directory that stays.

use crate::manager::Manager;
use crate::poll::{Poll, Token};
use model::sorted::{Map, Set};
use model::{Unit, key};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Largest file that is copied, in bytes: bundles of certificates are some 250 kB.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Links on the way to a file, as the kernel has it.
const LINKS_MAX: usize = 40;

/// A copy below the directory, and where the host has it: the first that is there.
struct Kept {
    copy: &'static str,
    sources: &'static [&'static str],
    /// Replaced within its directory, as the directory is what services see.
    replaced: bool,
}

const KEPT: [Kept; 4] = [
    in_place("resolv.conf", &["/etc/resolv.conf"]),
    in_place("hosts", &["/etc/hosts"]),
    in_place("localtime", &["/etc/localtime"]),
    Kept {
        copy: "certificates/ca-certificates.crt",
        sources: model::tables::host_files::CERTIFICATE_BUNDLES,
        replaced: true,
    },
];

const fn in_place(copy: &'static str, sources: &'static [&'static str]) -> Kept {
    Kept {
        copy,
        sources,
        replaced: false,
    }
}

/// Which file was copied last: device, number, length, and when it changed.
type Identity = (u64, u64, u64, i64, i64);

/// The copies, and what watches the originals; nothing of both until a service needs them.
#[derive(Debug)]
pub(crate) struct HostFiles {
    directory: PathBuf,
    inotify: Option<OwnedFd>,
    watches: Map<PathBuf, i32>,
    copied: Map<&'static str, Identity>,
}

impl HostFiles {
    pub(crate) fn new(runtime: &Path) -> Self {
        Self {
            directory: runtime.join("network"),
            inotify: None,
            watches: Map::new(),
            copied: Map::new(),
        }
    }

    /// Does a unit mount one of the copies?
    fn serve(&self, unit: &Unit) -> bool {
        let mounts = unit.get(&key::BIND_READ_ONLY_PATHS).into_iter().flatten();
        mounts
            .into_iter()
            .any(|mount| Path::new(&mount.source).starts_with(&self.directory))
    }

    /// Makes the copies and keeps them current from now on.
    fn begin(&mut self, poll: &Poll) -> io::Result<()> {
        if self.inotify.is_some() {
            return Ok(());
        }
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        poll.watch(&inotify, Token::HostFiles)?;
        self.inotify = Some(inotify);
        let begun = self.refresh();
        if begun.is_err() {
            // Nothing is kept current yet: the next start begins again.
            self.unwatch(poll);
        }
        begun
    }

    fn unwatch(&mut self, poll: &Poll) {
        if let Some(inotify) = self.inotify.take() {
            poll.forget(&inotify);
        }
        self.watches.clear();
        self.copied.clear();
    }

    /// Copies what changed. The watches come first: what changes after a look is told.
    fn refresh(&mut self) -> io::Result<()> {
        self.watch()?;
        KEPT.iter().try_for_each(|kept| self.copy(kept))
    }

    fn copy(&mut self, kept: &Kept) -> io::Result<()> {
        let copy = self.directory.join(kept.copy);
        let found = kept.sources.iter().find_map(|source| open(source).ok());
        let Some((mut file, identity)) = found else {
            // What is missing on the host for a moment stays; what it never had is empty.
            return match copy.exists() {
                true => Ok(()),
                false => write(&copy, b"", kept.replaced),
            };
        };
        if self.copied.get(kept.copy) == Some(&identity) {
            return Ok(());
        }
        let mut content = Vec::new();
        Read::by_ref(&mut file)
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut content)?;
        if std::fs::read(&copy).ok().as_ref() != Some(&content) {
            write(&copy, &content, kept.replaced)?;
        }
        self.copied.insert(kept.copy, identity);
        Ok(())
    }

    /// Watches every directory in which a file, or a link on the way to it, could be replaced.
    fn watch(&mut self) -> io::Result<()> {
        let Some(inotify) = &self.inotify else {
            return Ok(());
        };
        let wanted: Set<PathBuf> = KEPT.iter().flat_map(looked_at).collect();
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        self.watches.retain(|directory, watch| {
            let stays = wanted.contains(directory);
            if !stays {
                match inotify::remove_watch(inotify, *watch) {
                    // It went with its directory.
                    Ok(()) | Err(_) => {}
                }
            }
            stays
        });
        for directory in wanted {
            // The same number again where it is watched already.
            let watch = inotify::add_watch(inotify, &directory, flags)?;
            self.watches.insert(directory, watch);
        }
        Ok(())
    }

    /// Nobody needs the copies any more.
    pub(crate) fn end(&mut self, poll: &Poll) {
        self.unwatch(poll);
        match std::fs::remove_dir_all(&self.directory) {
            // What can't be removed is in memory, and of no harm.
            Ok(()) | Err(_) => {}
        }
    }
}

/// What inotify told is not looked at, only that there was something.
pub(crate) fn drain(inotify: Option<&OwnedFd>) {
    let Some(inotify) = inotify else {
        return;
    };
    let mut room = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(inotify, &mut room);
    while reader.next().is_ok() {}
}

impl Manager {
    /// Before a unit's plan is carried out: what it mounts of the host's files is there.
    pub(crate) fn provide_host_files(&mut self, unit: &Unit) -> io::Result<()> {
        if self.host_files.serve(unit) {
            self.host_files.begin(&self.poll)?;
        }
        Ok(())
    }

    /// The manager before us kept them: somebody may see them.
    pub(crate) fn resume_host_files(&mut self) {
        if self.host_files.directory.exists() {
            let begun = self.host_files.begin(&self.poll);
            self.tell_stale(begun);
        }
    }

    pub(crate) fn on_host_files(&mut self) {
        drain(self.host_files.inotify.as_ref());
        let refreshed = self.host_files.refresh();
        self.tell_stale(refreshed);
    }

    fn tell_stale(&self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            self.log(&format!(
                "what services with the network see of the host's files is not current: {error}"
            ));
        }
    }

    /// Lets go of the copies when no unit mounts them.
    pub(crate) fn release_host_files(&mut self) {
        let is_there = |entry: &crate::entry::Entry| {
            entry.origin.load != crate::entry::LoadState::NotFound || !entry.runs.is_empty()
        };
        let mut users = self.units.values().filter(|entry| is_there(entry));
        if self.host_files.inotify.is_some()
            && !users.any(|entry| self.host_files.serve(&entry.unit))
        {
            self.host_files.end(&self.poll);
        }
    }
}

/// The directories in which one of the sources, or a link on the way to it, lies or would lie.
fn looked_at(kept: &Kept) -> Set<PathBuf> {
    let mut found = Set::new();
    for source in kept.sources {
        let mut path = PathBuf::from(source);
        for _ in 0..LINKS_MAX {
            let Some(parent) = path.parent().map(Path::to_owned) else {
                break;
            };
            let mut above = parent.ancestors();
            found.extend(
                above
                    .find(|directory| directory.is_dir())
                    .map(Path::to_owned),
            );
            match std::fs::read_link(&path) {
                Ok(target) => path = parent.join(target),
                Err(_) => break,
            }
        }
        if path.exists() {
            break;
        }
    }
    found
}

/// Opens a regular file, and nothing that could make us wait.
fn open(path: &str) -> io::Result<(File, Identity)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let identity = (
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    );
    Ok((file, identity))
}

/// Writes a copy that everybody may read.
fn write(copy: &Path, content: &[u8], replaced: bool) -> io::Result<()> {
    let parent = copy.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)?;
    for directory in parent.ancestors().take(if replaced { 2 } else { 1 }) {
        std::fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    }
    let staged = copy.with_extension("new");
    let path = if replaced { &staged } else { copy };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    // Not emptied first: a reader in between finds the new text, and behind it perhaps some of the old.
    file.write_all_at(content, 0)?;
    file.set_len(content.len() as u64)?;
    match replaced {
        true => std::fs::rename(&staged, copy),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn copies_that_could_not_be_made_once_are_made_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let (poll, mut files) = (Poll::new().unwrap(), HostFiles::new(folder.path()));
        let directory = folder.path().join("network");
        std::fs::write(&directory, "in the way").unwrap();
        assert!(files.begin(&poll).is_err());
        std::fs::remove_file(&directory).unwrap();
        files.begin(&poll).unwrap();
        for kept in KEPT {
            assert!(directory.join(kept.copy).exists(), "{}", kept.copy);
        }
    }
}
