//! The one place where the manager waits: epoll over descriptors, each with a token that says whose event it is.

use crate::timers::Source;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// Events taken at once; more wait for the next round.
const EVENTS_MAX: usize = 64;

/// Whose event it is. The numbers are never used twice, so that an event for something that just went away finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Token {
    /// The keeper's channel.
    Keeper,
    /// The API's listening socket.
    Api,
    /// The inotify descriptor that watches control groups.
    Cgroups,
    /// The inotify descriptor that watches files of the host.
    HostFiles,
    /// The inotify descriptor that watches for PID files.
    PidFiles,
    /// A client's connection.
    Client(u32),
    /// The report of an executor.
    Report(u32),
    /// A notification socket.
    Notify(u32),
    /// A listening socket that waits for its first client.
    Listen(u32),
    /// A worker's socket.
    Worker(u32),
    /// The socket of who makes network namespaces ahead.
    Network,
    /// Our stream into the log.
    OwnLog,
    /// Threads have answers.
    Elsewhere,
    /// The socket on which dynamic users are looked up.
    Users,
    /// A connection to it.
    UserClient(u32),
    /// The inotify descriptor of a path unit.
    Path(u32),
    /// The pipe of an automount unit.
    Automount(u32),
    /// The mount table, for path units.
    Mounts,
    /// The tables of mounts and swaps, for units of these kinds.
    Tables,
    /// A descriptor that a service stored.
    Stored(u32),
    /// The output of a probe's command.
    ProbeOutput(u32),
    /// Probes have answers.
    Probed,
    /// What udev says.
    Devices,
    /// The message bus.
    Bus(u32),
    /// An alarm of timers, or what tells of the time zone.
    Timers(Source),
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Self::Keeper => (1, 0),
            Self::Api => (2, 0),
            Self::Cgroups => (3, 0),
            Self::Client(number) => (4, number),
            Self::Report(number) => (5, number),
            Self::Notify(number) => (6, number),
            Self::Listen(number) => (7, number),
            Self::Worker(number) => (8, number),
            Self::HostFiles => (9, 0),
            Self::OwnLog => (10, 0),
            Self::Elsewhere => (11, 0),
            Self::Network => (12, 0),
            Self::Users => (14, 0),
            Self::PidFiles => (15, 0),
            Self::UserClient(number) => (13, number),
            Self::Timers(source) => (16, source as u32),
            Self::Path(number) => (17, number),
            Self::Mounts => (18, 0),
            Self::Tables => (22, 0),
            Self::Stored(number) => (19, number),
            Self::ProbeOutput(number) => (20, number),
            Self::Probed => (21, 0),
            Self::Automount(number) => (23, number),
            Self::Bus(number) => (24, number),
            Self::Devices => (25, 0),
        };
        (kind << 32) | u64::from(number)
    }

    fn unpack(bits: u64) -> Option<Self> {
        let number = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        Some(match bits >> 32 {
            1 => Self::Keeper,
            2 => Self::Api,
            3 => Self::Cgroups,
            4 => Self::Client(number),
            5 => Self::Report(number),
            6 => Self::Notify(number),
            7 => Self::Listen(number),
            8 => Self::Worker(number),
            9 => Self::HostFiles,
            10 => Self::OwnLog,
            11 => Self::Elsewhere,
            12 => Self::Network,
            14 => Self::Users,
            15 => Self::PidFiles,
            13 => Self::UserClient(number),
            17 => Self::Path(number),
            18 => Self::Mounts,
            22 => Self::Tables,
            19 => Self::Stored(number),
            20 => Self::ProbeOutput(number),
            21 => Self::Probed,
            23 => Self::Automount(number),
            24 => Self::Bus(number),
            25 => Self::Devices,
            16 => Self::Timers(*Source::ALL.get(number as usize)?),
            _ => return None,
        })
    }
}

/// What happened to a descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) closed: bool,
}

/// The epoll descriptor and the room for its answers.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
    next_number: u32,
}

impl Poll {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            next_number: 0,
        })
    }

    /// A number that no other token of this process has.
    pub(crate) fn number(&mut self) -> u32 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }

    /// Tells when it breaks or its other end goes, and of nothing else.
    pub(crate) fn watch_end(&self, source: impl AsFd, token: Token) -> Result<(), Errno> {
        let data = EventData::new_u64(token.pack());
        epoll::add(&self.epoll, source, data, EventFlags::empty())
    }

    /// Reports when there is something to read.
    pub(crate) fn watch(&self, source: impl AsFd, token: Token) -> Result<(), Errno> {
        epoll::add(
            &self.epoll,
            source,
            EventData::new_u64(token.pack()),
            EventFlags::IN | EventFlags::RDHUP,
        )
    }

    /// Reports when a file of the kernel that can be read at any time has other contents (`EPOLLPRI`).
    pub(crate) fn watch_urgent(&self, source: impl AsFd, token: Token) -> Result<(), Errno> {
        let data = EventData::new_u64(token.pack());
        epoll::add(&self.epoll, source, data, EventFlags::PRI)
    }

    /// Reports when there is room to write.
    pub(crate) fn watch_room(&self, source: impl AsFd, token: Token) -> Result<(), Errno> {
        epoll::add(
            &self.epoll,
            source,
            EventData::new_u64(token.pack()),
            EventFlags::OUT,
        )
    }

    /// Reports when there is something to read, and, if `writable`, when there is room to write.
    pub(crate) fn rewatch(
        &self,
        source: impl AsFd,
        token: Token,
        readable: bool,
        writable: bool,
    ) -> Result<(), Errno> {
        let mut flags = EventFlags::RDHUP;
        flags.set(EventFlags::IN, readable);
        flags.set(EventFlags::OUT, writable);
        epoll::modify(&self.epoll, source, EventData::new_u64(token.pack()), flags)
    }

    /// Reports nothing more. To what is not watched: nothing happens.
    pub(crate) fn forget(&self, source: impl AsFd) {
        match epoll::delete(&self.epoll, source) {
            Ok(()) | Err(_) => {}
        }
    }

    /// Waits until something happens or `timeout_us` passed; `None` waits for ever.
    pub(crate) fn wait(&mut self, timeout_us: Option<u64>) -> Result<Vec<Ready>, Errno> {
        let timeout = timeout_us.map(|us| Timespec {
            tv_sec: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(us % 1_000_000 * 1_000).unwrap_or_default(),
        });
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(self.events.iter().filter_map(ready).collect())
    }
}

fn ready(event: &Event) -> Option<Ready> {
    // The kernel's struct is packed: its fields are copied, not borrowed.
    let (data, flags) = (event.data, event.flags);
    Some(Ready {
        token: Token::unpack(data.u64())?,
        readable: flags
            .intersects(EventFlags::IN | EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR),
        writable: flags.contains(EventFlags::OUT),
        closed: flags.intersects(EventFlags::HUP | EventFlags::ERR),
    })
}
