//! Scheduling attributes: while still privileged, since most of them may only be raised by root.

use kernel::rustix::thread::{CpuSet, sched_setaffinity};
use kernel::{Errno, Result};

/// Sets the nice value.
pub(super) fn nice(value: i32) -> Result<()> {
    kernel::rustix::process::setpriority_process(None, value)
}

/// Sets policy and priority.
pub(super) fn policy(policy: u32, priority: u32, reset_on_fork: bool) -> Result<()> {
    kernel::scheduling::set_policy(policy, priority, reset_on_fork)
}

/// Sets the processors that may be used.
pub(super) fn affinity(mask: &[u8]) -> Result<()> {
    let mut processors = CpuSet::new();
    for (index, byte) in mask.iter().enumerate() {
        for bit in (0..8).filter(|bit| byte & 1 << bit != 0) {
            let processor = index * 8 + bit;
            if processor >= CpuSet::MAX_CPU {
                return Err(Errno::INVAL);
            }
            processors.set(processor);
        }
    }
    sched_setaffinity(None, &processors)
}

/// Sets the input/output priority.
pub(super) fn io_priority(class: u32, level: u32) -> Result<()> {
    kernel::scheduling::set_io_priority(class, level)
}

/// Sets how much timers may be late.
pub(super) fn timer_slack(nanoseconds: u64) -> Result<()> {
    kernel::process::set_timer_slack(nanoseconds)
}

/// Sets the execution domain.
pub(super) fn personality(domain: u32) -> Result<()> {
    kernel::process::set_personality(domain).map(drop)
}
