//! What waits at a socket, a pipe or a queue is thrown away, without waiting for anybody.

use kernel::message::{Descriptors, ReceiveOptions, receive};
use rustix::fs::FileType;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::os::fd::OwnedFd;

/// Refuses what may still come to a socket that nobody else has, and empties its queue: the keeper, which closes it last, must not wait
/// for what strangers have passed along.
pub(crate) fn retire(socket: &OwnedFd) {
    let is_unix = rustix::net::sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX);
    if !is_unix || crate::streams::set_non_blocking(socket, true).is_err() {
        return;
    }
    match rustix::net::shutdown(socket, rustix::net::Shutdown::Read) {
        // Without it more may come while the rest goes, and be in the way of the keeper.
        Ok(()) | Err(_) => while flush_one(socket) {},
    }
}

/// Throws one connection or message away; false if there is none. What a stranger passed along with it is closed aside.
pub(crate) fn flush_one(socket: &OwnedFd) -> bool {
    let Ok(kind) = rustix::net::sockopt::socket_type(socket) else {
        return read_one(socket);
    };
    if kind == SocketType::DGRAM {
        let (mut byte, mut descriptors) = ([0; 1], Descriptors::default());
        let options = ReceiveOptions::default();
        let received = receive(socket, &mut byte, &mut descriptors, options);
        descriptors.close_aside();
        return received.is_ok();
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let Ok(connection) = rustix::net::accept_with(socket, flags) else {
        return false;
    };
    // Only there descriptors are passed along.
    if rustix::net::sockopt::socket_domain(&connection) == Ok(AddressFamily::UNIX) {
        kernel::message::retire(&connection);
    }
    true
}

/// Throws away what a named pipe holds, or a message of a queue; false if there is nothing. What a special file has is the kernel's.
fn read_one(file: &OwnedFd) -> bool {
    let kind = rustix::fs::fstat(file).map(|found| FileType::from_raw_mode(found.st_mode));
    if kind == Ok(FileType::Fifo) {
        let mut bytes = [0; 4096];
        return rustix::io::read(file, &mut bytes).is_ok_and(|read| read > 0);
    }
    kernel::listening::drop_message(file).is_ok()
}
