//! A process that the keeper started or watches.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::protocol::{ChildKey, ChildState, Event, Exit, KEPT_MAX, LABEL_BYTES_MAX};
use crate::slots::Tags;

/// A text of at most [`LABEL_BYTES_MAX`] bytes.
#[derive(Clone, Copy)]
pub(crate) struct Label {
    bytes: [u8; LABEL_BYTES_MAX],
    used: usize,
}

impl Label {
    /// What does not fit is cut: it is for people only.
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut bytes = [0; LABEL_BYTES_MAX];
        let used = text.len().min(LABEL_BYTES_MAX);
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = *from;
        }
        Self { bytes, used }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

/// One row of the inventory.
pub(crate) struct Child {
    pub(crate) key: ChildKey,
    pub(crate) role: u32,
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) kept: [Option<OwnedFd>; KEPT_MAX],
    pub(crate) state: ChildState,
    pub(crate) watched: bool,
    /// The manager that runs now has been told how it ended.
    pub(crate) told: bool,
    pub(crate) label: Label,
}

impl Child {
    /// By the key, and by the process id.
    pub(crate) fn tags(&self) -> Tags {
        [key_tag(self.key), u64::from(self.pid)]
    }

    pub(crate) fn spawned(&self) -> Event<'_> {
        Event::Spawned {
            key: self.key,
            role: self.role,
            pid: self.pid,
        }
    }

    pub(crate) fn record(&self) -> Event<'_> {
        Event::Child {
            key: self.key,
            role: self.role,
            pid: self.pid,
            state: self.state,
            watched: self.watched,
            label: self.label.as_bytes(),
        }
    }

    /// The news of its end, if it has ended.
    pub(crate) fn exited(&self) -> Option<Event<'_>> {
        match self.state {
            ChildState::Running => None,
            ChildState::Exited(exit) => Some(Event::Exited {
                key: self.key,
                role: self.role,
                pid: self.pid,
                exit,
            }),
        }
    }

    /// Its pidfd and the kept descriptors, as many as the answer says.
    pub(crate) fn descriptors(&self) -> ([BorrowedFd<'_>; KEPT_MAX + 1], usize) {
        let mut all = [self.pidfd.as_fd(); KEPT_MAX + 1];
        let mut count = 1;
        for (to, from) in all.iter_mut().skip(1).zip(self.kept.iter().flatten()) {
            *to = from.as_fd();
            count += 1;
        }
        (all, count)
    }
}

/// Mixes the key's numbers into one that is never 0: a hint for searching, the key itself decides.
pub(crate) fn key_tag(key: ChildKey) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = key.unit.wrapping_mul(ODD)
        ^ key.incarnation.rotate_left(32).wrapping_mul(ODD)
        ^ key.command;
    mixed | 1 << 63
}

/// What the kernel says, in the protocol's words.
pub(crate) fn exit(ending: kernel::wait::Ending) -> Exit {
    match ending {
        kernel::wait::Ending::Exited(code) => Exit::Code(code),
        kernel::wait::Ending::Killed { signal, dumped } => Exit::Killed { signal, dumped },
    }
}
