//! Watching the system calls of a child (ptrace(2)), as far as seeing which files a program opens needs it.

use crate::signal::number::SIGTRAP;
use linux_raw_sys::general as sys;

use crate::Result;
use crate::syscall::syscall;

const PTRACE_TRACEME: usize = 0;
const PTRACE_SYSCALL: usize = 24;
const PTRACE_SETOPTIONS: usize = 0x4200;
const PTRACE_GET_SYSCALL_INFO: usize = 0x420e;

/// Stops at calls say so (bit 7 of the signal), children are watched too, execution is told, and nobody outlives the watcher.
const OPTIONS: usize = 1 | 2 | 4 | 8 | 16 | 0x10_0000;

/// The event of an execution, in a status above the signal.
const EVENT_EXEC: i32 = 4;

/// The signal of stops that are ours.
const SYSCALL_STOP: i32 = SIGTRAP | 0x80;

/// Calls that open a file or execute one, by their numbers.
pub mod calls {
    use linux_raw_sys::general as sys;

    /// open(2), where the processor has it.
    #[cfg(target_arch = "x86_64")]
    pub const OPEN: Option<u32> = Some(sys::__NR_open);
    /// open(2), where the processor has it.
    #[cfg(not(target_arch = "x86_64"))]
    pub const OPEN: Option<u32> = None;
    /// openat(2).
    pub const OPENAT: u32 = sys::__NR_openat;
    /// openat2(2).
    pub const OPENAT2: u32 = sys::__NR_openat2;
    /// execve(2).
    pub const EXECVE: u32 = sys::__NR_execve;
    /// execveat(2).
    pub const EXECVEAT: u32 = sys::__NR_execveat;
}

/// `struct ptrace_syscall_info`, with room for what later kernels add.
#[repr(C)]
#[derive(Default)]
struct Information {
    operation: u8,
    padding: [u8; 3],
    architecture: u32,
    instruction: u64,
    stack: u64,
    values: [u64; 8],
    rest: [u64; 4],
}

/// What a process that has stopped at a call is about to do, or has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// It begins.
    Entry {
        /// The call.
        number: u64,
        /// Its arguments.
        arguments: [u64; 6],
    },
    /// It is done; a negative result is an error number.
    Exit(i64),
    /// Neither.
    Other,
}

/// What happened to one that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is at a call's begin or end.
    Call,
    /// It executes another program.
    Executed,
    /// It stopped; this signal is to be handed on, 0 for none.
    Stopped(i32),
    /// It has ended.
    Ended,
}

fn ptrace(request: usize, process: i32, address: usize, data: usize) -> Result<usize> {
    let process = process as isize as usize;
    // SAFETY: of the requests of this file only one writes memory, of `address` bytes at `data`: its caller has them.
    unsafe { syscall(sys::__NR_ptrace, [request, process, address, data, 0, 0]) }
}

/// Lets the parent watch this process from now on.
pub fn trace_me() -> Result<()> {
    ptrace(PTRACE_TRACEME, 0, 0, 0).map(drop)
}

/// Says what is watched of a child that has stopped.
pub fn watch(process: i32) -> Result<()> {
    ptrace(PTRACE_SETOPTIONS, process, 0, OPTIONS).map(drop)
}

/// Lets a stopped process go on to the next call, with a signal or 0.
pub fn resume(process: i32, signal: i32) -> Result<()> {
    ptrace(PTRACE_SYSCALL, process, 0, signal as usize).map(drop)
}

/// What a process that has stopped at a call is doing (since Linux 5.3).
pub fn call(process: i32) -> Result<Call> {
    let mut information = Information::default();
    let address = core::ptr::from_mut(&mut information) as usize;
    ptrace(
        PTRACE_GET_SYSCALL_INFO,
        process,
        size_of::<Information>(),
        address,
    )?;
    let [first, a, b, c, d, e, f, _] = information.values;
    Ok(match information.operation {
        1 => Call::Entry {
            number: first,
            arguments: [a, b, c, d, e, f],
        },
        2 => Call::Exit(first as i64),
        _ => Call::Other,
    })
}

/// Waits for any that is watched. ECHILD: there is none any more.
pub fn wait() -> Result<(i32, Event)> {
    /// Threads and processes alike.
    const WALL: usize = 0x4000_0000;
    let mut status = 0_i32;
    let address = core::ptr::from_mut(&mut status) as usize;
    let any = usize::MAX;
    // SAFETY: wait4 writes one int, which `status` is; a null rusage is allowed.
    let process = unsafe { syscall(sys::__NR_wait4, [any, address, WALL, 0, 0, 0]) }? as i32;
    let signal = status >> 8 & 0xff;
    let event = match (status & 0x7f, status >> 16) {
        (0x7f, EVENT_EXEC) => Event::Executed,
        // A new child's first stop, or another event: nothing to hand on.
        (0x7f, other) if other != 0 => Event::Stopped(0),
        (0x7f, _) if signal == SYSCALL_STOP => Event::Call,
        (0x7f, _) => Event::Stopped(signal),
        _ => Event::Ended,
    };
    Ok((process, event))
}
