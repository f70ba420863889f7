//! Clones an image's tree: before the mount namespace changes, since the kernel only clones mounts of the one it is in.

use core::ffi::CStr;

use kernel::rustix::fs::{CWD, Mode, OFlags, fstatfs, open};
use kernel::rustix::mount::{OpenTreeFlags, open_tree};
use kernel::rustix::process::chdir;
use kernel::{AsFd, Errno, OwnedFd, Result, namespace};
use plan::frame::Role;

use crate::state::State;

/// The file system of namespaces (statfs(2)).
const NAMESPACES: i64 = 0x6e73_6673;

/// Takes the keeper's tree and keeps a clone of it.
pub(super) fn take(state: &mut State<'_>, index: u32) -> Result<()> {
    let tree = state.take_next(Role::Image)?;
    let clone = if fstatfs(&tree)?.f_type == NAMESPACES {
        of_holder(&tree)?
    } else {
        clone(&tree, c"", OpenTreeFlags::AT_EMPTY_PATH)?
    };
    if index == 0 {
        state.image = Some(clone);
        return Ok(());
    }
    let slot = usize::try_from(index).ok();
    *slot
        .and_then(|slot| state.images.get_mut(slot))
        .ok_or(Errno::PROTO)? = Some(clone);
    Ok(())
}

/// A kernel that clones no tree that is mounted nowhere (before Linux 6.15) has it as the root of a mount namespace that nobody is in.
fn of_holder(holder: &OwnedFd) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = open(c"/proc/self/ns/mnt", flags, Mode::empty())?;
    namespace::join(holder, namespace::MOUNT)?;
    let tree = clone(CWD, c"/", OpenTreeFlags::empty());
    namespace::join(&own, namespace::MOUNT)?;
    chdir(c"/")?;
    tree
}

fn clone(at: impl AsFd, path: &CStr, more: OpenTreeFlags) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(at, path, flags | more)
}
