//! What is still to be said to a client: nothing is queued but marks, so nothing can overflow.
//!
//! A reply, the inventory, ends of children and signals are all read from the keeper's own tables when there is room to
//! send. A client that does not read stops being read: so at most one reply waits.

use kernel::{Errno, Result};
use rustix::event::epoll::{self, EventFlags};
use rustix::fd::{AsFd, BorrowedFd};

use crate::clock::Moment;
use crate::keeper::{Keeper, Token, Who};
use crate::protocol::{ChildKey, Event};

/// How long to wait when the kernel has no room of a kind that makes no event, in milliseconds.
const RETRY_MS: u64 = 10;

/// The answer to the last command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// The child in that place runs.
    Spawned(usize),
    /// There is no child.
    SpawnFailed {
        key: ChildKey,
        role: u32,
        errno: Errno,
    },
    /// The command was not carried out.
    Refused {
        kind: u16,
        key: ChildKey,
        errno: Errno,
    },
}

/// How far the inventory is told: places of the children's table, then of the held descriptors'.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cursor {
    Children(usize),
    Held(usize),
}

/// What is still to be said.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) hello: bool,
    pub(crate) reply: Option<Reply>,
    pub(crate) inventory: Option<Cursor>,
    /// The inventory was told once: from then on, ends and signals are.
    pub(crate) introduced: bool,
    /// A child's end may be untold.
    pub(crate) exits: bool,
    /// Signals to tell of, one bit each.
    pub(crate) signals: u64,
    /// A stream may be untold; for the log process.
    pub(crate) streams: bool,
}

impl Outbox {
    /// For a process that was just started.
    pub(crate) fn fresh() -> Self {
        Self {
            hello: true,
            ..Self::default()
        }
    }

    /// Further commands wait in the channel until what they led to is said.
    pub(crate) fn is_busy(&self) -> bool {
        self.reply.is_some() || self.inventory.is_some()
    }
}

/// The next thing to say.
#[derive(Clone, Copy)]
enum Item {
    Hello,
    Reply(Reply),
    Child(usize),
    Held(usize),
    InventoryEnd,
    Exited(usize),
    Stream(usize),
    Signal(i32),
}

impl Keeper {
    /// Says what there is room for.
    pub(crate) fn pump(&mut self, who: Who) {
        let mut full = false;
        while let Some(item) = self.next_item(who) {
            match self.say(who, item) {
                Ok(()) => self.said(who, item),
                Err(Errno::AGAIN) => {
                    full = true;
                    break;
                }
                Err(Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM) => {
                    self.client_mut(who).retry_at = Some(Moment::now().plus_ms(RETRY_MS));
                    break;
                }
                // No one reads any more; the end of the process follows, and its successor gets it all.
                Err(_) => {
                    self.client_mut(who).outbox = Outbox::default();
                    break;
                }
            }
        }
        self.set_interest(who, full);
    }

    /// Tells of one end at once, if nothing else is to be said before it.
    pub(crate) fn tell_exit(&mut self, place: usize) {
        let outbox = &self.manager.outbox;
        let is_first = outbox.introduced && !outbox.hello && !outbox.exits && !outbox.is_busy();
        let item = Item::Exited(place);
        if is_first && self.say(Who::Manager, item).is_ok() {
            return self.said(Who::Manager, item);
        }
        self.manager.outbox.exits = true;
        self.pump(Who::Manager);
    }

    fn set_interest(&mut self, who: Who, full: bool) {
        let client = self.client(who);
        let Some(channel) = &client.channel else {
            return;
        };
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, !client.outbox.is_busy());
        interest.set(EventFlags::OUT, full);
        if interest != client.interest
            && epoll::modify(&self.epoll, channel, Token::Channel(who).data(), interest).is_ok()
        {
            self.client_mut(who).interest = interest;
        }
    }

    fn next_item(&mut self, who: Who) -> Option<Item> {
        let client = self.client(who);
        client.channel.as_ref()?;
        let outbox = &client.outbox;
        if outbox.hello {
            return Some(Item::Hello);
        }
        if let Some(reply) = outbox.reply {
            return Some(Item::Reply(reply));
        }
        if let Some(cursor) = outbox.inventory {
            return Some(self.next_of_inventory(cursor));
        }
        match who {
            Who::Manager => self.next_news(),
            Who::Log => self.next_stream(),
        }
    }

    fn next_of_inventory(&self, cursor: Cursor) -> Item {
        if let Cursor::Children(from) = cursor
            && let Some(place) =
                (from..self.children.end()).find(|place| self.children.get(*place).is_some())
        {
            return Item::Child(place);
        }
        let from = match cursor {
            Cursor::Children(_) => 0,
            Cursor::Held(from) => from,
        };
        match (from..self.held.end()).find(|place| self.held.get(*place).is_some()) {
            Some(place) => Item::Held(place),
            None => Item::InventoryEnd,
        }
    }

    fn next_news(&mut self) -> Option<Item> {
        let outbox = &self.manager.outbox;
        if !outbox.introduced {
            return None;
        }
        if outbox.exits {
            if let Some((place, _)) = self.children.iter().find(|(_, child)| is_untold(child)) {
                return Some(Item::Exited(place));
            }
            self.manager.outbox.exits = false;
        }
        let signals = self.manager.outbox.signals;
        (signals != 0).then(|| Item::Signal(signals.trailing_zeros() as i32 + 1))
    }

    fn next_stream(&mut self) -> Option<Item> {
        if !self.log.outbox.streams {
            return None;
        }
        if let Some((place, _)) = self.held.iter().find(|(_, held)| held.is_news_for_log()) {
            return Some(Item::Stream(place));
        }
        self.log.outbox.streams = false;
        (!core::mem::replace(&mut self.log.outbox.introduced, true)).then_some(Item::InventoryEnd)
    }

    /// Sends one item. What is not there any more is said by saying nothing.
    fn say(&self, who: Who, item: Item) -> Result<()> {
        match item {
            Item::Hello => self.send(who, self.hello(who), &[self.executor.as_fd()]),
            Item::Reply(Reply::Spawned(place)) => match self.children.get(place) {
                Some(child) => self.send(who, child.spawned(), &[child.pidfd.as_fd()]),
                None => Ok(()),
            },
            Item::Reply(Reply::SpawnFailed { key, role, errno }) => self.send(
                who,
                Event::SpawnFailed {
                    key,
                    role,
                    errno: errno.raw_os_error(),
                },
                &[],
            ),
            Item::Reply(Reply::Refused { kind, key, errno }) => self.send(
                who,
                Event::Refused {
                    kind,
                    key,
                    errno: errno.raw_os_error(),
                },
                &[],
            ),
            Item::Child(place) => match self.children.get(place) {
                Some(child) => {
                    let (descriptors, count) = child.descriptors();
                    self.send(
                        who,
                        child.record(),
                        descriptors.get(..count).unwrap_or_default(),
                    )
                }
                None => Ok(()),
            },
            Item::Held(place) | Item::Stream(place) => match self.held.get(place) {
                Some(held) => self.send(who, held.record(), &[held.descriptor.as_fd()]),
                None => Ok(()),
            },
            Item::InventoryEnd => self.send(who, Event::InventoryEnd, &[]),
            Item::Exited(place) => {
                match self.children.get(place).and_then(|child| child.exited()) {
                    Some(event) => self.send(who, event, &[]),
                    None => Ok(()),
                }
            }
            Item::Signal(signal) => self.send(who, Event::SignalReceived { signal }, &[]),
        }
    }

    fn send(&self, who: Who, event: Event<'_>, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let channel = self.client(who).channel.as_ref().ok_or(Errno::PIPE)?;
        kernel::message::send(channel, event.encode().as_bytes(), descriptors).map(drop)
    }

    fn hello(&self, who: Who) -> Event<'static> {
        let process = &self.client(who).process;
        Event::Hello {
            pid: rustix::process::getpid()
                .as_raw_nonzero()
                .get()
                .unsigned_abs(),
            restarts: process.restarts,
            init: self.init,
            adopt_only: process.adopt_only,
            power: true,
        }
    }

    fn said(&mut self, who: Who, item: Item) {
        let outbox = &mut self.client_mut(who).outbox;
        match item {
            Item::Hello => outbox.hello = false,
            Item::Reply(_) => outbox.reply = None,
            Item::Child(place) => outbox.inventory = Some(Cursor::Children(place + 1)),
            Item::Held(place) => outbox.inventory = Some(Cursor::Held(place + 1)),
            Item::InventoryEnd => {
                outbox.inventory = None;
                outbox.introduced = true;
                outbox.exits = true;
            }
            Item::Signal(signal) => outbox.signals &= !(1 << (signal - 1)),
            Item::Exited(place) => {
                if let Some(child) = self.children.get_mut(place) {
                    child.told = true;
                }
            }
            Item::Stream(place) => {
                if let Some(held) = self.held.get_mut(place) {
                    held.told = true;
                }
            }
        }
    }
}

fn is_untold(child: &crate::child::Child) -> bool {
    !child.told && child.exited().is_some()
}
