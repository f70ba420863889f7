//! The tree that becomes the root: attached over the old root, which stays in sight of this process until it enters the new
//! one. So the sources of mounts are always the host's, whatever was mounted before them.

use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::Step;
use plan::step::{RootSource, What};

use crate::state::State;
use crate::steps::mount;

/// Clones the tree, sets its attributes and attaches it.
pub(super) fn take(state: &mut State<'_>, from: RootSource<'_>, set: u64) -> Result<()> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let host = open(c"/", place, Mode::empty())?;
    let tree = match from {
        RootSource::Host => open_tree(kernel::rustix::fs::CWD, c"/", clone)?,
        RootSource::Directory { path } => open_tree(kernel::rustix::fs::CWD, path, clone)?,
        RootSource::Image => state.image.take().ok_or(Errno::BADF)?,
    };
    state.origin = match from {
        RootSource::Host => Some(open(c"/", place, Mode::empty())?),
        RootSource::Directory { path } => Some(open(path, place, Mode::empty())?),
        RootSource::Image => None,
    };
    if set != 0 {
        kernel::mount::set_attributes(&tree, set, 0, kernel::mount::Reach::Tree)?;
    }
    if needs_masks(state) {
        let masks = mount::masks()?;
        attach_over(&masks, &host)?;
        state.masks = Some(masks);
    }
    attach_over(&tree, &host)?;
    state.host = Some(host);
    state.root = Some(tree);
    Ok(())
}

fn needs_masks(state: &State<'_>) -> bool {
    let masked = |step: Step<'_>| {
        matches!(
            step,
            Step::Mount {
                what: What::Inaccessible,
                ..
            }
        )
    };
    state
        .frame
        .steps()
        .flatten()
        .any(|asked| masked(asked.step))
}

/// Puts a tree on top of what is mounted at the root; a path that begins at `/` does not see it.
fn attach_over(tree: &OwnedFd, root: impl AsFd) -> Result<()> {
    move_mount(
        tree,
        c"",
        root,
        c"",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}
