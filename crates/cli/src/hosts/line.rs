//! Both ends of the connection between two hosts: pipes that never block, so that each side hears the other's end whatever else waits.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use wire::remote::{Frame, Inbox};

/// Bytes that may wait for the other side before nothing more is read for it.
const PENDING_BYTES: usize = 256 << 10;
/// Bytes asked of the kernel at once: what a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// Beats of the other side that may be missing before it is given up.
pub(crate) const MISSED_BEATS: u32 = 6;

/// What goes to the other side.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) pipe: OwnedFd,
    pending: Vec<u8>,
}

impl Outbox {
    pub(crate) fn new(pipe: OwnedFd) -> io::Result<Outbox> {
        Ok(Outbox {
            pipe: non_blocking(pipe)?,
            pending: Vec::new(),
        })
    }

    /// Sends what can be sent now; the rest waits.
    pub(crate) fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.send_bytes(&frame.encode())
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        self.flush()
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match rustix::io::write(&self.pipe, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Something waits for the other side.
    pub(crate) fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_BYTES
    }
}

/// What comes from the other side.
#[derive(Debug)]
pub(crate) struct Inlet {
    pub(crate) pipe: OwnedFd,
    pub(crate) inbox: Inbox,
    heard: Instant,
    is_open: bool,
}

impl Inlet {
    pub(crate) fn new(pipe: OwnedFd) -> io::Result<Inlet> {
        Ok(Inlet {
            pipe: non_blocking(pipe)?,
            inbox: Inbox::default(),
            heard: Instant::now(),
            is_open: true,
        })
    }

    /// Reads once what is there. What came before the other side closed is still used.
    pub(crate) fn fill(&mut self) {
        if let Some(bytes) = read(&self.pipe, &mut self.is_open) {
            self.heard = Instant::now();
            self.inbox.push(&bytes);
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Nothing was heard for so long.
    pub(crate) fn is_silent(&self, limit: Duration) -> bool {
        self.heard.elapsed() > limit
    }
}

/// What can be read now; `is_open` becomes false at the end, which a terminal's other end tells as an error.
pub(crate) fn read(pipe: &OwnedFd, is_open: &mut bool) -> Option<Vec<u8>> {
    let mut buffer = vec![0; READ_BYTES];
    match rustix::io::read(pipe, &mut buffer) {
        Ok(0) => *is_open = false,
        Ok(count) => {
            buffer.truncate(count);
            return Some(buffer);
        }
        Err(Errno::AGAIN | Errno::INTR) => {}
        Err(_) => *is_open = false,
    }
    None
}

pub(crate) fn non_blocking(pipe: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
    Ok(pipe)
}
