//! What all processes of a run have in common, and units that join each other (JoinsNamespaceOf=): a network, an IPC namespace, and a /tmp
//! of their own.
//!
//! The first process makes them and tells; those that come after it join. One that is to join waits until that is told. The keeper holds
//! what was told, so that it outlives both the process and the manager.

use crate::effects::let_go;
use crate::manager::Manager;
use crate::planning::Prepared;
use crate::run::{Run, RunProcess};
use engine::{Incarnation, ProcessKey, Relation, Role, Spawn, UnitId};
use keeper::protocol::Class;
use kernel::message::Descriptors;
use model::key;
use model::sorted::Set;
use model::value::PrivateTmp;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// The kinds in the order in which they are told, and how /proc/PID/ns calls them.
const KINDS: [(u32, plan::Role, &str); 2] = [
    (
        kernel::namespace::NETWORK,
        plan::Role::NetworkNamespace,
        "net",
    ),
    (kernel::namespace::IPC, plan::Role::IpcNamespace, "ipc"),
];
/// How the names begin under which the keeper holds them.
pub(crate) const HELD: &str = "namespace|";
/// The roles of a service's commands.
const ROLES: [Role; 9] = [
    Role::Condition,
    Role::StartPre,
    Role::Main,
    Role::StartPost,
    Role::Reload,
    Role::ReloadPost,
    Role::Health,
    Role::Stop,
    Role::StopPost,
];

/// The namespaces of a run, each where it is known.
#[derive(Debug, Default)]
pub(crate) struct Shared([Option<Rc<OwnedFd>>; 2]);

impl Shared {
    fn kinds(&self) -> u32 {
        let known = KINDS.iter().zip(&self.0);
        let known = known.filter(|(_, namespace)| namespace.is_some());
        known.fold(0, |kinds, ((kind, ..), _)| kinds | kind)
    }
}

/// What a start joins, and what it tells.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    /// With the roles in which they are handed on.
    pub(crate) namespaces: Vec<(plan::Role, Rc<OwnedFd>)>,
    /// `CLONE_NEW` flags of those.
    pub(crate) joined: u32,
    /// `CLONE_NEW` flags.
    pub(crate) told: u32,
}

/// Processes that wait until they know what they are to join.
#[derive(Debug, Default)]
pub(crate) struct Joiners {
    starts: Vec<Spawn>,
}

impl Joiners {
    /// Lets go of those that are to end before they began.
    pub(crate) fn give_up(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
        serials: &[u32],
    ) -> Vec<ProcessKey> {
        let_go(&mut self.starts, (unit, incarnation), serials)
    }
}

fn held_name(kind: &str, unit: &str, incarnation: u64) -> String {
    format!("{HELD}{kind}|{incarnation}|{unit}")
}

/// The run, by the name under which a namespace of its is held, and which it is.
pub(crate) fn holder(held: &str) -> Option<(&str, u64, &str)> {
    let mut parts = held.strip_prefix(HELD)?.splitn(3, '|');
    let (kind, incarnation) = (parts.next()?, parts.next()?);
    Some((parts.next()?, incarnation.parse().ok()?, kind))
}

impl Manager {
    /// Can the start go on? Not while a process that makes what it is to join has not told of it; it is tried again then.
    pub(crate) fn shared_is_ready(&mut self, spawn: &Spawn, prepared: &Prepared) -> bool {
        if prepared.plan.shared_namespaces() == 0 {
            return true;
        }
        let unit = spawn.process.unit;
        let others = self.joined_units(unit);
        let waits = std::iter::once(unit).chain(others).any(|other| {
            let run = self.units.get(&other).and_then(|entry| entry.runs.last());
            let own = (other == unit).then_some(spawn.process.serial);
            run.is_some_and(|run| run.is_about_to_tell(own))
        });
        if waits {
            let starts = &mut self.aside.joiners.starts;
            starts.retain(|known| known.process != spawn.process);
            starts.push(*spawn);
        }
        !waits
    }

    /// Units that have namespaces in common with this one, as they say or the others; without itself.
    pub(crate) fn joined_units(&self, unit: UnitId) -> Vec<UnitId> {
        let mut found = Vec::new();
        let mut known = Set::new();
        known.insert(unit);
        let mut next = Some(unit);
        let mut at = 0;
        while let Some(one) = next {
            for named_by in [false, true] {
                let named = (self.engine).relations(one, Relation::JoinsNamespaceOf, named_by);
                found.extend(named.into_iter().filter(|other| known.insert(*other)));
            }
            next = found.get(at).copied();
            at += 1;
        }
        found
    }

    /// What the next process of a run joins, and what it is to tell. What a unit of the same group has becomes the run's own, too.
    pub(crate) fn shared_by(&mut self, spawn: &Spawn, prepared: &Prepared) -> Joining {
        let (unit, incarnation) = (spawn.process.unit, spawn.process.incarnation);
        let kinds = prepared.plan.shared_namespaces();
        let has_tmp = prepared.plan.has_private_tmp();
        if kinds == 0 && !has_tmp {
            return Joining::default();
        }
        let others = self.joined_units(unit);
        if !others.is_empty() {
            self.take_over(spawn.process, (kinds, has_tmp), &others);
        }
        let is_shared = !others.is_empty() || self.has_several_commands(unit);
        let Some(run) = self.run_mut(unit, incarnation) else {
            return Joining::default();
        };
        let joined = run.shared.kinds() & kinds;
        let known = KINDS.iter().zip(&run.shared.0);
        let namespaces = known.filter(|((kind, ..), _)| joined & kind != 0);
        let namespaces = namespaces.filter_map(|((_, role, _), one)| Some((*role, one.clone()?)));
        Joining {
            namespaces: namespaces.collect(),
            joined,
            told: if is_shared { kinds & !joined } else { 0 },
        }
    }

    /// Takes what the runs of others have and this one has not.
    fn take_over(&mut self, process: ProcessKey, (kinds, has_tmp): (u32, bool), others: &[UnitId]) {
        let (mut offered, mut temporary) = (Shared::default(), None);
        for other in others {
            self.find_shared(*other);
            let entry = self.units.get(other);
            let Some((entry, run)) = entry.and_then(|entry| Some((entry, entry.runs.last()?)))
            else {
                continue;
            };
            for (slot, one) in offered.0.iter_mut().zip(&run.shared.0) {
                *slot = slot.take().or_else(|| one.clone());
            }
            if entry.unit.value(&key::PRIVATE_TMP) == PrivateTmp::Connected {
                temporary = temporary.or(Some(run.temporary_id()));
            }
        }
        let Some(run) = self.run_mut(process.unit, process.incarnation) else {
            return;
        };
        if has_tmp && run.temporary.is_none() && run.processes.is_empty() {
            run.temporary = temporary.filter(|id| *id != run.invocation);
            if run.temporary.is_some() {
                self.later.joined_runs += 1;
                self.dirty.insert(process.unit);
            }
        }
        for ((kind, _, name), one) in KINDS.into_iter().zip(offered.0) {
            let Some(one) = one.filter(|_| kinds & kind != 0) else {
                continue;
            };
            self.share(process, name, one);
        }
    }

    /// A run whose process had nobody to tell has its namespaces where that process is.
    fn find_shared(&mut self, unit: UnitId) {
        let Some((incarnation, known)) = self.units.get(&unit).and_then(|entry| {
            let run = entry.runs.last()?;
            Some((Incarnation(run.incarnation), run.shared.kinds()))
        }) else {
            return;
        };
        let made = self
            .prepared(unit)
            .map(|prepared| prepared.plan.shared_namespaces());
        let missing = made.unwrap_or_default() & !known;
        for (_, _, name) in KINDS.into_iter().filter(|(kind, ..)| missing & kind != 0) {
            let main = self.serials(unit, engine::Target::Main);
            let Some(run) = self.run_mut(unit, incarnation) else {
                return;
            };
            let mut processes = run.processes.iter();
            let main = processes.find(|one| main.contains(&one.serial) && one.report.is_none());
            let Some(main) = main else {
                // There is none yet, or not any more.
                return;
            };
            let serial = main.serial;
            let Some(namespace) = namespace_of(main, name) else {
                let text = format!(
                    "no unit joins its {name} namespace: its main process is in none that its start has made"
                );
                return self.log_about(unit, &text);
            };
            let process = ProcessKey {
                unit,
                incarnation,
                serial,
            };
            self.share(process, name, Rc::new(namespace));
        }
    }

    /// Is more than one process of a run to be expected?
    fn has_several_commands(&self, unit: UnitId) -> bool {
        let Some(entry) = self.units.get(&unit) else {
            return false;
        };
        let commands = |role| crate::start::commands(&entry.unit, role).len();
        ROLES.into_iter().map(commands).sum::<usize>() > 1
    }

    /// A run has a namespace, unless it has one of the kind already.
    fn share(&mut self, process: ProcessKey, name: &str, namespace: Rc<OwnedFd>) {
        let unit = self.name_of(process.unit);
        let Some(run) = self.run_mut(process.unit, process.incarnation) else {
            return;
        };
        let mut slots = KINDS.iter().zip(&mut run.shared.0);
        let Some((_, slot)) = slots.find(|((.., known), _)| *known == name) else {
            return;
        };
        if slot.is_none() {
            *slot = Some(Rc::clone(&namespace));
            let held = held_name(name, &unit, process.incarnation.0);
            self.link.hold(Class::Other, &held, namespace);
        }
    }

    /// A process tells what it has made.
    pub(crate) fn on_namespaces(
        &mut self,
        process: ProcessKey,
        kinds: u32,
        descriptors: &mut Descriptors,
    ) {
        for (kind, _, name) in KINDS {
            if kinds & kind != 0
                && let Some(namespace) = descriptors.take()
            {
                self.share(process, name, Rc::new(namespace));
            }
        }
        if let Some(run) = self.run_mut(process.unit, process.incarnation)
            && let Some(known) = run.process(process.serial)
        {
            known.tells = false;
        }
        self.go_on_with_joiners();
    }

    /// Somebody has told, or will not.
    pub(crate) fn go_on_with_joiners(&mut self) {
        for spawn in std::mem::take(&mut self.aside.joiners.starts) {
            self.start_that_waited(spawn);
        }
    }

    /// Takes a namespace back that the keeper held. False: it is of no run that is there.
    pub(crate) fn adopt_namespace(&mut self, held: &str, namespace: OwnedFd) -> bool {
        let Some((unit, incarnation, kind)) = holder(held) else {
            return false;
        };
        let unit = self.engine.id(unit);
        let Some(run) = unit.and_then(|unit| self.run_mut(unit, Incarnation(incarnation))) else {
            return false;
        };
        let mut slots = KINDS.iter().zip(&mut run.shared.0);
        let slot = slots.find(|((.., known), _)| *known == kind);
        slot.map(|(_, slot)| *slot = Some(Rc::new(namespace)))
            .is_some()
    }

    /// A run is over: what it had is let go, unless others have it, too.
    pub(crate) fn leave_shared(&mut self, unit: &str, run: &Run) {
        for ((.., name), _) in KINDS
            .iter()
            .zip(&run.shared.0)
            .filter(|(_, one)| one.is_some())
        {
            let held = held_name(name, unit, run.incarnation);
            self.link.drop_held(Class::Other, &held);
        }
        if run.temporary.is_some() {
            self.later.joined_runs = self.later.joined_runs.saturating_sub(1);
        }
    }

    /// Does a run that lives have this directory for its temporary files?
    pub(crate) fn is_temporary_of_another(&self, path: &std::path::Path) -> bool {
        let mut runs = self.units.values().flat_map(|entry| &entry.runs);
        runs.any(|run| {
            let paths = plan::private_tmp(&run.temporary_id());
            paths
                .iter()
                .any(|known| path == std::path::Path::new(known))
        })
    }
}

impl Run {
    /// What its directories for temporary files are named by.
    pub(crate) fn temporary_id(&self) -> [u8; 16] {
        self.temporary.unwrap_or(self.invocation)
    }

    /// Has it a process that makes namespaces and has not told of them, other than its own with this serial?
    fn is_about_to_tell(&self, own: Option<u32>) -> bool {
        let mut processes = self.processes.iter();
        processes.any(|one| {
            one.tells && one.report.is_some() && one.ended.is_none() && Some(one.serial) != own
        })
    }
}

/// The namespace that a process is in, if it is still there and in one that its start has made: a command with all privileges is where the
/// manager is, and one that a service has made for itself, with a user namespace of its own, is no place for others.
fn namespace_of(process: &RunProcess, name: &str) -> Option<OwnedFd> {
    let (pid, pidfd) = (process.visible_pid()?, process.pidfd.as_ref()?);
    let opened = std::fs::File::open(format!("/proc/{pid}/ns/{name}")).ok()?;
    // As long as it is there, no other process has had its number.
    kernel::process::send_signal(pidfd, 0).ok()?;
    let ours = std::fs::File::open(format!("/proc/self/ns/{name}")).ok()?;
    let owner = kernel::namespace::owner_of(&opened).ok()?;
    let our_users = std::fs::File::open("/proc/self/ns/user").ok()?;
    let is_made = !is_same(&opened, &ours)? && is_same(&owner, &our_users)?;
    is_made.then(|| opened.into())
}

/// Are these one and the same namespace (namespaces(7))? Nothing where that can't be asked.
fn is_same(one: impl AsFd, other: impl AsFd) -> Option<bool> {
    let identity = |file: BorrowedFd<'_>| {
        let found = rustix::fs::fstat(file).ok()?;
        Some((found.st_dev, found.st_ino))
    };
    Some(identity(one.as_fd())? == identity(other.as_fd())?)
}

#[cfg(test)]
mod tests {
    use super::{held_name, holder};

    #[test]
    fn a_held_namespace_is_found_by_its_run() {
        let name = held_name("ipc", "a|b@c.service", 7);
        assert_eq!(holder(&name), Some(("a|b@c.service", 7, "ipc")));
        for strange in ["namespace|", "namespace|net|x|a.service", "user|7|a"] {
            assert_eq!(holder(strange), None, "{strange}");
        }
    }
}
