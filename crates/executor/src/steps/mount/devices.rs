//! A small /dev: the pseudo-devices that every program expects, and no others.

use core::ffi::CStr;

use kernel::rustix::fs::{FileType, Mode, makedev, mkdirat, mknodat, symlinkat};
use kernel::rustix::mount::MountAttrFlags;
use kernel::rustix::process::umask;
use kernel::{AsFd, OwnedFd, Result};
use plan::List;

use super::{Change, attach, clone_host, filesystem};
use crate::path::{PathBuffer, inside};
use crate::state::State;

/// Name, major and minor number (devices.txt of the kernel).
const NODES: [(&CStr, u32, u32); 6] = [
    (c"null", 1, 3),
    (c"zero", 1, 5),
    (c"full", 1, 7),
    (c"random", 1, 8),
    (c"urandom", 1, 9),
    (c"tty", 5, 0),
];

const LINKS: [(&CStr, &CStr); 6] = [
    (c"/proc/self/fd", c"fd"),
    (c"/proc/self/fd/0", c"stdin"),
    (c"/proc/self/fd/1", c"stdout"),
    (c"/proc/self/fd/2", c"stderr"),
    (c"/proc/kcore", c"core"),
    (c"pts/ptmx", c"ptmx"),
];

/// Builds it, attaches it, and mounts what lies below.
pub(super) fn mount(state: &State<'_>, at: &CStr, bound: bool, change: Change) -> Result<()> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = super::own(
        state,
        filesystem::tmpfs_with(0o755, List::EMPTY, attributes)?,
    )?;
    for (target, name) in LINKS {
        symlinkat(target, &tree, name)?;
    }
    for name in [c"pts", c"shm", c"mqueue"] {
        mkdirat(&tree, name, Mode::from_raw_mode(0o755))?;
    }
    make_nodes(&tree, bound)?;
    let point = super::point(state, at, true)?;
    kernel::mount::set_attributes(&tree, change.set, change.clear, kernel::mount::Reach::Mount)?;
    attach(&tree, point)?;
    if bound {
        bind_nodes(&tree)?;
    }
    attach(filesystem::terminals(!bound)?, inside(&tree, c"pts")?)?;
    shared_memory(&tree)
}

/// The nodes, open to all; or the empty files on which those of the host are bound.
fn make_nodes(tree: &OwnedFd, bound: bool) -> Result<()> {
    // Whatever mask of file modes the keeper had.
    let mask = umask(Mode::empty());
    let made = NODES.iter().try_for_each(|&(name, major, minor)| {
        let (kind, mode, device) = if bound {
            (FileType::RegularFile, 0, 0)
        } else {
            (FileType::CharacterDevice, 0o666, makedev(major, minor))
        };
        mknodat(tree, name, kind, Mode::from_raw_mode(mode), device)
    });
    umask(mask);
    made
}

/// Without privileges no node can be made, but those of the host can be bound.
fn bind_nodes(tree: &OwnedFd) -> Result<()> {
    for (name, ..) in NODES {
        let mut path = PathBuffer::new();
        path.push(b"/dev/")?;
        path.push(name.to_bytes())?;
        attach(clone_host(path.text()?)?, inside(tree, name)?)?;
    }
    Ok(())
}

fn shared_memory(tree: impl AsFd) -> Result<()> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let memory = filesystem::tmpfs_with(0o1777, List::EMPTY, attributes)?;
    attach(memory, inside(tree, c"shm")?)
}
