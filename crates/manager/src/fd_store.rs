//! The descriptors that services store (FDSTORE=1 of sd_notify(3)): kept over restarts, reloads and the manager's death.
//!
//! What a service stores may be a trap: to close it can take as long as its maker likes (a socket that lingers, a file that a process
//! serves). So the keeper never has it. It holds a *carrier*, a socket in whose queue the descriptor lies; the executor of a start takes it
//! from there by peeking, and the manager closes its own copies aside. Before the keeper closes a carrier it is empty.

use crate::manager::Manager;
use crate::notice::Storing;
use crate::poll::Token;
use engine::{JobKind, State, UnitId};
use keeper::protocol::Class;
use kernel::message::{Descriptors, ReceiveOptions, receive};
use model::key;
use model::value::DescriptorPreserve;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

/// Descriptors of one service, whatever FileDescriptorStoreMax= says: with its sockets they fit into one start.
const STORED_MAX: usize = 128;
/// Bytes of a name, sd_listen_fds(3).
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// The first byte of a carrier's message.
const POLLED: u8 = b'p';
const KEPT: u8 = b'k';

/// One descriptor.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Among those of its unit; what the keeper knows the carrier by.
    number: u32,
    name: String,
    carrier: Rc<OwnedFd>,
    /// It goes when its other end does: the token under which that is heard of, and what is asked.
    polled: Option<(u32, OwnedFd)>,
}

impl Stored {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn carrier(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.carrier)
    }
}

fn held_name(unit: &str, number: u32) -> String {
    format!("{unit}|{number}")
}

/// A socket in whose queue the descriptor lies.
fn carrier(storing: &Storing, descriptor: &OwnedFd) -> Result<OwnedFd, kernel::Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let kind = if storing.poll { POLLED } else { KEPT };
    let bytes = [&[kind], storing.name.as_bytes()].concat();
    kernel::message::send(&theirs, &bytes, &[descriptor.as_fd()])?;
    Ok(ours)
}

/// What lies in a carrier: with what it was stored, and the descriptor. `take`: it lies there no more.
fn look(carrier: &OwnedFd, take: bool) -> Option<(Storing, OwnedFd)> {
    let (mut buffer, mut descriptors) = ([0; 1 + NAME_BYTES_MAX], Descriptors::default());
    let options = ReceiveOptions {
        peek: !take,
        wait: false,
    };
    let received = receive(carrier, &mut buffer, &mut descriptors, options).ok()?;
    let descriptor = descriptors.take();
    descriptors.close_aside();
    let (kind, name) = buffer.get(..received.bytes)?.split_first()?;
    let storing = Storing {
        name: String::from_utf8_lossy(name).into_owned(),
        poll: *kind == POLLED,
    };
    Some((storing, descriptor?))
}

/// Can it be asked whether its other end is there, without asking a process that serves it?
fn answers_at_once(descriptor: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let link = std::fs::read_link(path).unwrap_or_default();
    let link = link.to_string_lossy();
    ["socket:", "pipe:", "anon_inode:"]
        .iter()
        .any(|kind| link.starts_with(kind))
}

impl Manager {
    /// A service stores descriptors.
    pub(crate) fn store(&mut self, unit: UnitId, storing: &Storing, sent: &mut Descriptors) {
        let Some(entry) = self.units.get(&unit) else {
            return sent.close_aside();
        };
        let said = entry.unit.value(&key::FILE_DESCRIPTOR_STORE_MAX);
        let most = usize::try_from(said).unwrap_or(usize::MAX).min(STORED_MAX);
        while let Some(descriptor) = sent.take() {
            if self.has_stored(unit, &descriptor) {
                // A manager before us had it, and died before it could say so.
                kernel::aside::close([descriptor]);
                continue;
            }
            let has_room = self
                .units
                .get(&unit)
                .is_some_and(|entry| entry.store.len() < most);
            let stored = if has_room {
                self.store_one(unit, storing, &descriptor)
                    .map_err(|errno| format!("a descriptor is not kept: {errno}"))
            } else {
                Err(format!(
                    "a descriptor is not kept: there are {most} already (FileDescriptorStoreMax=)"
                ))
            };
            kernel::aside::close([descriptor]);
            if let Err(text) = stored {
                self.log_about(unit, &text);
                break;
            }
        }
        sent.close_aside();
    }

    fn has_stored(&self, unit: UnitId, descriptor: &OwnedFd) -> bool {
        let Some(entry) = self.units.get(&unit) else {
            return false;
        };
        let carriers = entry.store.iter();
        let known: Vec<OwnedFd> = carriers
            .filter_map(|stored| Some(look(&stored.carrier, false)?.1))
            .collect();
        let is_same = |one: &OwnedFd| kernel::descriptor::is_same_file(one, descriptor);
        let has_it = known.iter().any(is_same);
        kernel::aside::close(known);
        has_it
    }

    fn store_one(
        &mut self,
        unit: UnitId,
        storing: &Storing,
        descriptor: &OwnedFd,
    ) -> Result<(), kernel::Errno> {
        let carrier = Rc::new(carrier(storing, descriptor)?);
        let polled = self.poll_stored(storing, descriptor)?;
        let Some(entry) = self.units.get_mut(&unit) else {
            return Ok(());
        };
        let number = entry.store.last().map_or(0, |last| last.number + 1);
        let name = held_name(entry.name.as_str(), number);
        entry.store.push(Stored {
            number,
            name: storing.name.clone(),
            carrier: Rc::clone(&carrier),
            polled,
        });
        self.link.hold(Class::FdStore, &name, carrier);
        self.dirty.insert(unit);
        Ok(())
    }

    fn poll_stored(
        &mut self,
        storing: &Storing,
        descriptor: &OwnedFd,
    ) -> Result<Option<(u32, OwnedFd)>, kernel::Errno> {
        if !storing.poll || !answers_at_once(descriptor) {
            return Ok(None);
        }
        let own = rustix::io::fcntl_dupfd_cloexec(descriptor, 3)?;
        let number = self.poll.number();
        match self.poll.watch_end(&own, Token::Stored(number)) {
            Ok(()) => Ok(Some((number, own))),
            // It is of a kind that has no end to hear of.
            Err(kernel::Errno::PERM) => {
                kernel::aside::close([own]);
                Ok(None)
            }
            Err(errno) => {
                kernel::aside::close([own]);
                Err(errno)
            }
        }
    }

    /// The other end of a stored descriptor is gone, or it broke.
    pub(crate) fn on_stored_ended(&mut self, number: u32) {
        let is_it = |stored: &Stored| {
            stored
                .polled
                .as_ref()
                .is_some_and(|(own, _)| *own == number)
        };
        let mut units = self.units.values();
        let unit = units.find(|entry| entry.store.iter().any(is_it));
        if let Some(unit) = unit.map(|entry| entry.id) {
            self.let_stored_go(unit, is_it);
        }
    }

    /// Those of this name are kept no more (FDSTOREREMOVE=1).
    pub(crate) fn remove_stored(&mut self, unit: UnitId, name: &str) {
        self.let_stored_go(unit, |stored| stored.name == name);
    }

    /// All descriptors of a unit.
    pub(crate) fn let_store_go(&mut self, unit: UnitId) {
        self.let_stored_go(unit, |_| true);
    }

    fn let_stored_go(&mut self, unit: UnitId, is_meant: impl Fn(&Stored) -> bool) {
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        let unit_name = entry.name.to_string();
        let gone: Vec<Stored> = entry
            .store
            .extract_if(.., |stored| is_meant(stored))
            .collect();
        for stored in gone {
            self.dirty.insert(unit);
            if let Some((_, own)) = stored.polled {
                self.poll.forget(&own);
                kernel::aside::close([own]);
            }
            self.empty_carrier(&held_name(&unit_name, stored.number), &stored.carrier);
        }
    }

    /// Nothing is in it when the keeper closes it.
    fn empty_carrier(&mut self, held: &str, carrier: &OwnedFd) {
        kernel::aside::close(look(carrier, true).map(|(_, descriptor)| descriptor));
        self.link.drop_held(Class::FdStore, held);
    }

    /// A service is down: what it stored goes, unless it is to be kept (FileDescriptorStorePreserve=).
    pub(crate) fn leave_store(&mut self, unit: UnitId) {
        let Some(entry) = self.units.get(&unit).filter(|one| !one.store.is_empty()) else {
            return;
        };
        let job = self.engine.job(unit).map(|job| job.kind);
        let comes_again = matches!(self.engine.state(unit), Some(State::AutoRestart { .. }))
            || matches!(
                job,
                Some(JobKind::Start | JobKind::Restart | JobKind::TryRestart)
            );
        let is_kept = match entry.unit.value(&key::FILE_DESCRIPTOR_STORE_PRESERVE) {
            DescriptorPreserve::Yes => true,
            DescriptorPreserve::Restart => comes_again,
            DescriptorPreserve::No => false,
        };
        if !is_kept {
            self.let_store_go(unit);
        }
    }

    /// Carriers that the keeper held for the manager before us.
    pub(crate) fn adopt_store(&mut self, held: Vec<(String, OwnedFd)>) {
        let mut units = model::sorted::Set::new();
        for (name, carrier) in held {
            let place = name
                .rsplit_once('|')
                .and_then(|(unit, number)| Some((self.engine.id(unit)?, number.parse().ok()?)));
            let place = place.filter(|(unit, _)| self.units.contains_key(unit));
            let Some((unit, number)) = place else {
                self.empty_carrier(&name, &carrier);
                continue;
            };
            let Some((storing, descriptor)) = look(&carrier, false) else {
                self.empty_carrier(&name, &carrier);
                continue;
            };
            let polled = self.poll_stored(&storing, &descriptor).ok().flatten();
            kernel::aside::close([descriptor]);
            if let Some(entry) = self.units.get_mut(&unit) {
                entry.store.push(Stored {
                    number,
                    name: storing.name,
                    carrier: Rc::new(carrier),
                    polled,
                });
                units.insert(unit);
            }
        }
        for unit in units {
            if let Some(entry) = self.units.get_mut(&unit) {
                model::order::sort_by_key(&mut entry.store, |stored| stored.number);
            }
            let state = self.engine.state(unit);
            if state.is_some_and(|state| state.active().is_down()) {
                self.leave_store(unit);
            }
        }
    }
}
