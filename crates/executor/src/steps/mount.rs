//! One mount below the new root: after the root is attached, parents before children, all before the root is entered.
//!
//! Every tree is made and given its attributes while still detached, so that nothing is ever in place with too many rights.

use core::ffi::CStr;

use kernel::rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, open};
use kernel::rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use kernel::walk::Place;
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::names::Table;
use plan::report::UnmadePart;
use plan::step::What;

use crate::ahead::{Ahead, Part};
use crate::path::{Links, inside, is_directory, mount_point};
use crate::state::State;
use crate::steps::make_networks::{Made, of};

mod copied;
mod credentials;
mod devices;
mod extensions;
mod filesystem;
mod mask;
mod names;
mod room;
mod temporary;

pub(super) use copied::{copied, copy};
pub(super) use filesystem::{detach, layers_over, make_private};
pub(crate) use mask::Masks;
pub(super) use temporary::{
    is_lower_attached, mark_lower, place_of_layers, room_of_start, unmark_lower,
};

/// Attributes to change, and whether a missing path ends the start.
#[derive(Clone, Copy)]
pub(super) struct Change {
    pub(super) set: u64,
    pub(super) clear: u64,
    pub(super) missing_ok: bool,
}

/// Mounts `what` at `at`.
pub(super) fn take(state: &mut State<'_>, at: &CStr, what: What<'_>, change: Change) -> Result<()> {
    match mount(state, at, what, change) {
        Err(Errno::NOENT | Errno::NOTDIR) if change.missing_ok => Ok(()),
        done => done,
    }
}

fn mount(state: &State<'_>, at: &CStr, what: What<'_>, change: Change) -> Result<()> {
    match what {
        What::Inaccessible => return mask::cover(state, at),
        What::Again { made } => return again(state, at, made, change),
        What::Seal => return seal(state, at, change),
        What::Extensions { images } => return extensions::lay(state, images),
        What::Bind {
            source,
            recursive,
            source_missing_ok,
        } => {
            return match bind_source(source, recursive) {
                Err(Errno::NOENT) if source_missing_ok => Ok(()),
                Err(errno) => Err(errno),
                Ok(tree) => place(state, at, &tree, change),
            };
        }
        _ => {}
    }
    let tree = match what {
        What::Tmpfs { mode, options } => own(state, temporary::memory(state, mode, options)?)?,
        What::Proc { hide, only_pids } => filesystem::proc(hide, only_pids)?,
        What::Sysfs => kernel_files(state, Part::Sysfs, c"sysfs")?,
        What::BpfObjects => filesystem::plain(c"bpf")?,
        What::BpfDelegation { options } => {
            filesystem::delegation(state.bpf.as_ref().ok_or(Errno::BADF)?, options)?
        }
        What::MessageQueues => kernel_files(state, Part::Queues, c"mqueue")?,
        What::Cgroups => filesystem::plain(c"cgroup2")?,
        What::Terminals => filesystem::terminals(true)?,
        What::PrivateTmp { parent } => own(state, temporary::directory(state, parent)?)?,
        What::Devices { bound } => return devices::mount(state, at, bound, change),
        What::Credentials => return credentials::mount(state, at, change),
        What::Users { own } => return names::mount(state, at, Table::Users, own, change),
        What::UserGroups { own } => return names::mount(state, at, Table::Groups, own, change),
        What::Image { index } => return image(state, at, index, change),
        What::Extensions { .. }
        | What::Inaccessible
        | What::Again { .. }
        | What::Seal
        | What::Bind { .. } => {
            return Err(Errno::INVAL);
        }
    };
    place(state, at, &tree, change)
}

/// Files that the kernel makes: those of the namespaces that were made ahead came with them.
fn kernel_files(state: &State<'_>, part: Part, kind: &CStr) -> Result<OwnedFd> {
    match state.ahead.take(part) {
        Some(made) => Ok(made),
        None => filesystem::plain(kind),
    }
}

/// Makes the file systems of a later start; that of the message queues belongs to the IPC namespace that this process is in, sysfs(5) to
/// the network namespace.
pub(super) fn make_ahead(ahead: &Ahead) -> Made<()> {
    make_files_ahead(ahead)?;
    let kinds = [
        (Part::Sysfs, c"sysfs", UnmadePart::Sysfs),
        (Part::Queues, c"mqueue", UnmadePart::Queues),
    ];
    for (part, kind, unmade) in kinds {
        if let Some(made) = if_possible(filesystem::plain(kind)).map_err(of(unmade))? {
            ahead.put(part, made);
        }
    }
    for part in temporary::PARTS {
        ahead.put(part, temporary::make().map_err(of(UnmadePart::Temporary))?);
    }
    Ok(())
}

/// Makes those that belong to no namespace of a start's.
pub(super) fn make_files_ahead(ahead: &Ahead) -> Made<()> {
    devices::make_ahead(ahead).map_err(of(UnmadePart::Devices))?;
    ahead.put(Part::Masks, Masks::make().map_err(of(UnmadePart::Masks))?);
    Ok(())
}

/// Not every kernel has every file system, and an instance inside of a container may not mount each: what can't be had here is left out.
/// A start that wants it makes its own, or tells which directive fails.
fn if_possible(made: Result<OwnedFd>) -> Result<Option<OwnedFd>> {
    match made {
        Err(Errno::NODEV | Errno::PERM) => Ok(None),
        made => made.map(Some),
    }
}

/// The tree of an image, which is this start's own clone and goes to no second place.
fn image(state: &State<'_>, at: &CStr, index: u32, change: Change) -> Result<()> {
    let point = point(state, at, true)?;
    let tree = state.image(index)?;
    if change.set != 0 || change.clear != 0 {
        kernel::mount::set_attributes(tree, change.set, change.clear, kernel::mount::Reach::Tree)?;
    }
    state.made.add(tree)?;
    attach(tree, point)
}

/// The same tree, known as one in which a link of the image's may have something made.
fn own(state: &State<'_>, tree: OwnedFd) -> Result<OwnedFd> {
    state.made.add(&tree)?;
    Ok(tree)
}

/// Gives a detached tree its attributes and attaches it, making the mount point where it is missing.
fn place(state: &State<'_>, at: &CStr, tree: &OwnedFd, change: Change) -> Result<()> {
    let point = point(state, at, is_directory(tree)?)?;
    set(tree, change)?;
    attach(tree, point)
}

/// The mount point, made where it is missing. Where the root is read-only it is made where the root came from; an image has
/// no such place, so there an empty directory on the way gives way to a little memory.
pub(super) fn point(state: &State<'_>, at: &CStr, directory: bool) -> Result<OwnedFd> {
    let links = if state.is_host {
        Links::OfRoot
    } else {
        Links::Within(&state.made)
    };
    let made = mount_point(state.root()?, at, directory, links);
    if !matches!(made, Err(Errno::ROFS)) {
        return not_root(state, at, made?);
    }
    match &state.origin {
        Some(_) if state.is_extended && extensions::is_below(at) => {
            return room::make(state, at, directory);
        }
        Some(origin) => drop(mount_point(origin, at, directory, links)?),
        None => return room::make(state, at, directory),
    }
    not_root(state, at, inside(state.root()?, at)?)
}

/// A link of an image's must not lead to its root: what is mounted there would hide nothing, and be seen by nobody.
fn not_root(state: &State<'_>, at: &CStr, point: OwnedFd) -> Result<OwnedFd> {
    if at == c"/" {
        return Ok(point);
    }
    let (root, found) = (fstat(state.root()?)?, fstat(&point)?);
    if (root.st_dev, root.st_ino) == (found.st_dev, found.st_ino) {
        return Err(Errno::LOOP);
    }
    Ok(point)
}

fn set(tree: &OwnedFd, change: Change) -> Result<()> {
    if change.set == 0 && change.clear == 0 {
        return Ok(());
    }
    kernel::mount::set_attributes(tree, change.set, change.clear, kernel::mount::Reach::Tree)
}

/// Attaches a tree over an open place.
pub(super) fn attach(tree: impl AsFd, point: impl AsFd) -> Result<()> {
    move_mount(
        tree,
        c"",
        point,
        c"",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

/// What is there once more, so that it can have attributes of its own. Unless it was made by a step before, it comes from
/// where the root came from, untouched by the attributes of the mounts above it.
fn again(state: &State<'_>, at: &CStr, made: bool, change: Change) -> Result<()> {
    let point = inside(state.root()?, at)?;
    let (origin, clear) = match &state.origin {
        // Whatever is writable again is so at a place that no service chose.
        Some(_) if !made && state.is_host && change.set & kernel::mount::READ_ONLY == 0 => {
            (of_host(at)?, change.clear)
        }
        Some(origin) if !made => (inside(origin, at)?, change.clear),
        _ => {
            let clear = if leads_elsewhere(state, at, &point)? {
                0
            } else {
                change.clear
            };
            (inside(state.root()?, at)?, clear)
        }
    };
    let tree = clone(origin, c"", true)?;
    set(&tree, Change { clear, ..change })?;
    attach(&tree, &point)
}

/// Whether a link on the way leads out of the image, or of what is mounted there: to the kernel's files, say, whose protection the
/// link's maker must not take away.
fn leads_elsewhere(state: &State<'_>, at: &CStr, point: &OwnedFd) -> Result<bool> {
    let root = state.root()?;
    let straight = kernel::resolve::open(
        root,
        at,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
    );
    match straight {
        Ok(_) => Ok(false),
        Err(Errno::LOOP) => {
            let is_image = state.origin.is_none();
            Ok(!is_image || fstat(root)?.st_dev != fstat(point)?.st_dev)
        }
        Err(errno) => Err(errno),
    }
}

/// Attributes of a mount alone, not of what is mounted below it.
fn seal(state: &State<'_>, at: &CStr, change: Change) -> Result<()> {
    kernel::mount::set_attributes(
        inside(state.root()?, at)?,
        change.set,
        change.clear,
        kernel::mount::Reach::Mount,
    )
}

/// A clone of what is at a path of the host.
fn bind_source(source: &CStr, recursive: bool) -> Result<OwnedFd> {
    clone(of_host(source)?, c"", recursive)
}

/// What is at a path of the host; links are followed, but for those that a service may have left.
pub(in crate::steps) fn of_host(path: &CStr) -> Result<OwnedFd> {
    match Place::find(path, |_| None) {
        // The root itself has no name.
        Err(Errno::INVAL) => open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()),
        place => place?.open(),
    }
}

/// A detached clone of what is at `path` below `directory`; an empty path is the descriptor itself.
pub(super) fn clone(directory: impl AsFd, path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.is_empty() {
        return open_tree(directory, path, flags | OpenTreeFlags::AT_EMPTY_PATH);
    }
    open_tree(directory, path, flags)
}

/// A detached clone of a file of the host.
pub(super) fn clone_host(path: &CStr) -> Result<OwnedFd> {
    clone(CWD, path, false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test's own file.

    use super::{Errno, Mode, OFlags, if_possible, open};

    #[test]
    fn what_the_host_does_not_give_is_left_out_and_nothing_else() {
        for errno in [Errno::PERM, Errno::NODEV] {
            assert!(if_possible(Err(errno)).unwrap().is_none(), "{errno:?}");
        }
        for errno in [Errno::MFILE, Errno::NOMEM, Errno::NOSPC] {
            assert_eq!(if_possible(Err(errno)).unwrap_err(), errno);
        }
        let file = open(c"/dev/null", OFlags::RDONLY, Mode::empty());
        assert!(if_possible(file).unwrap().is_some());
    }
}
