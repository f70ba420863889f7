//! New instances of file systems, detached.

use core::ffi::CStr;

use kernel::rustix::fd::AsRawFd;
use kernel::rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, StatVfsMountFlags, Uid, chmodat, chownat, fstat, fstatvfs,
    openat,
};
use kernel::rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};
use kernel::rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use kernel::rustix::process::{chdir, fchdir};
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::List;

use super::temporary::{UPPER, WORK};
use crate::path::PathBuffer;
use crate::steps::proc_file::Digits;
use plan::code::ListBytes;

const CLOSED: FsMountFlags = FsMountFlags::FSMOUNT_CLOEXEC;
const HARMLESS: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// Opens the configuration of a file system.
fn new(kind: &CStr) -> Result<OwnedFd> {
    fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
}

fn finish(configuration: &OwnedFd, attributes: MountAttrFlags) -> Result<OwnedFd> {
    fsconfig_create(configuration)?;
    fsmount(configuration, CLOSED, attributes)
}

/// A file system without options, on which nothing executes.
pub(super) fn plain(kind: &CStr) -> Result<OwnedFd> {
    finish(&new(kind)?, HARMLESS | MountAttrFlags::MOUNT_ATTR_NOEXEC)
}

/// The file system that was begun in the service's user namespace, with what tokens may do there.
pub(super) fn delegation(configuration: &OwnedFd, options: List<'_>) -> Result<OwnedFd> {
    for option in options.iter() {
        set(configuration, option)?;
    }
    finish(configuration, HARMLESS | MountAttrFlags::MOUNT_ATTR_NOEXEC)
}

/// An empty file system in memory; `options` are `key=value` or `key`.
pub(super) fn tmpfs(mode: u32, options: List<'_>) -> Result<OwnedFd> {
    tmpfs_with(mode, options, HARMLESS)
}

/// The same with mount attributes.
pub(super) fn tmpfs_with(
    mode: u32,
    options: List<'_>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd> {
    let configuration = new(c"tmpfs")?;
    fsconfig_set_string(&configuration, c"mode", octal(mode, &mut [0; 12])?)?;
    for option in options.iter() {
        set(&configuration, option)?;
    }
    finish(&configuration, attributes)
}

/// A file system whose content is never swapped out: tmpfs can be told so since Linux 6.4, and before that there is ramfs.
pub(super) fn unswapped(mode: u32, attributes: MountAttrFlags) -> Result<OwnedFd> {
    const NO_SWAP: ListBytes = ListBytes(b"noswap\0");
    match tmpfs_with(mode, NO_SWAP.list(), attributes) {
        Err(Errno::INVAL | Errno::PERM) => {}
        made => return made,
    }
    let configuration = new(c"ramfs")?;
    fsconfig_set_string(&configuration, c"mode", octal(mode, &mut [0; 12])?)?;
    finish(&configuration, attributes)
}

/// Two trees as one, read-only, the first over the second (overlayfs; trees that are mounted nowhere are taken since Linux 6.15).
pub(super) fn layers(upper: &OwnedFd, lower: &OwnedFd) -> Result<OwnedFd> {
    let configuration = new(c"overlay")?;
    fsconfig_set_fd(&configuration, c"lowerdir+", upper.as_fd())?;
    fsconfig_set_fd(&configuration, c"lowerdir+", lower.as_fd())?;
    finish(&configuration, HARMLESS | MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// An empty directory that stays so.
pub(super) fn empty() -> Result<OwnedFd> {
    tmpfs_with(
        0o755,
        List::EMPTY,
        HARMLESS | MountAttrFlags::MOUNT_ATTR_RDONLY,
    )
}

/// Where descriptors of this process have their numbers as names.
const DESCRIPTORS: &CStr = c"/proc/self/fd";

/// Trees over one another, the highest first, read-only. An option of the kernel takes 256 bytes: numbers alone, by which every kernel's
/// overlayfs finds the descriptors from where those lie, are short enough for as many trees as a unit has.
pub(super) fn over<'a>(layers: impl Iterator<Item = &'a OwnedFd>) -> Result<OwnedFd> {
    let mut numbers = PathBuffer::new();
    for (place, layer) in layers.enumerate() {
        if place > 0 {
            numbers.push(b":")?;
        }
        numbers.push(number(layer, &mut Digits::new()))?;
    }
    let configuration = new(c"overlay")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let here = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = openat(CWD, c".", here, Mode::empty())?;
    chdir(DESCRIPTORS)?;
    let made = fsconfig_set_string(&configuration, c"lowerdir", numbers.text()?)
        .and_then(|()| finish(&configuration, attributes));
    fchdir(here)?;
    made
}

/// A tree with what is changed in it, which is kept in two directories below `room`. Paths by descriptors are taken by every kernel's overlayfs.
pub(in crate::steps) fn layers_over(lower: &OwnedFd, room: &OwnedFd) -> Result<OwnedFd> {
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let upper = openat(room, UPPER, place, Mode::empty())?;
    let work = openat(room, WORK, place, Mode::empty())?;
    // Its top is looked at like the lower one's, whose owner and mode may be any.
    let status = fstat(lower)?;
    let (user, group) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    chownat(&upper, c"", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    chmodat(
        room,
        UPPER,
        Mode::from_raw_mode(status.st_mode & 0o7777),
        AtFlags::empty(),
    )?;
    let configuration = new(c"overlay")?;
    for (key, directory) in [
        (c"lowerdir", lower),
        (c"upperdir", &upper),
        (c"workdir", &work),
    ] {
        fsconfig_set_string(&configuration, key, own_path(directory)?.text()?)?;
    }
    // It goes with the run, so nobody waits for a disk when it is unmounted (since Linux 5.10).
    match fsconfig_set_flag(&configuration, c"volatile") {
        Err(Errno::INVAL) | Ok(()) => {}
        Err(errno) => return Err(errno),
    }
    // What the lower one keeps from those who use it, the layers keep, too.
    let kept = [
        (StatVfsMountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (StatVfsMountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
        (StatVfsMountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ];
    let flags = fstatvfs(lower)?.f_flag;
    let mut attributes = MountAttrFlags::empty();
    for (flag, attribute) in kept {
        if flags.contains(flag) {
            attributes |= attribute;
        }
    }
    finish(&configuration, attributes)
}

/// Takes a mount away that is attached.
pub(in crate::steps) fn detach(mount: impl AsFd) -> Result<()> {
    unmount(own_path(mount.as_fd())?.text()?, UnmountFlags::DETACH)
}

/// Keeps what is mounted in an attached mount from its peers.
pub(in crate::steps) fn make_private(mount: &OwnedFd) -> Result<()> {
    mount_change(own_path(mount)?.text()?, MountPropagationFlags::PRIVATE)
}

/// The path by which the kernel takes a descriptor of this process.
fn own_path(descriptor: impl AsFd) -> Result<PathBuffer> {
    let mut path = PathBuffer::new();
    path.push(DESCRIPTORS.to_bytes())?;
    path.push(b"/")?;
    path.push(number(descriptor, &mut Digits::new()))?;
    Ok(path)
}

fn number(descriptor: impl AsFd, digits: &mut Digits) -> &[u8] {
    digits.unsigned(descriptor.as_fd().as_raw_fd().unsigned_abs().into())
}

/// `key=value` is split on the stack, since the key needs a NUL of its own.
fn set(configuration: &OwnedFd, option: &CStr) -> Result<()> {
    let Some(place) = option.to_bytes().iter().position(|&byte| byte == b'=') else {
        return fsconfig_set_flag(configuration, option);
    };
    let mut key = [0; 32];
    let name = option.to_bytes().get(..place).ok_or(Errno::INVAL)?;
    key.get_mut(..name.len())
        .filter(|_| name.len() < 32)
        .ok_or(Errno::INVAL)?
        .copy_from_slice(name);
    let key = CStr::from_bytes_until_nul(&key).map_err(|_| Errno::INVAL)?;
    let value = option
        .to_bytes_with_nul()
        .get(place + 1..)
        .ok_or(Errno::INVAL)?;
    fsconfig_set_string(
        configuration,
        key,
        CStr::from_bytes_with_nul(value).map_err(|_| Errno::INVAL)?,
    )
}

fn octal(mode: u32, room: &mut [u8; 12]) -> Result<&CStr> {
    for (place, byte) in room.iter_mut().take(5).enumerate() {
        *byte = b'0' + (mode >> (12 - 3 * place) & 7) as u8;
    }
    CStr::from_bytes_until_nul(room).map_err(|_| Errno::INVAL)
}

/// Processes of this pid namespace.
pub(super) fn proc(hide: Option<&CStr>, only_pids: bool) -> Result<OwnedFd> {
    let configuration = new(c"proc")?;
    if let Some(hide) = hide {
        fsconfig_set_string(&configuration, c"hidepid", hide)?;
    }
    if only_pids {
        fsconfig_set_string(&configuration, c"subset", c"pid")?;
    }
    finish(&configuration, HARMLESS | MountAttrFlags::MOUNT_ATTR_NOEXEC)
}

/// Pseudo-terminals that only this service has. The group that owns them (`tty`, 5) has no number without privileges.
pub(super) fn terminals(with_group: bool) -> Result<OwnedFd> {
    let configuration = new(c"devpts")?;
    fsconfig_set_string(&configuration, c"mode", c"620")?;
    if with_group {
        fsconfig_set_string(&configuration, c"gid", c"5")?;
    }
    fsconfig_set_string(&configuration, c"ptmxmode", c"666")?;
    finish(
        &configuration,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}
