//! The other end of a channel to the keeper, for those who are started with one.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use kernel::Errno;
use kernel::message::{Descriptors, ReceiveOptions, receive, send};

use crate::protocol::{Command, Encoded, Event, MESSAGE_BYTES_MAX, Malformed, Spawn};

/// The descriptor number under which the manager and the log process get their channel.
pub const CHANNEL_DESCRIPTOR: i32 = 3;

/// Why a channel is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The keeper is gone or has closed its end.
    #[error("the keeper closed its channel")]
    Closed,
    /// The kernel refuses.
    #[error("the channel to the keeper failed")]
    Failed(#[from] Errno),
    /// The keeper said what this build does not understand.
    #[error("the keeper sent a message that is none")]
    Malformed(#[from] Malformed),
}

/// The descriptors of a [`Spawn`]; [`Channel::spawn`] puts them in order and sets the flags that say which are there.
#[derive(Clone, Copy, Debug)]
pub struct SpawnDescriptors<'a> {
    /// An executor, instead of the keeper's own.
    pub executor: Option<BorrowedFd<'a>>,
    /// The plan, the child's descriptor 3.
    pub plan: BorrowedFd<'a>,
    /// The cgroup directory into which the child is born.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The report's write end, the child's descriptor 4.
    pub report: BorrowedFd<'a>,
    /// The child's descriptors from 5 on.
    pub child: &'a [BorrowedFd<'a>],
    /// What the keeper keeps with the child, at most [`crate::protocol::KEPT_MAX`].
    pub kept: &'a [BorrowedFd<'a>],
}

/// A message that waits for room.
struct Waiting {
    message: Encoded,
    descriptors: Vec<OwnedFd>,
}

/// A channel to the keeper. Nothing here waits.
pub struct Channel {
    socket: OwnedFd,
    waiting: VecDeque<Waiting>,
    buffer: Box<[u8; MESSAGE_BYTES_MAX]>,
    descriptors: Box<Descriptors>,
}

impl Channel {
    /// Speaks over `socket`.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            waiting: VecDeque::new(),
            buffer: Box::new([0; MESSAGE_BYTES_MAX]),
            descriptors: Box::default(),
        }
    }

    /// Takes the channel that this process was started with. For the first lines of the program.
    pub fn inherited() -> Result<Self, ChannelError> {
        Ok(Self::new(kernel::descriptor::take_inherited(
            CHANNEL_DESCRIPTOR,
        )?))
    }

    /// Sends a command, or keeps it until [`Channel::flush`] finds room.
    pub fn send(
        &mut self,
        command: &Command<'_>,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let message = command.encode();
        if self.waiting.is_empty() && self.try_send(&message, descriptors)? {
            return Ok(());
        }
        let owned: Result<Vec<OwnedFd>, Errno> = descriptors
            .iter()
            .map(|descriptor| kernel::descriptor::duplicate_from(descriptor, 0))
            .collect();
        self.waiting.push_back(Waiting {
            message,
            descriptors: owned?,
        });
        Ok(())
    }

    /// Sends a request for a process.
    pub fn spawn(
        &mut self,
        request: Spawn<'_>,
        with: SpawnDescriptors<'_>,
    ) -> Result<(), ChannelError> {
        let request = Spawn {
            own_executor: with.executor.is_some(),
            cgroup: with.cgroup.is_some(),
            kept: u8::try_from(with.kept.len()).map_err(|_| Errno::INVAL)?,
            ..request
        };
        let mut all = Vec::with_capacity(4 + with.child.len() + with.kept.len());
        all.extend(with.executor);
        all.push(with.plan);
        all.extend(with.cgroup);
        all.push(with.report);
        all.extend_from_slice(with.child);
        all.extend_from_slice(with.kept);
        self.send(&Command::Spawn(request), &all)
    }

    /// Sends what waits; says whether all is sent. Until then, watch the channel for room too.
    pub fn flush(&mut self) -> Result<bool, ChannelError> {
        while let Some(first) = self.waiting.pop_front() {
            let descriptors: Vec<BorrowedFd<'_>> =
                first.descriptors.iter().map(AsFd::as_fd).collect();
            if !self.try_send(&first.message, &descriptors)? {
                drop(descriptors);
                self.waiting.push_front(first);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether messages wait for room.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next event and its descriptors; `None` if there is none now.
    pub fn receive(&mut self) -> Result<Option<(Event<'_>, &mut Descriptors)>, ChannelError> {
        let received = match receive(
            &self.socket,
            self.buffer.as_mut_slice(),
            &mut self.descriptors,
            ReceiveOptions::default(),
        ) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(Errno::CONNRESET | Errno::PIPE) => return Err(ChannelError::Closed),
            Err(errno) => return Err(errno.into()),
            Ok(received) => received,
        };
        if received.bytes == 0 {
            return Err(ChannelError::Closed);
        }
        let event = Event::decode(self.buffer.get(..received.bytes).unwrap_or_default())?;
        Ok(Some((event, &mut self.descriptors)))
    }

    fn try_send(
        &self,
        message: &Encoded,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<bool, ChannelError> {
        match send(&self.socket, message.as_bytes(), descriptors) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::TOOMANYREFS | Errno::NOBUFS) => Ok(false),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(ChannelError::Closed),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
