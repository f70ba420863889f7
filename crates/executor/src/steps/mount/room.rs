//! Room for mount points below a read-only image: an empty directory of the image is what its maker left for that.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use kernel::rustix::fs::{Mode, OFlags, RawDir, openat};
use kernel::rustix::mount::MountAttrFlags;
use kernel::{AsFd, BorrowedFd, Errno, OwnedFd, Result};
use plan::code::ListBytes;

use super::{attach, filesystem};
use crate::path::{PathBuffer, inside, mount_point};

/// Enough for some names, too little to hide files in.
const OPTIONS: ListBytes = ListBytes(b"size=16k\0nr_inodes=128\0");

/// Mounts a small file system over the last directory on the way that exists, if it is empty, and makes the path in it.
pub(super) fn make(root: BorrowedFd<'_>, at: &CStr, directory: bool) -> Result<OwnedFd> {
    let mut last = PathBuffer::new();
    last.push(b"/")?;
    for name in at
        .to_bytes()
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
    {
        let mut next = PathBuffer::new();
        next.push(last.text()?.to_bytes())?;
        next.push(name)?;
        next.push(b"/")?;
        match inside(root, next.text()?) {
            Ok(_) => last = next,
            Err(Errno::NOENT) => break,
            Err(errno) => return Err(errno),
        }
    }
    let place = inside(root, last.text()?)?;
    if !is_empty(&place)? {
        return Err(Errno::ROFS);
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    attach(
        filesystem::tmpfs_with(0o755, OPTIONS.list(), attributes)?,
        place,
    )?;
    mount_point(root, at, directory)
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
