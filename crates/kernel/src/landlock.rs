//! Landlock: a process gives up what it could still reach by path, by TCP port, by abstract socket or by signal.

use linux_raw_sys::general as sys;
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::syscall::syscall;
use crate::{Errno, Result};

/// `struct landlock_ruleset_attr`: what the rules are about. Older kernels read its beginning.
#[repr(C)]
#[derive(Clone, Copy)]
struct Attributes {
    files: u64,
    network: u64,
    scoped: u64,
}

/// The first versions that handle more than the one before, with the number of kinds of access to files that they have
/// (landlock(7)): those of files and directories, linking across directories, truncating, device ioctls.
const FILE_ACCESSES: &[(u32, u32)] = &[(1, 13), (2, 14), (3, 15), (5, 16)];
/// The version that has TCP ports.
const NETWORK_SINCE: u32 = 4;
/// The version that has scopes.
pub const SCOPES_SINCE: u32 = 6;
/// Binding to TCP ports.
const BIND_TCP: u64 = 1;
/// Abstract sockets and signals of processes outside.
const ALL_SCOPES: u64 = 3;

/// The version that this kernel has; 0 where it has none, or none that is switched on.
pub fn abi() -> u32 {
    const CREATE_RULESET_VERSION: usize = 1;
    // SAFETY: with that flag, a null pointer and size 0 the call only answers a number.
    let answer = unsafe {
        syscall(
            sys::__NR_landlock_create_ruleset,
            [0, 0, CREATE_RULESET_VERSION, 0, 0, 0],
        )
    };
    answer
        .ok()
        .and_then(|abi| u32::try_from(abi).ok())
        .unwrap_or(0)
}

/// Denies this thread, and all that it starts, every file that is not open yet, TCP ports to listen on, and abstract sockets
/// and signals of processes outside, as far as version `abi` has it. Needs no-new-privileges (EPERM).
pub fn deny_all(abi: u32) -> Result<()> {
    let count = FILE_ACCESSES
        .iter()
        .rev()
        .find(|(since, _)| *since <= abi)
        .ok_or(Errno::NOSYS)?
        .1;
    let attributes = Attributes {
        files: (1 << count) - 1,
        network: if abi >= NETWORK_SINCE { BIND_TCP } else { 0 },
        scoped: if abi >= SCOPES_SINCE { ALL_SCOPES } else { 0 },
    };
    // A size that the kernel does not know is refused, so it is told of no more fields than it has.
    let fields = match abi {
        ..NETWORK_SINCE => 1,
        NETWORK_SINCE..SCOPES_SINCE => 2,
        _ => 3,
    };
    let address = core::ptr::from_ref(&attributes) as usize;
    // SAFETY: the call reads `fields` 8-byte numbers from `attributes`, which has three.
    let ruleset = unsafe {
        syscall(
            sys::__NR_landlock_create_ruleset,
            [address, fields * size_of::<u64>(), 0, 0, 0, 0],
        )
    }?;
    let number = i32::try_from(ruleset).map_err(|_| Errno::BADF)?;
    // SAFETY: the call just made this descriptor, and nobody else has it.
    let ruleset = unsafe { OwnedFd::from_raw_fd(number) };
    // SAFETY: takes a descriptor and flags; what it changes is what this thread may do from now on.
    unsafe {
        syscall(
            sys::__NR_landlock_restrict_self,
            [ruleset.as_raw_fd() as usize, 0, 0, 0, 0, 0],
        )
    }
    .map(drop)
}
