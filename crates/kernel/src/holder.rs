//! A new user namespace that somebody else is to enter, when its maps are written.
//!
//! Only a process outside may write other maps than that of its own user. So a child is born in the namespace that shares everything
//! with its parent, opens its own directory of proc(5) and its namespace and ends; as a zombie it keeps the namespace until it is reaped.

use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};

use crate::spawn::CloneRequest;
use crate::syscall::decode;
use crate::{Errno, Result};

const SIGCHLD: u64 = 17;
/// Two calls into the kernel, and what the compiler spills around them.
const STACK_BYTES: usize = 8192;

/// Memory that the child runs on.
#[repr(C, align(16))]
struct Stack(MaybeUninit<[u8; STACK_BYTES]>);

/// What the child is to open, and what came of it: numbers, or a negative error number.
struct Errand<'a> {
    proc: BorrowedFd<'a>,
    opened: i32,
    namespace: i32,
}

/// A zombie in the namespace.
#[derive(Debug)]
pub struct Holder {
    pidfd: OwnedFd,
    /// Its directory of proc(5): `uid_map` and `gid_map` are looked for there.
    pub process: OwnedFd,
    /// The namespace. The child opens it, as only who may trace it could do so from outside.
    pub namespace: OwnedFd,
}

impl Holder {
    /// Makes the namespace, owned by this process's user. `proc` is the directory of a mounted proc(5) in which this process is seen, not what
    /// somebody else may have put at its path.
    ///
    /// # Errors
    /// Those of clone3(2), and of opening `self` in `proc`.
    pub fn new(proc: impl AsFd) -> Result<Self> {
        let mut stack = Stack(MaybeUninit::uninit());
        let mut pidfd = -1_i32;
        let mut errand = Errand {
            proc: proc.as_fd(),
            opened: -1,
            namespace: -1,
        };
        let shared = sys::CLONE_VM | sys::CLONE_VFORK | sys::CLONE_FILES;
        let mut clone = CloneRequest {
            flags: u64::from(shared | sys::CLONE_PIDFD | sys::CLONE_NEWUSER),
            pidfd: core::ptr::from_mut(&mut pidfd) as u64,
            exit_signal: SIGCHLD,
            stack: stack.0.as_mut_ptr() as u64,
            stack_size: STACK_BYTES as u64,
            ..CloneRequest::default()
        };
        let argument = core::ptr::from_mut(&mut errand);
        // SAFETY: `clone` is a clone_args of the size passed, its stack is memory of this frame that nothing else uses, and `errand` is in
        // this frame, too, which stands still until the child has ended (CLONE_VFORK). `child` never returns.
        let answer =
            unsafe { crate::spawn::clone_and_call(&raw mut clone, child, argument.cast()) };
        decode(answer)?;
        // SAFETY: CLONE_PIDFD made the kernel store a new descriptor, which no one else owns.
        let pidfd = unsafe { OwnedFd::from_raw_fd((&raw const pidfd).read_volatile()) };
        // SAFETY: the child wrote it before the call returned; volatile since the compiler can't see that.
        let opened = unsafe { (&raw const (*argument).opened).read_volatile() };
        // SAFETY: as above.
        let namespace = unsafe { (&raw const (*argument).namespace).read_volatile() };
        // SAFETY: the child opened both in the table that it shared with us, and no one else owns them.
        let open = |number| unsafe { OwnedFd::from_raw_fd(number) };
        let process = (opened >= 0).then(|| open(opened));
        let held = (namespace >= 0).then(|| open(namespace));
        if let (Some(process), Some(namespace)) = (process, held) {
            return Ok(Self {
                pidfd,
                process,
                namespace,
            });
        }
        crate::wait::discard(&pidfd);
        Err(Errno::from_raw_os_error(-opened.min(namespace)))
    }

    /// Reaps the zombie; the descriptor keeps the namespace.
    ///
    /// # Errors
    /// Those of waitid(2).
    pub fn reap(self) -> Result<OwnedFd> {
        crate::wait::wait(&self.pidfd)?;
        Ok(self.namespace)
    }
}

/// The child's whole life: the numbers of its directory and its namespace go to the errand.
extern "C" fn child(argument: *mut c_void) -> ! {
    let errand = argument.cast::<Errand<'_>>();
    // SAFETY: `Holder::new` passes an errand of its frame, and stands still while this runs.
    let proc = unsafe { (&raw const (*errand).proc).read() };
    let directory = open(proc, c"self", OFlags::PATH | OFlags::DIRECTORY);
    let namespace = open(proc, c"self/ns/user", OFlags::RDONLY);
    // SAFETY: as above.
    unsafe { (&raw mut (*errand).opened).write_volatile(directory) };
    // SAFETY: as above.
    unsafe { (&raw mut (*errand).namespace).write_volatile(namespace) };
    crate::process::exit_group(0)
}

/// The number of what is opened, which is then the parent's, or a negative error number.
fn open(directory: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> i32 {
    match rustix::fs::openat(directory, path, flags | OFlags::CLOEXEC, Mode::empty()) {
        Ok(opened) => opened.into_raw_fd(),
        Err(errno) => -errno.raw_os_error(),
    }
}
