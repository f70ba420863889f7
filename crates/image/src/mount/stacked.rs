//! Trees over each other as one (overlayfs), and parts of trees that are mounted nowhere.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use kernel::namespace;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, StatVfsMountFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    self as call, FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, OpenTreeFlags,
    UnmountFlags,
};

use super::assembled::{cloned, empty, is_cloned, move_mount};
use super::{MountError, Step};

/// Trees over each other: their numbers are one option, of which the kernel takes 256 bytes.
pub const LAYERS_MAX: usize = 48;

const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where trees are laid over each other. A kernel that looks only into what is attached somewhere (before Linux 6.15) has them attached for
/// a moment, in a mount namespace of this process's own, so that nobody else sees them.
#[derive(Debug)]
pub struct Bench {
    attaches: bool,
}

impl Bench {
    /// What was opened before it is of no use afterwards.
    ///
    /// # Errors
    /// See [`MountError`].
    pub fn new() -> Result<Self, MountError> {
        const STEP: &str = "making a mount namespace to put the tree together in";
        let attaches = !is_cloned(&empty()?)?;
        if attaches {
            namespace::unshare(namespace::MOUNT).step(STEP)?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            call::mount_change("/", private).step(STEP)?;
        }
        Ok(Self { attaches })
    }

    /// A directory of a tree as a tree of its own; no link leads to it.
    ///
    /// # Errors
    /// See [`MountError`].
    pub fn part(&self, tree: OwnedFd, name: &str) -> Result<OwnedFd, MountError> {
        const STEP: &str = "taking a directory of the tree";
        let attached = self.attach(std::slice::from_ref(&tree))?;
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let found = kernel::resolve::open(tree.as_fd(), name, PLACE, Mode::empty(), inside);
        let part = cloned(&found.step(STEP)?, OpenTreeFlags::empty()).step(STEP)?;
        attached.detach()?;
        Ok(part)
    }

    /// Trees over each other, the highest first. What is written goes to the directory `data` of `writable`, where one is given, with `work`
    /// beside it; both are made where they are missing.
    ///
    /// # Errors
    /// See [`MountError`].
    pub fn layered(
        &self,
        trees: Vec<OwnedFd>,
        writable: Option<&OwnedFd>,
    ) -> Result<OwnedFd, MountError> {
        let attached = self.attach(&trees)?;
        let tree = overlay(&trees, writable)?;
        attached.detach()?;
        Ok(tree)
    }

    fn attach<'trees>(&self, trees: &'trees [OwnedFd]) -> Result<Attached<'trees>, MountError> {
        let attached = if self.attaches { trees } else { &[] };
        Attached::new(attached)
    }
}

/// A clone of a directory of the host, without what is mounted in it.
///
/// # Errors
/// See [`MountError`].
pub fn directory_alone(opened: &OwnedFd, read_only: bool) -> Result<OwnedFd, MountError> {
    let tree = cloned(opened, OpenTreeFlags::empty()).step("cloning the directory")?;
    if read_only {
        let reach = kernel::mount::Reach::Mount;
        kernel::mount::set_attributes(&tree, kernel::mount::READ_ONLY, 0, reach)
            .step("making the directory read-only")?;
    }
    Ok(tree)
}

fn overlay(trees: &[OwnedFd], writable: Option<&OwnedFd>) -> Result<OwnedFd, MountError> {
    const STEP: &str = "laying the trees over each other";
    let context = call::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).step(STEP)?;
    // Numbers are short where the paths begin at the descriptors.
    rustix::process::chdir("/proc/self/fd").step(STEP)?;
    let number = |tree: &OwnedFd| tree.as_raw_fd().to_string();
    let set =
        |key: &str, value: &str| call::fsconfig_set_string(context.as_fd(), key, value).step(STEP);
    let lower: Vec<String> = trees.iter().map(number).collect();
    set("lowerdir", &lower.join(":"))?;
    let mut attributes = kept(trees).step(STEP)?;
    let upper = writable
        .map(|folder| directories(folder, trees))
        .transpose();
    let upper = upper.step("making the directories that are written to")?;
    match &upper {
        Some([data, work]) => {
            set("upperdir", &number(data))?;
            set("workdir", &number(work))?;
        }
        None => attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY,
    }
    call::fsconfig_create(context.as_fd()).step(STEP)?;
    rustix::process::chdir("/").step(STEP)?;
    call::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).step(STEP)
}

/// What one of them keeps from those who use it, all together keep.
fn kept(trees: &[OwnedFd]) -> Result<MountAttrFlags, Errno> {
    let mut attributes = MountAttrFlags::empty();
    for tree in trees {
        let flags = rustix::fs::fstatvfs(tree)?.f_flag;
        for (flag, attribute) in [
            (StatVfsMountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (StatVfsMountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
            (StatVfsMountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        ] {
            if flags.contains(flag) {
                attributes |= attribute;
            }
        }
    }
    Ok(attributes)
}

/// Where changes go. A new one is looked at like the tree below it.
fn directories(folder: &OwnedFd, trees: &[OwnedFd]) -> Result<[OwnedFd; 2], Errno> {
    let open = |name| rustix::fs::openat(folder, name, PLACE | OFlags::NOFOLLOW, Mode::empty());
    let make = |name| match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(false),
        made => made.map(|()| true),
    };
    if make("data")?
        && let Some(highest) = trees.first()
    {
        let status = rustix::fs::fstat(highest)?;
        let (user, group) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(folder, "data", Some(user), Some(group), nofollow)?;
        let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
        rustix::fs::chmodat(folder, "data", mode, AtFlags::empty())?;
    }
    make("work")?;
    Ok([open("data")?, open("work")?])
}

/// Trees that are mounted for a moment, over the root of this process's namespace.
struct Attached<'trees>(&'trees [OwnedFd]);

impl<'trees> Attached<'trees> {
    fn new(trees: &'trees [OwnedFd]) -> Result<Self, MountError> {
        const STEP: &str = "attaching a tree";
        for tree in trees {
            let place = rustix::fs::open("/", PLACE, Mode::empty()).step(STEP)?;
            move_mount(tree, place).step(STEP)?;
        }
        Ok(Self(trees))
    }

    /// They are mounted nowhere again; where one of the steps before failed, they go with the namespace.
    fn detach(self) -> Result<(), MountError> {
        for tree in self.0.iter().rev() {
            let path = format!("/proc/self/fd/{}", tree.as_raw_fd());
            call::unmount(path, UnmountFlags::DETACH).step("detaching a tree")?;
        }
        Ok(())
    }
}
