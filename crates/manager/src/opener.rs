//! Listening sockets: an executor makes them in the socket unit's own control group and namespaces, the keeper holds them.

use crate::draining::retire;
use crate::link::NewProcess;
use crate::manager::Manager;
use crate::poll::Token;
use crate::start::report_pair;
use engine::{Incarnation, Input, SocketPhase, State, UnitId};
use keeper::protocol::{ChildKey, Class, Exit};
use kernel::message::{Descriptors, ReceiveOptions, receive};
use model::sorted::{Map, Set};
use plan::report::{RECORD_BYTES, Report};
use plan::{Bindings, Step};
use rustix::net::SocketAddrUnix;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use wire::Failure;

/// The command numbers of what the manager itself wants, each for one kind of process: far above the serials that the engine gives.
pub(crate) const OPENER_COMMAND: u64 = 1 << 32;
/// A worker that mounts.
pub(crate) const MOUNT_COMMAND: u64 = OPENER_COMMAND + 1;
/// A worker that removes.
pub(crate) const CLEAN_COMMAND: u64 = OPENER_COMMAND + 2;
/// An executor that makes network namespaces.
pub(crate) const NETWORKS_COMMAND: u64 = OPENER_COMMAND + 3;

/// An executor that makes the sockets of a unit.
#[derive(Debug)]
pub(crate) struct Opening {
    unit: UnitId,
    incarnation: Incarnation,
    report: Rc<OwnedFd>,
    sockets: Map<u32, OwnedFd>,
    expected: usize,
    failure: Option<plan::report::Failure>,
}

/// The name under which the keeper holds a socket.
fn held_name(unit: &str, index: usize) -> String {
    format!("{unit}|{index}")
}

impl Manager {
    /// Makes the sockets of a unit, unless the keeper has them.
    pub(crate) fn open_sockets(&mut self, unit: UnitId, incarnation: Incarnation) {
        let has_them = self
            .units
            .get(&unit)
            .is_some_and(|entry| !entry.sockets.is_empty());
        if has_them {
            return self
                .inputs
                .push_back(Input::SocketsOpen { unit, incarnation });
        }
        let ready = self.ready_group(unit, incarnation);
        if ready.is_ok() && !self.sets_are_ready_for_sockets(unit, incarnation) {
            return;
        }
        if let Err(failure) = ready.and_then(|()| self.try_open(unit, incarnation)) {
            self.sockets_failed(unit, incarnation, failure);
        }
    }

    /// The numbers of the unit are where they are to be: its sockets are made, if they are wanted still.
    pub(crate) fn open_sockets_now(&mut self, unit: UnitId, incarnation: Incarnation) {
        let snapshot = self.engine.snapshot(unit);
        let is_meant = snapshot.is_some_and(|unit| unit.incarnation == incarnation);
        let is_wanted = matches!(
            self.engine.state(unit),
            Some(State::Socket(run)) if run.phase == SocketPhase::StartOpen
        );
        if is_meant
            && is_wanted
            && let Err(failure) = self.try_open(unit, incarnation)
        {
            self.sockets_failed(unit, incarnation, failure);
        }
    }

    /// What holds for the unit holds before anything of it is there.
    fn ready_group(&mut self, unit: UnitId, incarnation: Incarnation) -> Result<(), Failure> {
        self.check_startable(unit, false)?;
        self.check_not_revoked(unit)?;
        self.place_group(unit)?;
        self.filter_group(unit)?;
        self.bound_group(unit)?;
        self.renew_sets(unit);
        if self.aside.sets.is_changing(unit) {
            self.keep_group(unit, incarnation.0)?;
        }
        Ok(())
    }

    fn sockets_failed(&mut self, unit: UnitId, incarnation: Incarnation, failure: Failure) {
        self.log_about(unit, &failure.to_string());
        if let Some(entry) = self.units.get_mut(&unit) {
            entry.failure = Some(Box::new(failure));
        }
        self.inputs
            .push_back(Input::SocketsFailed { unit, incarnation });
    }

    fn try_open(&mut self, unit: UnitId, incarnation: Incarnation) -> Result<(), Failure> {
        self.check_template(unit)?;
        let user = self.socket_user(unit)?;
        let Some(entry) = self.units.get(&unit) else {
            return Ok(());
        };
        let plan = self
            .make_socket_plan(entry)
            .map_err(|refusal| crate::planning::refused(entry, &refusal))?;
        let expected = plan
            .steps()
            .filter(|asked| matches!(asked.step, Step::Listen { .. }))
            .count();
        let bindings = Bindings {
            uid: user.0,
            gid: user.1,
            marks: self.marks_for(entry),
            ..Bindings::default()
        };
        let bytes = plan.bind(&bindings).map_err(|error| Failure::Refused {
            unit: entry.name.to_string(),
            directive: "ListenStream".into(),
            message: error.to_string(),
        })?;
        let key = ChildKey {
            unit: entry.key,
            incarnation: incarnation.0,
            command: OPENER_COMMAND,
        };
        let name = entry.name.to_string();
        let new_pid_namespace = plan.pid_namespace();
        let made = self.ask_opener(key, &name, &bytes, new_pid_namespace);
        let report = made.map_err(|error| self.internal(unit, "ask for its sockets", &error))?;
        let opening = Opening {
            unit,
            incarnation,
            report,
            sockets: Map::new(),
            expected,
            failure: None,
        };
        self.openers.insert(key, opening);
        Ok(())
    }

    fn ask_opener(
        &mut self,
        key: ChildKey,
        name: &str,
        plan: &[u8],
        new_pid_namespace: bool,
    ) -> std::io::Result<Rc<OwnedFd>> {
        let plan = kernel::memory::sealed_file(c"plan", plan)?;
        let (ours, theirs) = report_pair(false)?;
        let cgroup = match &self.cgroups {
            Some(cgroups) => Some(cgroups.make(name, key.incarnation)?),
            None => None,
        };
        self.link.spawn(NewProcess {
            key,
            role: 0,
            label: name.into(),
            new_pid_namespace,
            plan,
            cgroup,
            report: theirs,
            child: Vec::new(),
            kept: Rc::clone(&ours),
        });
        Ok(ours)
    }

    /// SocketUser= and SocketGroup=: whose the socket files become.
    fn socket_user(&self, unit: UnitId) -> Result<(u32, u32), Failure> {
        let Some(entry) = self.units.get(&unit) else {
            return Ok((0, 0));
        };
        let (user, group) = (
            entry.unit.get(&model::key::SOCKET_USER),
            entry.unit.get(&model::key::SOCKET_GROUP),
        );
        if user.is_none() && group.is_none() {
            return Ok((0, 0));
        }
        let tables = crate::users::Tables::read()
            .map_err(|error| self.internal(unit, "read the user tables", &error))?;
        let refused = |directive: &str, name: &str| Failure::Refused {
            unit: entry.name.to_string(),
            directive: directive.into(),
            message: format!("there is no {name}"),
        };
        let (mut uid, mut gid) = (0, 0);
        if let Some(name) = user {
            let found = tables
                .user(name.as_str())
                .ok_or_else(|| refused("SocketUser", name.as_str()))?;
            (uid, gid) = (found.uid, found.gid);
        }
        if let Some(name) = group {
            gid = tables
                .group(name.as_str())
                .ok_or_else(|| refused("SocketGroup", name.as_str()))?;
        }
        Ok((uid, gid))
    }

    /// A child that is no process of a unit ended: an opener, or a worker. Gives false if it is neither.
    pub(crate) fn on_worker_exited(&mut self, key: ChildKey, exit: Exit) -> bool {
        if key.command < OPENER_COMMAND {
            return false;
        }
        if let Some(opening) = self.openers.remove(&key) {
            self.finish_opening(opening, exit);
        } else if !self.on_cleaner_exited(key, exit) {
            self.on_mount_worker_exited(key, exit);
            self.retry_opening(key);
        }
        true
    }

    /// An opener of the manager before us is gone, so its sockets are free again.
    fn retry_opening(&mut self, key: ChildKey) {
        if let Some(place) = self
            .stale_openers
            .iter()
            .position(|(stale, _)| *stale == key)
        {
            let (_, wanted) = self.stale_openers.remove(place);
            if let Some((unit, incarnation)) = wanted {
                self.open_sockets(unit, incarnation);
            }
        }
    }

    fn finish_opening(&mut self, mut opening: Opening, exit: Exit) {
        opening.drain();
        let (unit, incarnation) = (opening.unit, opening.incarnation);
        if exit == Exit::Code(0)
            && opening.failure.is_none()
            && opening.sockets.len() == opening.expected
        {
            self.keep_sockets(unit, opening.sockets.into_values());
            return self
                .inputs
                .push_back(Input::SocketsOpen { unit, incarnation });
        }
        self.remove_socket_files(unit, opening.sockets.values());
        let name = self.name_of(unit);
        let failure = match opening.failure {
            Some(failure) => self.explain_failure(unit, None, failure, None),
            None => Failure::Internal {
                message: format!(
                    "the sockets of {name} were not made: its executor ended with {exit:?}"
                ),
            },
        };
        self.sockets_failed(unit, incarnation, failure);
    }

    pub(crate) fn on_opener_failed(&mut self, opening: Opening, why: &str) {
        let failure = Failure::Internal {
            message: format!("the sockets were not made: {why}"),
        };
        self.sockets_failed(opening.unit, opening.incarnation, failure);
    }

    fn keep_sockets(&mut self, unit: UnitId, sockets: impl Iterator<Item = OwnedFd>) {
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        entry.sockets = sockets.map(Rc::new).collect();
        for (index, socket) in entry.sockets.iter().enumerate() {
            self.link.hold(
                Class::Listen,
                &held_name(entry.name.as_str(), index),
                Rc::clone(socket),
            );
        }
    }

    /// Closes the sockets of a unit, gives up the control group that they were made in, and removes their files where RemoveOnStop=
    /// asks for it.
    pub(crate) fn close_sockets(&mut self, unit: UnitId) {
        self.unwatch_sockets(unit);
        self.end_flush(unit);
        if let Some(entry) = self.units.get(&unit) {
            self.remove_socket_files(unit, entry.sockets.iter().map(|socket| &**socket));
        }
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        let name = entry.name.to_string();
        let mut had = None;
        for (index, socket) in std::mem::take(&mut entry.sockets).into_iter().enumerate() {
            self.let_socket_go(Some(unit), &name, (index, socket), &mut had);
        }
    }

    /// Has the keeper close a socket, and sees to it that this holds it up as little as us. `had`: what the service has, once that is
    /// asked for.
    fn let_socket_go(
        &mut self,
        unit: Option<UnitId>,
        name: &str,
        (index, socket): (usize, Rc<OwnedFd>),
        had: &mut Option<Had>,
    ) {
        match unit.and_then(|unit| self.server_of(unit)) {
            // A port or an abstract name would be taken as long as we have it, whether the service has it or not.
            Some(server) if has_path(&socket) => self.closing.push((server, socket)),
            // If the service has it not, the keeper is the one that closes it last.
            Some(server)
                if had
                    .get_or_insert_with(|| self.sockets_of(server))
                    .has(&socket) => {}
            Some(_) | None => retire(&socket),
        }
        self.link.drop_held(Class::Listen, &held_name(name, index));
    }

    /// The sockets that processes of the service have still.
    fn sockets_of(&self, service: UnitId) -> Had {
        let runs = self.units.get(&service).map(|entry| &entry.runs);
        let runs = runs.into_iter().flatten();
        Had::of(runs.flat_map(|run| match (&self.cgroups, &run.cgroup) {
            (Some(cgroups), Some(path)) => cgroups.processes(path),
            _ => run.processes.iter().filter_map(|one| one.pid).collect(),
        }))
    }

    /// The service of a socket unit, while it runs: it has the sockets, too.
    pub(crate) fn server_of(&self, unit: UnitId) -> Option<UnitId> {
        let service = match &self.engine.config(unit)?.kind {
            engine::Kind::Socket(socket) => self.engine.id(&socket.service)?,
            _ => return None,
        };
        self.is_up(service).then_some(service)
    }

    /// A service is down: the sockets that were closed while it ran are nobody's any more.
    pub(crate) fn retire_closed(&mut self, service: UnitId) {
        self.closing.retain(|(server, socket)| {
            if *server == service {
                retire(socket);
            }
            *server != service
        });
    }

    /// Reports the next traffic; after what is being thrown away.
    pub(crate) fn watch_sockets(&mut self, unit: UnitId) {
        self.unwatch_sockets(unit);
        if self.watches_after_flush(unit, true) {
            return;
        }
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        for socket in entry.sockets.clone() {
            let number = self.poll.number();
            match self.poll.watch(&*socket, Token::Listen(number)) {
                Ok(()) => drop(self.listening.insert(number, (unit, socket))),
                Err(errno) => self.log_about(unit, &format!("a socket can't be watched: {errno}")),
            }
        }
    }

    /// Reports no traffic.
    pub(crate) fn unwatch_sockets(&mut self, unit: UnitId) {
        self.watches_after_flush(unit, false);
        let poll = &self.poll;
        self.listening.retain(|_, (owner, socket)| {
            if *owner == unit {
                poll.forget(&**socket);
            }
            *owner != unit
        });
    }

    /// A watched socket has something.
    pub(crate) fn on_traffic(&mut self, number: u32) {
        let Some((unit, socket)) = self.listening.get(&number) else {
            return;
        };
        let (unit, socket) = (*unit, Rc::clone(socket));
        let accepts = self.units.get(&unit);
        if accepts.is_some_and(|entry| entry.unit.value(&model::key::ACCEPT)) {
            return self.on_connections(number, unit, &socket);
        }
        self.unwatch_sockets(unit);
        let Some(incarnation) = self
            .engine
            .snapshot(unit)
            .map(|snapshot| snapshot.incarnation)
        else {
            return;
        };
        self.inputs
            .push_back(Input::SocketTraffic { unit, incarnation });
    }

    /// Sockets that the keeper held for the manager before us. All of a unit's, or none: those are made anew. What a unit listens on was
    /// held before its record said so, and its file may ask for other sockets by now, which the next start makes. A unit that is down
    /// has none: that manager had no time to say so.
    pub(crate) fn adopt_sockets(&mut self, held: Vec<(String, OwnedFd)>) {
        let mut by_unit: Map<String, Map<usize, OwnedFd>> = Map::new();
        for (name, socket) in held {
            match name
                .rsplit_once('|')
                .and_then(|(unit, index)| Some((unit.to_owned(), index.parse().ok()?)))
            {
                Some((unit, index)) => drop(by_unit.entry(unit).or_default().insert(index, socket)),
                None => self.link.drop_held(Class::Listen, &name),
            }
        }
        for (unit, sockets) in by_unit {
            let id = self.engine.id(&unit);
            let phase = id.and_then(|id| match self.engine.state(id)? {
                State::Socket(run) => Some(run.phase),
                _ => None,
            });
            let known = id.and_then(|id| self.units.get_mut(&id));
            let is_complete = match (&known, phase) {
                (None, _) | (_, None) => false,
                (_, Some(phase)) if phase.has_sockets() => {
                    sockets.keys().copied().eq(0..sockets.len())
                }
                (Some(entry), Some(_)) => listens(&entry.unit) == sockets.len(),
            };
            let sockets = sockets
                .into_iter()
                .map(|(index, socket)| (index, Rc::new(socket)));
            match known.filter(|_| is_complete) {
                Some(entry) => entry.sockets = sockets.map(|(_, socket)| socket).collect(),
                None => {
                    let mut had = None;
                    for socket in sockets {
                        self.let_socket_go(id, &unit, socket, &mut had);
                    }
                }
            }
        }
    }
}

/// How many sockets a unit has.
pub(crate) fn listens(unit: &model::Unit) -> usize {
    unit.listens().len()
}

impl Opening {
    /// Takes everything that the executor has sent.
    fn drain(&mut self) {
        let (mut buffer, mut descriptors) = ([0; RECORD_BYTES], Descriptors::default());
        while let Ok(received) = receive(
            &*self.report,
            &mut buffer,
            &mut descriptors,
            ReceiveOptions::default(),
        ) {
            if received.bytes == 0 {
                return;
            }
            match Report::decode(buffer.get(..received.bytes).unwrap_or_default()) {
                Some(Report::Socket { index }) => self
                    .sockets
                    .extend(descriptors.take().map(|socket| (index, socket))),
                Some(Report::Failure(failure)) => self.failure = Some(failure),
                Some(
                    Report::Payload
                    | Report::Network
                    | Report::Ahead
                    | Report::Files
                    | Report::Unmade(_)
                    | Report::Namespaces { .. },
                )
                | None => {}
            }
        }
    }
}

/// What sockets some processes have.
#[derive(Debug)]
enum Had {
    /// By their numbers.
    These(Set<u64>),
    /// There is more than was looked at: they may have any.
    Any,
}

impl Had {
    fn of(processes: impl Iterator<Item = u32>) -> Self {
        /// Processes and descriptors that are looked at, all together: the loop waits for it.
        const LOOKS_MAX: usize = 4096;
        let mut sockets = Set::new();
        let mut looks = 0..LOOKS_MAX;
        for pid in processes {
            let entries = std::fs::read_dir(format!("/proc/{pid}/fd"));
            let links = entries.into_iter().flatten().flatten();
            let found = links.map(|entry| socket_number(&entry.path()));
            for number in std::iter::once(None).chain(found) {
                if looks.next().is_none() {
                    return Self::Any;
                }
                sockets.extend(number);
            }
        }
        Self::These(sockets)
    }

    fn has(&self, socket: &OwnedFd) -> bool {
        let own = rustix::fs::fstat(socket);
        match self {
            Self::These(numbers) => own.is_ok_and(|own| numbers.contains(&own.st_ino)),
            Self::Any => true,
        }
    }
}

/// The number of the socket that a descriptor is, if it is one.
fn socket_number(descriptor: &Path) -> Option<u64> {
    let link = std::fs::read_link(descriptor).ok()?;
    let number = link.to_str()?.strip_prefix("socket:[")?;
    number.strip_suffix(']')?.parse().ok()
}

fn has_path(socket: &OwnedFd) -> bool {
    let name = rustix::net::getsockname(socket).and_then(SocketAddrUnix::try_from);
    name.is_ok_and(|name| name.path().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_of_processes_are_known_up_to_a_bound_over_all_of_them() {
        let own = std::process::id();
        let (socket, _other) = UnixStream::pair().expect("sockets");
        let socket = OwnedFd::from(socket);
        let file = OwnedFd::from(std::fs::File::open("/dev/null").expect("a file"));
        for (processes, has_socket, has_file) in [
            (vec![], false, false),
            (vec![own], true, false),
            (vec![u32::MAX; 4096], false, false),
            // Each with few descriptors, or none, and too many in all.
            (vec![u32::MAX; 4097], true, true),
            (vec![own; 4096], true, true),
        ] {
            let count = processes.len();
            let had = Had::of(processes.into_iter());
            let found = (had.has(&socket), had.has(&file));
            assert_eq!(found, (has_socket, has_file), "{count} processes");
        }
    }
}
