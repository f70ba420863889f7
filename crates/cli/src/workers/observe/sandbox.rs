//! The sandbox of a program that is observed: no network, no privilege on the host, nothing to write but memory, no one's home.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use kernel::{credentials, mount, namespace, process};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
    open_tree,
};

/// Nobody: whom root becomes.
const NOBODY: u32 = 65534;

/// Empty in the sandbox, and only in memory.
const EMPTY: [&str; 5] = ["/tmp", "/var/tmp", "/run", "/home", "/root"];

/// Where a program lies that is no program of the system's.
const COPIES: &str = "/tmp/observed";

/// Where programs of the system lie, which anybody can run.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt"];

/// Enters a sandbox; where the program is in it comes back.
///
/// # Errors
/// When a part of it can't be had: without all of it, nothing is run.
pub(super) fn enter(program: &Path) -> Result<PathBuf> {
    let program_file =
        File::open(program).with_context(|| format!("cannot read {}", program.display()))?;
    process::set_no_new_privileges()?;
    if rustix::process::geteuid().is_root() {
        credentials::set_groups(&[])?;
        credentials::set_group(NOBODY)?;
        credentials::set_user(NOBODY)?;
        // Its own maps are otherwise root's to write.
        process::set_dumpable(true)?;
    }
    map(namespace::USER
        | namespace::MOUNT
        | namespace::NETWORK
        | namespace::IPC
        | namespace::UTS
        | namespace::PID)?;
    let place = mounts(program, program_file)?;
    kernel::interface::bring_up(c"lo").context("cannot bring its own network up")?;
    Ok(place)
}

/// Enters namespaces with a user namespace, in which it seems to be root and is nobody else than before.
fn map(namespaces: u32) -> Result<()> {
    let (user, group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    namespace::unshare(namespaces).context(
        "cannot make namespaces for the program: the host may forbid user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)",
    )?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        let path = format!("/proc/self/{file}");
        fs::write(&path, text).with_context(|| format!("cannot write {path}"))?;
    }
    Ok(())
}

/// Makes everything read-only and hides what is nobody's business.
fn mounts(program: &Path, mut file: File) -> Result<PathBuf> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let root = open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    let read_only =
        u64::from((MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID).bits());
    mount::set_attributes(root, read_only, 0, mount::Reach::Tree)
        .context("cannot make the host's files read-only")?;
    for place in EMPTY.into_iter().filter(|place| Path::new(place).is_dir()) {
        let memory = memory()?;
        move_mount(
            memory.as_fd(),
            "",
            CWD,
            place,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .with_context(|| format!("cannot hide {place}"))?;
    }
    if SYSTEM
        .iter()
        .any(|directory| program.starts_with(directory))
    {
        return Ok(program.to_owned());
    }
    let copy = Path::new(COPIES).join(program.file_name().context("the program has no name")?);
    fs::create_dir(COPIES)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    File::create(&copy)?.write_all(&bytes)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(COPIES, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

/// Shows a process its own processes only: the first of a pid namespace calls it.
///
/// # Errors
/// When a new /proc can't be mounted.
pub(super) fn own_processes() -> Result<()> {
    namespace::unshare(namespace::MOUNT)?;
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd()).context("cannot mount a /proc of its own: where that of the host is covered in part, programs can't be observed")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    move_mount(
        proc.as_fd(),
        "",
        CWD,
        "/proc",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(())
}

fn memory() -> Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "mode", "1777")?;
    fsconfig_set_string(context.as_fd(), "size", "25%")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}
