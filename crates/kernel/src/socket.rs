//! Socket options that rustix lacks.

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::Result;
use crate::syscall::syscall;

const SOL_SOCKET: usize = 1;
const SO_SNDBUFFORCE: usize = 32;
const SO_RCVBUFFORCE: usize = 33;
const SO_SNDBUF: usize = 7;
const SO_RCVBUF: usize = 8;
const SO_PASSCRED: usize = 16;
const SO_PEERCRED: usize = 17;
const SO_PEEK_OFF: usize = 42;
const SO_PASSPIDFD: usize = 76;
const SO_PEERPIDFD: usize = 77;
const SO_PASSRIGHTS: usize = 83;

fn set_number(socket: impl AsFd, option: usize, value: i32) -> Result<()> {
    let number = socket.as_fd().as_raw_fd() as usize;
    // SAFETY: setsockopt reads one 4-byte number.
    unsafe {
        syscall(
            sys::__NR_setsockopt,
            [
                number,
                SOL_SOCKET,
                option,
                core::ptr::from_ref(&value) as usize,
                4,
                0,
            ],
        )
    }
    .map(drop)
}

/// Messages carry their sender's credentials (SO_PASSCRED).
pub fn set_pass_credentials(socket: impl AsFd, pass: bool) -> Result<()> {
    set_number(socket, SO_PASSCRED, i32::from(pass))
}

/// Messages carry their sender's pidfd (SO_PASSPIDFD, since Linux 6.5).
pub fn set_pass_pidfd(socket: impl AsFd, pass: bool) -> Result<()> {
    set_number(socket, SO_PASSPIDFD, i32::from(pass))
}

/// Whether senders may pass descriptors along (SO_PASSRIGHTS, since Linux 6.16); they may unless a socket refuses.
pub fn set_pass_descriptors(socket: impl AsFd, pass: bool) -> Result<()> {
    set_number(socket, SO_PASSRIGHTS, i32::from(pass))
}

/// Where the next peek of a stream begins, in bytes; -1 switches the counting off (SO_PEEK_OFF).
pub fn set_peek_offset(socket: impl AsFd, offset: i32) -> Result<()> {
    set_number(socket, SO_PEEK_OFF, offset)
}

/// The peek offset as consuming reads left it: they lower it by what they take (SO_PEEK_OFF).
pub fn peek_offset(socket: impl AsFd) -> Result<i32> {
    let mut offset: i32 = -1;
    let mut length: u32 = 4;
    get(
        socket,
        SO_PEEK_OFF,
        core::ptr::from_mut(&mut offset) as usize,
        &mut length,
    )?;
    Ok(offset)
}

/// Sets the send buffer in bytes, beyond the host's limit where that is permitted.
pub fn set_send_buffer(socket: impl AsFd, bytes: i32) -> Result<()> {
    set_number(&socket, SO_SNDBUFFORCE, bytes).or_else(|_| set_number(&socket, SO_SNDBUF, bytes))
}

/// Sets the receive buffer in bytes, beyond the host's limit where that is permitted.
pub fn set_receive_buffer(socket: impl AsFd, bytes: i32) -> Result<()> {
    set_number(&socket, SO_RCVBUFFORCE, bytes).or_else(|_| set_number(&socket, SO_RCVBUF, bytes))
}

/// Who connected a stream socket, as of the moment of connecting.
pub fn peer_credentials(socket: impl AsFd) -> Result<crate::message::Credentials> {
    let mut words = [0u32; 3];
    let mut length: u32 = 12;
    get(
        socket,
        SO_PEERCRED,
        words.as_mut_ptr() as usize,
        &mut length,
    )?;
    let [pid, uid, gid] = words;
    Ok(crate::message::Credentials { pid, uid, gid })
}

/// The pidfd of who connected a stream socket (SO_PEERPIDFD, since Linux 6.5).
pub fn peer_pidfd(socket: impl AsFd) -> Result<OwnedFd> {
    let mut number: i32 = -1;
    let mut length: u32 = 4;
    get(
        socket,
        SO_PEERPIDFD,
        core::ptr::from_mut(&mut number) as usize,
        &mut length,
    )?;
    // SAFETY: the kernel just installed it, and no one else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `address` must have room for `length` bytes; the callers here pass their own variables.
fn get(socket: impl AsFd, option: usize, address: usize, length: &mut u32) -> Result<()> {
    let number = socket.as_fd().as_raw_fd() as usize;
    // SAFETY: getsockopt writes at most `length` bytes to the address and the new length; private, each caller passes both.
    unsafe {
        syscall(
            sys::__NR_getsockopt,
            [
                number,
                SOL_SOCKET,
                option,
                address,
                core::ptr::from_mut(length) as usize,
                0,
            ],
        )
    }
    .map(drop)
}
