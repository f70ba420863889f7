//! Processes: executing, forking without a C library, pidfds, prctl calls that rustix lacks.

use core::ffi::{CStr, c_char};

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd};

use crate::syscall::syscall;
use crate::{Errno, Result};

/// A null-terminated list of texts for `execve`, borrowed from its owner.
///
/// Built over a caller's buffer, so that it works without an allocator.
#[derive(Clone, Copy)]
pub struct TextList<'a> {
    pointers: &'a [*const c_char],
    texts: core::marker::PhantomData<&'a CStr>,
}

impl<'a> TextList<'a> {
    /// Lays the addresses of `texts` and a null into `room`; `None` if they do not fit.
    pub fn new(
        texts: impl Iterator<Item = &'a CStr>,
        room: &'a mut [*const c_char],
    ) -> Option<Self> {
        let mut used = 0;
        for text in texts {
            *room.get_mut(used)? = text.as_ptr();
            used += 1;
        }
        *room.get_mut(used)? = core::ptr::null();
        Some(Self {
            pointers: room.get(..=used)?,
            texts: core::marker::PhantomData,
        })
    }

    pub(crate) fn as_ptr(self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// How [`execute_at`] resolves its path.
pub const EMPTY_PATH: u32 = sys::AT_EMPTY_PATH;

/// Executes the open file `program` itself, by execveat(2) with an empty path. Returns only on failure.
///
/// A script behind a close-on-exec descriptor cannot be executed this way (ENOENT): its interpreter could not open it.
pub fn execute(program: impl AsFd, arguments: TextList<'_>, environment: TextList<'_>) -> Errno {
    execute_at(program, c"", arguments, environment, EMPTY_PATH)
}

/// Executes `path` below `directory`, by execveat(2). Returns only on failure.
pub fn execute_at(
    directory: impl AsFd,
    path: &CStr,
    arguments: TextList<'_>,
    environment: TextList<'_>,
    flags: u32,
) -> Errno {
    let directory = directory.as_fd().as_raw_fd() as usize;
    // SAFETY: execveat needs a NUL-terminated path and two null-terminated lists of texts; `CStr` and `TextList` are those.
    let answer = unsafe {
        syscall(
            sys::__NR_execveat,
            [
                directory,
                path.as_ptr() as usize,
                arguments.as_ptr() as usize,
                environment.as_ptr() as usize,
                flags as usize,
                0,
            ],
        )
    };
    answer.err().unwrap_or(Errno::INVAL)
}

/// Executes the file at `path`, by execve(2). Returns only on failure.
pub fn execute_path(path: &CStr, arguments: TextList<'_>, environment: TextList<'_>) -> Errno {
    // SAFETY: as for execveat: `CStr` and `TextList` are NUL- and null-terminated.
    let answer = unsafe {
        syscall(
            sys::__NR_execve,
            [
                path.as_ptr() as usize,
                arguments.as_ptr() as usize,
                environment.as_ptr() as usize,
                0,
                0,
                0,
            ],
        )
    };
    answer.err().unwrap_or(Errno::INVAL)
}

/// Ends the whole process, without running anything on the way.
pub fn exit_group(status: i32) -> ! {
    loop {
        // SAFETY: exit_group takes a plain number and does not return.
        let _never = unsafe { syscall(sys::__NR_exit_group, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Which side of a [`fork`] this is.
pub enum Forked {
    /// The new process.
    Child,
    /// The old one, which learns the new one's id, and its pidfd.
    Parent(rustix::process::Pid, rustix::fd::OwnedFd),
}

/// Forks by clone3(2) with a pidfd and SIGCHLD; `flags` are further `CLONE_NEW…` namespaces.
///
/// Only for a process of one thread: EINVAL otherwise, since the child would hold locks that no one releases. A C library's
/// idea of the thread's id is stale in the child, which should therefore only make plain calls and end.
pub fn fork_alone(flags: u64) -> Result<Forked> {
    // SAFETY: of a process with one thread this changes nothing; of one with more the kernel refuses it (unshare(2)).
    unsafe {
        syscall(
            sys::__NR_unshare,
            [sys::CLONE_THREAD as usize, 0, 0, 0, 0, 0],
        )
    }?;
    // SAFETY: there is one thread, and what the child may then do is this function's contract.
    unsafe { fork_plain(flags) }
}

/// As [`fork_alone`], also from a process with threads.
///
/// # Safety
///
/// The child must make system calls only: it has one thread, and locks that the others held are held for good.
pub(crate) unsafe fn fork_plain(flags: u64) -> Result<Forked> {
    use rustix::fd::FromRawFd;
    let mut pidfd: i32 = -1;
    let mut request = crate::spawn::CloneRequest {
        flags: flags | u64::from(sys::CLONE_PIDFD),
        pidfd: core::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: 17,
        ..crate::spawn::CloneRequest::default()
    };
    if flags & u64::from(sys::CLONE_VM | sys::CLONE_VFORK | sys::CLONE_THREAD | sys::CLONE_FILES)
        != 0
    {
        return Err(Errno::INVAL);
    }
    let request = core::ptr::from_mut(&mut request) as usize;
    // SAFETY: clone3 needs a struct of the size that goes along; without CLONE_VM the child has its own copy of the stack.
    let answer = unsafe {
        syscall(
            sys::__NR_clone3,
            [request, size_of::<crate::spawn::CloneRequest>(), 0, 0, 0, 0],
        )
    }?;
    match rustix::process::Pid::from_raw(answer as i32) {
        None => Ok(Forked::Child),
        // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor there, and no one else owns it.
        Some(pid) => Ok(Forked::Parent(pid, unsafe {
            rustix::fd::OwnedFd::from_raw_fd(pidfd)
        })),
    }
}

/// The number of the process behind `pidfd` that no other has had since the boot; none before Linux 6.9, where all pidfds are one file.
#[must_use]
pub fn identity(pidfd: impl AsFd) -> Option<u64> {
    /// `PID_FS_MAGIC` of the kernel's magic.h.
    const PID_FILE_SYSTEM: u32 = 0x5049_4446;
    let kind = rustix::fs::fstatfs(&pidfd).ok()?.f_type;
    // A C library's type may be signed.
    let is_own = kind as u32 == PID_FILE_SYSTEM;
    let status = rustix::fs::fstat(&pidfd).ok().filter(|_| is_own)?;
    Some(status.st_ino)
}

/// Sends `signal` to the process behind `pidfd`; a real-time signal too, which is why it is a number.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd() as usize;
    // SAFETY: a null siginfo is allowed: the kernel fills one in.
    unsafe {
        syscall(
            sys::__NR_pidfd_send_signal,
            [pidfd, signal as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Whether a descriptor is one of a process.
#[must_use]
pub fn is_pidfd(descriptor: impl AsFd) -> bool {
    // A dead process (ESRCH) or one that may not be signalled (EPERM) is one still.
    send_signal(descriptor, 0) != Err(Errno::BADF)
}

/// Whether the process behind `pidfd` has ended, whoever its parent is.
#[must_use]
pub fn has_ended(pidfd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut watched = [PollFd::new(&pidfd, PollFlags::IN)];
    poll(
        &mut watched,
        Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    )
    .is_ok_and(|ready| ready > 0)
}

/// Sends `signal` as kill(2) does: a process, a negative process group, or -1 for all that may be signalled.
pub fn kill(target: i32, signal: i32) -> Result<()> {
    // SAFETY: plain numbers. What the signal does to other processes is the caller's intent.
    unsafe {
        syscall(
            sys::__NR_kill,
            [target as usize, signal as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Sets the execution domain, see personality(2); answers the old one. `0xffff_ffff` only asks.
pub fn set_personality(persona: u32) -> Result<u32> {
    // SAFETY: a plain number, which changes no memory that exists.
    unsafe { syscall(sys::__NR_personality, [persona as usize, 0, 0, 0, 0, 0]) }
        .map(|old| old as u32)
}

/// A prctl(2) whose arguments are plain numbers.
///
/// For operations that take no pointer and change no address space; others have functions of their own.
fn control(operation: u32, argument: usize) -> Result<usize> {
    // SAFETY: private, and each caller's operation takes numbers only; unused arguments must be zero and are.
    unsafe { syscall(sys::__NR_prctl, [operation as usize, argument, 0, 0, 0, 0]) }
}

/// Sets this thread's name as `ps` shows it, at most 15 bytes.
pub fn set_name(name: &CStr) -> Result<()> {
    rustix::thread::set_name(name)
}

/// Lets core dumps and ptrace by the same user happen, or not (PR_SET_DUMPABLE).
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    control(linux_raw_sys::prctl::PR_SET_DUMPABLE, usize::from(dumpable)).map(drop)
}

/// Makes this process the parent of its orphaned descendants (PR_SET_CHILD_SUBREAPER).
pub fn set_subreaper(subreaper: bool) -> Result<()> {
    control(
        linux_raw_sys::prctl::PR_SET_CHILD_SUBREAPER,
        usize::from(subreaper),
    )
    .map(drop)
}

/// Forbids gaining privileges by execution from now on, for good (PR_SET_NO_NEW_PRIVS).
pub fn set_no_new_privileges() -> Result<()> {
    control(linux_raw_sys::prctl::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// The signal that this process gets when its parent ends; 0 for none (PR_SET_PDEATHSIG).
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    control(linux_raw_sys::prctl::PR_SET_PDEATHSIG, signal as usize).map(drop)
}

/// Forbids memory that is writable and executable, kept over exec (PR_SET_MDWE, since Linux 6.3).
pub fn refuse_writable_executable() -> Result<()> {
    const PR_SET_MDWE: u32 = 65;
    const PR_MDWE_REFUSE_EXEC_GAIN: usize = 1;
    control(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN).map(drop)
}

/// Merges identical pages of this process and what it executes (PR_SET_MEMORY_MERGE, since Linux 6.4).
pub fn set_memory_merge(merge: bool) -> Result<()> {
    const PR_SET_MEMORY_MERGE: u32 = 67;
    control(PR_SET_MEMORY_MERGE, usize::from(merge)).map(drop)
}

/// Which huge pages this process and what it executes don't have: none, all but those that are asked for, which are Linux 6.18's
/// PR_THP_DISABLE_EXCEPT_ADVISED, or all (PR_SET_THP_DISABLE).
pub fn disable_huge_pages(disable: bool, except_advised: bool) -> Result<()> {
    const EXCEPT_ADVISED: usize = 2;
    let flags = if except_advised { EXCEPT_ADVISED } else { 0 };
    let operation = linux_raw_sys::prctl::PR_SET_THP_DISABLE as usize;
    // SAFETY: the operation takes plain numbers.
    unsafe {
        syscall(
            sys::__NR_prctl,
            [operation, usize::from(disable), flags, 0, 0, 0],
        )
    }
    .map(drop)
}

/// How late timers of this process may fire, in nanoseconds (PR_SET_TIMERSLACK).
pub fn set_timer_slack(nanoseconds: u64) -> Result<()> {
    control(
        linux_raw_sys::prctl::PR_SET_TIMERSLACK,
        usize::try_from(nanoseconds).unwrap_or(usize::MAX),
    )
    .map(drop)
}

/// Sets the soft and hard limit of `resource`, a `RLIMIT_…` number, of this process; `u64::MAX` is no limit.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limits = [soft, hard];
    // SAFETY: prlimit64 reads two 64-bit numbers and, given a null pointer, writes nothing.
    unsafe {
        syscall(
            sys::__NR_prlimit64,
            [0, resource as usize, limits.as_ptr() as usize, 0, 0, 0],
        )
    }
    .map(drop)
}

/// The soft and hard limit of `resource`.
pub fn limit(resource: u32) -> Result<(u64, u64)> {
    let mut limits = [0u64; 2];
    // SAFETY: prlimit64 writes two 64-bit numbers and, given a null pointer, sets nothing.
    unsafe {
        syscall(
            sys::__NR_prlimit64,
            [0, resource as usize, 0, limits.as_mut_ptr() as usize, 0, 0],
        )
    }?;
    Ok((limits[0], limits[1]))
}

/// `RLIMIT_NOFILE`: open descriptors.
pub const LIMIT_OPEN_FILES: u32 = 7;
