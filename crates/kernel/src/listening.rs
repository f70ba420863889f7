//! What listens beyond what rustix knows: options by their numbers, VM sockets, message queues.

use core::ffi::CStr;

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::syscall::syscall;
use crate::{Errno, Result};

/// Sets an option of a socket, setsockopt(2).
pub fn set(socket: impl AsFd, level: u32, option: u32, value: &[u8]) -> Result<()> {
    let number = socket.as_fd().as_raw_fd() as usize;
    // SAFETY: setsockopt reads the bytes whose length goes along.
    unsafe {
        syscall(
            sys::__NR_setsockopt,
            [
                number,
                level as usize,
                option as usize,
                value.as_ptr() as usize,
                value.len(),
                0,
            ],
        )
    }
    .map(drop)
}

/// Sets an option that has another beside it, which takes a privilege and goes beyond the host's limit: that first, if the caller may.
pub fn set_forced(
    socket: impl AsFd,
    level: u32,
    (option, forced): (u32, Option<u32>),
    value: &[u8],
) -> Result<()> {
    match forced.map(|forced| set(&socket, level, forced, value)) {
        Some(Err(Errno::PERM)) | None => set(socket, level, option, value),
        Some(done) => done,
    }
}

/// `struct sockaddr_vm` of <linux/vm_sockets.h>.
#[repr(C)]
struct VsockAddress {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    flags: u8,
    zero: [u8; 3],
}

const _: () = assert!(size_of::<VsockAddress>() == 16);

/// `struct sockaddr_nl` of <linux/netlink.h>.
#[repr(C)]
struct NetlinkAddress {
    family: u16,
    padding: u16,
    port: u32,
    groups: u32,
}

/// Binds a socket of virtual machines, vsock(7).
pub fn bind_vsock(socket: impl AsFd, cid: u32, port: u32) -> Result<()> {
    let address = VsockAddress {
        family: rustix::net::AddressFamily::VSOCK.as_raw(),
        reserved: 0,
        port,
        cid,
        flags: 0,
        zero: [0; 3],
    };
    bind(socket, &address)
}

/// Binds a netlink socket to multicast groups, a bit for each, under a number that the kernel chooses (netlink(7)).
pub fn bind_netlink(socket: impl AsFd, groups: u32) -> Result<()> {
    let address = NetlinkAddress {
        family: rustix::net::AddressFamily::NETLINK.as_raw(),
        padding: 0,
        port: 0,
        groups,
    };
    bind(socket, &address)
}

fn bind<T>(socket: impl AsFd, address: &T) -> Result<()> {
    let arguments = [
        socket.as_fd().as_raw_fd() as usize,
        core::ptr::from_ref(address) as usize,
        size_of::<T>(),
        0,
        0,
        0,
    ];
    // SAFETY: bind reads an address, whose size goes along.
    unsafe { syscall(sys::__NR_bind, arguments) }.map(drop)
}

/// `struct mq_attr` of <linux/mqueue.h>.
#[repr(C)]
struct QueueAttributes {
    flags: isize,
    messages: isize,
    bytes: isize,
    waiting: isize,
    reserved: [isize; 4],
}

/// Opens the message queue `name`, which has no slash, for reading, and makes it where there is none: with `mode`, cut by the process's
/// mask, and how many messages of how many bytes it holds, as the host is set without that.
pub fn open_queue(name: &CStr, mode: u32, size: Option<(u64, u64)>) -> Result<OwnedFd> {
    let flags = sys::O_RDONLY | sys::O_CREAT | sys::O_NONBLOCK | sys::O_CLOEXEC;
    let attributes = match size {
        Some((messages, bytes)) => Some(QueueAttributes {
            flags: 0,
            messages: isize::try_from(messages).map_err(|_| Errno::INVAL)?,
            bytes: isize::try_from(bytes).map_err(|_| Errno::INVAL)?,
            waiting: 0,
            reserved: [0; 4],
        }),
        None => None,
    };
    let attributes = attributes.as_ref();
    let arguments = [
        name.as_ptr() as usize,
        flags as usize,
        mode as usize,
        attributes.map_or(0, |known| core::ptr::from_ref(known) as usize),
        0,
        0,
    ];
    // SAFETY: mq_open reads a terminated name and, where they are given, attributes of its own layout.
    let number = unsafe { syscall(sys::__NR_mq_open, arguments) }?;
    let number = i32::try_from(number).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just opened it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Removes the name of a message queue.
pub fn remove_queue(name: &CStr) -> Result<()> {
    // SAFETY: mq_unlink reads a terminated name.
    unsafe { syscall(sys::__NR_mq_unlink, [name.as_ptr() as usize, 0, 0, 0, 0, 0]) }.map(drop)
}

/// Throws the next message of a queue away; EAGAIN or ETIMEDOUT if there is none: it never waits, whatever the queue's flags are.
#[cfg(feature = "std")]
pub fn drop_message(queue: impl AsFd) -> Result<()> {
    let number = queue.as_fd().as_raw_fd() as usize;
    let mut attributes = QueueAttributes {
        flags: 0,
        messages: 0,
        bytes: 0,
        waiting: 0,
        reserved: [0; 4],
    };
    let place = core::ptr::from_mut(&mut attributes) as usize;
    // SAFETY: mq_getsetattr writes attributes, of its own layout, and reads none.
    unsafe { syscall(sys::__NR_mq_getsetattr, [number, 0, place, 0, 0, 0]) }?;
    let mut message = vec![0u8; attributes.bytes.unsigned_abs()];
    // Long past, when it would have to wait.
    let until = [0i64; 2];
    let arguments = [
        number,
        message.as_mut_ptr() as usize,
        message.len(),
        0,
        until.as_ptr() as usize,
        0,
    ];
    // SAFETY: mq_timedreceive writes at most as many bytes as the message has room for, and reads a time of two numbers of 64 bits.
    unsafe { syscall(sys::__NR_mq_timedreceive, arguments) }.map(drop)
}
