//! Removing a file or tree that somebody hostile made: no link is followed, no mount is crossed, and no depth is too deep.

use std::ffi::{CStr, CString};
use std::vec::Vec;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, renameat, unlinkat};

use crate::{AsFd, BorrowedFd, Errno, OwnedFd, Result};

/// Directories that are open at once, each with a frame of the stack. What lies deeper is moved up to the top first.
const DEPTH_MAX: u32 = 64;
/// Names taken from a directory before they are removed: a directory of millions does not fill the memory.
const NAMES_MAX: usize = 1024;
/// How often a directory is emptied again because something new was in it. Whoever fills it faster than that still runs.
const ROUNDS_MAX: u64 = 16;

/// Removes what has this name in a directory, with all that is in it. Says whether it was there.
///
/// # Errors
/// The kernel's: EXDEV or EBUSY where something is mounted in it, ENOTEMPTY where somebody keeps filling it.
pub fn tree(parent: impl AsFd, name: &CStr) -> Result<bool> {
    tree_of(parent, name, u64::MAX)
}

/// The same for whoever must not be held up: EDQUOT where there is more than so many entries, of which some are gone.
///
/// # Errors
/// Also those of [`tree`].
pub fn tree_of(parent: impl AsFd, name: &CStr, entries_max: u64) -> Result<bool> {
    if let Some(was_there) = at_once(parent.as_fd(), name)? {
        return Ok(was_there);
    }
    // Somebody else may be removing the same: whoever comes second finds it gone.
    let top = match open(parent.as_fd(), name) {
        Err(Errno::NOENT) => return Ok(false),
        top => top?,
    };
    let mut removal = Removal {
        top: top.as_fd(),
        moved: 0,
        left: entries_max,
    };
    for round in 0.. {
        removal.empty(top.as_fd(), 0)?;
        match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) if round < ROUNDS_MAX + removal.moved => {}
            Err(Errno::NOENT) => return Ok(true),
            removed => return removed.map(|()| true),
        }
    }
    Err(Errno::NOTEMPTY)
}

/// Bytes of the stack of a thread that removes: a frame for each of the directories that are open at once.
const STACK_BYTES: usize = 512 << 10;

/// Removes a tree on a thread of its own, however long that takes, and then does `done`. Says whether there is a thread; without one
/// nothing is removed.
#[must_use]
pub fn aside(parent: OwnedFd, name: CString, done: impl FnOnce() + Send + 'static) -> bool {
    let removal = move || {
        if tree(&parent, &name).is_ok() {
            done();
        }
    };
    crate::aside::thread(STACK_BYTES, std::boxed::Box::new(removal))
}

/// Removes what is not a directory or an empty one, and says whether it was there; none if it is a directory that must be emptied first.
fn at_once(parent: BorrowedFd<'_>, name: &CStr) -> Result<Option<bool>> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => return Ok(Some(true)),
        Err(Errno::NOENT) => return Ok(Some(false)),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(Some(true)),
        Err(Errno::NOENT) => Ok(Some(false)),
        // What else is wrong with it is found again when it is opened.
        Err(_) => Ok(None),
    }
}

fn open(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV
        | ResolveFlags::BENEATH;
    crate::resolve::open(parent, name, flags, Mode::empty(), inside)
}

struct Removal<'fd> {
    top: BorrowedFd<'fd>,
    /// Directories that were moved to the top.
    moved: u64,
    /// How many entries may be removed yet.
    left: u64,
}

impl Removal<'_> {
    fn empty(&mut self, folder: BorrowedFd<'_>, depth: u32) -> Result<()> {
        let mut entries = Dir::read_from(folder)?;
        loop {
            let names = some_names(&mut entries)?;
            if names.is_empty() {
                return Ok(());
            }
            for name in &names {
                self.entry(folder, name, depth)?;
            }
        }
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
        self.left = self.left.checked_sub(1).ok_or(Errno::DQUOT)?;
        if at_once(folder, name)?.is_some() {
            return Ok(());
        }
        if depth == DEPTH_MAX {
            return self.move_up(folder, name);
        }
        let inner = match open(folder, name) {
            Err(Errno::NOENT) => return Ok(()),
            inner => inner?,
        };
        for _ in 0..ROUNDS_MAX {
            self.empty(inner.as_fd(), depth + 1)?;
            match unlinkat(folder, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY) => {}
                Err(Errno::NOENT) => return Ok(()),
                removed => return removed,
            }
        }
        Err(Errno::NOTEMPTY)
    }

    /// Makes the path shorter: the next round over the top finds it.
    fn move_up(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        loop {
            self.moved += 1;
            let above =
                CString::new(std::format!(".removed-{}", self.moved)).map_err(|_| Errno::INVAL)?;
            match renameat(folder, name, self.top, &above) {
                // Somebody calls theirs like that.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                moved => return moved,
            }
        }
    }
}

/// The next names of a directory; none at its end.
fn some_names(entries: &mut Dir) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    while names.len() < NAMES_MAX {
        let Some(entry) = entries.read() else {
            break;
        };
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
