//! What was made ahead for one start, by a process of the same role for all: namespaces that nobody has been in, and file systems that are
//! mounted nowhere. Who makes them and who takes them are the same program, so what lies between is told here alone.
//!
//! A step takes a part that is as the one that it would make, and makes its own where there is none.

use core::cell::Cell;

use kernel::message::{Descriptors, ReceiveOptions, receive, send};
use kernel::rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use kernel::{AsFd, BorrowedFd, Errno, OwnedFd, Result};

/// The places of the parts, which their message names by these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A network namespace whose loopback is up.
    Network,
    /// A namespace of inter-process communication.
    Ipc,
    /// A user namespace without maps, and the files that take them.
    Users,
    UserMap,
    GroupMap,
    /// A `/dev` with its nodes, and what is mounted in it.
    Devices,
    Terminals,
    SharedMemory,
    /// The message queues of the IPC namespace.
    Queues,
    /// What the kernel shows of the network namespace's devices.
    Sysfs,
    /// A file system in memory as PrivateTmp=disconnected has them.
    Temporary,
    OtherTemporary,
    /// What covers inaccessible paths.
    Masks,
}

impl Part {
    /// In the order of their numbers.
    const ALL: [Self; 13] = [
        Self::Network,
        Self::Ipc,
        Self::Users,
        Self::UserMap,
        Self::GroupMap,
        Self::Devices,
        Self::Terminals,
        Self::SharedMemory,
        Self::Queues,
        Self::Sysfs,
        Self::Temporary,
        Self::OtherTemporary,
        Self::Masks,
    ];
}

/// The parts that are there.
pub(crate) struct Ahead {
    parts: [Cell<Option<OwnedFd>>; Part::ALL.len()],
}

impl Ahead {
    /// Nothing was made.
    pub(crate) const fn new() -> Self {
        Self {
            parts: [const { Cell::new(None) }; Part::ALL.len()],
        }
    }

    /// Takes a part, which is then no one else's.
    pub(crate) fn take(&self, part: Part) -> Option<OwnedFd> {
        self.parts.get(part as usize)?.take()
    }

    /// Lets go of the user namespace, in whose place the start makes its own.
    pub(crate) fn forget_users(&self) {
        for part in [Part::Users, Part::UserMap, Part::GroupMap] {
            drop(self.take(part));
        }
    }

    /// Adds a part.
    pub(crate) fn put(&self, part: Part, made: OwnedFd) {
        if let Some(place) = self.parts.get(part as usize) {
            place.set(Some(made));
        }
    }

    /// A socket in which all parts lie as one message.
    pub(crate) fn pack(self) -> Result<OwnedFd> {
        let made = self.parts.map(Cell::into_inner);
        let (mut names, mut count) = ([0; Part::ALL.len()], 0);
        let mut descriptors: [Option<BorrowedFd<'_>>; Part::ALL.len()] = [None; Part::ALL.len()];
        for (part, made) in Part::ALL.iter().zip(&made) {
            let (Some(made), Some(name), Some(place)) =
                (made, names.get_mut(count), descriptors.get_mut(count))
            else {
                continue;
            };
            *name = *part as u8;
            *place = Some(made.as_fd());
            count += 1;
        }
        let first = descriptors.first().copied().flatten().ok_or(Errno::INVAL)?;
        let descriptors = descriptors.map(|one| one.unwrap_or(first));
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        let (names, descriptors) = (names.get(..count), descriptors.get(..count));
        send(
            &ours,
            names.unwrap_or_default(),
            descriptors.unwrap_or_default(),
        )?;
        Ok(theirs)
    }

    /// Takes the parts out of the socket. What it holds was packed by this program: anything else is an error, not a part that is missing.
    pub(crate) fn unpack(socket: impl AsFd) -> Result<Self> {
        let (mut names, mut made) = ([0; Part::ALL.len()], Descriptors::default());
        let options = ReceiveOptions::default();
        let received = receive(socket, &mut names, &mut made, options)?;
        let is_whole = !received.truncated && !received.control_truncated;
        if !is_whole || received.bytes == 0 || received.bytes != made.len() {
            return Err(Errno::BADMSG);
        }
        let ahead = Self::new();
        for name in names.iter().take(received.bytes) {
            let part = Part::ALL.get(usize::from(*name)).ok_or(Errno::BADMSG)?;
            ahead.put(*part, made.take().ok_or(Errno::BADMSG)?);
        }
        Ok(ahead)
    }
}
