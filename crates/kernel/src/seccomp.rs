//! seccomp(2): installing a program, and asking what the kernel can do.

#[cfg(feature = "std")]
pub mod allow;

use linux_raw_sys::general as sys;

use crate::Result;
use crate::syscall::syscall;

const SET_MODE_FILTER: usize = 1;
const GET_ACTION_AVAILABLE: usize = 2;
/// All threads of this process, not this one alone.
pub const ALL_THREADS: u32 = 1;
/// Log what the program denies, where the host's settings allow.
pub const LOG: u32 = 2;
/// Do not switch the speculative store bypass mitigation on.
pub const ALLOW_SPECULATION: u32 = 4;
/// The longest program that the kernel takes, in instructions (BPF_MAXINSNS).
pub const INSTRUCTIONS_MAX: usize = 4096;
/// One instruction is eight bytes: operation u16, jumps u8 and u8, operand u32.
pub const INSTRUCTION_BYTES: usize = 8;

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const u8,
}

/// Installs `program`, whole instructions in the kernel's layout and native byte order, on this thread.
///
/// ESRCH: another thread has a program that is none of this one's, and so [`ALL_THREADS`] did nothing. EINVAL: not a whole number of instructions, too many, or the kernel's checker refuses it. EACCES: neither
/// no-new-privileges nor CAP_SYS_ADMIN.
pub fn install(program: &[u8], flags: u32) -> Result<()> {
    let count = program.len() / INSTRUCTION_BYTES;
    let length = u16::try_from(count).map_err(|_| crate::Errno::INVAL)?;
    if !program.len().is_multiple_of(INSTRUCTION_BYTES) || count > INSTRUCTIONS_MAX {
        return Err(crate::Errno::INVAL);
    }
    let program = Program {
        length,
        instructions: program.as_ptr(),
    };
    let address = core::ptr::from_ref(&program) as usize;
    // SAFETY: seccomp copies `length` instructions of 8 bytes from the slice, which has them; alignment does not matter to it.
    let other = unsafe {
        syscall(
            sys::__NR_seccomp,
            [SET_MODE_FILTER, flags as usize, address, 0, 0, 0],
        )
    }?;
    // The number of the thread that was in the way of all.
    match other {
        0 => Ok(()),
        _ => Err(crate::Errno::SRCH),
    }
}

/// Whether the kernel knows the return action, for example `SECCOMP_RET_KILL_PROCESS`.
pub fn action_available(action: u32) -> bool {
    let address = core::ptr::from_ref(&action) as usize;
    // SAFETY: reads one 4-byte number.
    unsafe {
        syscall(
            sys::__NR_seccomp,
            [GET_ACTION_AVAILABLE, 0, address, 0, 0, 0],
        )
    }
    .is_ok()
}
