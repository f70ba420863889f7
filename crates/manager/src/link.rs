//! The channel to the keeper: commands wait in a queue until the records they rest on are written.

use crate::poll::{Poll, Token};
use kernel::Errno;
use kernel::message::{Descriptors, ReceiveOptions, receive, send};
use keeper::protocol::{ChildKey, Class, Command, Event, MESSAGE_BYTES_MAX, Malformed, Spawn};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// The channel can't be used any more; the keeper will start another manager.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the keeper closed its channel")]
    Closed,
    #[error("the keeper's channel failed")]
    Channel(#[from] Errno),
    #[error("the keeper sent what is no message")]
    Malformed(#[source] Malformed),
}

/// A command that waits.
struct Outgoing {
    bytes: Box<[u8]>,
    descriptors: Vec<Rc<OwnedFd>>,
}

/// The descriptors of a new process, in their order in the message.
#[derive(Debug)]
pub(crate) struct SpawnDescriptors {
    pub(crate) plan: OwnedFd,
    pub(crate) cgroup: Option<OwnedFd>,
    pub(crate) report: OwnedFd,
    pub(crate) child: Vec<Rc<OwnedFd>>,
    /// The manager's end of the report: the keeper keeps a copy for the next manager.
    pub(crate) kept: Rc<OwnedFd>,
}

/// The manager's side of the channel.
pub(crate) struct Link {
    channel: OwnedFd,
    outbox: VecDeque<Outgoing>,
    waits_for_room: bool,
    buffer: Box<[u8; MESSAGE_BYTES_MAX]>,
    descriptors: Box<Descriptors>,
}

impl Link {
    pub(crate) fn new(channel: OwnedFd, poll: &Poll) -> Result<Self, Errno> {
        poll.watch(&channel, Token::Keeper)?;
        Ok(Self {
            channel,
            outbox: VecDeque::new(),
            waits_for_room: false,
            buffer: Box::new([0; MESSAGE_BYTES_MAX]),
            descriptors: Box::default(),
        })
    }

    /// The next event, if one is there, with its descriptors.
    pub(crate) fn receive(&mut self) -> Result<Option<(Event<'_>, Vec<OwnedFd>)>, LinkError> {
        let options = ReceiveOptions::default();
        let received = match receive(&self.channel, self.buffer.as_mut_slice(), &mut self.descriptors, options) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            other => other?,
        };
        if received.bytes == 0 {
            return Err(LinkError::Closed);
        }
        let descriptors = std::iter::from_fn(|| self.descriptors.take()).collect();
        let bytes = self.buffer.get(..received.bytes).unwrap_or_default();
        Ok(Some((Event::decode(bytes).map_err(LinkError::Malformed)?, descriptors)))
    }

    /// Queues a new process.
    pub(crate) fn spawn(&mut self, key: ChildKey, role: u32, label: &str, new_pid_namespace: bool, descriptors: SpawnDescriptors) {
        let command = Command::Spawn(Spawn {
            key,
            role,
            new_pid_namespace,
            own_executor: false,
            cgroup: descriptors.cgroup.is_some(),
            kept: 1,
            label: cut(label),
        });
        let mut list = vec![Rc::new(descriptors.plan)];
        list.extend(descriptors.cgroup.map(Rc::new));
        list.push(Rc::new(descriptors.report));
        list.extend(descriptors.child);
        list.push(descriptors.kept);
        self.queue(&command, list);
    }

    /// Queues a descriptor for the keeper to hold.
    pub(crate) fn hold(&mut self, class: Class, name: &str, descriptor: Rc<OwnedFd>) {
        self.queue(&Command::Hold { class, name: name.as_bytes() }, vec![descriptor]);
    }

    /// Queues the closing of a held descriptor.
    pub(crate) fn drop_held(&mut self, class: Class, name: &str) {
        self.queue(&Command::Drop { class, name: name.as_bytes() }, Vec::new());
    }

    /// Queues a command without descriptors, or with one.
    pub(crate) fn command(&mut self, command: &Command<'_>, descriptor: Option<OwnedFd>) {
        self.queue(command, descriptor.map(Rc::new).into_iter().collect());
    }

    fn queue(&mut self, command: &Command<'_>, descriptors: Vec<Rc<OwnedFd>>) {
        self.outbox.push_back(Outgoing { bytes: command.encode().as_bytes().into(), descriptors });
    }

    /// Sends what is queued; what does not fit waits for room.
    pub(crate) fn flush(&mut self, poll: &Poll) -> Result<(), LinkError> {
        while let Some(outgoing) = self.outbox.front() {
            let descriptors: Vec<BorrowedFd<'_>> = outgoing.descriptors.iter().map(|one| one.as_fd()).collect();
            match send(&self.channel, &outgoing.bytes, &descriptors) {
                Ok(_) => drop(self.outbox.pop_front()),
                Err(Errno::AGAIN) => break,
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(LinkError::Closed),
                Err(errno) => return Err(errno.into()),
            }
        }
        let waits = !self.outbox.is_empty();
        if waits != self.waits_for_room {
            self.waits_for_room = waits;
            poll.rewatch(&self.channel, Token::Keeper, true, waits)?;
        }
        Ok(())
    }
}

fn cut(label: &str) -> &[u8] {
    let bytes = label.as_bytes();
    bytes.get(..keeper::protocol::LABEL_BYTES_MAX).unwrap_or(bytes)
}
