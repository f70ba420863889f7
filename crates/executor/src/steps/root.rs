//! The tree that becomes the root: attached over the old root, which stays in sight of this process until it enters the new
//! one. So the sources of mounts are always the host's, whatever was mounted before them.

use core::ffi::CStr;

use kernel::rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open};
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
    if let Some(layers) = state.layers.take() {
        // Attached, as only what is attached can be looked into later (before Linux 6.15); mount points are made in the upper one.
        attach_over(&layers, &host)?;
        // What is mounted below is none of the other commands' concern.
        mount::make_private(&layers)?;
        state.origin = Some(layers);
        state.is_layered = true;
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
        state.masks = Some(mount::Masks::new(&state.ahead)?);
    }
    attach_over(&tree, &host)?;
    state.host = Some(host);
    state.root = Some(tree);
    Ok(())
}

/// Clones the layers of the run's root, which its first command mounts where the next ones find them. Nothing that is mounted in the lower one
/// comes along. Where the kernel lays none over it, or has no place for the upper one, it is a copy that the commands share.
pub(super) fn layers(state: &mut State<'_>, parent: &CStr, lower: Option<&CStr>) -> Result<()> {
    let room = mount::room_of_start(state, parent)?;
    // Until the room is closed: the next command waits for what this one mounts.
    flock(&room, FlockOperation::LockExclusive)?;
    let mut place = mount::place_of_layers(&room)?;
    if mount::is_lower_attached(&room)? {
        // A command ended while it made the layers, and the image itself is there, or was about to be. It may be of the room's own file system.
        match mount::detach(&place) {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
        place = mount::place_of_layers(&room)?;
    }
    let is_mounted = fstat(&place)?.st_dev != fstat(&room)?.st_dev;
    if !is_mounted {
        state.layers = mount::copied(&room)?;
        if state.layers.is_some() {
            return Ok(());
        }
        let made = match (lower, state.image.take()) {
            (Some(path), _) => changeable(&directory(path)?, &room)?,
            (None, Some(image)) => {
                // Only what is attached can be looked into. A mark tells it from the layers.
                mount::mark_lower(&room)?;
                attach_over(&image, &place)?;
                let made = changeable(&image, &room);
                mount::detach(&image)?;
                mount::unmark_lower(&room)?;
                made?
            }
            (None, None) => return Err(Errno::BADF),
        };
        match made {
            Changeable::Layers(layers) => attach_over(&layers, &place)?,
            Changeable::Copy(copy) => {
                state.layers = Some(copy);
                return Ok(());
            }
        }
    }
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let place = mount::place_of_layers(&room)?;
    let tree = open_tree(&place, c"", clone | OpenTreeFlags::AT_EMPTY_PATH)?;
    state.layers = Some(tree);
    Ok(())
}

/// A root that a run may change.
enum Changeable {
    Layers(OwnedFd),
    Copy(OwnedFd),
}

fn changeable(lower: &OwnedFd, room: &OwnedFd) -> Result<Changeable> {
    match mount::layers_over(lower, room) {
        // Of a file system of layers the kernel makes no upper one, and it lays only few over each other; or it has no such file system.
        Err(Errno::INVAL | Errno::NODEV) => mount::copy(lower, room).map(Changeable::Copy),
        layers => layers.map(Changeable::Layers),
    }
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
