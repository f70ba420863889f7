//! Options of listening sockets that rustix lacks.

use core::ffi::CStr;

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd};

use crate::Result;
use crate::syscall::syscall;

const SOL_IP: usize = 0;
const SOL_SOCKET: usize = 1;
const SOL_IPV6: usize = 41;
const SO_BINDTODEVICE: usize = 25;
const SO_PASSSEC: usize = 34;
const IP_PKTINFO: usize = 8;
const IP_TRANSPARENT: usize = 19;
const IPV6_RECVPKTINFO: usize = 49;
const IPV6_TRANSPARENT: usize = 75;

fn set(socket: impl AsFd, level: usize, option: usize, value: &[u8]) -> Result<()> {
    let number = socket.as_fd().as_raw_fd() as usize;
    // SAFETY: setsockopt reads the bytes whose length goes along.
    unsafe {
        syscall(
            sys::__NR_setsockopt,
            [
                number,
                level,
                option,
                value.as_ptr() as usize,
                value.len(),
                0,
            ],
        )
    }
    .map(drop)
}

fn switch_on(socket: impl AsFd, level: usize, option: usize) -> Result<()> {
    set(socket, level, option, &1i32.to_ne_bytes())
}

/// Takes connections to addresses that are not this host's; `v6` says which family the socket is of.
pub fn set_transparent(socket: impl AsFd, v6: bool) -> Result<()> {
    if v6 {
        switch_on(socket, SOL_IPV6, IPV6_TRANSPARENT)
    } else {
        switch_on(socket, SOL_IP, IP_TRANSPARENT)
    }
}

/// Messages carry the address and interface that they came in by.
pub fn set_packet_information(socket: impl AsFd, v6: bool) -> Result<()> {
    if v6 {
        switch_on(socket, SOL_IPV6, IPV6_RECVPKTINFO)
    } else {
        switch_on(socket, SOL_IP, IP_PKTINFO)
    }
}

/// Messages carry their sender's security label (SO_PASSSEC).
pub fn set_pass_security(socket: impl AsFd) -> Result<()> {
    switch_on(socket, SOL_SOCKET, SO_PASSSEC)
}

/// Only traffic of this interface reaches the socket (SO_BINDTODEVICE).
pub fn bind_to_interface(socket: impl AsFd, name: &CStr) -> Result<()> {
    set(
        socket,
        SOL_SOCKET,
        SO_BINDTODEVICE,
        name.to_bytes_with_nul(),
    )
}
