//! Closing what strangers passed along, on a thread of its own.
//!
//! A close(2) can take as long as the maker of the file likes: a socket lingers (SO_LINGER), a FUSE server does not answer the flush.
//! The descriptors that wait in a socket's queue are closed with the socket, and those that a receiver has no room for while it
//! receives: so whoever must not wait makes room for all of them ([`crate::message::DESCRIPTORS_MAX`]) and closes them, and the
//! socket itself, here.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::OwnedFd;

/// Threads that wait at once; each is one trap of somebody's.
const WAITING_MAX: usize = 1024;
const STACK_BYTES: usize = 32 << 10;

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// A stranger's descriptor, which is closed aside when it goes, whatever way it goes.
#[derive(Debug)]
pub struct Foreign(Option<OwnedFd>);

impl From<OwnedFd> for Foreign {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Some(descriptor))
    }
}

impl Foreign {
    /// The descriptor, as long as it is held.
    #[must_use]
    pub fn get(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        close(self.0.take());
    }
}

/// Closes descriptors and returns at once. Where there can't be one more thread they stay open: a lost descriptor is better than a
/// process that stands still.
pub fn close(descriptors: impl IntoIterator<Item = OwnedFd>) {
    let numbers: Vec<RawFd> = descriptors
        .into_iter()
        .map(IntoRawFd::into_raw_fd)
        .collect();
    if numbers.is_empty() {
        return;
    }
    if WAITING.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
        WAITING.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let all = move || {
        for number in numbers {
            // SAFETY: taken from its owner above, and closed only here.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
        WAITING.fetch_sub(1, Ordering::Relaxed);
    };
    if !thread(STACK_BYTES, Box::new(all)) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Does something on a thread of its own, with a stack of so many bytes. Says whether there is one; without, nothing is done.
#[must_use]
pub fn thread(stack_bytes: usize, work: Box<dyn FnOnce() + Send>) -> bool {
    let thread = std::thread::Builder::new().name("aside".into());
    thread.stack_size(stack_bytes).spawn(work).is_ok()
}

#[cfg(test)]
mod tests {
    use super::Foreign;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::time::{Duration, Instant};

    #[test]
    fn what_is_a_strangers_is_let_go_without_waiting_for_its_close() {
        const LINGER: Duration = Duration::from_secs(300);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let mut trap = TcpStream::connect(address).expect("a connection");
        let _nobody_reads = listener.accept().expect("its other end");
        trap.set_nonblocking(true).expect("a mode");
        while trap.write(&[0; 1 << 16]).is_ok() {}
        rustix::net::sockopt::set_socket_linger(&trap, Some(LINGER)).expect("a time");
        let foreign = Foreign::from(OwnedFd::from(trap));
        assert!(foreign.get().is_some());
        let begin = Instant::now();
        drop(foreign);
        assert!(begin.elapsed() < LINGER / 3);
    }
}
