//! Directories of the service: on the host, before the mount namespace, so that the mounts find them.

use core::ffi::CStr;

use kernel::rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, fchmod, mkdirat, open, openat, readlinkat_raw,
    statat, symlinkat, unlinkat,
};
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::List;

use crate::path::PathBuffer;
use crate::state::State;
use crate::steps::ownership;

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Makes the directory, its parents and its links, and gives it to its owner.
pub(super) fn take(
    state: &State<'_>,
    path: &CStr,
    mode: u32,
    owned: bool,
    private: bool,
    links: List<'_>,
) -> Result<()> {
    let (parent, name) = parent(path, private)?;
    if private {
        move_out_of_public(&parent, name.text()?, path)?;
    }
    let directory = make(&parent, name.text()?, mode)?;
    let (uid, gid) = if owned {
        (state.frame.uid, state.frame.gid)
    } else {
        (0, 0)
    };
    ownership::give(&directory, Uid::from_raw(uid), Gid::from_raw(gid))?;
    // After the owner, since changing that clears set-id bits.
    fchmod(&directory, Mode::from_raw_mode(mode))?;
    links.iter().try_for_each(|link| make_link(link, path))
}

/// Opens the parent, making it where it is missing, and gives the last name.
pub(super) fn parent(path: &CStr, private: bool) -> Result<(OwnedFd, PathBuffer)> {
    let mut directory = open(c"/", DIRECTORY, Mode::empty())?;
    let mut names = path
        .to_bytes()
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .peekable();
    while let Some(name) = names.next() {
        let mut text = PathBuffer::new();
        text.push(name)?;
        if names.peek().is_none() {
            return Ok((directory, text));
        }
        // Only root enters `private`: other users' services must not reach a directory whose user id is used again.
        let mode = if private && name == b"private" {
            0o700
        } else {
            0o755
        };
        directory = enter(&directory, text.text()?, mode)?;
    }
    Err(Errno::INVAL)
}

/// Links that root left are the administrator's and are followed; one in a directory of anybody else is a trap.
fn enter(parent: impl AsFd, name: &CStr, mode: u32) -> Result<OwnedFd> {
    let owner = kernel::rustix::fs::fstat(&parent)?.st_uid;
    let trusted = owner == kernel::rustix::process::geteuid().as_raw();
    let follow = if trusted {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    };
    let open = || {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | follow;
        openat(&parent, name, flags, Mode::empty())
    };
    match open() {
        Err(Errno::NOENT) => {
            ignore_existing(mkdirat(&parent, name, Mode::from_raw_mode(mode)))?;
            open()
        }
        found => found,
    }
}

fn make(parent: impl AsFd, name: &CStr, mode: u32) -> Result<OwnedFd> {
    ignore_existing(mkdirat(&parent, name, Mode::from_raw_mode(mode)))?;
    openat(parent, name, DIRECTORY, Mode::empty())
}

fn ignore_existing(made: Result<()>) -> Result<()> {
    match made {
        Err(Errno::EXIST) => Ok(()),
        made => made,
    }
}

/// A directory that a static user had under the public name moves below `private` when the user becomes dynamic.
fn move_out_of_public(private: impl AsFd, name: &CStr, path: &CStr) -> Result<()> {
    let mut public = PathBuffer::new();
    for part in path
        .to_bytes()
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b"private")
    {
        public.push(b"/")?;
        public.push(part)?;
    }
    let public = public.text()?;
    match kernel::rustix::fs::lstat(public) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
            kernel::rustix::fs::renameat(kernel::rustix::fs::CWD, public, private, name)
        }
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Makes a symbolic link with a relative target where the target is a neighbour or below; replaces a link of ours, nothing else.
fn make_link(link: &CStr, target: &CStr) -> Result<()> {
    let (parent, name) = parent(link, false)?;
    let name = name.text()?;
    match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return symlinkat(target, parent, name),
        Err(errno) => return Err(errno),
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::Symlink => {
            return Err(Errno::EXIST);
        }
        Ok(_) => {}
    }
    let mut room = [core::mem::MaybeUninit::uninit(); crate::path::PATH_BYTES];
    let (found, _) = readlinkat_raw(&parent, name, &mut room)?;
    if found == target.to_bytes() {
        return Ok(());
    }
    unlinkat(&parent, name, AtFlags::empty())?;
    symlinkat(target, parent, name)
}
