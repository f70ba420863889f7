//! A small /dev: the pseudo-devices that every program expects, and no others.

use core::ffi::CStr;

use kernel::rustix::fs::{FileType, Mode, makedev, mkdirat, mknodat, symlinkat};
use kernel::rustix::mount::MountAttrFlags;
use kernel::rustix::process::umask;
use kernel::{OwnedFd, Result};
use plan::List;

use super::{Change, attach, clone_host, filesystem};
use crate::ahead::{Ahead, Part};
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

/// It, and what is mounted in it.
struct Devices {
    tree: OwnedFd,
    terminals: OwnedFd,
    shared_memory: OwnedFd,
}

impl Devices {
    fn made(ahead: &Ahead) -> Option<Self> {
        Some(Self {
            tree: ahead.take(Part::Devices)?,
            terminals: ahead.take(Part::Terminals)?,
            shared_memory: ahead.take(Part::SharedMemory)?,
        })
    }

    fn make(bound: bool) -> Result<Self> {
        Ok(Self {
            tree: tree(bound)?,
            terminals: filesystem::terminals(!bound)?,
            shared_memory: shared_memory()?,
        })
    }
}

/// Makes one for a later start.
pub(in crate::steps) fn make_ahead(ahead: &Ahead) -> Result<()> {
    let devices = Devices::make(false)?;
    ahead.put(Part::Devices, devices.tree);
    ahead.put(Part::Terminals, devices.terminals);
    ahead.put(Part::SharedMemory, devices.shared_memory);
    Ok(())
}

/// Builds it, attaches it, and mounts what lies below.
pub(super) fn mount(state: &State<'_>, at: &CStr, bound: bool, change: Change) -> Result<()> {
    let made = if bound {
        None
    } else {
        Devices::made(&state.ahead)
    };
    let devices = match made {
        Some(made) => made,
        None => Devices::make(bound)?,
    };
    let tree = super::own(state, devices.tree)?;
    let point = super::point(state, at, true)?;
    kernel::mount::set_attributes(&tree, change.set, change.clear, kernel::mount::Reach::Mount)?;
    attach(&tree, point)?;
    if bound {
        bind_nodes(&tree)?;
    }
    attach(devices.terminals, inside(&tree, c"pts")?)?;
    attach(devices.shared_memory, inside(&tree, c"shm")?)
}

/// The file system with links, places and nodes.
fn tree(bound: bool) -> Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = filesystem::tmpfs_with(0o755, List::EMPTY, attributes)?;
    for (target, name) in LINKS {
        symlinkat(target, &tree, name)?;
    }
    for name in [c"pts", c"shm", c"mqueue"] {
        mkdirat(&tree, name, Mode::from_raw_mode(0o755))?;
    }
    make_nodes(&tree, bound)?;
    Ok(tree)
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

fn shared_memory() -> Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    filesystem::tmpfs_with(0o1777, List::EMPTY, attributes)
}
