//! Starting a process by clone3(2) with `CLONE_VM | CLONE_VFORK`, whose child does nothing but a fixed list of raw calls.
//!
//! The caller's memory is not copied and its thread stands still until the child has executed or failed. The child runs on
//! a stack of its own, never returns into compiled code of the parent, and touches no C library: this holds under a static
//! glibc, with threads, and without any library.

use core::ffi::{CStr, c_void};

use linux_raw_sys::general as sys;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::process::Pid;

use crate::process::TextList;
use crate::syscall::{decode, syscall};
use crate::{Errno, Result};

/// `struct clone_args` of clone3(2), as far as Linux 5.7 has it.
#[repr(C, align(8))]
#[derive(Clone, Copy, Default)]
pub(crate) struct CloneRequest {
    pub(crate) flags: u64,
    pub(crate) pidfd: u64,
    pub(crate) child_tid: u64,
    pub(crate) parent_tid: u64,
    pub(crate) exit_signal: u64,
    pub(crate) stack: u64,
    pub(crate) stack_size: u64,
    pub(crate) tls: u64,
    pub(crate) set_tid: u64,
    pub(crate) set_tid_size: u64,
    pub(crate) cgroup: u64,
}

const SIGCHLD: u64 = 17;
/// Since Linux 5.7; `linux-raw-sys` types it as a signed constant.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Room for the child's calls: a frame or two, and a page to spare for a signal that slips in before the mask is set.
const STACK_BYTES: usize = 64 * 1024;

/// Memory that the child runs on; made once, used for every spawn.
pub struct Stack(crate::memory::Region);

impl Stack {
    /// Maps the stack.
    pub fn new() -> Result<Self> {
        crate::memory::Region::new(STACK_BYTES).map(Self)
    }
}

/// What is to be started, and with what.
pub struct Request<'a> {
    /// The executable; executed as an open file.
    pub program: BorrowedFd<'a>,
    /// Its arguments.
    pub arguments: TextList<'a>,
    /// Its environment.
    pub environment: TextList<'a>,
    /// The child's descriptors from number `first_descriptor` on, in this order.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// The number that the first of them gets.
    pub first_descriptor: RawFd,
    /// The cgroup into which the child is born.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The child is the first process of a new pid namespace.
    pub new_pid_namespace: bool,
    /// The soft and hard limit of open descriptors that the child gets, if it is not to have the caller's.
    pub open_files: Option<(u64, u64)>,
    /// The child gets a copy of the descriptors below this number alone, where all that it needs is there: it neither copies nor closes
    /// those above, of which the caller may have thousands. No other thread may change the caller's table meanwhile.
    pub numbers_below: Option<RawFd>,
}

/// A process that executes what was asked for.
#[derive(Debug)]
pub struct Child {
    /// Its id.
    pub pid: Pid,
    /// Its descriptor, close-on-exec.
    pub pidfd: OwnedFd,
}

/// What the child reads; it lives in the parent's frame, which stands still meanwhile.
struct Orders<'a> {
    request: &'a Request<'a>,
    /// Where the child finds `request.descriptors`: it changes the numbers of those that it has to move out of the way.
    sources: &'a mut [RawFd],
    /// Where it finds the executable.
    program: RawFd,
    /// The table is still the parent's, and to be copied up to this number.
    shared_below: Option<RawFd>,
    /// Written by the child when a call failed.
    failure: i32,
}

/// Starts a process; returns when it has executed, or why it could not.
///
/// `room` is scratch space for as many numbers as there are descriptors. A child that failed is already reaped.
pub fn spawn(request: &Request<'_>, stack: &mut Stack, room: &mut [RawFd]) -> Result<Child> {
    let sources = room
        .get_mut(..request.descriptors.len())
        .ok_or(Errno::INVAL)?;
    for (to, from) in sources.iter_mut().zip(request.descriptors) {
        *to = from.as_raw_fd();
    }
    let mut pidfd: RawFd = -1;
    let mut clone = CloneRequest {
        flags: u64::from(sys::CLONE_VM | sys::CLONE_VFORK | sys::CLONE_PIDFD),
        pidfd: core::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: SIGCHLD,
        stack: stack.0.address() as u64,
        stack_size: STACK_BYTES as u64,
        ..CloneRequest::default()
    };
    if request.new_pid_namespace {
        clone.flags |= u64::from(sys::CLONE_NEWPID);
    }
    if let Some(cgroup) = request.cgroup {
        clone.flags |= CLONE_INTO_CGROUP;
        clone.cgroup = cgroup.as_raw_fd() as u64;
    }
    let program = request.program.as_raw_fd();
    let is_low = |below: &RawFd| {
        sources
            .iter()
            .chain([&program])
            .all(|number| number < below)
    };
    let shared_below = request.numbers_below.filter(is_low);
    if shared_below.is_some() {
        clone.flags |= u64::from(sys::CLONE_FILES);
    }
    let mut orders = Orders {
        request,
        sources,
        program,
        shared_below,
        failure: 0,
    };
    let orders_address = core::ptr::from_mut(&mut orders);
    // SAFETY: `clone` is a clone_args of the size passed, its stack is STACK_BYTES of memory that nothing else uses (the
    // borrow is exclusive), `pidfd` outlives the call, and `orders` does too, since CLONE_VFORK suspends this thread until the
    // child has executed or ended. `child` never returns.
    let answer = unsafe { clone_and_call(&raw mut clone, child, orders_address.cast()) };
    let pid = decode(answer)?;
    // SAFETY: the child wrote this field, if at all, before the call returned; volatile since the compiler can't see that.
    let failure = unsafe { (&raw const (*orders_address).failure).read_volatile() };
    // SAFETY: CLONE_PIDFD made the kernel store a new descriptor, which no one else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd((&raw const pidfd).read_volatile()) };
    if failure != 0 {
        crate::wait::discard(&pidfd);
        return Err(Errno::from_raw_os_error(failure));
    }
    let pid = Pid::from_raw(pid as i32).ok_or(Errno::CHILD)?;
    Ok(Child { pid, pidfd })
}

/// The child's whole life up to exec. Only raw calls on memory that exists: no allocation, no panic, no thread-local.
extern "C" fn child(orders: *mut c_void) -> ! {
    // SAFETY: `spawn` passes its `Orders`, and stands still while this runs.
    let orders = unsafe { &mut *orders.cast::<Orders<'_>>() };
    let failure = match prepare(orders) {
        Err(errno) => errno,
        Ok(()) => {
            // SAFETY: the descriptor is open in the child's own table, which nothing closes before exec does.
            let program = unsafe { BorrowedFd::borrow_raw(orders.program) };
            crate::process::execute(
                program,
                orders.request.arguments,
                orders.request.environment,
            )
        }
    };
    orders.failure = failure.raw_os_error();
    crate::process::exit_group(127)
}

/// Everything between clone and exec.
fn prepare(orders: &mut Orders<'_>) -> Result<()> {
    if let Some(below) = orders.shared_below {
        // The copy is made of what stays open: nothing is closed in the parent's table.
        crate::descriptor::close_range_in_copy(below.unsigned_abs(), u32::MAX)?;
    }
    let first = orders.request.first_descriptor;
    let behind = first.saturating_add(orders.sources.len() as RawFd);
    for (target, source) in (first..).zip(orders.sources.iter_mut()) {
        if *source != target && (first..behind).contains(source) {
            *source = move_behind(*source, behind)?;
        }
    }
    if (first..behind).contains(&orders.program) {
        orders.program = move_behind(orders.program, behind)?;
    }
    for (target, source) in (first..).zip(orders.sources.iter()) {
        // In the child's own table (no CLONE_FILES).
        crate::descriptor::place_or_keep(*source, target)?;
    }
    if let Some((soft, hard)) = orders.request.open_files {
        crate::process::set_limit(crate::process::LIMIT_OPEN_FILES, soft, hard)?;
    }
    // The kernel throws away what PID 1 of a namespace neither handles nor blocks: blocked, a signal waits until somebody is there.
    let blocked = if orders.request.new_pid_namespace {
        crate::signal::SignalSet::FULL
    } else {
        crate::signal::SignalSet::EMPTY
    };
    crate::signal::set_mask(blocked).map(drop)
}

/// Another number for the same, out of the way of those that the child is to see; as low as can be, since a table grows in steps.
fn move_behind(source: RawFd, behind: RawFd) -> Result<RawFd> {
    let (source, operation) = (source as usize, sys::F_DUPFD_CLOEXEC as usize);
    // SAFETY: duplicating a descriptor number; the child's table is its own, so nothing that the parent uses changes.
    unsafe {
        syscall(
            sys::__NR_fcntl,
            [source, operation, behind as usize, 0, 0, 0],
        )
    }
    .map(|number| number as RawFd)
}

/// clone3, and in the child a call of `function(argument)` on the new stack.
///
/// # Safety
///
/// `request` must be a valid clone_args with a stack that nothing else uses; `function` must not return and must do only
/// what a child that shares memory may do; `argument` must be valid for it while the child lives in this memory.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn clone_and_call(
    request: *mut CloneRequest,
    function: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> isize {
    let answer: isize;
    // SAFETY: the system call convention; the parent goes on at label 2 with all registers but rax, rcx, r11 as they were.
    // The child has only the new stack, whose top clone3 aligned as mapped (page), and the two values in registers.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") sys::__NR_clone3 as usize as isize => answer,
            in("rdi") request,
            in("rsi") size_of::<CloneRequest>(),
            in("r12") argument,
            in("r13") function,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    answer
}

/// As above, for arm64.
///
/// # Safety
///
/// As above.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn clone_and_call(
    request: *mut CloneRequest,
    function: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> isize {
    let answer: isize;
    // SAFETY: the system call convention; the parent goes on at label 2 with all registers but x0 as they were. The child
    // has only the new stack, whose top is page-aligned, and the two values in registers.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") sys::__NR_clone3 as usize,
            inlateout("x0") request as isize => answer,
            in("x1") size_of::<CloneRequest>(),
            in("x20") argument,
            in("x21") function,
        );
    }
    answer
}

/// An argument list with one text, for programs that take none.
#[must_use]
pub fn lone_argument<'a>(
    name: &'a CStr,
    room: &'a mut [*const core::ffi::c_char; 2],
) -> Option<TextList<'a>> {
    TextList::new(core::iter::once(name), room)
}
