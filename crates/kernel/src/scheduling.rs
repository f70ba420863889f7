//! CPU and I/O scheduling of this process. rustix has `setpriority_process` and `sched_setaffinity`.

use linux_raw_sys::general as sys;

use crate::Result;
use crate::syscall::syscall;

/// A CPU scheduling policy with its parameters, see sched(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `SCHED_OTHER` 0, `FIFO` 1, `RR` 2, `BATCH` 3, `IDLE` 5, `DEADLINE` 6, `EXT` 7.
    pub policy: u32,
    /// Nice value for the time-sharing policies.
    pub nice: i32,
    /// Priority for the real-time policies.
    pub priority: u32,
    /// Children begin with the default policy (SCHED_FLAG_RESET_ON_FORK).
    pub reset_on_fork: bool,
}

#[repr(C)]
struct RawAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets this thread's CPU scheduling.
pub fn set(attributes: Attributes) -> Result<()> {
    let raw = RawAttributes {
        size: size_of::<RawAttributes>() as u32,
        policy: attributes.policy,
        flags: u64::from(attributes.reset_on_fork),
        nice: attributes.nice,
        priority: attributes.priority,
        runtime: 0,
        deadline: 0,
        period: 0,
    };
    // SAFETY: sched_setattr reads a struct that begins with its own size; 0 means this thread.
    unsafe {
        syscall(
            sys::__NR_sched_setattr,
            [0, core::ptr::from_ref(&raw) as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Sets this thread's policy and real-time priority.
pub fn set_policy(policy: u32, priority: u32, reset_on_fork: bool) -> Result<()> {
    set(Attributes {
        policy,
        priority,
        reset_on_fork,
        nice: 0,
    })
}

/// Sets this process's I/O class (0 none, 1 realtime, 2 best effort, 3 idle) and its priority, 0 (first) to 7.
pub fn set_io_priority(class: u32, priority: u32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    const CLASS_SHIFT: u32 = 13;
    if class > 3 || priority > 7 {
        return Err(crate::Errno::INVAL);
    }
    let value = (class << CLASS_SHIFT | priority) as usize;
    // SAFETY: plain numbers; 0 means this process.
    unsafe {
        syscall(
            sys::__NR_ioprio_set,
            [IOPRIO_WHO_PROCESS, 0, value, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Says on which memory nodes pages of this process are placed: an `MPOL_…` number, and a bit per node, lowest first, in whole words of 8
/// bytes, or none (set_mempolicy(2)).
pub fn set_memory_policy(mode: u32, nodes: &[u8]) -> Result<()> {
    const WORDS_MAX: usize = 16;
    let mut words = [0_u64; WORDS_MAX];
    if nodes.len() > size_of_val(&words) {
        return Err(crate::Errno::INVAL);
    }
    for (word, bytes) in words.iter_mut().zip(nodes.chunks(8)) {
        for (place, byte) in bytes.iter().enumerate() {
            *word |= u64::from(*byte) << (8 * place);
        }
    }
    // The kernel takes one bit fewer than it is told.
    let (address, bits) = match nodes.len() {
        0 => (0, 0),
        bytes => (words.as_ptr() as usize, 8 * bytes + 1),
    };
    // SAFETY: the mask has as many bits as is said, or is not there.
    unsafe {
        syscall(
            sys::__NR_set_mempolicy,
            [mode as usize, address, bits, 0, 0, 0],
        )
    }
    .map(drop)
}
