//! Descriptors by number: what is inherited, what is closed, what is moved.

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::syscall::syscall;
use crate::{Errno, Result};

/// Takes ownership of a descriptor that this process inherited under a fixed number.
///
/// # Safety
///
/// Nothing else in the process may own that number, now or later.
#[must_use]
pub unsafe fn inherited(number: RawFd) -> OwnedFd {
    // SAFETY: the caller vouches for sole ownership.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Takes ownership of an inherited descriptor for the rest of a program's start, once it is checked to be open.
///
/// For the first lines of a program whose protocol fixes the number, before anything else has opened a descriptor: called
/// twice for one number it would give two owners, and the second close would hit a stranger. EBADF: it isn't open.
pub fn take_inherited(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: fcntl(F_GETFD) only looks, and the number may be closed: then it fails.
    unsafe {
        syscall(
            sys::__NR_fcntl,
            [number as usize, sys::F_GETFD as usize, 0, 0, 0, 0],
        )
    }?;
    // SAFETY: it is open, and by this function's contract inherited and not owned yet.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&owned, rustix::io::FdFlags::CLOEXEC)?;
    Ok(owned)
}

/// Makes descriptor `number` the same as `source`, kept over exec; what was there is closed.
///
/// For laying out descriptors before an exec. An owner of the old one must not exist any more, and the new one has none:
/// it belongs to the program that is executed.
pub fn place(source: impl AsFd, number: RawFd) -> Result<()> {
    place_or_keep(source.as_fd().as_raw_fd(), number)
}

/// The same by numbers; one that has its number already is only kept over exec. EBADF where `source` is not open.
pub(crate) fn place_or_keep(source: RawFd, number: RawFd) -> Result<()> {
    if source != number {
        return place_number(source, number);
    }
    // SAFETY: changes only the close-on-exec flag.
    unsafe {
        syscall(
            sys::__NR_fcntl,
            [number as usize, sys::F_SETFD as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Makes descriptor `number` the same as the one numbered `source`, kept over exec: for standard streams, which no one owns.
pub fn place_number(source: RawFd, number: RawFd) -> Result<()> {
    // SAFETY: dup3 takes plain numbers and fails with EBADF where `source` is not open.
    unsafe {
        syscall(
            sys::__NR_dup3,
            [source as usize, number as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Makes an owned descriptor the same as another; it keeps its number.
pub fn replace(owned: OwnedFd, source: impl AsFd) -> Result<OwnedFd> {
    place_number(source.as_fd().as_raw_fd(), owned.as_raw_fd())?;
    Ok(owned)
}

/// Whether two descriptors are of one open file (kcmp(2), `KCMP_FILE`). Where the kernel can't tell, they count as two.
pub fn is_same_file(one: impl AsFd, other: impl AsFd) -> bool {
    const FILE: usize = 0;
    let own = rustix::process::getpid().as_raw_nonzero().get() as usize;
    let numbers = [
        one.as_fd().as_raw_fd() as usize,
        other.as_fd().as_raw_fd() as usize,
    ];
    let arguments = [own, own, FILE, numbers[0], numbers[1], 0];
    // SAFETY: kcmp takes plain numbers.
    let difference = unsafe { syscall(sys::__NR_kcmp, arguments) };
    difference == Ok(0)
}

/// Duplicates `source` to the lowest free number from `lowest` on, close-on-exec.
pub fn duplicate_from(source: impl AsFd, lowest: RawFd) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(source, lowest)
}

/// Closes all descriptors from `first` to `last`. Their owners must not use or drop them afterwards: only before an exec.
pub fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: memory isn't touched; that the owners are done is this function's contract.
    unsafe {
        syscall(
            sys::__NR_close_range,
            [first as usize, last as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Gives this process a table of its own, if it shares one, that is a copy without the descriptors from `first` to `last`. Nothing changes for
/// who had the table with it; where nobody had, their owners must not use or drop them afterwards.
pub(crate) fn close_range_in_copy(first: u32, last: u32) -> Result<()> {
    const CLOSE_RANGE_UNSHARE: usize = 2;
    // SAFETY: memory isn't touched; that the owners are done is this function's contract.
    unsafe {
        syscall(
            sys::__NR_close_range,
            [first as usize, last as usize, CLOSE_RANGE_UNSHARE, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Marks all descriptors from `first` to `last` to be closed by exec (since Linux 5.11).
pub fn close_range_at_exec(first: u32, last: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    // SAFETY: only flags change.
    unsafe {
        syscall(
            sys::__NR_close_range,
            [first as usize, last as usize, CLOSE_RANGE_CLOEXEC, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Makes `terminal` the controlling terminal of this session, whose leader this process must be and which must have none. EPERM where another
/// session has it and `steal` is not set, which needs CAP_SYS_ADMIN.
pub fn set_controlling_terminal(terminal: impl AsFd, steal: bool) -> Result<()> {
    control(
        terminal,
        linux_raw_sys::ioctl::TIOCSCTTY,
        usize::from(steal),
    )
}

/// An ioctl(2) whose argument is a place in memory.
///
/// # Safety
///
/// `place` must be what the operation reads or writes.
pub(crate) unsafe fn ioctl(descriptor: impl AsFd, operation: usize, place: *mut u8) -> Result<()> {
    let number = descriptor.as_fd().as_raw_fd() as usize;
    let arguments = [number, operation, place as usize, 0, 0, 0];
    // SAFETY: the caller vouches for `place`; nothing is closed or mapped.
    unsafe { syscall(sys::__NR_ioctl, arguments) }.map(drop)
}

/// An ioctl(2) whose argument is a plain number.
pub(crate) fn control(descriptor: impl AsFd, operation: u32, argument: usize) -> Result<()> {
    let number = descriptor.as_fd().as_raw_fd() as usize;
    // SAFETY: crate-private; each caller's operation takes a number, not a pointer.
    unsafe {
        syscall(
            sys::__NR_ioctl,
            [number, operation as usize, argument, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Whether two descriptors are the same open file, by kcmp(2); ENOSYS where the kernel lacks it.
pub fn same_open_file(left: impl AsFd, right: impl AsFd) -> Result<bool> {
    const KCMP_FILE: usize = 0;
    let pid = rustix::process::getpid().as_raw_nonzero().get() as usize;
    let (left, right) = (
        left.as_fd().as_raw_fd() as usize,
        right.as_fd().as_raw_fd() as usize,
    );
    // SAFETY: plain numbers.
    match unsafe { syscall(sys::__NR_kcmp, [pid, pid, KCMP_FILE, left, right, 0]) } {
        Ok(order) => Ok(order == 0),
        Err(Errno::ACCESS) => Err(Errno::PERM),
        Err(errno) => Err(errno),
    }
}
