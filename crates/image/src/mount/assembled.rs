//! Several file systems as one tree that starts can clone.

use std::os::fd::{AsFd, OwnedFd};

use kernel::mount::{Attributes, Propagation, Reach};
use kernel::namespace;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    self as call, FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use super::{MountError, Step};

/// What starts clone, and the root in it for who looks into it.
#[derive(Debug)]
pub struct Assembled {
    /// The mount namespace that holds the tree, where a detached tree does not do.
    holder: Option<OwnedFd>,
    /// The root of the tree.
    pub root: OwnedFd,
}

impl Assembled {
    /// A detached tree, or a mount namespace whose root it is: nothing of the host is in that any more, nor in sight of this process.
    ///
    /// # Errors
    /// See [`MountError`].
    pub fn close(self) -> Result<OwnedFd, MountError> {
        const STEP: &str = "letting go of the host's mounts";
        let Some(holder) = self.holder else {
            return Ok(self.root);
        };
        rustix::process::fchdir(&self.root).step(STEP)?;
        rustix::process::pivot_root(".", ".").step(STEP)?;
        call::unmount(".", UnmountFlags::DETACH).step(STEP)?;
        rustix::process::chdir("/").step(STEP)?;
        Ok(holder)
    }
}

/// Puts file systems together, parents first; without a root they lie in one in memory. Where the kernel clones no tree that is mounted
/// nowhere (before Linux 6.15), this process moves into a mount namespace of its own, which holds it.
///
/// # Errors
/// See [`MountError`].
pub fn assemble<At: AsRef<str>>(pieces: Vec<(At, OwnedFd)>) -> Result<Assembled, MountError> {
    let mut pieces = pieces.into_iter().peekable();
    let root = match pieces.next_if(|(at, _)| at.as_ref() == "/") {
        Some((_, root)) => root,
        None => empty()?,
    };
    let holder = if is_cloned(&root)? {
        None
    } else {
        Some(enter_holder(&root)?)
    };
    for (at, piece) in pieces {
        move_mount(&piece, place(&root, at.as_ref())?).step("mounting its partitions")?;
    }
    Ok(Assembled { holder, root })
}

/// The root of a tree that was assembled before.
///
/// # Errors
/// See [`MountError`].
pub fn root_of(held: &OwnedFd) -> Result<OwnedFd, MountError> {
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let status = rustix::fs::fstatfs(held).step("looking at a tree")?;
    if status.f_type != NAMESPACES {
        return rustix::io::fcntl_dupfd_cloexec(held, 3).step("looking at a tree");
    }
    let own = own_namespace()?;
    namespace::join(held, namespace::MOUNT).step("looking into a tree")?;
    let root = rustix::fs::open("/", place, Mode::empty());
    namespace::join(&own, namespace::MOUNT).step("coming back from a tree")?;
    rustix::process::chdir("/").step("coming back from a tree")?;
    root.step("looking into a tree")
}

/// The file system of namespaces (statfs(2)).
const NAMESPACES: i64 = 0x6e73_6673;

fn own_namespace() -> Result<OwnedFd, MountError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/ns/mnt", flags, Mode::empty()).step("opening a mount namespace")
}

/// A clone of a directory of the host, with what is mounted in it.
///
/// # Errors
/// See [`MountError`].
pub fn directory(opened: &OwnedFd) -> Result<OwnedFd, MountError> {
    cloned(opened, OpenTreeFlags::AT_RECURSIVE).step("cloning the directory")
}

/// A clone that is no peer of what it was cloned from: what is mounted in one is not mounted in the other.
pub(super) fn cloned(of: &OwnedFd, reach: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = call::open_tree(of, "", flags | reach)?;
    let private = Attributes {
        propagation: Some(Propagation::Private),
        ..Attributes::default()
    };
    kernel::mount::change(&tree, c"", Reach::Tree, private)?;
    Ok(tree)
}

pub(super) fn is_cloned(root: &OwnedFd) -> Result<bool, MountError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    match call::open_tree(root, "", flags) {
        Ok(_) => Ok(true),
        Err(Errno::INVAL) => Ok(false),
        Err(errno) => Err(errno).step("trying to clone the tree"),
    }
}

/// Mounts the tree over the root of a new mount namespace.
fn enter_holder(root: &OwnedFd) -> Result<OwnedFd, MountError> {
    const STEP: &str = "making a mount namespace that holds the tree";
    namespace::unshare(namespace::MOUNT).step(STEP)?;
    let holder = own_namespace()?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    call::mount_change("/", private).step(STEP)?;
    let place = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    move_mount(root, place.step(STEP)?).step(STEP)?;
    Ok(holder)
}

pub(super) fn move_mount(tree: &OwnedFd, place: OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    call::move_mount(tree, "", place, "", flags)
}

/// The place of a partition: a directory of the image's, or of the root in memory. What is missing of it is made where that can be written to.
fn place(root: &OwnedFd, at: &str) -> Result<OwnedFd, MountError> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open =
        |path: &str| kernel::resolve::open(root.as_fd(), path, flags, Mode::empty(), resolve);
    match open(at) {
        Err(Errno::NOENT) => {}
        opened => return opened.step("finding the place of a partition"),
    }
    let (parent, name) = at.rsplit_once('/').unwrap_or(("", at));
    let parent = match parent {
        "" => open("/").step("finding the place of a partition")?,
        parent => place(root, parent)?,
    };
    match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
        Err(Errno::ROFS) => Err(MountError::NoPlace(at.to_owned())),
        made => {
            made.step("making the place of a partition")?;
            open(at).step("finding the place of a partition")
        }
    }
}

/// A root in memory, for what has none.
pub(super) fn empty() -> Result<OwnedFd, MountError> {
    const STEP: &str = "making a root in memory";
    let context = call::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).step(STEP)?;
    for (key, value) in [("mode", "755"), ("size", "10%"), ("nr_inodes", "1m")] {
        call::fsconfig_set_string(context.as_fd(), key, value).step(STEP)?;
    }
    call::fsconfig_create(context.as_fd()).step(STEP)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    call::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).step(STEP)
}

/// Opens a directory of the host, which becomes a tree.
///
/// # Errors
/// What the kernel says.
pub fn open_directory(path: &std::path::Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}
