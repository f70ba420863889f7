//! A root that a run may change, where the kernel lays no layers: a copy of the tree, in the room that the layers would have had.

use core::ffi::CStr;

use kernel::copy::Limits;
use kernel::mount::{NO_DEVICES, NO_EXEC, NO_SUID, READ_ONLY, Reach};
use kernel::rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, mkdirat, openat, renameat};
use kernel::{Errno, OwnedFd, Result};

use super::clone;

/// What is complete, what is not yet, and names of files that have several.
const COPY: &CStr = c"copy";
const PART: &CStr = c"part";
const LINKS: &CStr = c"links";

/// A copy holds up the start, and what is copied is not there for others: an operating system's tree fits, a database's does not.
const LIMITS: Limits = Limits {
    entries: 1 << 20,
    bytes: 8 << 30,
};

/// A mount of the copy that an earlier command of the run made.
pub(in crate::steps) fn copied(room: &OwnedFd) -> Result<Option<OwnedFd>> {
    match open(room, COPY) {
        Err(Errno::NOENT) => Ok(None),
        copy => clone(&copy?, c"", false).map(Some),
    }
}

/// Makes the copy, and a mount of it. Where a command ended before it was complete, EEXIST: nothing of the run starts any more.
pub(in crate::steps) fn copy(lower: &OwnedFd, room: &OwnedFd) -> Result<OwnedFd> {
    for name in [LINKS, PART] {
        mkdirat(room, name, Mode::RWXU)?;
    }
    // What is mounted below it doesn't come along, as none comes along below layers.
    let plain = clone(lower, c"", false)?;
    let limits = LIMITS.leaving_half(room)?;
    kernel::copy::tree(&plain, open(room, PART)?, open(room, LINKS)?, limits)?;
    renameat(room, PART, room, COPY)?;
    let mount = clone(&open(room, COPY)?, c"", false)?;
    // What the tree keeps from those who use it, the copy keeps, too, and no more than that.
    let flags = fstatvfs(lower)?.f_flag;
    let (mut set, mut clear) = (0, READ_ONLY);
    for (flag, attribute) in [
        (StatVfsMountFlags::NOSUID, NO_SUID),
        (StatVfsMountFlags::NODEV, NO_DEVICES),
        (StatVfsMountFlags::NOEXEC, NO_EXEC),
    ] {
        match flags.contains(flag) {
            true => set |= attribute,
            false => clear |= attribute,
        }
    }
    kernel::mount::set_attributes(&mount, set, clear, Reach::Mount)?;
    Ok(mount)
}

fn open(room: &OwnedFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(room, name, flags, Mode::empty())
}
