//! The sandbox of a program that is observed: no network, no privilege on the host, nothing to write but memory, no one's home.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use kernel::{credentials, mount, namespace, process};
use plan::seccomp::{self, Instruction, Machine, Restrictions};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
    open_tree,
};

/// Nobody: whom root becomes.
const NOBODY: u32 = 65534;

/// Empty in the sandbox, and only in memory.
const EMPTY: [&str; 6] = ["/tmp", "/var/tmp", "/run", "/home", "/root", "/dev/pts"];

/// Where a program lies that is no program of the system's.
const COPIES: &str = "/tmp/observed";

/// Where programs of the system lie, which anybody can run.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt"];

/// Nothing of it is a service's to do: it would change what the program sees, look into others, or reach parts of the kernel where nothing
/// of a program's files is.
const DENIED: [&str; 52] = [
    "_sysctl",
    "acct",
    "add_key",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "open_tree_attr",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setns",
    "settimeofday",
    "swapon",
    "syslog",
    "umount",
    "umount2",
    "userfaultfd",
];

/// Which file something is, whatever it is called: device and inode.
pub(super) type Identity = (u64, u64);

/// The identity of what is open, or of where a path leads.
pub(super) fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Enters a sandbox; where the program is in it comes back, and which file it was.
///
/// # Errors
/// When a part of it can't be had: without all of it, nothing is run.
pub(super) fn enter(program: &Path) -> Result<(PathBuf, Identity)> {
    let program_file =
        File::open(program).with_context(|| format!("cannot read {}", program.display()))?;
    let program_identity = identity(&program_file.metadata()?);
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
    // What watches has the privilege to undo all this, so nobody may look into it; it has written its maps.
    process::set_dumpable(false)?;
    Ok((place, program_identity))
}

/// Takes from the program all that made the sandbox: in another user namespace every mount is locked, and no privilege is left.
///
/// # Errors
/// When a part of it can't be had: the program must not run then.
pub(super) fn give_up() -> Result<()> {
    map(namespace::USER | namespace::MOUNT)?;
    credentials::clear_ambient()?;
    for capability in 0.. {
        match credentials::drop_from_bounding_set(capability) {
            Ok(()) => {}
            // Beyond the last one.
            Err(rustix::io::Errno::INVAL) if capability > 0 => break,
            Err(error) => return Err(error).context("cannot give up privileges"),
        }
    }
    let none = credentials::CapabilitySets {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    };
    credentials::set_capabilities(none).context("cannot give up privileges")?;
    process::set_no_new_privileges()?;
    Ok(())
}

/// Refuses the program what no service needs, for good. After this nothing can be watched that is not watched already.
///
/// # Errors
/// When the host has no seccomp.
pub(super) fn refuse_calls() -> Result<()> {
    let restrictions = Restrictions {
        denied_namespaces: namespace::KINDS.iter().fold(0, |all, (kind, _)| all | kind),
        denied_calls: DENIED.to_vec(),
        ..Restrictions::default()
    };
    let native = if cfg!(target_arch = "x86_64") {
        Machine::X86_64
    } else {
        Machine::Aarch64
    };
    let program = seccomp::compile(&restrictions, native)
        .ok()
        .context("the filter of system calls is too long")?;
    let bytes: Vec<u8> = program.iter().flat_map(Instruction::bytes).collect();
    kernel::seccomp::install(&bytes, 0).context("cannot filter the program's system calls")?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_that_is_refused_is_one() {
        let known = |call: &&str| {
            [Machine::X86_64, Machine::X86, Machine::Aarch64]
                .iter()
                .any(|machine| machine.number(call).is_some())
        };
        let unknown: Vec<_> = DENIED.iter().filter(|call| !known(call)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
