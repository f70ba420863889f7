//! Mount calls that rustix lacks. rustix has fsopen, fsconfig, fsmount, open_tree, move_mount, mount, unmount; and
//! `rustix::process::pivot_root`.

use core::ffi::CStr;

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Result;
use crate::syscall::syscall;

/// Attributes of mounts to set and clear, see mount_setattr(2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    /// `MOUNT_ATTR_…` bits to set.
    pub set: u64,
    /// `MOUNT_ATTR_…` bits to clear.
    pub clear: u64,
    /// How mount events propagate from now on; `None` leaves it.
    pub propagation: Option<Propagation>,
    /// The user namespace whose maps become the mount's id maps; needs [`IDMAP`] in `set`.
    pub id_map: Option<BorrowedFd<'a>>,
}

/// How mount events propagate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Propagation {
    /// Neither in nor out.
    Private = 1 << 18,
    /// In only.
    Slave = 1 << 19,
    /// In and out.
    Shared = 1 << 20,
    /// Neither, and it cannot be bound.
    Unbindable = 1 << 17,
}

/// Read-only.
pub const READ_ONLY: u64 = sys::MOUNT_ATTR_RDONLY as u64;
/// Set-user-id and file capabilities do not count.
pub const NO_SUID: u64 = sys::MOUNT_ATTR_NOSUID as u64;
/// Device nodes do not open.
pub const NO_DEVICES: u64 = sys::MOUNT_ATTR_NODEV as u64;
/// Nothing on it executes.
pub const NO_EXEC: u64 = sys::MOUNT_ATTR_NOEXEC as u64;
/// Symbolic links are not followed (since Linux 5.14).
pub const NO_SYMLINKS: u64 = sys::MOUNT_ATTR_NOSYMFOLLOW as u64;
/// Ids are mapped.
pub const IDMAP: u64 = sys::MOUNT_ATTR_IDMAP as u64;

#[repr(C)]
struct RawAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

impl From<Attributes<'_>> for RawAttributes {
    fn from(attributes: Attributes<'_>) -> Self {
        Self {
            set: attributes.set,
            clear: attributes.clear,
            propagation: attributes
                .propagation
                .map_or(0, |propagation| propagation as u64),
            user_namespace: attributes
                .id_map
                .map_or(0, |namespace| namespace.as_raw_fd() as u64),
        }
    }
}

/// How far a change reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This mount alone.
    Mount,
    /// This mount and all below it.
    Tree,
}

/// Sets and clears `MOUNT_ATTR_…` bits of the mount behind `mount`.
pub fn set_attributes(mount: impl AsFd, set: u64, clear: u64, reach: Reach) -> Result<()> {
    change(
        mount,
        c"",
        reach,
        Attributes {
            set,
            clear,
            ..Attributes::default()
        },
    )
}

/// Changes the attributes of the mount at `path` below `directory`; an empty path means the descriptor itself.
pub fn change(
    directory: impl AsFd,
    path: &CStr,
    reach: Reach,
    attributes: Attributes<'_>,
) -> Result<()> {
    let attributes = RawAttributes::from(attributes);
    let mut flags = 0;
    if reach == Reach::Tree {
        flags |= sys::AT_RECURSIVE;
    }
    if path.is_empty() {
        flags |= sys::AT_EMPTY_PATH;
    }
    let directory = directory.as_fd().as_raw_fd() as usize;
    let address = core::ptr::from_ref(&attributes) as usize;
    // SAFETY: mount_setattr reads a NUL-terminated path and a struct of the size that goes along.
    unsafe {
        syscall(
            sys::__NR_mount_setattr,
            [
                directory,
                path.as_ptr() as usize,
                flags as usize,
                address,
                size_of::<RawAttributes>(),
                0,
            ],
        )
    }
    .map(drop)
}

/// Clones the mounts at `path` and sets attributes in the same call, even id maps on mapped mounts (since Linux 6.15).
pub fn open_tree_with(
    directory: impl AsFd,
    path: &CStr,
    flags: u32,
    attributes: Attributes<'_>,
) -> Result<OwnedFd> {
    let attributes = RawAttributes::from(attributes);
    let directory = directory.as_fd().as_raw_fd() as usize;
    let address = core::ptr::from_ref(&attributes) as usize;
    // SAFETY: open_tree_attr reads a NUL-terminated path and a struct of the size that goes along.
    let number = unsafe {
        syscall(
            sys::__NR_open_tree_attr,
            [
                directory,
                path.as_ptr() as usize,
                flags as usize,
                address,
                size_of::<RawAttributes>(),
                0,
            ],
        )
    }?;
    // SAFETY: the kernel just made it, and no one else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

/// Unmounts what is at `path` relative to the working directory, with `MNT_…` flags of umount2(2).
pub fn unmount(path: &CStr, flags: u32) -> Result<()> {
    // SAFETY: umount2 reads a NUL-terminated path.
    unsafe {
        syscall(
            sys::__NR_umount2,
            [path.as_ptr() as usize, flags as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Takes a swap area out of use, swapoff(2): what lies there comes back into memory, which takes its time.
pub fn swap_off(path: &CStr) -> Result<()> {
    // SAFETY: swapoff reads a NUL-terminated path.
    unsafe { syscall(sys::__NR_swapoff, [path.as_ptr() as usize, 0, 0, 0, 0, 0]) }.map(drop)
}

/// Detaches lazily: the mount vanishes from the tree now and for good when its last user is done (MNT_DETACH).
pub const DETACH: u32 = 2;
