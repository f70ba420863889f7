//! NFTSet=: numbers of units in sets of the firewall, put there at a start, renewed by a reload and by the next manager, and taken away when
//! the last run is over. What can't be put there restricts nothing: `status` shows it, and the unit runs.
//!
//! The kernel may be busy with somebody else's transaction, so a thread waits for it; starts and clients wait for the thread.

use crate::elsewhere::{Lane, Told};
use crate::entry::Entry;
use crate::manager::Manager;
use engine::{ActiveState, Incarnation, ProcessKey, Spawn, UnitId};
use model::sorted::Map;
use model::{UnitKind, key};
use plan::firewall::{Element, Numbers, answer, elements, transaction};
use rustix::io::Errno;
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

/// A change of one set.
#[derive(Debug, Clone)]
struct Change {
    unit: UnitId,
    element: Element,
    add: bool,
    /// What is not taken away then is told.
    is_there: bool,
}

/// Changes that were made, and why not.
pub(crate) struct Changed(Vec<(Change, Option<io::Error>)>);

/// Changes of sets, and who waits until they are made.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    /// Those of this round, which go together when they are on record.
    queued: Vec<Change>,
    /// How many of each unit are not made yet.
    open: Map<UnitId, usize>,
    starts: Vec<Spawn>,
    openings: Vec<(UnitId, Incarnation)>,
}

impl Sets {
    fn queue(&mut self, change: Change) {
        *self.open.entry(change.unit).or_insert(0) += 1;
        self.queued.push(change);
    }

    /// Are numbers of this unit on their way, in or out?
    pub(crate) fn is_changing(&self, unit: UnitId) -> bool {
        self.open.contains_key(&unit)
    }

    /// Of any unit?
    pub(crate) fn are_changing(&self) -> bool {
        !self.open.is_empty()
    }

    fn was_made(&mut self, unit: UnitId) {
        if let Some(count) = self.open.get_mut(&unit) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&unit);
            }
        }
    }

    /// Lets go of the processes of a run that wait, of those with these serials.
    pub(crate) fn give_up(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
        serials: &[u32],
    ) -> Vec<ProcessKey> {
        crate::effects::let_go(&mut self.starts, (unit, incarnation), serials)
    }
}

/// Changes of one transaction: with the answers to all of them in the socket's queue, it is far from full.
const TOGETHER_MAX: usize = 64;
/// Bytes of an answer that matter: its header and the error.
const ANSWER_BYTES: usize = 64;

/// Makes changes, where waiting for the kernel holds up nobody: it makes one transaction after the other, whoever asks.
fn make(changes: Vec<Change>) -> Changed {
    let mut errors = Vec::with_capacity(changes.len());
    for together in changes.chunks(TOGETHER_MAX) {
        errors.extend(transact(together));
    }
    Changed(changes.into_iter().zip(errors).collect())
}

/// A change that is refused keeps all others of its transaction from being made, so these are asked for again without it.
fn transact(changes: &[Change]) -> Vec<Option<io::Error>> {
    let mut errors: Vec<Option<i32>> = changes.iter().map(|_| None).collect();
    loop {
        let open = errors.iter().enumerate();
        let open: Vec<usize> = open
            .filter_map(|(at, error)| error.is_none().then_some(at))
            .collect();
        if open.is_empty() {
            break;
        }
        let asked = open.iter().filter_map(|at| changes.get(*at));
        let refused = match ask(asked.map(|change| (&change.element, change.add))) {
            Ok(refused) if refused.is_empty() => break,
            Ok(refused) => refused,
            Err(errno) => vec![(0, errno.raw_os_error())],
        };
        for (sequence, errno) in refused {
            let about = (sequence as usize)
                .checked_sub(1)
                .and_then(|at| open.get(at));
            let all = about.map_or(&*open, std::slice::from_ref);
            for at in all {
                errors.get_mut(*at).map(|error| error.get_or_insert(errno));
            }
        }
    }
    let errors = errors.into_iter();
    errors
        .map(|errno| errno.map(io::Error::from_raw_os_error))
        .collect()
}

/// Asks for a transaction, and answers what is refused, by sequence number. The kernel has answered before the call that asks comes back.
fn ask<'a>(changes: impl Iterator<Item = (&'a Element, bool)>) -> Result<Vec<(u32, i32)>, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = AddressFamily::NETLINK;
    let protocol = rustix::net::netlink::NETFILTER;
    let socket = rustix::net::socket_with(family, SocketType::RAW, flags, Some(protocol))?;
    rustix::net::send(&socket, &transaction(changes), SendFlags::empty())?;
    let (mut refused, mut answers) = (Vec::new(), 0);
    let mut room = [0; ANSWER_BYTES];
    loop {
        let length = match rustix::net::recv(&socket, &mut room, RecvFlags::empty()) {
            Ok((length, _)) => length,
            Err(Errno::AGAIN) if answers > 0 => return Ok(refused),
            Err(errno) => return Err(errno),
        };
        let told = answer(room.get(..length).unwrap_or_default()).ok_or(Errno::BADMSG)?;
        answers += 1;
        if told.1 != 0 {
            refused.push(told);
        }
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
        let held = asked.into_iter().map(|element| {
            let trouble = element.number.is_none().then(|| {
                "the unit has no such number of its own: User=, Group= and DynamicUser= give it one".to_owned()
            });
            Held { element, trouble }
        });
        let held: Vec<Held> = held.collect();
        for held in &held {
            match held.missing() {
                Some(missing) => {
                    let text = format!("NFTSet={missing}");
                    self.log_as(crate::own_log::WARNING, unit, &text);
                }
                None => self.aside.sets.queue(Change {
                    unit,
                    element: held.element.clone(),
                    add: true,
                    is_there: false,
                }),
            }
        }
        if let Some(entry) = self.units.get_mut(&unit) {
            entry.in_sets = held;
            self.dirty.insert(unit);
        }
        self.take_from_sets(unit, stale, true);
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
            self.take_from_sets(unit, elements(there), true);
            self.take_from_sets(unit, elements(absent), false);
        }
    }

    /// Takes numbers away, but for those that another unit has there, too. What stays is told if `is_there`, else it was not put there.
    fn take_from_sets(&mut self, unit: UnitId, elements: Vec<Element>, is_there: bool) {
        for element in elements {
            let mut others = self.units.values().flat_map(|entry| &entry.in_sets);
            if element.number.is_none() || others.any(|held| held.element == element) {
                continue;
            }
            self.aside.sets.queue(Change {
                unit,
                element,
                add: false,
                is_there,
            });
        }
    }

    /// Has the changes of this round made, all of them together.
    pub(crate) fn change_sets(&mut self) {
        let changes = std::mem::take(&mut self.aside.sets.queued);
        if !changes.is_empty() {
            let work = move || Told::Sets(make(changes));
            let now = crate::clock::monotonic();
            self.elsewhere.ask(now, Lane::Firewall, Box::new(work));
        }
    }

    pub(crate) fn on_sets_changed(&mut self, changed: Changed) {
        for (change, error) in changed.0 {
            let unit = change.unit;
            self.aside.sets.was_made(unit);
            match error {
                Some(error) if change.add => self.is_not_held(unit, &change.element, &error),
                Some(error) => self.stays_in_set(&change, &error),
                None => {}
            }
        }
        self.go_on_with_sets();
    }

    fn is_not_held(&mut self, unit: UnitId, element: &Element, error: &io::Error) {
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        let mut all = entry.in_sets.iter_mut();
        let Some(held) = all.find(|held| held.element == *element) else {
            return;
        };
        held.trouble = Some(error.to_string());
        let missing = held.missing();
        self.dirty.insert(unit);
        if let Some(missing) = missing {
            let text = format!("NFTSet={missing}");
            self.log_as(crate::own_log::WARNING, unit, &text);
        }
    }

    fn stays_in_set(&mut self, change: &Change, error: &io::Error) {
        // Somebody has emptied the set, or removed it.
        if error.kind() != io::ErrorKind::NotFound && change.is_there {
            let text = format!("{} stays in the firewall: {error}", change.element);
            self.log_as(crate::own_log::WARNING, change.unit, &text);
        }
    }

    /// Can the start go on? If not, it is tried again when the unit's numbers are where they are to be.
    pub(crate) fn sets_are_ready(&mut self, spawn: &Spawn) -> bool {
        let sets = &mut self.aside.sets;
        let is_ready = !sets.is_changing(spawn.process.unit);
        if !is_ready {
            sets.starts.retain(|known| known.process != spawn.process);
            sets.starts.push(*spawn);
        }
        is_ready
    }

    /// The same of a unit's sockets.
    pub(crate) fn sets_are_ready_for_sockets(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
    ) -> bool {
        let sets = &mut self.aside.sets;
        let is_ready = !sets.is_changing(unit);
        if !is_ready {
            sets.openings.push((unit, incarnation));
        }
        is_ready
    }

    fn go_on_with_sets(&mut self) {
        let sets = &mut self.aside.sets;
        let open = &sets.open;
        let is_free = |unit: UnitId| !open.contains_key(&unit);
        let starts = sets
            .starts
            .extract_if(.., |spawn| is_free(spawn.process.unit));
        let starts: Vec<Spawn> = starts.collect();
        let openings = sets.openings.extract_if(.., |(unit, _)| is_free(*unit));
        let openings: Vec<_> = openings.collect();
        for spawn in starts {
            self.start_that_waited(spawn);
        }
        for (unit, incarnation) in openings {
            self.open_sockets_now(unit, incarnation);
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
