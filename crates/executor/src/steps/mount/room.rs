//! Room for mount points below a read-only image.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use kernel::rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RawDir, ResolveFlags, Uid, chownat, fstat, fstatfs, openat,
};
use kernel::rustix::mount::MountAttrFlags;
use kernel::{AsFd, BorrowedFd, Errno, OwnedFd, Result};
use plan::Step;
use plan::code::ListBytes;
use plan::step::What;

use super::{attach, clone, filesystem, of_host, own, point};
use crate::path::{Links, PathBuffer, inside, is_directory, mount_point};
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
    each_beside(state, last.text()?, |name, directory| {
        mount_point(&room, name, directory, Links::None).map(drop)
    })?;
    let tree = if is_empty(&place)? {
        room
    } else {
        filesystem::layers(&room, &clone(&place, c"", false)?)?
    };
    attach(own(state, tree)?, place)?;
    inside(root, at)
}

/// Makes the mount points of all steps in this directory, as long as nothing is mounted there: what is laid over it later hides that.
pub(super) fn ahead(state: &State<'_>, directory: &CStr) {
    let made = each_beside(state, directory, |name, is_directory| {
        let mut at = PathBuffer::new();
        at.push(directory.to_bytes())?;
        at.push(name.to_bytes())?;
        point(state, at.text()?, is_directory).map(drop)
    });
    match made {
        // The step itself tells why there is no place for it.
        Ok(()) | Err(_) => {}
    }
}

/// Does something for each mount point of the plan right in this directory (with a slash at its end) that is missing.
fn each_beside(
    state: &State<'_>,
    directory: &CStr,
    make: impl Fn(&CStr, bool) -> Result<()>,
) -> Result<()> {
    for asked in state.frame.steps().flatten() {
        let Step::Mount { at, what, .. } = asked.step else {
            continue;
        };
        let name = at.to_bytes().strip_prefix(directory.to_bytes());
        let Some(name) = name.filter(|name| !name.is_empty() && !name.contains(&b'/')) else {
            continue;
        };
        let Some(is_directory) = makes_directory(what) else {
            continue;
        };
        // A link that leads nowhere has the name.
        let found = kernel::resolve::open(
            state.root()?,
            at,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT,
        );
        if matches!(found, Err(Errno::NOENT)) {
            let mut path = PathBuffer::new();
            path.push(b"/")?;
            path.push(name)?;
            make(path.text()?, is_directory)?;
        }
    }
    Ok(())
}

/// Whether a mount needs a directory or a file; none where it makes nothing.
fn makes_directory(what: What<'_>) -> Option<bool> {
    match what {
        What::Inaccessible | What::Again { .. } | What::Seal | What::Extensions { .. } => None,
        What::Users { .. } | What::UserGroups { .. } => Some(false),
        What::Bind { source, .. } => is_directory(of_host(source).ok()?).ok(),
        _ => Some(true),
    }
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
