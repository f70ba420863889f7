//! The keeper itself: what it owns, and its loop.

use std::ffi::CString;

use kernel::{Errno, Result};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::time::Timespec;

use crate::child::Child;
use crate::clock::Moment;
use crate::ending::{Ending, LastDeed};
use crate::held::Held;
use crate::outgoing::Outbox;
use crate::slots::Slots;
use crate::supervised::Supervised;
use crate::window::Window;

/// Most children and watched processes at once: each is a process, and a host has 32,768 of them by default.
pub(crate) const CHILDREN_MAX: usize = 16_384;
/// Most held descriptors at once.
pub(crate) const HELD_MAX: usize = 65_536;
/// Events taken per round.
const EVENTS_MAX: usize = 64;

/// Who is at the other end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The manager.
    Manager,
    /// The log process.
    Log,
}

/// What an event is about; the number that epoll carries for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The signalfd.
    Signals,
    /// A message, or room for one.
    Channel(Who),
    /// The end of the manager or the log process.
    Process(Who),
    /// The end of the child in that place.
    Child(usize),
}

impl Token {
    const CHILDREN: u64 = 1 << 32;

    pub(crate) fn data(self) -> EventData {
        EventData::new_u64(match self {
            Self::Signals => 0,
            Self::Channel(Who::Manager) => 1,
            Self::Channel(Who::Log) => 2,
            Self::Process(Who::Manager) => 3,
            Self::Process(Who::Log) => 4,
            Self::Child(place) => Self::CHILDREN + place as u64,
        })
    }

    fn from_data(data: EventData) -> Self {
        match data.u64() {
            0 => Self::Signals,
            1 => Self::Channel(Who::Manager),
            2 => Self::Channel(Who::Log),
            3 => Self::Process(Who::Manager),
            4 => Self::Process(Who::Log),
            place => Self::Child(place.saturating_sub(Self::CHILDREN) as usize),
        }
    }
}

/// A supervised process and its channel.
pub(crate) struct Client {
    pub(crate) process: Supervised,
    pub(crate) channel: Option<OwnedFd>,
    pub(crate) outbox: Outbox,
    /// What epoll watches the channel for.
    pub(crate) interest: EventFlags,
    /// When to try sending again after the kernel was short of something that makes no event.
    pub(crate) retry_at: Option<Moment>,
    /// When to kill the process: it closed its channel and lives on.
    pub(crate) kill_at: Option<Moment>,
}

impl Client {
    pub(crate) fn new(process: Supervised) -> Self {
        Self {
            process,
            channel: None,
            outbox: Outbox::default(),
            interest: EventFlags::empty(),
            retry_at: None,
            kill_at: None,
        }
    }
}

/// Everything of the keeper.
pub(crate) struct Keeper {
    /// Directories and the like, passed on to manager and log as they came.
    pub(crate) arguments: Vec<CString>,
    /// The first process of its pid namespace.
    pub(crate) init: bool,
    /// The executable of manager, log and the keeper's own successor.
    pub(crate) program: OwnedFd,
    /// What spawned children execute.
    pub(crate) executor: OwnedFd,
    /// The limit of open descriptors as it was before the keeper raised its own; children get that.
    pub(crate) open_files: (u64, u64),
    pub(crate) epoll: OwnedFd,
    pub(crate) signals: OwnedFd,
    pub(crate) stack: kernel::spawn::Stack,
    pub(crate) window: Window,
    pub(crate) children: Slots<Child>,
    pub(crate) held: Slots<Held>,
    pub(crate) manager: Client,
    pub(crate) log: Client,
    /// Signals that ask for the end of everything: each new manager is told of them.
    pub(crate) asked_to_end: u64,
    /// How often the manager died since.
    pub(crate) deaths_while_ending: u32,
    /// The keeper's own end has begun.
    pub(crate) ending: Option<Ending>,
    /// What is done with the machine when all is over.
    pub(crate) last_deed: LastDeed,
}

impl Keeper {
    pub(crate) fn new(
        arguments: Vec<CString>,
        (program, executor): (OwnedFd, OwnedFd),
        open_files: (u64, u64),
        window: Window,
    ) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let signals = kernel::signal::descriptor(crate::signals::taken())?;
        epoll::add(&epoll, &signals, Token::Signals.data(), EventFlags::IN)?;
        let now = Moment::now();
        Ok(Self {
            arguments,
            init: rustix::process::getpid().as_raw_nonzero().get() == 1,
            program,
            executor,
            open_files,
            epoll,
            signals,
            stack: kernel::spawn::Stack::new()?,
            window,
            children: Slots::new(CHILDREN_MAX),
            held: Slots::new(HELD_MAX),
            manager: Client::new(Supervised::new(now)),
            log: Client::new(Supervised::new(now)),
            asked_to_end: 0,
            deaths_while_ending: 0,
            ending: None,
            last_deed: LastDeed::default(),
        })
    }

    pub(crate) fn client(&self, who: Who) -> &Client {
        match who {
            Who::Manager => &self.manager,
            Who::Log => &self.log,
        }
    }

    pub(crate) fn client_mut(&mut self, who: Who) -> &mut Client {
        match who {
            Who::Manager => &mut self.manager,
            Who::Log => &mut self.log,
        }
    }

    /// Runs until the keeper's end; answers its exit status.
    pub(crate) fn run(&mut self) -> Result<u8> {
        let nothing = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        let mut events = [nothing; EVENTS_MAX];
        loop {
            let now = Moment::now();
            self.start_what_is_due(now);
            self.catch_up(now);
            if let Some(status) = self.ending_step(now) {
                return Ok(status);
            }
            let timeout = self.next_deadline().map(|deadline| deadline.wait_from(now));
            let count = self.wait(&mut events, timeout.as_ref())?;
            for event in events.iter().take(count) {
                self.dispatch(Token::from_data(event.data));
            }
        }
    }

    fn wait(&self, events: &mut [Event; EVENTS_MAX], timeout: Option<&Timespec>) -> Result<usize> {
        match epoll::wait(&self.epoll, events.as_mut_slice(), timeout) {
            Err(Errno::INTR) => Ok(0),
            other => other,
        }
    }

    fn dispatch(&mut self, token: Token) {
        match token {
            Token::Signals => self.on_signals(),
            Token::Channel(who) => self.on_channel(who),
            Token::Process(who) => self.on_process_end(who),
            Token::Child(place) => self.on_child_end(place),
        }
    }

    fn next_deadline(&self) -> Option<Moment> {
        [
            self.manager
                .process
                .start_at()
                .filter(|_| self.ending.is_none()),
            self.log
                .process
                .start_at()
                .filter(|_| self.ending.is_none()),
            self.manager.retry_at,
            self.log.retry_at,
            self.manager.kill_at,
            self.log.kill_at,
            self.ending.as_ref().map(Ending::deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn catch_up(&mut self, now: Moment) {
        for who in [Who::Manager, Who::Log] {
            let client = self.client_mut(who);
            if client.retry_at.is_some_and(|at| at <= now) {
                client.retry_at = None;
                self.pump(who);
            }
            let client = self.client_mut(who);
            if client.kill_at.is_some_and(|at| at <= now) {
                client.kill_at = None;
                client.process.kill();
            }
        }
    }

    /// Watches a descriptor once more for the same thing, or for the first time.
    pub(crate) fn watch_end(&self, pidfd: impl AsFd, token: Token) -> Result<()> {
        epoll::add(
            &self.epoll,
            pidfd,
            token.data(),
            EventFlags::IN | EventFlags::ONESHOT,
        )
    }

    /// Before a watched descriptor is closed: copies of it live in other processes and would go on making events.
    pub(crate) fn unwatch(&self, descriptor: impl AsFd) {
        match epoll::delete(&self.epoll, descriptor) {
            // Not watched is as good.
            Ok(()) | Err(_) => {}
        }
    }
}
