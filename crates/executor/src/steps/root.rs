//! The tree that becomes the root: attached over the old root, which stays in sight of this process until it enters the new
//! one. So the sources of mounts are always the host's, whatever was mounted before them.

use core::ffi::CStr;

use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::Step;
use plan::step::{RootSource, What};

use crate::path::is_directory;
use crate::state::State;
use crate::steps::mount;

/// Clones the tree, sets its attributes and attaches it.
pub(super) fn take(state: &mut State<'_>, from: RootSource<'_>, set: u64) -> Result<()> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let host = open(c"/", place, Mode::empty())?;
    state.origin = match from {
        RootSource::Host => Some(open(c"/", place, Mode::empty())?),
        RootSource::Directory { path } => Some(directory(path)?),
        RootSource::Image => None,
    };
    if let Some(room) = state.room.take() {
        lay(state, &room, &host)?;
    }
    state.is_host = from == RootSource::Host;
    let tree = match &state.origin {
        Some(origin) => open_tree(origin, c"", clone | OpenTreeFlags::AT_EMPTY_PATH)?,
        None => state.image.take().ok_or(Errno::BADF)?,
    };
    state.made.add(&tree)?;
    if let Some(origin) = &state.origin {
        state.made.add(origin)?;
    }
    if set != 0 {
        kernel::mount::set_attributes(&tree, set, 0, kernel::mount::Reach::Tree)?;
    }
    if needs_masks(state) {
        state.masks = Some(mount::Masks::new()?);
    }
    attach_over(&tree, &host)?;
    state.host = Some(host);
    state.root = Some(tree);
    Ok(())
}

/// Makes the directory in which the upper layer is, the same for all commands of a start.
pub(super) fn room(state: &mut State<'_>, parent: &CStr) -> Result<()> {
    state.room = Some(mount::room_of_start(state, parent)?);
    Ok(())
}

/// Lays what the run changes over the root's tree. The layers are attached below the root, as only what is attached can be looked into later
/// (before Linux 6.15); mount points are made in the upper one, and nothing that is mounted in the lower one comes along.
fn lay(state: &mut State<'_>, room: &OwnedFd, host: &OwnedFd) -> Result<()> {
    let image = state.image.take();
    let lower = match (&state.origin, &image) {
        (Some(origin), _) => origin,
        (None, Some(image)) => {
            attach_over(image, host)?;
            image
        }
        (None, None) => return Err(Errno::BADF),
    };
    let layers = mount::layers_over(lower, room)?;
    if let Some(image) = &image {
        mount::detach(image)?;
    }
    attach_over(&layers, host)?;
    state.origin = Some(layers);
    state.is_layered = true;
    Ok(())
}

/// The directory at a path of the host, which is looked for once: nobody puts another one in its place between two looks.
fn directory(path: &CStr) -> Result<OwnedFd> {
    let found = mount::of_host(path)?;
    if is_directory(&found)? {
        Ok(found)
    } else {
        Err(Errno::NOTDIR)
    }
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
