//! The machine: one `step` per event, and what a client may look at between steps.

use model::sorted::{Map, Set};
use std::collections::VecDeque;
use std::sync::Arc;

use crate::cause::{Cause, Chain};
use crate::config::{Relation, UnitConfig};
use crate::effect::{Action, Effect, Effects, Refusal};
use crate::graph::End;
use crate::id::{Incarnation, JobId, Micros, ProcessKey, UnitId};
use crate::input::Input;
use crate::snapshot::{JobSnapshot, UnitSnapshot};
use crate::state::{Progress, State};
use crate::transition::Followup;
use crate::unit::Unit;

/// All units and their jobs.
#[derive(Debug, Default)]
pub struct Engine {
    pub(crate) now: Micros,
    /// What random times depend on.
    pub(crate) seed: u64,
    pub(crate) units: Vec<Unit>,
    pub(crate) names: Map<Arc<str>, UnitId>,
    /// Ids of forgotten units, to be used again.
    pub(crate) free: Vec<UnitId>,
    /// The connections that are served: of each socket unit, and of each source.
    pub(crate) connections: Map<Arc<str>, Map<Arc<str>, u32>>,
    /// Installed jobs.
    pub(crate) jobs: Map<JobId, UnitId>,
    pub(crate) last_job: u32,
    /// Jobs that may be able to run.
    pub(crate) ready: Set<JobId>,
    /// Consequences of this step that are still to be drawn; empty between steps.
    pub(crate) followups: VecDeque<Followup>,
    /// Socket units whose traffic waits for others to go (DeferTrigger=).
    pub(crate) deferred: Set<UnitId>,
    /// Every unit with a deadline.
    pub(crate) timers: Set<(Micros, UnitId)>,
    pub(crate) wake: Option<Micros>,
    /// The instance ends.
    pub(crate) ending: bool,
    /// Between a restore and the end of the inventory.
    pub(crate) restoring: bool,
    /// Processes reported to be there since a restore, until the inventory is complete.
    pub(crate) reported: Set<ProcessKey>,
    /// The cause of the moment.
    pub(crate) cause: Chain,
    pub(crate) touched: Set<UnitId>,
    pub(crate) out: Vec<Effect>,
}

impl Engine {
    /// An engine without units.
    pub fn new() -> Engine {
        Engine::default()
    }

    /// An engine without units, whose random times depend on this number.
    pub fn with_seed(seed: u64) -> Engine {
        Engine {
            seed,
            ..Engine::default()
        }
    }

    /// Takes one event in and says what is to be done. `now` never goes back.
    pub fn step(&mut self, now: Micros, input: Input) -> Effects {
        self.now = self.now.max(now);
        self.cause = Chain::default();
        let exists = |unit: UnitId| (unit.0 as usize) < self.units.len();
        match input {
            Input::Job { request, unit, .. } | Input::Replace { request, unit, .. }
                if !exists(unit) =>
            {
                self.emit(Action::Refused {
                    request,
                    why: Refusal::NoUnit,
                });
            }
            Input::ConnectionReady { instance, .. } if !exists(instance) => {}
            input if input.unit().is_none_or(exists) => self.accept(input),
            _ => {}
        }
        self.settle();
        self.finish()
    }

    fn accept(&mut self, input: Input) {
        match input {
            Input::Configure(config) => self.configure(*config),
            Input::Forget(unit) => self.unit_mut(unit).forgotten = true,
            Input::Job {
                request,
                unit,
                kind,
                mode,
            } => self.client_job(request, unit, kind, mode),
            Input::Replace {
                request,
                unit,
                mode,
                drain,
            } => self.client_replacement(request, unit, mode, drain),
            Input::End(unit) => self.end_unit(unit),
            Input::Cancel(job) => self.cancel(job),
            Input::ResetFailed(unit) => self.reset_failed(unit),
            Input::TakenBack(unit) => self.taken_back(unit),
            Input::Clean { unit, what } => self.clean(unit, what),
            Input::Cleaned(unit) => self.cleaned(unit),
            Input::Kill {
                unit,
                target,
                signal,
            } => self.kill(unit, target, signal),
            Input::Conditions { unit, outcome } => self.conditions_tested(unit, outcome),
            Input::Spawned(process) | Input::Alive { process } => {
                self.progressed(process, Progress::Spawned)
            }

            Input::Executed(process) => self.progressed(process, Progress::Executed),
            Input::SpawnFailed(process) => self.ended(process, None),
            Input::ExecFailed(process) => self.exec_failed(process),
            Input::Exited { process, status } => self.ended(process, Some(status)),
            Input::CgroupEmpty { unit, incarnation } => self.cgroup_empty(unit, incarnation),
            Input::InTable { unit, is_there } => self.in_table(unit, is_there),
            Input::Device { unit, is_there } => self.device_changed(unit, is_there),
            Input::BusName { unit, is_owned } => self.name_changed(unit, is_owned),
            input @ (Input::Probed { .. }
            | Input::MainFound { .. }
            | Input::TakenOver { .. }
            | Input::OutOfMemory { .. }
            | Input::Notify { .. }) => self.accept_of_run(input),
            input @ (Input::SocketsOpen { .. }
            | Input::SocketsFailed { .. }
            | Input::SocketTraffic { .. }
            | Input::Connection { .. }
            | Input::ConnectionReady { .. }
            | Input::ConnectionLost(_)) => self.accept_of_socket(input),
            input @ (Input::TimerReckoned { .. }
            | Input::TimerElapsed { .. }
            | Input::ReckonTimer(_)) => self.accept_of_timer(input),
            input @ (Input::PathWatched { .. }
            | Input::PathFired { .. }
            | Input::PathFailed { .. }
            | Input::WatchPath(_)) => self.accept_of_path(input),
            input @ (Input::AutomountSet { .. }
            | Input::AutomountUnset { .. }
            | Input::AutomountFailed { .. }
            | Input::AutomountAnswered { .. }
            | Input::AutomountVisited { .. }) => self.accept_of_automount(input),
            Input::Tick => self.tick(),
            Input::InventoryComplete => self.inventory_complete(),
        }
    }

    /// What is told of a run's processes.
    fn accept_of_run(&mut self, input: Input) {
        match input {
            Input::Probed { process, well }
                if self.is_current(process.unit, process.incarnation) =>
            {
                self.cause = self.unit(process.unit).cause.clone();
                let _awaited = self.probe_ended(process.unit, process.serial, well);
            }
            Input::MainFound {
                unit,
                incarnation,
                pid,
            } if self.is_current(unit, incarnation) => {
                self.cause = self.unit(unit).cause.clone();
                self.main_found(unit, pid);
            }
            Input::TakenOver {
                unit,
                incarnation,
                well,
            } if self.is_current(unit, incarnation) => {
                self.cause = self.unit(unit).cause.clone();
                self.taken_over(unit, well);
            }
            Input::OutOfMemory { unit, incarnation } if self.is_current(unit, incarnation) => {
                self.because(Cause::OutOfMemory {
                    unit: self.name(unit),
                });
                self.out_of_memory(unit);
            }
            Input::Notify {
                unit,
                incarnation,
                message,
            } if self.is_current(unit, incarnation) => {
                self.because(Cause::Notified {
                    unit: self.name(unit),
                });
                self.notified(unit, message);
            }
            _ => {}
        }
    }

    fn accept_of_timer(&mut self, input: Input) {
        match input {
            Input::TimerReckoned {
                unit,
                incarnation,
                found,
            } => self.timer_reckoned(unit, incarnation, found),
            Input::TimerElapsed {
                unit,
                incarnation,
                realtime_us,
            } => self.timer_elapsed(unit, incarnation, realtime_us),
            Input::ReckonTimer(unit) => self.reckon_anew(unit),
            _ => {}
        }
    }

    fn accept_of_path(&mut self, input: Input) {
        match input {
            Input::PathWatched {
                unit,
                incarnation,
                marks,
            } => self.path_watched(unit, incarnation, marks),
            Input::PathFired {
                unit,
                incarnation,
                what,
                realtime_us,
            } => self.path_fired(unit, incarnation, what, realtime_us),
            Input::PathFailed {
                unit,
                incarnation,
                why,
            } => self.path_failed(unit, incarnation, &why),
            Input::WatchPath(unit) => self.watch_path_anew(unit),
            _ => {}
        }
    }

    fn accept_of_automount(&mut self, input: Input) {
        match input {
            Input::AutomountSet {
                unit,
                incarnation,
                device,
            } => self.automount_set(unit, incarnation, device),
            Input::AutomountUnset { unit, incarnation } => self.automount_unset(unit, incarnation),
            Input::AutomountFailed {
                unit,
                incarnation,
                why,
            } => self.automount_failed(unit, incarnation, &why),
            Input::AutomountAnswered {
                unit,
                incarnation,
                waits,
            } => self.automount_answered(unit, incarnation, &waits),
            Input::AutomountVisited {
                unit,
                incarnation,
                token,
                visit,
            } => self.automount_visited(unit, incarnation, token, visit),
            _ => {}
        }
    }

    /// What happens to sockets.
    fn accept_of_socket(&mut self, input: Input) {
        match input {
            Input::SocketsOpen { unit, incarnation } => {
                self.sockets_opened(unit, incarnation, true)
            }
            Input::SocketsFailed { unit, incarnation } => {
                self.sockets_opened(unit, incarnation, false)
            }
            Input::SocketTraffic { unit, incarnation } => self.traffic(unit, incarnation),
            Input::Connection {
                unit,
                incarnation,
                number,
                source,
            } => self.connection_came(unit, incarnation, number, &source),
            Input::ConnectionReady {
                unit,
                number,
                instance,
                source,
            } => self.connection_ready(unit, number, instance, &source),
            Input::ConnectionLost(unit) => self.connection_lost(unit),
            _ => {}
        }
    }

    /// Draws all consequences and runs all jobs that can run, until nothing moves.
    fn settle(&mut self) {
        let mut deferred = self.deferred.clone();
        loop {
            if let Some(followup) = self.followups.pop_front() {
                self.follow_up(followup);
            } else if let Some(job) = self.ready.pop_first() {
                self.try_run(job);
            } else if self.jobs.is_empty()
                && let Some(socket) = deferred.pop_first()
            {
                self.try_deferred(socket);
            } else {
                return;
            }
        }
    }

    /// Keeps the deadlines and puts the notices of changed units in front.
    fn finish(&mut self) -> Effects {
        for id in self.touched.iter().copied().collect::<Vec<_>>() {
            self.release_served(id);
            self.drop_forgotten(id);
        }
        let mut effects = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            let unit = self.unit(id);
            effects.push(Effect {
                action: Action::StateChanged(id),
                cause: unit.cause.clone(),
            });
            self.keep_deadline(id);
        }
        self.touched.clear();
        let wake = self.timers.first().map(|(at, _)| *at);
        effects.append(&mut self.out);
        if wake != self.wake {
            self.wake = wake;
            effects.push(Effect {
                action: Action::WakeAt(wake),
                cause: Chain::default(),
            });
        }
        Effects(effects)
    }

    /// Puts the unit's next deadline into the list.
    pub(crate) fn keep_deadline(&mut self, id: UnitId) {
        let (old, new) = (self.unit(id).timer, self.unit(id).deadline());
        if old != new {
            old.map(|at| self.timers.remove(&(at, id)));
            new.map(|at| self.timers.insert((at, id)));
            self.unit_unrecorded(id).timer = new;
        }
    }

    fn tick(&mut self) {
        let due: Vec<UnitId> = self
            .timers
            .iter()
            .take_while(|(at, _)| *at <= self.now)
            .map(|(_, id)| *id)
            .collect();
        for id in due {
            self.cause = self.unit(id).cause.and(Cause::TimedOut {
                unit: self.name(id),
                at: self.now,
            });
            self.job_tick(id);
            self.beside_tick(id);
            match &self.unit(id).state {
                State::Service(_) => self.service_tick(id),
                State::AutoRestart {
                    until: Some(at), ..
                } if *at <= self.now => self.restart_due(id),
                State::Socket(_) => self.socket_tick(id),
                State::Cleaning(_) => self.clean_tick(id),
                State::Path(_) => self.path_tick(id),
                State::Automount(_) => self.automount_tick(id),
                _ => {}
            }
        }
        // A clock that came too early is set again.
        self.wake = None;
    }

    /// Is it the number of the unit's last run?
    pub fn is_current(&self, unit: UnitId, incarnation: Incarnation) -> bool {
        self.unit(unit).incarnation == incarnation
    }

    fn reset_failed(&mut self, id: UnitId) {
        let unit = self.unit_mut(id);
        unit.restarts = 0;
        unit.starts = Default::default();
        unit.triggers = Default::default();
        unit.followings = Default::default();
        if matches!(unit.state, State::Failed { .. }) {
            self.cause = Chain::root(Cause::Asked {
                unit: self.name(id),
                kind: crate::input::JobKind::Stop,
            });
            self.unit_mut(id).last_result = Default::default();
            self.change(id, State::Dead);
        }
    }

    /// The unit of this name, if it was configured or is named by one that was.
    pub fn id(&self, name: &str) -> Option<UnitId> {
        self.names.get(name).copied()
    }

    pub(crate) fn get(&self, unit: UnitId) -> Option<&Unit> {
        self.units.get(unit.0 as usize)
    }

    /// The unit's name, also that of one just removed, until its id is used again.
    pub fn unit_name(&self, unit: UnitId) -> Option<&str> {
        self.get(unit).map(|unit| &*unit.name)
    }

    /// The configuration, unless the unit is only named by others.
    pub fn config(&self, unit: UnitId) -> Option<&UnitConfig> {
        self.get(unit)?.config.as_deref()
    }

    /// The state.
    pub fn state(&self, unit: UnitId) -> Option<&State> {
        self.get(unit).map(|unit| &unit.state)
    }

    /// Whether the kernel's table has it, as far as was told.
    pub fn in_kernel_table(&self, unit: UnitId) -> bool {
        self.get(unit).is_some_and(|unit| unit.in_table)
    }

    /// Why it is in this state.
    pub fn cause(&self, unit: UnitId) -> Chain {
        self.get(unit)
            .map(|unit| unit.cause.clone())
            .unwrap_or_default()
    }

    /// The unit's job.
    pub fn job(&self, unit: UnitId) -> Option<JobSnapshot> {
        self.get(unit)?.job.as_ref().map(|job| job.snapshot())
    }

    /// The installed jobs with their units, oldest first.
    pub fn jobs(&self) -> impl Iterator<Item = (JobId, UnitId)> + '_ {
        self.jobs.iter().map(|(job, unit)| (*job, *unit))
    }

    /// How many units failed.
    pub fn failed(&self) -> usize {
        let is_failed = |unit: &&Unit| matches!(unit.state, State::Failed { .. });
        self.units.iter().filter(is_failed).count()
    }

    /// Every unit, by name.
    pub fn units(&self) -> impl Iterator<Item = UnitId> + '_ {
        self.names.values().copied()
    }

    /// Names that relations mention and that were never configured: load and configure them, again until there are none.
    pub fn unresolved(&self) -> Vec<Arc<str>> {
        let named = self
            .names
            .iter()
            .filter(|(_, id)| self.unit(**id).config.is_none());
        named.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The units that this one names (`named_by`: that name it) by a relation, by id.
    pub fn relations(&self, unit: UnitId, relation: Relation, named_by: bool) -> Vec<UnitId> {
        if self.get(unit).is_none() {
            return Vec::new();
        }
        self.related(
            unit,
            relation,
            if named_by { End::Theirs } else { End::Ours },
        )
        .collect()
    }

    /// The units after which this one is ordered (`later`: those that are ordered after it), said and implied, by id.
    pub fn ordered(&self, unit: UnitId, later: bool) -> Vec<UnitId> {
        if self.get(unit).is_none() {
            return Vec::new();
        }
        let mut units: Vec<UnitId> = if later {
            self.successors(unit).collect()
        } else {
            self.predecessors(unit).collect()
        };
        units.sort_unstable();
        units.dedup();
        units
    }

    /// The socket units whose sockets this service gets: up, and triggering it or named by it; by name. Those with Accept=yes stay the
    /// manager's, which would wait for a connection where the service made them block.
    pub fn sockets_of(&self, service: UnitId) -> Vec<UnitId> {
        let mut sockets = self.relations(service, Relation::Triggers, true);
        sockets.extend(self.relations(service, Relation::Sockets, false));
        sockets.retain(|socket| {
            let is_up = self
                .socket_run(*socket)
                .is_some_and(|run| run.phase.active().is_up());
            is_up && self.socket(*socket).accept.is_none()
        });
        model::order::sort_by_key(&mut sockets, |socket| self.name(*socket));
        sockets.dedup();
        sockets
    }

    /// What to record of a unit, after every step that named it in `StateChanged`, before the step's effects are carried out.
    pub fn snapshot(&self, unit: UnitId) -> Option<UnitSnapshot> {
        self.get(unit).map(Unit::snapshot)
    }
}

impl Input {
    /// The unit it is about.
    fn unit(&self) -> Option<UnitId> {
        match self {
            Input::Configure(_) | Input::Cancel(_) | Input::Tick | Input::InventoryComplete => None,
            Input::Forget(unit) | Input::ResetFailed(unit) | Input::Cleaned(unit) => Some(*unit),
            Input::End(unit) | Input::TakenBack(unit) => Some(*unit),
            Input::Clean { unit, .. } | Input::ReckonTimer(unit) => Some(*unit),
            Input::TimerReckoned { unit, .. } | Input::TimerElapsed { unit, .. } => Some(*unit),
            Input::PathWatched { unit, .. }
            | Input::PathFired { unit, .. }
            | Input::PathFailed { unit, .. }
            | Input::WatchPath(unit) => Some(*unit),
            Input::AutomountSet { unit, .. }
            | Input::AutomountUnset { unit, .. }
            | Input::AutomountFailed { unit, .. }
            | Input::AutomountAnswered { unit, .. }
            | Input::AutomountVisited { unit, .. } => Some(*unit),
            Input::Job { unit, .. } | Input::Kill { unit, .. } | Input::Conditions { unit, .. } => {
                Some(*unit)
            }
            Input::Replace { unit, .. } => Some(*unit),
            Input::CgroupEmpty { unit, .. }
            | Input::InTable { unit, .. }
            | Input::BusName { unit, .. }
            | Input::Device { unit, .. }
            | Input::MainFound { unit, .. }
            | Input::TakenOver { unit, .. }
            | Input::OutOfMemory { unit, .. }
            | Input::Notify { unit, .. } => Some(*unit),
            Input::SocketsOpen { unit, .. }
            | Input::SocketsFailed { unit, .. }
            | Input::SocketTraffic { unit, .. } => Some(*unit),
            Input::Connection { unit, .. }
            | Input::ConnectionReady { unit, .. }
            | Input::ConnectionLost(unit) => Some(*unit),
            Input::Spawned(process) | Input::SpawnFailed(process) | Input::Executed(process) => {
                Some(process.unit)
            }
            Input::ExecFailed(process)
            | Input::Exited { process, .. }
            | Input::Probed { process, .. }
            | Input::Alive { process } => Some(process.unit),
        }
    }
}
