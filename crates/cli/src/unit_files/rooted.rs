//! The files below a directory that no path leaves, whatever links there are.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use enabling::Change;
use load::{Content, Named, Stamp, Tree};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, makedev};
use rustix::io::Errno;

/// Most names that are taken from one directory; a unit directory of a large distribution holds about a thousand.
const MAX_ENTRIES: usize = 65_536;

/// A directory, as the root of what is in it.
pub(crate) struct Rooted {
    root: OwnedFd,
    shown: PathBuf,
}

impl Rooted {
    pub(crate) fn open(path: &Path) -> Result<Rooted> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Rooted {
            root,
            shown: path.to_owned(),
        })
    }

    /// A path of the tree as it is called outside.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        self.shown.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn find(&self, path: &Path, flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        match kernel::resolve::open(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn directory(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        self.find(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// The directory of a path, and the name in it.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<Option<(OwnedFd, &'a OsStr)>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        Ok(self.directory(parent)?.map(|parent| (parent, name)))
    }

    /// Opens a directory, and makes it and those above it where they are missing.
    pub(crate) fn make(&self, path: &Path) -> io::Result<OwnedFd> {
        if let Some(found) = self.directory(path)? {
            return Ok(found);
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::NOENT.into());
        };
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
        match rustix::fs::mkdirat(self.make(parent)?, name, mode) {
            // Somebody else was faster, or a link leads to nothing.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let made = self.directory(path)?;
        made.ok_or_else(|| io::Error::other("a link on the way leads to nothing"))
    }

    /// Makes changes, in order; directories in `kept` stay where they become empty.
    ///
    /// Answers how many were made, and what kept the next one from being made.
    pub(crate) fn apply(&self, changes: &[Change], kept: &[PathBuf]) -> (usize, Result<()>) {
        for (made, change) in changes.iter().enumerate() {
            let next = changes.get(made + 1);
            if let Err(error) = self.make_change(change, next, kept) {
                return (made, Err(error));
            }
        }
        (changes.len(), Ok(()))
    }

    fn make_change(&self, change: &Change, next: Option<&Change>, kept: &[PathBuf]) -> Result<()> {
        match change {
            Change::Unlink { at } => {
                // What gets another link is replaced at once.
                let is_replaced = matches!(next, Some(Change::Link { at: next, .. }) if next == at);
                if !is_replaced {
                    self.unlink(at, kept)
                        .with_context(|| format!("cannot remove {}", self.shown(at).display()))?;
                }
            }
            Change::RemoveTree { at } => {
                self.remove_tree(at)
                    .with_context(|| format!("cannot remove {}", self.shown(at).display()))?;
            }
            Change::Link { at, target } => {
                self.link(at, target)
                    .with_context(|| format!("cannot link {}", self.shown(at).display()))?;
            }
        }
        Ok(())
    }

    /// The new link is there, or what was there before.
    fn link(&self, at: &Path, target: &Path) -> io::Result<()> {
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return Err(Errno::NOENT.into());
        };
        let parent = self.make(parent)?;
        let staged = staged();
        match rustix::fs::unlinkat(&parent, &staged, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        rustix::fs::symlinkat(target, &parent, &staged)?;
        rustix::fs::renameat(&parent, &staged, &parent, name)?;
        Ok(rustix::fs::fsync(&parent)?)
    }

    fn unlink(&self, at: &Path, kept: &[PathBuf]) -> io::Result<()> {
        let Some((parent, name)) = self.parent(at)? else {
            return Ok(());
        };
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        rustix::fs::fsync(&parent)?;
        let above = at.ancestors().skip(1);
        for directory in above.take_while(|path| is_inside(path, kept)) {
            let Some((parent, name)) = self.parent(directory)? else {
                break;
            };
            match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
                Ok(()) => {}
                // Others have something there.
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn remove_tree(&self, at: &Path) -> io::Result<()> {
        let Some((parent, name)) = self.parent(at)? else {
            return Ok(());
        };
        let name = CString::new(name.as_bytes())?;
        kernel::remove::tree(&parent, &name)?;
        Ok(rustix::fs::fsync(&parent)?)
    }

    /// Writes a file: all of it is there, or what was there before.
    pub(crate) fn write(&self, at: &Path, bytes: &[u8]) -> io::Result<()> {
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return Err(Errno::NOENT.into());
        };
        let parent = self.make(parent)?;
        let staged = staged();
        match rustix::fs::unlinkat(&parent, &staged, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let mut file: File = rustix::fs::openat(&parent, &staged, flags, mode)?.into();
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        rustix::fs::renameat(&parent, &staged, &parent, name)?;
        Ok(rustix::fs::fsync(&parent)?)
    }
}

/// Nobody reads a unit of this name, as it begins with a dot.
fn staged() -> String {
    // One at a time, and not of the name's own length: that may be the longest there can be.
    format!(".#coracle-{}", std::process::id())
}

fn is_inside(path: &Path, kept: &[PathBuf]) -> bool {
    kept.iter()
        .any(|kept| path.starts_with(kept) && path != kept)
}

impl Tree for Rooted {
    fn entries(&self, directory: &Path) -> io::Result<Vec<Named>> {
        let Some(directory) = self.directory(directory)? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in Dir::new(directory)?.take(MAX_ENTRIES) {
            let entry = entry?;
            let is_link = matches!(entry.file_type(), FileType::Symlink | FileType::Unknown);
            // A name that is not UTF-8 is no unit's name.
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name != "." && name != ".." {
                names.push(Named {
                    name: name.to_owned(),
                    is_link,
                });
            }
        }
        names.sort();
        Ok(names)
    }

    /// Nothing is remembered from one look to the next.
    fn stamp(&self, _path: &Path) -> io::Result<Option<Stamp>> {
        Ok(None)
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let Some((parent, name)) = self.parent(path)? else {
            return Ok(None);
        };
        match rustix::fs::readlinkat(&parent, name, Vec::new()) {
            Ok(target) => Ok(Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))),
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content> {
        // A look before: opening a pipe or a device can do more than open it.
        let Some(found) = self.find(path, OFlags::PATH)? else {
            return Ok(Content::Missing);
        };
        let status = rustix::fs::fstat(&found)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => {}
            FileType::CharacterDevice if status.st_rdev == makedev(1, 3) => {
                return Ok(Content::Null);
            }
            _ => return Ok(Content::NotAFile),
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Some(file) = self.find(path, flags)? else {
            return Ok(Content::Missing);
        };
        let file = File::from(file);
        if !file.metadata()?.is_file() {
            return Ok(Content::NotAFile);
        }
        let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(if bytes.len() > limit_bytes {
            Content::TooLarge
        } else {
            Content::Bytes(bytes)
        })
    }
}
