//! A program's entry without a C library: `_start`, its arguments, exit, and what a panic does.

use core::ffi::{CStr, c_char};

use rustix::fd::BorrowedFd;

/// The status with which a panicking program without a C library ends: it cannot unwind and has no one to tell.
pub const PANIC_STATUS: i32 = 101;

/// The arguments and environment that the kernel laid on the first stack page; they live as long as the process.
#[derive(Clone, Copy)]
pub struct Arguments {
    count: usize,
    first: *const *const c_char,
}

impl Arguments {
    /// Reads the layout of the initial stack.
    ///
    /// # Safety
    ///
    /// `stack` must be the stack pointer that the kernel gave to this process at its entry.
    #[must_use]
    pub unsafe fn from_stack(stack: *const usize) -> Self {
        // SAFETY: at entry the stack holds argc, then argc pointers, a null, and the environment's pointers with a null.
        unsafe {
            Self {
                count: *stack,
                first: stack.add(1).cast(),
            }
        }
    }

    /// The argument at `index`; 0 is the program's own name.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'static CStr> {
        if index >= self.count {
            return None;
        }
        // SAFETY: index < argc, so the slot exists and points to a NUL-terminated text that the kernel wrote.
        Some(unsafe { CStr::from_ptr(*self.first.add(index)) })
    }

    /// All arguments, the program's own name first.
    pub fn iter(self) -> impl Iterator<Item = &'static CStr> {
        (0..self.count).filter_map(move |index| self.get(index))
    }

    /// The environment's lines, `NAME=value`.
    pub fn environment(self) -> impl Iterator<Item = &'static CStr> {
        // SAFETY: the environment begins behind argv's terminating null.
        let mut next = unsafe { self.first.add(self.count + 1) };
        core::iter::from_fn(move || {
            // SAFETY: `next` stays within the null-terminated list: it moves only past entries that are not null.
            unsafe {
                if (*next).is_null() {
                    return None;
                }
                let line = CStr::from_ptr(*next);
                next = next.add(1);
                Some(line)
            }
        })
    }
}

/// Ends the whole process.
pub fn exit(status: i32) -> ! {
    crate::process::exit_group(status)
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: descriptor 2 may be closed, then the write fails; it is not owned here and not closed.
    let error = unsafe { BorrowedFd::borrow_raw(2) };
    match rustix::io::write(error, b"coracle: internal error, the program stops\n") {
        Ok(_) | Err(_) => exit(PANIC_STATUS),
    }
}

/// Defines `_start`, which calls `$main(kernel::entry::Arguments) -> i32` and ends with the status it returns.
///
/// For a program with `#![no_std] #![no_main]`, linked with `-nostartfiles`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[cfg(target_arch = "x86_64")]
        ::core::arch::global_asm!(
            ".globl _start",
            ".type _start,@function",
            "_start:",
            "xor ebp, ebp",
            "mov rdi, rsp",
            "and rsp, -16",
            "call {begin}",
            "ud2",
            begin = sym __coracle_begin,
        );
        #[cfg(target_arch = "aarch64")]
        ::core::arch::global_asm!(
            ".globl _start",
            ".type _start,%function",
            "_start:",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, sp",
            "bl {begin}",
            "brk #1",
            begin = sym __coracle_begin,
        );

        #[allow(unsafe_code, reason = "the first lines of a program without a C library are unsafe by nature")]
        extern "C" fn __coracle_begin(stack: *const usize) -> ! {
            // SAFETY: `_start` passes the stack pointer as the kernel set it.
            let arguments = unsafe { $crate::entry::Arguments::from_stack(stack) };
            $crate::entry::exit($main(arguments))
        }
    };
}

/// The memory functions that the compiler calls and that a C library would have.
mod memory_functions {
    use core::arch::asm;

    #[cfg(target_arch = "x86_64")]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        // SAFETY: the caller's two ranges of `count` bytes; the direction flag is clear at every function boundary.
        unsafe {
            asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags));
        }
        to
    }

    #[cfg(target_arch = "x86_64")]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
        // SAFETY: the caller's range of `count` bytes; the direction flag is clear at every function boundary.
        unsafe {
            asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") byte as u8, options(nostack, preserves_flags));
        }
        to
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        let mut index = 0;
        while index < count {
            // SAFETY: index < count, within both of the caller's ranges. Volatile, so that the loop isn't turned into memcpy.
            unsafe { to.add(index).write_volatile(*from.add(index)) };
            index += 1;
        }
        to
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
        let mut index = 0;
        while index < count {
            // SAFETY: index < count, within the caller's range. Volatile, so that the loop isn't turned into memset.
            unsafe { to.add(index).write_volatile(byte as u8) };
            index += 1;
        }
        // SAFETY: `asm!` is only named here so that both architectures use the import; it does nothing.
        unsafe { asm!("") };
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
        if (to as usize).wrapping_sub(from as usize) >= count {
            // SAFETY: the target does not begin inside the source, so copying forwards never overwrites what is still to be read.
            return unsafe { memcpy(to, from, count) };
        }
        let mut index = count;
        while index > 0 {
            index -= 1;
            // SAFETY: index < count, within both of the caller's ranges; backwards, since the target begins inside the source.
            unsafe { to.add(index).write_volatile(*from.add(index)) };
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
        let mut index = 0;
        while index < count {
            // SAFETY: index < count, within both of the caller's ranges.
            let (a, b) = unsafe {
                (
                    left.add(index).read_volatile(),
                    right.add(index).read_volatile(),
                )
            };
            if a != b {
                return i32::from(a) - i32::from(b);
            }
            index += 1;
        }
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
        // SAFETY: the same requirement, passed on.
        unsafe { memcmp(left, right, count) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn strlen(text: *const u8) -> usize {
        let mut length = 0;
        // SAFETY: the caller's text ends with a NUL, and the loop stops there.
        while unsafe { text.add(length).read_volatile() } != 0 {
            length += 1;
        }
        length
    }
}
