//! Paths below a root that may be hostile: nothing resolved here leaves it.

use core::ffi::CStr;

use kernel::rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, openat, statat,
};
use kernel::{AsFd, Errno, OwnedFd, Result};

use crate::made::Made;

/// Longest path that the kernel takes, with its NUL.
pub(crate) const PATH_BYTES: usize = 4096;

/// A path being put together on the stack.
pub(crate) struct PathBuffer {
    bytes: [u8; PATH_BYTES],
    length: usize,
}

impl PathBuffer {
    /// An empty path.
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; PATH_BYTES],
            length: 0,
        }
    }

    /// Appends bytes; ENAMETOOLONG beyond the limit.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.length + bytes.len();
        // One byte stays for the NUL.
        if end >= PATH_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        self.bytes
            .get_mut(self.length..end)
            .ok_or(Errno::NAMETOOLONG)?
            .copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    /// Appends the lower-case hexadecimal digits of bytes.
    pub(crate) fn push_hex(&mut self, bytes: &[u8]) -> Result<()> {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
        bytes
            .iter()
            .try_for_each(|&byte| self.push(&[digit(byte >> 4), digit(byte & 15)]))
    }

    /// The path for a call.
    pub(crate) fn text(&self) -> Result<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::NAMETOOLONG)
    }
}

/// Opens `path` as seen from `root`: symbolic links are followed, but not out of it.
pub(crate) fn inside(root: impl AsFd, path: &CStr) -> Result<OwnedFd> {
    kernel::resolve::open(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Whether a descriptor is a directory.
pub(crate) fn is_directory(file: impl AsFd) -> Result<bool> {
    let status = kernel::rustix::fs::fstat(file)?;
    Ok(FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}

/// Which links are followed on the way to what is made.
#[derive(Clone, Copy)]
pub(crate) enum Links<'a> {
    /// All that stay inside, but nothing is made behind one that leads out of these mounts: an image's link to the host's devices must
    /// not have a directory made there.
    Within(&'a Made),
    /// Those that nobody but root can have left.
    OfRoot,
    /// None is there.
    None,
}

/// The mount point at `path` below `root`, made where it is missing: a directory, or an empty file.
pub(crate) fn mount_point(
    root: impl AsFd,
    path: &CStr,
    directory: bool,
    links: Links<'_>,
) -> Result<OwnedFd> {
    match inside(&root, path) {
        Err(Errno::NOENT) => make(&root, path, directory, links)?,
        found => return found,
    }
    inside(root, path)
}

/// Makes `path` and its parents, each step resolved anew so that links on the way stay inside.
fn make(root: impl AsFd, path: &CStr, directory: bool, links: Links<'_>) -> Result<()> {
    let mut parents = PathBuffer::new();
    parents.push(b"/")?;
    let mut parent = inside(&root, parents.text()?)?;
    let mut follow = true;
    let mut led = false;
    // The host's devices may be bound there, and what is made among them is there for all.
    let shared = matches!(links, Links::Within(_)) && path.to_bytes().starts_with(b"/dev/");
    let mut names = path
        .to_bytes()
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .peekable();
    while let Some(name) = names.next() {
        let mut last = PathBuffer::new();
        last.push(name)?;
        match found(&parent, last.text()?)? {
            Some(kind) => led |= kind == FileType::Symlink,
            None if (led || shared) && !may_make(&parent, links)? => {
                return Err(if led { Errno::LOOP } else { Errno::NOENT });
            }
            None => match make_one(&parent, last.text()?, directory || names.peek().is_some()) {
                // Another start made it at the same moment, or somebody left a link there.
                Err(Errno::EXIST) => {
                    led |= found(&parent, last.text()?)? == Some(FileType::Symlink);
                }
                made => made?,
            },
        }
        parents.push(name)?;
        parents.push(b"/")?;
        if names.peek().is_some() {
            follow &= may_follow(&parent, links)?;
            parent = if follow {
                inside(&root, parents.text()?)?
            } else {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(&parent, last.text()?, flags, Mode::empty())?
            };
        }
    }
    Ok(())
}

/// Whether something may be made in a directory that a link led to.
fn may_make(parent: impl AsFd, links: Links<'_>) -> Result<bool> {
    match links {
        Links::Within(own) => own.has(parent),
        Links::OfRoot => Ok(true),
        Links::None => Ok(false),
    }
}

/// Whether a link in this directory may be followed.
fn may_follow(parent: &OwnedFd, links: Links<'_>) -> Result<bool> {
    match links {
        Links::Within(_) => Ok(true),
        Links::OfRoot => kernel::walk::is_closed(parent),
        Links::None => Ok(false),
    }
}

/// What has this name, a link itself.
fn found(parent: impl AsFd, name: &CStr) -> Result<Option<FileType>> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => Ok(Some(FileType::from_raw_mode(status.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn make_one(parent: impl AsFd, name: &CStr, directory: bool) -> Result<()> {
    if directory {
        mkdirat(parent, name, Mode::from_raw_mode(0o755))
    } else {
        mknodat(
            parent,
            name,
            FileType::RegularFile,
            Mode::from_raw_mode(0o444),
            0,
        )
    }
}
