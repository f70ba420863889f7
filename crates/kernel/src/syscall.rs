//! The system call instruction, for calls that rustix does not have.

use crate::{Errno, Result};

/// Makes system call `number`; error numbers come back as `Err`.
///
/// # Safety
///
/// The arguments must be what the kernel requires of that call: pointers valid for the length that goes along, and no
/// effect (closing, unmapping, sharing memory) that breaks what the rest of the process relies on.
#[inline]
pub(crate) unsafe fn syscall(number: u32, arguments: [usize; 6]) -> Result<usize> {
    // SAFETY: the caller vouches for the arguments; the instruction itself clobbers only what `raw` declares.
    let answer = unsafe { raw(number, arguments) };
    decode(answer)
}

/// Turns the kernel's answer into a result: the last 4095 values are negated error numbers.
#[inline]
pub(crate) fn decode(answer: isize) -> Result<usize> {
    if (-4095..0).contains(&answer) {
        return Err(Errno::from_raw_os_error(-answer as i32));
    }
    Ok(answer as usize)
}

#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn raw(number: u32, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the x86-64 convention: number in rax, arguments as named, rcx and r11 clobbered, the stack not touched.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as usize as isize => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    answer
}

#[cfg(target_arch = "aarch64")]
#[inline]
unsafe fn raw(number: u32, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the arm64 convention: number in x8, arguments in x0 to x5, the answer in x0, nothing else clobbered.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number as usize,
            inlateout("x0") a as isize => answer,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack)
        );
    }
    answer
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("coracle knows the system call convention of x86-64 and arm64 only");
