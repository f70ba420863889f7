//! Clones the image's tree: before the mount namespace changes, since the kernel only clones mounts of the one it is in.

use kernel::Result;
use kernel::rustix::mount::{OpenTreeFlags, open_tree};
use plan::frame::Role;

use crate::state::State;

/// Takes the keeper's tree and keeps a clone of it.
pub(super) fn take(state: &mut State<'_>) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = state.take(Role::Image)?;
    state.image = Some(open_tree(tree, c"", flags)?);
    Ok(())
}
