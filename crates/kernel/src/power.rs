//! The machine's own power, reboot(2). In a pid namespace the first process ends instead, by a signal that tells its parent what was asked for.

use core::ffi::CStr;

use linux_raw_sys::general as sys;
use rustix::system::{RebootCommand, reboot};

use crate::Errno;
use crate::syscall::syscall;

/// What is done with the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It starts anew.
    Restart = 1,
    /// It is switched off.
    Off = 2,
    /// It stops, and stays on.
    Halt = 3,
    /// The kernel that was loaded takes over; where none was, it starts anew.
    Kexec = 4,
}

impl Power {
    /// By its number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Restart,
            2 => Self::Off,
            3 => Self::Halt,
            4 => Self::Kexec,
            _ => return None,
        })
    }
}

/// Whether kexec(8) has loaded a kernel that can take over.
#[cfg(feature = "std")]
#[must_use]
pub fn has_next_kernel() -> bool {
    let loaded = std::fs::read_to_string("/sys/kernel/kexec_loaded");
    loaded.is_ok_and(|loaded| loaded.trim() == "1")
}

/// Writes what file systems hold back, and switches. Returns only where it failed. The argument is for the firmware, at a restart.
pub fn switch(power: Power, argument: &CStr) -> Errno {
    rustix::fs::sync();
    let done = match power {
        Power::Restart if !argument.is_empty() => restart_with(argument),
        Power::Restart => reboot(RebootCommand::Restart),
        Power::Off => reboot(RebootCommand::PowerOff),
        Power::Halt => reboot(RebootCommand::Halt),
        Power::Kexec => reboot(RebootCommand::Kexec).or_else(|_| reboot(RebootCommand::Restart)),
    };
    done.err().unwrap_or(Errno::AGAIN)
}

fn restart_with(argument: &CStr) -> crate::Result<()> {
    let arguments = [
        sys::LINUX_REBOOT_MAGIC1 as usize,
        sys::LINUX_REBOOT_MAGIC2 as usize,
        sys::LINUX_REBOOT_CMD_RESTART2 as usize,
        argument.as_ptr() as usize,
        0,
        0,
    ];
    // SAFETY: the kernel reads the text, which ends with a NUL and lives until it returns, if it does.
    unsafe { syscall(sys::__NR_reboot, arguments) }.map(drop)
}
