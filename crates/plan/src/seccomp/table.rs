//! Numbers of the system calls, per machine.

use std::str::FromStr;

/// A machine as the kernel's filter sees it (`AUDIT_ARCH_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// The 64-bit x86 with 32-bit pointers: same token as [`Machine::X86_64`], numbers with bit 30.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
}

/// Bit 30 marks numbers of the x32 kind.
pub(super) const X32_BIT: u32 = 0x4000_0000;

impl Machine {
    /// The token in `seccomp_data.arch`.
    pub const fn token(self) -> u32 {
        match self {
            Machine::X86_64 | Machine::X32 => 0xc000_003e,
            Machine::X86 => 0x4000_0003,
            Machine::Aarch64 => 0xc000_00b7,
            Machine::Arm => 0x4000_0028,
        }
    }

    /// The machines whose programs this one also runs, itself first.
    pub const fn family(self) -> &'static [Machine] {
        match self {
            Machine::X86_64 => &[Machine::X86_64, Machine::X86],
            Machine::Aarch64 => &[Machine::Aarch64, Machine::Arm],
            Machine::X86 => &[Machine::X86],
            Machine::X32 => &[Machine::X32],
            Machine::Arm => &[Machine::Arm],
        }
    }

    /// The number of a call; `None` where the machine hasn't got it.
    pub fn number(self, name: &str) -> Option<u32> {
        match self {
            Machine::X86_64 | Machine::X32 => syscalls::x86_64::Sysno::from_str(name)
                .ok()
                .map(|call| call as u32),
            Machine::X86 => syscalls::x86::Sysno::from_str(name)
                .ok()
                .map(|call| call as u32),
            Machine::Aarch64 => syscalls::aarch64::Sysno::from_str(name)
                .ok()
                .map(|call| call as u32),
            Machine::Arm => syscalls::arm::Sysno::from_str(name)
                .ok()
                .map(|call| call as u32),
        }
    }

    /// Every number that the machine has a name for, ascending.
    pub fn numbers(self) -> Vec<u32> {
        let mut numbers: Vec<u32> = match self {
            Machine::X86_64 | Machine::X32 => syscalls::x86_64::Sysno::iter()
                .map(|call| call as u32)
                .collect(),
            Machine::X86 => syscalls::x86::Sysno::iter()
                .map(|call| call as u32)
                .collect(),
            Machine::Aarch64 => syscalls::aarch64::Sysno::iter()
                .map(|call| call as u32)
                .collect(),
            Machine::Arm => syscalls::arm::Sysno::iter()
                .map(|call| call as u32)
                .collect(),
        };
        numbers.sort_unstable();
        numbers
    }
}
