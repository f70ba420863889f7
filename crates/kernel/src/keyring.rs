//! Kernel keyrings, as far as a service's start needs them.

use core::ffi::CStr;

use linux_raw_sys::general as sys;

use crate::Result;
use crate::syscall::syscall;

const JOIN_SESSION_KEYRING: usize = 1;
const CHANGE_OWNER: usize = 4;
const SET_PERMISSIONS: usize = 5;
const LINK: usize = 8;

/// This thread's session keyring, as an argument.
pub const SESSION: i32 = -3;
/// The keyring of this user id.
pub const USER: i32 = -4;

/// Gives this process a new session keyring without a name; answers its serial number.
pub fn join_new_session() -> Result<i32> {
    // SAFETY: a null name asks for an anonymous keyring.
    unsafe { syscall(sys::__NR_keyctl, [JOIN_SESSION_KEYRING, 0, 0, 0, 0, 0]) }
        .map(|serial| serial as i32)
}

/// Joins the session keyring of that name, which is made if there is none.
pub fn join_session(name: &CStr) -> Result<i32> {
    // SAFETY: keyctl reads a NUL-terminated name.
    unsafe {
        syscall(
            sys::__NR_keyctl,
            [JOIN_SESSION_KEYRING, name.as_ptr() as usize, 0, 0, 0, 0],
        )
    }
    .map(|serial| serial as i32)
}

/// Links `key` into `keyring`.
pub fn link(key: i32, keyring: i32) -> Result<()> {
    // SAFETY: plain numbers; the serials keep their sign.
    unsafe {
        syscall(
            sys::__NR_keyctl,
            [
                LINK,
                key as isize as usize,
                keyring as isize as usize,
                0,
                0,
                0,
            ],
        )
    }
    .map(drop)
}

/// Sets who may do what with `key`, see keyctl_setperm(3).
pub fn set_permissions(key: i32, permissions: u32) -> Result<()> {
    // SAFETY: plain numbers.
    unsafe {
        syscall(
            sys::__NR_keyctl,
            [
                SET_PERMISSIONS,
                key as isize as usize,
                permissions as usize,
                0,
                0,
                0,
            ],
        )
    }
    .map(drop)
}

/// Links the keyring of this user id into this thread's session keyring.
pub fn link_user_to_session() -> Result<()> {
    link(USER, SESSION)
}

/// Gives this thread's session keyring to another user and group.
pub fn give_session(uid: u32, gid: u32) -> Result<()> {
    // SAFETY: plain numbers; the serial keeps its sign.
    unsafe {
        syscall(
            sys::__NR_keyctl,
            [
                CHANGE_OWNER,
                SESSION as isize as usize,
                uid as usize,
                gid as usize,
                0,
                0,
            ],
        )
    }
    .map(drop)
}
