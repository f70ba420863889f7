//! The host's programs, laid under an image's own, where the image has no shell.
//!
//! In a copy of the mount namespace, so that the service never sees them: `/usr` becomes an overlay of the image's `/usr` over the
//! host's, and the few links that merged systems have at the top (`/bin`, `/lib64`) are bound to it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use kernel::namespace;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    mount_change, move_mount, open_tree,
};

/// Directories at the top of a merged system that are links into `/usr`.
const TOP: &[&str] = &["bin", "sbin", "lib", "lib64"];

/// Makes sure that there is a shell; does nothing where the image has one.
///
/// # Errors
/// When the copy of the mount namespace or an overlay can't be made.
pub(crate) fn add(host_usr: &OwnedFd) -> Result<()> {
    if Path::new("/bin/sh").exists() {
        return Ok(());
    }
    namespace::unshare(namespace::MOUNT).context("cannot copy the mount namespace")?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let scratch = scratch()?;
    for folder in ["host", "image", "usr"] {
        fs::create_dir(scratch.join(folder))?;
    }
    attach(host_usr, &scratch.join("host"))?;
    let image = open_tree(
        CWD,
        "/usr",
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    attach(&image, &scratch.join("image"))?;
    let layers = format!("{0}/image:{0}/host", scratch.display());
    let usr = overlay(&layers)?;
    attach(&usr, Path::new("/usr"))?;
    TOP.iter().try_for_each(|name| top(name))
}

/// A file system in memory over `/mnt` or another directory that every root has and no service needs now.
fn scratch() -> Result<std::path::PathBuf> {
    let place = [
        "/mnt", "/media", "/srv", "/opt", "/home", "/root", "/boot", "/tmp",
    ]
    .into_iter()
    .find(|path| Path::new(path).is_dir());
    let place = Path::new(place.context("the image has no directory for the host's programs")?);
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "mode", "0755")?;
    fsconfig_create(context.as_fd())?;
    let mount = fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
    )?;
    attach(&mount, place)?;
    Ok(place.to_owned())
}

fn overlay(layers: &str) -> Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "lowerdir", layers)?;
    fsconfig_set_flag(context.as_fd(), "ro")?;
    fsconfig_create(context.as_fd()).context("cannot lay the host's programs under the image's")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

fn attach(mount: &impl AsFd, place: &Path) -> Result<()> {
    move_mount(
        mount.as_fd(),
        "",
        CWD,
        place,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .with_context(|| format!("cannot mount on {}", place.display()))
}

/// Shows `/usr/NAME` at `/NAME`, where the image has a directory of that name and no link.
fn top(name: &str) -> Result<()> {
    let place = Path::new("/").join(name);
    let source = Path::new("/usr").join(name);
    let is_directory = place
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_dir());
    if !is_directory || !source.exists() {
        return Ok(());
    }
    let tree = open_tree(
        CWD,
        &source,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    attach(&tree, &place)
}
