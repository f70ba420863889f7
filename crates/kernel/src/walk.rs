//! The way to a path of the host that leads through directories of services, which may have left traps on it.

use core::ffi::CStr;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, mkdirat, open, openat, unlinkat};

use crate::{Errno, OwnedFd, Result};

/// Longest name of a directory entry, with its NUL.
const NAME_BYTES: usize = 256;
const STICKY: u32 = 0o1000;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A directory and a name in it, which may exist or not.
#[derive(Debug)]
pub struct Place {
    /// The directory.
    pub parent: OwnedFd,
    /// Nobody but root, or this process's user, can change where the path leads to.
    pub steady: bool,
    /// Nobody but they can have put something there.
    closed: bool,
    name: Name,
}

#[derive(Debug)]
struct Name([u8; NAME_BYTES]);

impl Name {
    fn new(bytes: &[u8]) -> Result<Self> {
        let mut name = Self([0; NAME_BYTES]);
        // One byte stays for the NUL.
        match name.0.get_mut(..bytes.len()) {
            Some(room) if bytes.len() < NAME_BYTES => room.copy_from_slice(bytes),
            _ => return Err(Errno::NAMETOOLONG),
        }
        Ok(name)
    }

    fn text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

impl Place {
    /// Finds the directory of an absolute path. One that is missing on the way gets the mode that `make` says for its name.
    ///
    /// A link is followed where only root or this process's user can have left it; elsewhere it is ENOTDIR.
    pub fn find(path: &CStr, make: impl Fn(&[u8]) -> Option<u32>) -> Result<Self> {
        Self::find_making(path, make, |_, _, _| Ok(()))
    }

    /// The same; `made` hears of each directory that was made: where it is, its name, and how many names of the path lead to it.
    /// What it can't take is not made.
    pub fn find_making(
        path: &CStr,
        make: impl Fn(&[u8]) -> Option<u32>,
        made: impl Fn(&OwnedFd, &CStr, usize) -> Result<()>,
    ) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut parent = open(c"/", flags, Mode::empty())?;
        let mut steady = true;
        let mut names = path
            .to_bytes()
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .peekable();
        let mut depth = 0;
        while let Some(bytes) = names.next() {
            depth += 1;
            let name = Name::new(bytes)?;
            let trust = Trust::of(&parent)?;
            steady &= trust != Trust::Changing;
            if names.peek().is_none() {
                return Ok(Self {
                    parent,
                    steady,
                    closed: trust == Trust::Closed,
                    name,
                });
            }
            let link = follow(trust == Trust::Closed);
            parent = match openat(&parent, name.text(), flags | link, Mode::empty()) {
                Err(Errno::NOENT) => {
                    let mode = make(bytes).ok_or(Errno::NOENT)?;
                    make_noted(&parent, name.text(), mode, |parent, name| {
                        made(parent, name, depth)
                    })?;
                    openat(
                        &parent,
                        name.text(),
                        flags | OFlags::NOFOLLOW,
                        Mode::empty(),
                    )?
                }
                found => found?,
            };
        }
        Err(Errno::INVAL)
    }

    /// Opens what is there, or what the flags make; a link under the same terms as on the way.
    pub fn open_with(&self, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | follow(self.closed);
        openat(&self.parent, self.name(), flags, mode)
    }

    /// Opens what is there as a place only (`O_PATH`).
    pub fn open(&self) -> Result<OwnedFd> {
        let file = self.open_with(OFlags::PATH, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::Symlink => Err(Errno::LOOP),
            _ => Ok(file),
        }
    }

    /// The last name of the path.
    #[must_use]
    pub fn name(&self) -> &CStr {
        self.name.text()
    }
}

/// Whether nobody but root and this process's user decides what is at an absolute path, and what is in it. Where nothing is there
/// yet, nobody else may be the first to put something there.
///
/// # Errors
/// The kernel's, where the path can't be followed.
#[cfg(feature = "std")]
pub fn is_ours(path: &std::path::Path) -> Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    for existing in path.ancestors() {
        // The name does not matter: what is asked for is the directory that would have it.
        let inside = std::ffi::CString::new(existing.join("any").as_os_str().as_bytes())
            .map_err(|_| Errno::INVAL)?;
        match Place::find(&inside, |_| None) {
            Ok(place) => return Ok(place.steady && place.closed),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(false),
            Err(errno) => return Err(errno),
        }
    }
    Ok(false)
}

/// Whether nobody but root, or this process's user, can have put something into a directory.
///
/// # Errors
/// The kernel's, where the directory can't be looked at.
pub fn is_closed(directory: &OwnedFd) -> Result<bool> {
    Ok(Trust::of(directory)? == Trust::Closed)
}

/// Makes a directory, unless it is there; `made` hears of it. What it can't take is removed again.
///
/// # Errors
/// The kernel's, or those of `made`.
pub fn make_noted(
    parent: &OwnedFd,
    name: &CStr,
    mode: u32,
    made: impl FnOnce(&OwnedFd, &CStr) -> Result<()>,
) -> Result<()> {
    match mkdirat(parent, name, Mode::from_raw_mode(mode)) {
        Ok(()) => made(parent, name).inspect_err(|_| {
            match unlinkat(parent, name, AtFlags::REMOVEDIR) {
                // Somebody has put something into it already: it stays, unnoted.
                Ok(()) | Err(_) => {}
            }
        }),
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn follow(closed: bool) -> OFlags {
    if closed {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    }
}

/// Who may put something into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Nobody else.
    Closed,
    /// Anybody, but nobody touches what others have put there.
    Sticky,
    /// Somebody else, who may also replace what is there.
    Changing,
}

impl Trust {
    fn of(directory: &OwnedFd) -> Result<Self> {
        let found = fstat(directory)?;
        let own = rustix::process::geteuid().as_raw();
        Ok(if found.st_uid != 0 && found.st_uid != own {
            Self::Changing
        } else if found.st_mode & WRITABLE_BY_OTHERS == 0 {
            Self::Closed
        } else if found.st_mode & STICKY != 0 {
            Self::Sticky
        } else {
            Self::Changing
        })
    }
}
