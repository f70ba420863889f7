//! What a release that is linked with musl is asked for by code that was compiled for the GNU C library: two functions of that
//! library alone. `cargo xtask dist` sets `c_library="musl"` (docs/internals/static-files.md).

use core::ffi::{c_char, c_int, c_void};

/// Finds the unwinding tables of an address. There are none: a release ends with abort, not by unwinding, so the caller is told
/// that nothing is known, and its stack traces are empty.
#[unsafe(no_mangle)]
extern "C" fn _dl_find_object(_address: *mut c_void, _result: *mut c_void) -> c_int {
    -1
}

/// The version of the GNU C library: this is another one, so the text is no version of it, and the standard library relies on
/// nothing that came with one.
#[unsafe(no_mangle)]
extern "C" fn gnu_get_libc_version() -> *const c_char {
    c"musl".as_ptr()
}
