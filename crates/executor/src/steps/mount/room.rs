//! Room for mount points below a read-only image.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use kernel::rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RawDir, Uid, chownat, fstat, fstatfs, openat,
};
use kernel::rustix::mount::MountAttrFlags;
use kernel::{AsFd, BorrowedFd, Errno, OwnedFd, Result};
use plan::code::ListBytes;

use super::{attach, clone, filesystem, own};
use crate::path::{Links, PathBuffer, inside, mount_point};
use crate::state::State;

/// Enough for some names, too little to hide files in.
const OPTIONS: ListBytes = ListBytes(b"size=16k\0nr_inodes=128\0");

/// Makes the path in a small file system: mounted over the last directory on the way that exists where that is empty, laid over its
/// content where it is not.
pub(super) fn make(state: &State<'_>, at: &CStr, directory: bool) -> Result<OwnedFd> {
    let root = state.root()?;
    let mut last = PathBuffer::new();
    last.push(b"/")?;
    let mut missing = PathBuffer::new();
    let mut found = true;
    for name in at
        .to_bytes()
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
    {
        if found {
            let mut next = PathBuffer::new();
            next.push(last.text()?.to_bytes())?;
            next.push(name)?;
            next.push(b"/")?;
            match inside(root, next.text()?) {
                Ok(_) => {
                    last = next;
                    continue;
                }
                Err(Errno::NOENT) => found = false,
                Err(errno) => return Err(errno),
            }
        }
        missing.push(b"/")?;
        missing.push(name)?;
    }
    let place = inside(root, last.text()?)?;
    if !is_layable(root, &place)? {
        return Err(Errno::ROFS);
    }
    let room = room_like(&place)?;
    drop(mount_point(&room, missing.text()?, directory, Links::None)?);
    let tree = if is_empty(&place)? {
        room
    } else {
        filesystem::layers(&room, &clone(&place, c"", false)?)?
    };
    attach(own(state, tree)?, place)?;
    inside(root, at)
}

/// Whether the place is the image's own, or of what was made for it. A link may have led to the kernel's files instead: a copy laid over
/// those would be without what closes some of them.
fn is_layable(root: BorrowedFd<'_>, place: &OwnedFd) -> Result<bool> {
    /// File systems in memory (statfs(2)), and layers of them.
    const MADE: [i64; 2] = [0x0102_1994, 0x794c_7630];
    Ok(fstat(root)?.st_dev == fstat(place)?.st_dev || MADE.contains(&fstatfs(place)?.f_type))
}

/// A file system in memory whose top has the mode and owner of this directory.
fn room_like(place: &OwnedFd) -> Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let status = fstat(place)?;
    let room = filesystem::tmpfs_with(status.st_mode & 0o7777, OPTIONS.list(), attributes)?;
    if (status.st_uid, status.st_gid) != (0, 0) {
        let (user, group) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
        chownat(&room, c"", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    }
    Ok(room)
}

fn is_empty(directory: impl AsFd) -> Result<bool> {
    let readable = openat(
        directory,
        c".",
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut room = [const { MaybeUninit::<u8>::uninit() }; 512];
    let mut entries = RawDir::new(readable, &mut room);
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
