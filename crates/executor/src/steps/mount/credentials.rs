//! Credentials as files in memory: written before the mount is attached and read-only, never on a disk, and never where swap is.

use core::ffi::CStr;

use kernel::rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat, fchmod, openat};
use kernel::rustix::io::write;
use kernel::rustix::mount::MountAttrFlags;
use kernel::{Errno, OwnedFd, Result};

use super::{Change, filesystem, place};
use crate::state::State;

/// The owner reads, no one else.
const FILE_MODE: u32 = 0o400;
const DIRECTORY_MODE: u32 = 0o500;

/// Writes the files and attaches their file system.
pub(super) fn mount(state: &State<'_>, at: &CStr, change: Change) -> Result<()> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = filesystem::unswapped(DIRECTORY_MODE, attributes)?;
    for credential in state.frame.credentials() {
        let (name, value) = credential.map_err(|_| Errno::PROTO)?;
        write_file(&tree, name, value, state)?;
    }
    give(&tree, state)?;
    place(state, at, &tree, change)
}

fn write_file(tree: &OwnedFd, name: &CStr, value: &[u8], state: &State<'_>) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(tree, name, flags, Mode::from_raw_mode(FILE_MODE))?;
    let mut rest = value;
    while !rest.is_empty() {
        let written = write(&file, rest)?;
        rest = rest.get(written..).ok_or(Errno::IO)?;
    }
    fchmod(&file, Mode::from_raw_mode(FILE_MODE))?;
    give(&file, state)
}

fn give(file: &OwnedFd, state: &State<'_>) -> Result<()> {
    chownat(
        file,
        c"",
        Some(Uid::from_raw(state.frame.uid)),
        Some(Gid::from_raw(state.frame.gid)),
        AtFlags::EMPTY_PATH,
    )
}
