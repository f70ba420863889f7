//! The descriptors that services store (FDSTORE=1 of sd_notify(3)): kept over restarts, reloads and the manager's death.
//!
//! What a service stores may be a trap: to close it can take as long as its maker likes (a socket that lingers, a file that a process
//! serves). So the keeper never has it. It holds a *carrier*, a socket in whose queue the descriptor lies; the executor of a start takes it
//! from there by peeking, and the manager closes its own copies aside. Before the keeper closes a carrier it is empty.

use crate::manager::Manager;
use crate::notice::Storing;
use crate::poll::Token;
use engine::{Incarnation, JobKind, State, UnitId};
use keeper::protocol::Class;
use kernel::message::{Descriptors, ReceiveOptions, receive};
use model::key;
use model::value::DescriptorPreserve;
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

/// Descriptors of one service, whatever FileDescriptorStoreMax= says: with its sockets they fit into one start.
const STORED_MAX: usize = 128;
/// Descriptors of all services of a portable together.
const PORTABLE_MAX: usize = 512;
/// Descriptors of all services of the instance: the keeper has places for more than these, and for other things.
const INSTANCE_MAX: usize = 4096;
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
    identity: Identity,
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

/// What most files are told from each other by: device and number. None where nobody can say.
type Identity = Option<(u32, u32, u64)>;

/// Without asking a process that serves the file.
fn identity(descriptor: &OwnedFd) -> Identity {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = statx(descriptor, c"", flags, StatxFlags::INO).ok()?;
    Some((found.stx_dev_major, found.stx_dev_minor, found.stx_ino))
}

/// How many more a unit may store that has so many, and what bounds them. `said`: FileDescriptorStoreMax=.
fn room(said: usize, own: usize, in_portable: Option<usize>, in_all: usize) -> (usize, String) {
    let most = said.min(STORED_MAX);
    let own = (
        most.saturating_sub(own),
        format!("there are {most} already (FileDescriptorStoreMax=)"),
    );
    let portable = in_portable.map(|there| {
        let text = format!("the services of its portable have {PORTABLE_MAX} together");
        (PORTABLE_MAX.saturating_sub(there), text)
    });
    let all = (
        INSTANCE_MAX.saturating_sub(in_all),
        format!("all services have {INSTANCE_MAX} together"),
    );
    let bounds = portable.into_iter().chain([all]);
    bounds.fold(
        own,
        |least, next| if next.0 < least.0 { next } else { least },
    )
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
    /// A service stores descriptors. Of one message not more are looked at than there is room for.
    pub(crate) fn store(
        &mut self,
        unit: UnitId,
        incarnation: u64,
        storing: &Storing,
        sent: &mut Descriptors,
    ) {
        let (room, limit) = self.room_of(unit);
        let new: Vec<(OwnedFd, Identity)> = std::iter::from_fn(|| sent.take())
            .take(room)
            .map(|descriptor| {
                let identity = identity(&descriptor);
                (descriptor, identity)
            })
            .collect();
        let mut why = (!sent.is_empty()).then_some(limit);
        sent.close_aside();
        let mut known = self.known_among(unit, &new);
        for (descriptor, identity) in new {
            // What is there already a manager before us had, and died before it could say so.
            let is_same = |one: &(OwnedFd, Identity)| {
                one.1 == identity && kernel::descriptor::is_same_file(&one.0, &descriptor)
            };
            if !known.iter().any(is_same)
                && let Err(errno) = self.store_one(unit, storing, (&descriptor, identity))
            {
                why = Some(errno.to_string());
            }
            known.push((descriptor, identity));
        }
        kernel::aside::close(known.into_iter().map(|(descriptor, _)| descriptor));
        let run = self.run_mut(unit, Incarnation(incarnation));
        if let Some(why) = why
            && run.is_none_or(|run| !std::mem::replace(&mut run.stored_in_vain, true))
        {
            let text = format!("what it stores is not all kept: {why}");
            self.log_about(unit, &text);
        }
    }

    /// How many more a unit may store, and what bounds them.
    fn room_of(&self, unit: UnitId) -> (usize, String) {
        let Some(entry) = self.units.get(&unit) else {
            return (0, String::new());
        };
        let said = entry.unit.value(&key::FILE_DESCRIPTOR_STORE_MAX);
        let (mut in_portable, mut in_all) = (0, 0);
        for other in self.units.values() {
            in_all += other.store.len();
            if entry.origin.portable == other.origin.portable {
                in_portable += other.store.len();
            }
        }
        let is_portable = entry.origin.portable.is_some();
        room(
            usize::try_from(said).unwrap_or(usize::MAX),
            entry.store.len(),
            is_portable.then_some(in_portable),
            in_all,
        )
    }

    /// Those of a unit that may be the same as one of these.
    fn known_among(&self, unit: UnitId, new: &[(OwnedFd, Identity)]) -> Vec<(OwnedFd, Identity)> {
        let Some(entry) = self.units.get(&unit) else {
            return Vec::new();
        };
        let is_alike = |stored: &&Stored| new.iter().any(|(_, one)| *one == stored.identity);
        let alike = entry.store.iter().filter(is_alike);
        alike
            .filter_map(|stored| Some((look(&stored.carrier, false)?.1, stored.identity)))
            .collect()
    }

    fn store_one(
        &mut self,
        unit: UnitId,
        storing: &Storing,
        (descriptor, identity): (&OwnedFd, Identity),
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
            identity,
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
                Some(JobKind::Start | JobKind::Restart | JobKind::TryRestart | JobKind::Replace)
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
            let identity = identity(&descriptor);
            kernel::aside::close([descriptor]);
            if let Some(entry) = self.units.get_mut(&unit) {
                entry.store.push(Stored {
                    number,
                    name: storing.name,
                    identity,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_bound_counts() {
        let least = |said, own, portable, all| {
            let (room, why) = room(said, own, portable, all);
            let all = ["FileDescriptorStoreMax=", "its portable", "all services"];
            (room, all.map(|one| why.contains(one)))
        };
        let (own, portable, instance) = (
            [true, false, false],
            [false, true, false],
            [false, false, true],
        );
        assert_eq!(least(4, 1, None, 9), (3, own));
        assert_eq!(least(0, 0, None, 0), (0, own));
        assert_eq!(least(2, 3, None, 3), (0, own), "its limit became less");
        assert_eq!(least(usize::MAX, 100, None, 100), (28, own));
        assert_eq!(least(128, 0, Some(500), 500), (12, portable));
        assert_eq!(least(128, 0, Some(600), 600), (0, portable));
        assert_eq!(least(128, 0, None, 4000), (96, instance));
        assert_eq!(least(128, 100, Some(0), 4095), (1, instance));
        assert_eq!(least(128, 0, Some(500), 5000), (0, instance));
    }
}
