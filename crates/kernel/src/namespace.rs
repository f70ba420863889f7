//! Leaving and entering namespaces, and the names in them.

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::Result;
use crate::syscall::syscall;

/// Mount namespace.
pub const MOUNT: u32 = sys::CLONE_NEWNS;
/// Control group namespace.
pub const CGROUP: u32 = sys::CLONE_NEWCGROUP;
/// Host name.
pub const UTS: u32 = sys::CLONE_NEWUTS;
/// System V and POSIX message queues, shared memory, semaphores.
pub const IPC: u32 = sys::CLONE_NEWIPC;
/// Users and capabilities.
pub const USER: u32 = sys::CLONE_NEWUSER;
/// Process ids.
pub const PID: u32 = sys::CLONE_NEWPID;
/// Network.
pub const NETWORK: u32 = sys::CLONE_NEWNET;
/// Boot and monotonic clock.
pub const TIME: u32 = sys::CLONE_NEWTIME;

/// All kinds that exist, with their file names below `/proc/self/ns`.
pub const KINDS: [(u32, &core::ffi::CStr); 8] = [
    (MOUNT, c"mnt"),
    (CGROUP, c"cgroup"),
    (UTS, c"uts"),
    (IPC, c"ipc"),
    (USER, c"user"),
    (PID, c"pid"),
    (NETWORK, c"net"),
    (TIME, c"time"),
];

const ALL: u32 = MOUNT | CGROUP | UTS | IPC | USER | PID | NETWORK | TIME;

/// Moves this process into new namespaces; for [`PID`] and [`TIME`] its future children. Other bits are EINVAL here.
pub fn unshare(namespaces: u32) -> Result<()> {
    if namespaces & !ALL != 0 {
        return Err(crate::Errno::INVAL);
    }
    // SAFETY: only namespace bits pass the check above: the descriptor table and memory stay shared as they were.
    unsafe { syscall(sys::__NR_unshare, [namespaces as usize, 0, 0, 0, 0, 0]) }.map(drop)
}

/// Moves this process into the namespace behind `descriptor`; or into those of a process, given its pidfd and several bits.
pub fn join(descriptor: impl AsFd, namespaces: u32) -> Result<()> {
    let number = descriptor.as_fd().as_raw_fd() as usize;
    // SAFETY: plain numbers; memory isn't affected.
    unsafe { syscall(sys::__NR_setns, [number, namespaces as usize, 0, 0, 0, 0]) }.map(drop)
}

/// The user namespace that owns a namespace (ioctl_nsfs(2), since Linux 4.9). EPERM: it is none of ours and of those below it.
pub fn owner_of(namespace: impl AsFd) -> Result<OwnedFd> {
    const NS_GET_USERNS: usize = 0xb701;
    let number = namespace.as_fd().as_raw_fd() as usize;
    // SAFETY: takes no argument, and gives a new descriptor.
    let opened = unsafe { syscall(sys::__NR_ioctl, [number, NS_GET_USERNS, 0, 0, 0, 0]) }?;
    let opened = i32::try_from(opened).map_err(|_| crate::Errno::OVERFLOW)?;
    // SAFETY: just opened for us.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// The mount namespace of the process behind `pidfd` (since Linux 6.11). ESRCH: it has none any more.
pub fn mounts_of(pidfd: impl AsFd) -> Result<OwnedFd> {
    const PIDFD_GET_MNT_NAMESPACE: usize = 0xff03;
    let number = pidfd.as_fd().as_raw_fd() as usize;
    // SAFETY: takes no argument, and gives a new descriptor.
    let opened = unsafe {
        syscall(
            sys::__NR_ioctl,
            [number, PIDFD_GET_MNT_NAMESPACE, 0, 0, 0, 0],
        )
    }?;
    // SAFETY: the kernel just made it, and no one else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(opened as i32) })
}

/// Whether this process is in the pid namespace that the kernel begins with: it has a fixed number (`PROC_PID_INIT_INO`, Linux 3.8).
/// Without `/proc` nobody can say, and it is not.
#[cfg(feature = "std")]
#[must_use]
pub fn has_first_processes() -> bool {
    const FIRST: &str = "pid:[4026531836]";
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    namespace.is_ok_and(|namespace| namespace == std::path::Path::new(FIRST))
}

/// Sets the host name of this UTS namespace.
pub fn set_host_name(name: &[u8]) -> Result<()> {
    // SAFETY: sethostname reads the bytes whose length goes along.
    unsafe {
        syscall(
            sys::__NR_sethostname,
            [name.as_ptr() as usize, name.len(), 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Sets the NIS domain name of this UTS namespace.
pub fn set_domain_name(name: &[u8]) -> Result<()> {
    // SAFETY: setdomainname reads the bytes whose length goes along.
    unsafe {
        syscall(
            sys::__NR_setdomainname,
            [name.as_ptr() as usize, name.len(), 0, 0, 0, 0],
        )
    }
    .map(drop)
}
