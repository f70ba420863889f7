//! Waiting for children by pidfd, with and without taking the status away.

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd};

use crate::Result;
use crate::syscall::syscall;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By exit with this status.
    Exited(i32),
    /// By a signal.
    Killed {
        /// Its number.
        signal: i32,
        /// Whether core was dumped.
        dumped: bool,
    },
}

/// A dead child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Its process id.
    pub pid: u32,
    /// How it ended.
    pub ending: Ending,
}

const P_ALL: usize = 0;
const P_PIDFD: usize = 3;
const CLD_EXITED: i32 = 1;
const CLD_DUMPED: i32 = 3;

/// `siginfo_t` of SIGCHLD on 64-bit machines.
#[repr(C)]
struct ChildInformation {
    signal: i32,
    errno: i32,
    code: i32,
    padding: i32,
    pid: i32,
    uid: u32,
    status: i32,
    rest: [i32; 25],
}

fn wait_id(which: usize, id: usize, options: u32) -> Result<Option<Dead>> {
    let mut information = ChildInformation {
        signal: 0,
        errno: 0,
        code: 0,
        padding: 0,
        pid: 0,
        uid: 0,
        status: 0,
        rest: [0; 25],
    };
    let address = core::ptr::from_mut(&mut information) as usize;
    // SAFETY: waitid writes one siginfo_t, 128 bytes, which the struct is; a null rusage is allowed.
    unsafe {
        syscall(
            sys::__NR_waitid,
            [which, id, address, (options | sys::WEXITED) as usize, 0, 0],
        )
    }?;
    if information.pid == 0 {
        return Ok(None);
    }
    let ending = match information.code {
        CLD_EXITED => Ending::Exited(information.status),
        code => Ending::Killed {
            signal: information.status,
            dumped: code == CLD_DUMPED,
        },
    };
    Ok(Some(Dead {
        pid: information.pid as u32,
        ending,
    }))
}

/// Looks whether the child behind `pidfd` has ended; its status stays. ECHILD: it is another's child.
pub fn peek(pidfd: impl AsFd) -> Result<Option<Dead>> {
    wait_id(
        P_PIDFD,
        pidfd.as_fd().as_raw_fd() as usize,
        sys::WNOHANG | sys::WNOWAIT,
    )
}

/// Reaps the child behind `pidfd` if it has ended.
pub fn reap(pidfd: impl AsFd) -> Result<Option<Dead>> {
    wait_id(P_PIDFD, pidfd.as_fd().as_raw_fd() as usize, sys::WNOHANG)
}

/// Waits until the child behind `pidfd` has ended, and reaps it.
pub fn wait(pidfd: impl AsFd) -> Result<Dead> {
    loop {
        match wait_id(P_PIDFD, pidfd.as_fd().as_raw_fd() as usize, 0) {
            Ok(Some(dead)) => return Ok(dead),
            Ok(None) | Err(crate::Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Looks at one dead child, whichever comes first; its status stays. ECHILD: there are no children.
pub fn peek_any() -> Result<Option<Dead>> {
    wait_id(P_ALL, 0, sys::WNOHANG | sys::WNOWAIT)
}

/// Reaps one dead child, whichever comes first.
pub fn reap_any() -> Result<Option<Dead>> {
    wait_id(P_ALL, 0, sys::WNOHANG)
}

/// Reaps the child with this process id if it has ended.
pub fn reap_pid(pid: u32) -> Result<Option<Dead>> {
    const P_PID: usize = 1;
    wait_id(P_PID, pid as usize, sys::WNOHANG)
}

/// Waits for a child that is known to be ending, and forgets its status.
pub(crate) fn discard(pidfd: impl AsFd) {
    match wait(pidfd) {
        // The only error left is ECHILD, which means that there is nothing to discard.
        Ok(_) | Err(_) => {}
    }
}
