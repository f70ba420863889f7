//! What a release that is linked with musl is asked for by code that was compiled for the GNU C library, and what takes the place
//! of an unwinder: a release ends with abort, not by unwinding, and has no tables to walk the stack by. `cargo xtask dist` sets
//! `c_library="musl"` (docs/internals/static-files.md).
//!
//! The standard library prints a stack trace when it panics and RUST_BACKTRACE is set: it walks by [`_Unwind_Backtrace`] and reads
//! debugging information to name what it finds. That there is nothing to walk is told here, in a function that the linker can see
//! through, so that the reader of debugging information is left out with it.

use core::ffi::{CStr, c_char, c_int, c_void};

use crate::Errno;

/// `_URC_END_OF_STACK`.
const END_OF_STACK: c_int = 5;

/// The version of the GNU C library: this is another one, so the text is no version of it, and the standard library relies on
/// nothing that came with one.
#[unsafe(no_mangle)]
extern "C" fn gnu_get_libc_version() -> *const c_char {
    c"musl".as_ptr()
}

/// Calls `_visit` for every frame of the stack: none is known.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_visit: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Goes on with unwinding, which can't have begun.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume(_exception: *mut c_void) -> ! {
    std::process::abort()
}

/// What the standard library's personality function asks of an unwinder. It stays in the file, but only an unwinder would call it.
macro_rules! never_asked {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> usize {
                std::process::abort()
            }
        )*
    };
}

never_asked! {
    _Unwind_GetDataRelBase _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart _Unwind_GetTextRelBase
    _Unwind_SetGR _Unwind_SetIP
}

/// Finds a function of a shared library by its name, as the standard library does with those that only newer C libraries have: a
/// static file has no shared library, and so none is found.
#[unsafe(no_mangle)]
extern "C" fn dlsym(_library: *mut c_void, _name: *const c_char) -> *mut c_void {
    core::ptr::null_mut()
}

/// Finds where a thread's stack ends, for a message when it overflows. musl tries the main thread's page after page, thirty calls at every
/// start, and finds what is in use so far, which is not where it ends: an overflow ends with SIGSEGV alone, with or without them.
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(_thread: *mut c_void, _attributes: *mut c_void) -> c_int {
    Errno::NOSYS.raw_os_error()
}

/// Names a thread; the standard library only ever names the one that asks. musl's own prints the path of another one's name first, and
/// brings ten kilobytes of printing along.
#[unsafe(no_mangle)]
extern "C" fn pthread_setname_np(_thread: *mut c_void, name: *const c_char) -> c_int {
    // SAFETY: the caller passes a text with a NUL, as to the C library's function.
    let name = unsafe { CStr::from_ptr(name) };
    match crate::process::set_name(name) {
        Ok(()) => 0,
        Err(errno) => errno.raw_os_error(),
    }
}
