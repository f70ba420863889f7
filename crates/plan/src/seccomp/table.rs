//! Numbers of the system calls, per machine.

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
        let calls = self.calls();
        let place = calls.binary_search_by_key(&name, |(known, _)| known).ok()?;
        calls.get(place).map(|(_, number)| *number)
    }

    /// Every number that the machine has a name for.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        self.calls().iter().map(|(_, number)| *number)
    }

    /// The machine's calls, sorted by name. A machine that this build's own can't run has none here: no program of it can start.
    fn calls(self) -> &'static [(&'static str, u32)] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Machine::X86_64 | Machine::X32 => &calls::X86_64,
            #[cfg(target_arch = "x86_64")]
            Machine::X86 => &calls::X86,
            #[cfg(target_arch = "aarch64")]
            Machine::Aarch64 => &calls::AARCH64,
            #[cfg(target_arch = "aarch64")]
            Machine::Arm => &calls::ARM,
            _ => &[],
        }
    }
}

/// The tables, sorted while compiling: as data they are a tenth of the code that compares with one name after the other.
#[allow(clippy::indexing_slicing)] // Evaluated while compiling: a failure is a build error.
mod calls {
    macro_rules! sorted {
        ($table:ident, $machine:ident) => {
            pub(super) static $table: [(&str, u32); syscalls::$machine::Sysno::count()] = {
                use syscalls::$machine::Sysno;
                let last = Sysno::last();
                // `next` never comes to the last one.
                let mut sorted = [(last.name(), last as u32); Sysno::count()];
                let mut taken = 1;
                let mut next = Some(Sysno::first());
                while let Some(call) = next {
                    let mut place = taken;
                    while place > 0 && is_before(call.name(), sorted[place - 1].0) {
                        sorted[place] = sorted[place - 1];
                        place -= 1;
                    }
                    sorted[place] = (call.name(), call as u32);
                    taken += 1;
                    next = call.next();
                }
                assert!(taken == Sysno::count(), "a call is missing");
                sorted
            };
        };
    }

    #[cfg(target_arch = "x86_64")]
    sorted!(X86_64, x86_64);
    #[cfg(target_arch = "x86_64")]
    sorted!(X86, x86);
    #[cfg(target_arch = "aarch64")]
    sorted!(AARCH64, aarch64);
    #[cfg(target_arch = "aarch64")]
    sorted!(ARM, arm);

    const fn is_before(one: &str, other: &str) -> bool {
        let (one, other) = (one.as_bytes(), other.as_bytes());
        let mut at = 0;
        while at < one.len() && at < other.len() {
            if one[at] != other[at] {
                return one[at] < other[at];
            }
            at += 1;
        }
        one.len() < other.len()
    }
}
