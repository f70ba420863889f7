//! All system-call directives of a unit as one program for the kernel's filter machine.
//!
//! `table` knows numbers, `policy` says what becomes of each call, `tree` searches the number, `bpf` writes words.

mod bpf;
mod calls;
mod policy;
mod table;
mod tree;

#[cfg(test)]
mod machine;
#[cfg(test)]
mod tests;

pub use crate::planner::program;
pub use bpf::{Instruction, TooLong};
pub use policy::{AddressRule, CallFilter, Logged, Restrictions};
pub use table::Machine;
pub use tree::compile;

/// What becomes of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It runs.
    Allow,
    /// It runs and the kernel's log has a line.
    Log,
    /// It fails with this error number.
    Errno(u16),
    /// The process ends by SIGSYS.
    Kill,
}

impl Verdict {
    const fn action(self) -> u32 {
        match self {
            Verdict::Allow => 0x7fff_0000,
            Verdict::Log => 0x7ffc_0000,
            Verdict::Errno(number) => 0x0005_0000 | number as u32,
            Verdict::Kill => 0x8000_0000,
        }
    }
}
