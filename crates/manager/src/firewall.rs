//! NFTSet=: numbers of units in sets of the firewall, put there at a start, renewed by a reload and by the next manager, and taken away when
//! the last run is over. What can't be put there restricts nothing: `status` shows it, and the unit runs.

use crate::entry::Entry;
use crate::manager::Manager;
use engine::{ActiveState, UnitId};
use model::{UnitKind, key};
use plan::firewall::{Element, Numbers, answer, elements};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;

/// A number of a unit in a set.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) element: Element,
    /// Why it is not there.
    pub(crate) trouble: Option<String>,
}

impl Held {
    fn missing(&self) -> Option<String> {
        let trouble = self.trouble.as_ref()?;
        Some(format!(
            "{} holds nothing of it: {trouble}",
            self.element.set
        ))
    }
}

/// Bytes of an answer that matter: its header and the error.
const ANSWER_BYTES: usize = 64;

/// Changes one set. The kernel has answered before the call that asks comes back.
fn change(element: &Element, add: bool) -> io::Result<()> {
    let Some(message) = element.message(add) else {
        return Ok(());
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = AddressFamily::NETLINK;
    let protocol = rustix::net::netlink::NETFILTER;
    let socket = rustix::net::socket_with(family, SocketType::RAW, flags, Some(protocol))?;
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut room = [0; ANSWER_BYTES];
    let (length, _) = rustix::net::recv(&socket, &mut room, RecvFlags::empty())?;
    match answer(room.get(..length).unwrap_or_default()) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

impl Manager {
    /// Puts the numbers of a unit where it asks for them now, and takes away those that it asked for before.
    pub(crate) fn renew_sets(&mut self, unit: UnitId) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        if entry.in_sets.is_empty() && !entry.unit.is_set(key::NFT_SET.directive()) {
            return;
        }
        let asked = elements(&entry.unit, &self.numbers(unit));
        let stale: Vec<Element> = {
            let held = entry.in_sets.iter().map(|held| &held.element);
            held.filter(|element| !asked.contains(element))
                .cloned()
                .collect()
        };
        let held: Vec<Held> = asked.into_iter().map(|element| {
            let trouble = match (&element.number, change(&element, true)) {
                (Some(_), Ok(())) => None,
                (Some(_), Err(error)) => Some(error.to_string()),
                (None, _) => Some("the unit has no such number of its own: User=, Group= and DynamicUser= give it one".to_owned()),
            };
            Held { element, trouble }
        }).collect();
        for held in &held {
            if let Some(missing) = held.missing() {
                let text = format!("NFTSet={missing}");
                self.log_as(crate::own_log::WARNING, unit, &text);
            }
        }
        if let Some(entry) = self.units.get_mut(&unit) {
            entry.in_sets = held;
            self.dirty.insert(unit);
        }
        self.take_from_sets(unit, &stale, true);
    }

    /// The last run is over: its numbers are somebody else's soon.
    pub(crate) fn leave_sets(&mut self, unit: UnitId) {
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        if entry.runs.is_empty() {
            let held = std::mem::take(&mut entry.in_sets).into_iter();
            // Of those that could not be put there it is known, and told, what is wrong with the set.
            let (there, absent): (Vec<_>, Vec<_>) = held.partition(|held| held.trouble.is_none());
            let elements = |held: Vec<Held>| held.into_iter().map(|held| held.element).collect();
            let (there, absent): (Vec<Element>, Vec<Element>) = (elements(there), elements(absent));
            self.take_from_sets(unit, &there, true);
            self.take_from_sets(unit, &absent, false);
        }
    }

    /// Takes numbers away, but for those that another unit has there, too. What stays is told if `is_there`, else it was not put there.
    fn take_from_sets(&mut self, unit: UnitId, elements: &[Element], is_there: bool) {
        for element in elements {
            let mut others = self.units.values().flat_map(|entry| &entry.in_sets);
            if others.any(|held| held.element == *element) {
                continue;
            }
            match change(element, false) {
                Ok(()) => {}
                // Somebody has emptied the set, or removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound || !is_there => {}
                Err(error) => {
                    let text = format!("{element} stays in the firewall: {error}");
                    self.log_as(crate::own_log::WARNING, unit, &text);
                }
            }
        }
    }

    /// Puts the numbers of all units again, as the firewall may have been written anew since. What the manager before us left in a set after
    /// a unit's end is taken away.
    pub(crate) fn renew_all_sets(&mut self) {
        let named = |entry: &Entry| {
            !entry.in_sets.is_empty() || entry.unit.is_set(key::NFT_SET.directive())
        };
        let units: Vec<UnitId> = (self.units.values().filter(|entry| named(entry)))
            .map(|entry| entry.id)
            .collect();
        for unit in units {
            let state = self.engine.state(unit).map(|state| state.active());
            match state {
                Some(ActiveState::Inactive | ActiveState::Failed | ActiveState::Maintenance)
                | None => {
                    self.leave_sets(unit);
                }
                Some(_) => self.renew_sets(unit),
            }
        }
    }

    fn numbers(&self, unit: UnitId) -> Numbers {
        let Some(entry) = self.units.get(&unit) else {
            return Numbers::default();
        };
        let cgroup = self.cgroups.as_ref().and_then(|cgroups| {
            let (group, _) = cgroups.make_unit(entry.name.as_str()).ok()?;
            Some(rustix::fs::fstat(&group).ok()?.st_ino)
        });
        let user = entry.current_run().and_then(|run| run.user.as_ref());
        // A unit that says nothing runs as the manager, which has no number of its own.
        let has_user =
            entry.unit.is_set(key::USER.directive()) || entry.unit.value(&key::DYNAMIC_USER);
        let has_group = has_user || entry.unit.is_set(key::GROUP.directive());
        let is_socket = entry.unit.kind() == UnitKind::Socket;
        Numbers {
            cgroup,
            user: user.filter(|_| has_user && !is_socket).map(|user| user.uid),
            group: user
                .filter(|_| has_group && !is_socket)
                .map(|user| user.gid),
        }
    }

    /// What is not in the sets that the unit names.
    pub(crate) fn set_reduction(entry: &Entry) -> Option<wire::Reduction> {
        let missing: Vec<String> = entry.in_sets.iter().filter_map(Held::missing).collect();
        (!missing.is_empty()).then(|| wire::Reduction {
            directive: key::NFT_SET.directive().name().into(),
            reason: missing.join("; "),
        })
    }
}
