//! Bytes and descriptors from a stream socket, cut into frames at NUL bytes, with limits.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes in one request. The largest is a transient unit with a long command and environment; the kernel allows about as much for execve.
pub const MAX_REQUEST_BYTES: usize = 2 << 20;
/// Bytes in one reply: the status of ten thousand units.
pub const MAX_REPLY_BYTES: usize = 64 << 20;
/// Descriptors that may wait for the message that uses them.
pub const MAX_DESCRIPTORS: usize = 32;
/// Descriptors that the kernel passes at once. There is room for all, since it would close the others then and there, and that can
/// take as long as their maker likes.
const PASSED_DESCRIPTORS: usize = 253;
/// Bytes asked of the kernel at once: a whole ordinary message.
const READ_BYTES: usize = 16 << 10;
/// The same once so much of a message is there that much more comes: what a socket holds at most by default (net.core.wmem_max).
const MUCH_BYTES: usize = 208 << 10;

/// What reading gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Filled {
    /// Something came.
    Some,
    /// Nothing is there now.
    WouldBlock,
    /// The other side closed.
    End,
}

/// The stream can't be read any further.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed.
    #[error("the connection failed")]
    Socket(#[from] rustix::io::Errno),
    /// A message passes its limit.
    #[error("a message of more than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
    /// Descriptors pile up.
    #[error("more than {MAX_DESCRIPTORS} descriptors in one message")]
    TooManyDescriptors,
}

/// What has arrived and is not used yet.
#[derive(Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// Bytes at the front that frames have used.
    used: usize,
    /// Bytes that were searched for a NUL in vain.
    searched: usize,
    limit: usize,
    descriptors: VecDeque<OwnedFd>,
}

impl Inbox {
    /// An empty inbox for messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            used: 0,
            searched: 0,
            limit,
            descriptors: VecDeque::new(),
        }
    }

    /// Reads once from a socket; `flags` says whether it may wait.
    pub fn fill(&mut self, socket: impl AsFd, flags: RecvFlags) -> Result<Filled, FrameError> {
        self.forget_used();
        let start = self.bytes.len();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let wanted = if start < 2 * READ_BYTES {
            READ_BYTES
        } else {
            MUCH_BYTES
        };
        self.bytes.resize(start + wanted, 0);
        let result = loop {
            let buffer = self.bytes.get_mut(start..).unwrap_or_default();
            match rustix::net::recvmsg(
                &socket,
                &mut [IoSliceMut::new(buffer)],
                &mut ancillary,
                flags | RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other,
            }
        };
        self.bytes
            .truncate(start + result.as_ref().map_or(0, |got| got.bytes));
        let got = match result {
            Err(rustix::io::Errno::AGAIN) => return Ok(Filled::WouldBlock),
            other => other?,
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if self.descriptors.len() > MAX_DESCRIPTORS
            || got.flags.contains(rustix::net::ReturnFlags::CTRUNC)
        {
            return Err(FrameError::TooManyDescriptors);
        }
        Ok(if got.bytes == 0 {
            Filled::End
        } else {
            Filled::Some
        })
    }

    /// The next whole frame, without its NUL. It counts as used at the next call.
    pub fn frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let from = self.searched.max(self.used);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == 0) else {
            self.searched = self.bytes.len();
            return match self.bytes.len() - self.used > self.limit {
                true => Err(FrameError::TooLong { limit: self.limit }),
                false => Ok(None),
            };
        };
        let start = self.used;
        self.used = from + length + 1;
        match from + length - start > self.limit {
            true => Err(FrameError::TooLong { limit: self.limit }),
            false => Ok(self.bytes.get(start..from + length)),
        }
    }

    /// All descriptors that arrived and that no message has taken.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        self.descriptors.drain(..).collect()
    }

    fn forget_used(&mut self) {
        if self.used == self.bytes.len() {
            self.bytes.clear();
        } else {
            self.bytes.drain(..self.used);
        }
        self.searched = self.searched.saturating_sub(self.used);
        self.used = 0;
        // An idle connection keeps no large buffer.
        if self.bytes.is_empty() && self.bytes.capacity() > 2 * READ_BYTES {
            self.bytes = Vec::new();
        }
    }
}

/// Sends what it can of `bytes`, with the descriptors beside the first of them; gives the number of bytes sent.
pub fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<usize, rustix::io::Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(rustix::io::Errno::TOOMANYREFS);
    }
    loop {
        match rustix::net::sendmsg(
            &socket,
            &[IoSlice::new(bytes)],
            &mut ancillary,
            flags | SendFlags::NOSIGNAL,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other,
        }
    }
}
