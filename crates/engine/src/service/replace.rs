//! A service is replaced: its next run starts beside the one that is up, which drains once the next one is up.

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Chain};
use crate::config::{JobMode, KillMode};
use crate::effect::{Action, JobResult, Target};
use crate::engine::Engine;
use crate::id::{Incarnation, JobId, Micros, ProcessKey, Signal, UnitId};
use crate::input::{Conditions, ExitStatus, JobKind};
use crate::jobs::Move;
use crate::state::{ActiveState, Main, Phase, Progress, ServiceRun, State, UnitResult};

/// A run beside the current one of its unit; always an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Its number.
    pub incarnation: Incarnation,
    /// As it was when the next one began, but for its processes.
    pub run: ServiceRun,
    /// How its main process ended, where it did.
    pub main_status: Option<ExitStatus>,
    /// How far it is.
    pub stage: Stage,
    /// How long it may drain once it has to.
    pub drain: Micros,
    /// When the stage has lasted too long.
    pub deadline: Option<Micros>,
}

/// How far a run is that is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It is up, and stays the unit's where the next one fails.
    Stays,
    /// It was told to end, and has time to finish what it is at.
    Drains,
    /// It is killed.
    Dies,
}

impl Engine {
    /// Queues a job that replaces, with how long the former run may drain.
    pub(crate) fn client_replacement(
        &mut self,
        request: u64,
        id: UnitId,
        mode: JobMode,
        drain: Option<Micros>,
    ) {
        self.client_job(request, id, JobKind::Replace, mode);
        if let Some(job) = self.unit_mut(id).job.as_deref_mut()
            && job.kind == JobKind::Replace
        {
            job.drain = drain;
        }
    }

    /// May a second run be up beside the one that is? Both must say so, and sockets be there that both have.
    pub(crate) fn may_overlap(&self, id: UnitId) -> bool {
        let is_up = |run: &ServiceRun| run.overlaps && self.active(id).is_up();
        self.service(id).overlaps
            && self.run(id).is_some_and(is_up)
            && !self.sockets_of(id).is_empty()
    }

    /// What drains has to be gone before the unit starts anew.
    pub(crate) fn waits_for_beside(&mut self, id: UnitId) -> bool {
        !self.service(id).overlaps && self.hasten(id)
    }

    /// Begins a job that replaces.
    pub(crate) fn replace_unit(&mut self, id: UnitId) -> Move {
        if let Some(beside) = self.unit(id).beside.as_deref() {
            // Whoever drains has had its time by now: without that, one that never ends would keep all others away.
            if beside.stage == Stage::Drains {
                self.hasten(id);
            }
            return Move::Again;
        }
        match self.active(id) {
            ActiveState::Active if self.is_replaceable(id) => {}
            ActiveState::Active => return Move::Over(JobResult::Failed),
            ActiveState::Inactive | ActiveState::Failed => return self.start_unit(id),
            _ => return Move::Again,
        }
        let Some(config) = self.unit(id).config.clone() else {
            return Move::Over(JobResult::Failed);
        };
        let now = self.now;
        if !self.unit_mut(id).starts.admit(now, config.start_limit) {
            let name = self.name(id);
            let text = format!(
                "{name}: started too often, so what runs goes on; `coracle reset-failed {name}` allows it again."
            );
            self.log(id, text);
            return Move::Over(JobResult::Failed);
        }
        if config.conditions {
            if let Some(job) = self.unit_mut(id).job.as_deref_mut() {
                job.testing = true;
            }
            self.emit(Action::TestConditions(id));
            return Move::Going;
        }
        self.begin_beside(id)
    }

    fn is_replaceable(&self, id: UnitId) -> bool {
        (self.run(id)).is_some_and(|run| run.phase == Phase::Running && run.has_main())
    }

    /// The conditions of what is to replace were tested.
    pub(crate) fn replacement_tested(&mut self, id: UnitId, outcome: Conditions) -> Move {
        match outcome {
            Conditions::Met if self.unit(id).beside.is_none() && self.is_replaceable(id) => {
                self.begin_beside(id)
            }
            Conditions::Met => {
                // Something happened to it meanwhile.
                let job = self.unit_mut(id).job.as_deref_mut();
                let again: Option<JobId> = job.map(|job| {
                    (job.running, job.began) = (false, None);
                    job.id
                });
                self.ready.extend(again);
                Move::Going
            }
            Conditions::Unmet => {
                let name = self.name(id);
                self.log(id, format!("{name}: what is to replace it may not start, as a condition does not hold; what runs goes on."));
                Move::Over(JobResult::Failed)
            }
            Conditions::AssertFailed => Move::Over(JobResult::Assert),
        }
    }

    fn begin_beside(&mut self, id: UnitId) -> Move {
        let asked = self.unit(id).job.as_ref().and_then(|job| job.drain);
        let drain = asked.unwrap_or(self.service(id).drain);
        self.end_probe(id, false);
        let Some(mut former) = self.run(id).cloned() else {
            return Move::Over(JobResult::Failed);
        };
        former.health = None;
        let unit = self.unit_mut(id);
        unit.restarts = 0;
        unit.beside = Some(Box::new(Beside {
            incarnation: unit.incarnation,
            run: former,
            main_status: unit.main_status,
            stage: Stage::Stays,
            drain,
            deadline: None,
        }));
        let mut next = self.new_run(id);
        next.replaces = true;
        self.change(id, State::Service(Box::new(next)));
        self.start_list(id, Phase::Condition);
        Move::Going
    }

    /// What the unit's new state means for a job that replaces.
    pub(crate) fn replacement_sees(
        &self,
        id: UnitId,
        new: ActiveState,
    ) -> (Option<JobResult>, bool) {
        let tests = self.unit(id).job.as_ref().is_some_and(|job| job.testing);
        match new {
            _ if tests => (None, new.is_up()),
            ActiveState::Active => (Some(JobResult::Done), true),
            ActiveState::Reloading | ActiveState::Activating => (None, true),
            ActiveState::Failed => (Some(JobResult::Failed), false),
            ActiveState::Inactive => (Some(JobResult::Done), false),
            ActiveState::Deactivating | ActiveState::Maintenance => (None, false),
        }
    }

    /// The next run is up: the former one drains.
    pub(crate) fn take_place(&mut self, id: UnitId) {
        let Some(run) = self.run_mut(id).filter(|run| run.replaces) else {
            return;
        };
        run.replaces = false;
        let drain = self.unit(id).beside.as_ref().map(|beside| beside.drain);
        self.drain(id, drain.unwrap_or_default());
    }

    /// The next run came to nothing: the former one is the unit's again. False: there is none that could be.
    pub(crate) fn go_back(&mut self, id: UnitId, result: UnitResult) -> bool {
        let is_kept = |beside: &Beside| beside.stage == Stage::Stays && beside.run.has_main();
        let replaces = self.run(id).is_some_and(|run| run.replaces);
        let unit = self.unit_mut(id);
        let Some(former) = unit.beside.take_if(|beside| replaces && is_kept(beside)) else {
            return false;
        };
        unit.numbered = unit.incarnation;
        let incarnation = std::mem::replace(&mut unit.incarnation, former.incarnation);
        unit.main_status = former.main_status;
        self.emit(Action::Release {
            unit: id,
            incarnation,
            kept: Some(former.incarnation),
        });
        let text = format!(
            "{}: what was to replace it did not come up ({}); the run before goes on.",
            self.name(id),
            result.name()
        );
        self.log(id, text);
        let is_asked = |job: &crate::unit::Job| job.kind == JobKind::Replace && job.running;
        if self.unit(id).job.as_deref().is_some_and(is_asked) {
            self.finish_job(id, JobResult::Failed, true);
        }
        self.change(id, State::Service(Box::new(former.run)));
        self.start_watchdog(id);
        self.probe_again(id);
        self.watch_again(id);
        true
    }

    /// The run beside the current one is to end within the time of a stop. False: there is none.
    pub(crate) fn hasten(&mut self, id: UnitId) -> bool {
        let (now, limit) = (self.now, self.service(id).timeout_stop);
        let until = now.deadline(limit);
        let Some(beside) = self.unit_mut(id).beside.as_deref_mut() else {
            return false;
        };
        match beside.stage {
            Stage::Stays => {
                self.unit_mut(id).stamps.active_exit = now;
                if let Some(run) = self.run_mut(id) {
                    run.replaces = false;
                }
                self.drain(id, limit);
            }
            Stage::Drains => beside.deadline = beside.deadline.into_iter().chain(until).min(),
            Stage::Dies => {}
        }
        true
    }

    /// It is told to end, and has so long for what it is at.
    fn drain(&mut self, id: UnitId, span: Micros) {
        let deadline = self.now.deadline(span);
        if let Some(beside) = self.unit_mut(id).beside.as_deref_mut() {
            (beside.stage, beside.deadline) = (Stage::Drains, deadline);
        }
        self.signal_beside(id);
    }

    fn kill_beside(&mut self, id: UnitId) {
        let deadline = self.now.deadline(self.service(id).timeout_stop);
        if let Some(beside) = self.unit_mut(id).beside.as_deref_mut() {
            (beside.stage, beside.deadline) = (Stage::Dies, deadline);
        }
        self.signal_beside(id);
    }

    /// Sends the signal of its stage, and asks for its end where all are waited for.
    fn signal_beside(&mut self, id: UnitId) {
        let kill = self.service(id).kill;
        let Some(beside) = self.unit(id).beside.as_deref() else {
            return;
        };
        let (unit, incarnation, stage) = (id, beside.incarnation, beside.stage);
        let has_main = beside.run.has_main();
        let target = match kill.mode {
            KillMode::ControlGroup => Target::All,
            _ if stage == Stage::Dies => Target::All,
            _ => Target::Main,
        };
        let signals = match stage {
            Stage::Stays => return,
            Stage::Drains => {
                let hang_up = kill.send_sighup.then_some(Signal::HUP);
                // A stopped process cannot answer.
                [Some(kill.restart_signal), Some(Signal::CONT), hang_up]
            }
            Stage::Dies => [Some(kill.final_signal), None, None],
        };
        for signal in signals.into_iter().flatten() {
            self.emit(Action::Signal {
                unit,
                incarnation,
                target,
                signal,
            });
        }
        if target == Target::All || !has_main {
            self.emit(Action::WatchEmpty { unit, incarnation });
        }
    }

    /// Is it the number of the run beside the current one?
    pub(crate) fn is_beside(&self, id: UnitId, incarnation: Incarnation) -> bool {
        let beside = self.unit(id).beside.as_ref();
        beside.is_some_and(|beside| beside.incarnation == incarnation)
    }

    /// A process of it got further.
    pub(crate) fn beside_progressed(&mut self, key: ProcessKey, progress: Progress) {
        let Some(beside) = self.unit_mut(key.unit).beside.as_deref_mut() else {
            return;
        };
        if let Main::Process(main) = &mut beside.run.main
            && main.serial == key.serial
        {
            main.progress = main.progress.max(progress);
        }
        let is_late = beside.run.late_probes.contains(&key.serial);
        if progress == Progress::Spawned && is_late {
            self.kill_process(key);
        } else if progress == Progress::Spawned {
            self.signal_beside(key.unit);
        }
    }

    fn kill_process(&mut self, key: ProcessKey) {
        self.emit(Action::Signal {
            unit: key.unit,
            incarnation: key.incarnation,
            target: Target::Process(key.serial),
            signal: Signal::KILL,
        });
    }

    /// A process of it ended.
    pub(crate) fn beside_ended(&mut self, id: UnitId, serial: u32, status: Option<ExitStatus>) {
        let Some(beside) = self.unit_mut(id).beside.as_deref_mut() else {
            return;
        };
        let run = &mut beside.run;
        run.strays.retain(|stray| *stray != serial);
        run.late_probes.retain(|late| *late != serial);
        let is_main = matches!(run.main, Main::Process(main) if main.serial == serial);
        if is_main {
            run.main = Main::Ended(status.unwrap_or(ExitStatus::Unknown));
            beside.main_status = status;
        }
        let (stage, has_process) = (beside.stage, beside.run.has_process());
        let (unit, incarnation) = (id, beside.incarnation);
        match stage {
            Stage::Stays if is_main => self.former_ended(id),
            Stage::Stays => {}
            // What the main process leaves is not waited for in this mode.
            Stage::Drains if is_main && self.service(id).kill.mode != KillMode::ControlGroup => {
                self.kill_beside(id)
            }
            Stage::Drains | Stage::Dies if !has_process => {
                self.emit(Action::WatchEmpty { unit, incarnation })
            }
            Stage::Drains | Stage::Dies => {}
        }
    }

    /// It ended by itself before the next one was up: nothing is up, and what it has left goes.
    fn former_ended(&mut self, id: UnitId) {
        let old = self.active(id);
        let text = format!(
            "{}: it ended before what replaces it was up.",
            self.name(id)
        );
        self.log(id, text);
        if let Some(run) = self.run_mut(id) {
            run.replaces = false;
        }
        let limit = self.service(id).timeout_stop;
        self.drain(id, limit);
        self.changed(id, old, false);
    }

    /// No process of it is left.
    pub(crate) fn beside_empty(&mut self, id: UnitId) {
        let beside = self.unit(id).beside.as_deref();
        let is_over =
            beside.is_some_and(|beside| beside.stage != Stage::Stays && !beside.run.has_process());
        if is_over {
            self.beside_over(id);
        }
    }

    /// The time of its stage may be over.
    pub(crate) fn beside_tick(&mut self, id: UnitId) {
        let now = self.now;
        let Some(beside) = self.unit(id).beside.as_deref() else {
            return;
        };
        if beside.deadline.is_none_or(|at| at > now) {
            return;
        }
        match beside.stage {
            Stage::Stays => {}
            Stage::Drains => {
                let name = self.name(id);
                let text = format!(
                    "{name}: the former run did not end in its drain time; it is killed (DrainTimeoutSec=, --drain)."
                );
                self.log(id, text);
                self.kill_beside(id);
            }
            Stage::Dies => self.beside_over(id),
        }
    }

    /// It is over; who waited for that goes on.
    fn beside_over(&mut self, id: UnitId) {
        let Some(beside) = self.unit_mut(id).beside.take() else {
            return;
        };
        self.emit(Action::Release {
            unit: id,
            incarnation: beside.incarnation,
            kept: None,
        });
        let job = self.unit(id).job.as_deref();
        let Some((job, kind, runs)) = job.map(|job| (job.id, job.kind, job.running)) else {
            return;
        };
        if !runs {
            self.ready.insert(job);
        }
        let stops = runs && matches!(kind, JobKind::Stop | JobKind::Restart);
        match self.unit(id).state {
            State::AutoRestart { .. } if stops => self.change(id, State::Dead),
            State::Dead | State::Failed { .. } if stops => {
                self.finish_job(id, JobResult::Done, true)
            }
            _ => {}
        }
    }

    /// The current run is over, and every earlier one but that beside it.
    pub(crate) fn release(&mut self, id: UnitId) {
        let unit = self.unit(id);
        let kept = unit.beside.as_ref().map(|beside| beside.incarnation);
        let incarnation = unit.incarnation.max(unit.numbered);
        self.emit(Action::Release {
            unit: id,
            incarnation,
            kept,
        });
    }

    /// At the end of a restore: what nobody has seen is gone, and the rest is told again.
    pub(crate) fn resend_beside(&mut self, id: UnitId) {
        self.release_again(id);
        let Some(beside) = self.unit(id).beside.as_deref() else {
            return;
        };
        let (run, incarnation) = (&beside.run, beside.incarnation);
        let main = match run.main {
            Main::Process(main) => Some(main.serial),
            Main::None | Main::Ended(_) => None,
        };
        let late = run.late_probes.clone();
        let serials: Vec<u32> = (late.iter().chain(&run.strays).copied())
            .chain(main)
            .collect();
        for serial in serials {
            let key = ProcessKey {
                unit: id,
                incarnation,
                serial,
            };
            // Also one that nobody has seen: it may be about to be made.
            if late.contains(&serial) {
                self.kill_process(key);
            }
            if !self.reported.contains(&key) {
                self.beside_ended(id, serial, Some(ExitStatus::Unknown));
            }
        }
        self.signal_beside(id);
    }

    /// Runs that are over beside one that goes on: that may not have been done.
    fn release_again(&mut self, id: UnitId) {
        let unit = self.unit(id);
        let (own, last) = (unit.incarnation, unit.numbered);
        let State::Service(run) = &unit.state else {
            return;
        };
        if last > own {
            self.emit(Action::Release {
                unit: id,
                incarnation: last,
                kept: Some(own),
            });
        } else if run.overlaps && own.0 > 1 && unit.beside.is_none() {
            self.emit(Action::Release {
                unit: id,
                incarnation: Incarnation(own.0 - 1),
                kept: None,
            });
        }
    }

    /// A signal that an administrator sends to all of the unit.
    pub(crate) fn kill(&mut self, unit: UnitId, target: Target, signal: Signal) {
        self.cause = Chain::root(Cause::Signalled {
            unit: self.name(unit),
        });
        let beside = self.unit(unit).beside.as_ref();
        let beside = beside.map(|beside| beside.incarnation);
        let is_run = matches!(self.unit(unit).state, State::Service(_) | State::Socket(_));
        let own = is_run.then_some(self.unit(unit).incarnation);
        let beside = beside.filter(|_| target == Target::All);
        for incarnation in own.into_iter().chain(beside) {
            self.emit(Action::Signal {
                unit,
                incarnation,
                target,
                signal,
            });
        }
    }

    /// The run with this number: the current one, or that beside it.
    pub fn run_of(&self, unit: UnitId, incarnation: Incarnation) -> Option<&ServiceRun> {
        let known = self.get(unit)?;
        let beside = known.beside.as_deref();
        match (&known.state, beside) {
            (_, Some(beside)) if beside.incarnation == incarnation => Some(&beside.run),
            (State::Service(run), _) if known.incarnation == incarnation => Some(run),
            _ => None,
        }
    }

    /// The run beside the current one.
    pub fn beside(&self, unit: UnitId) -> Option<&Beside> {
        self.get(unit)?.beside.as_deref()
    }
}
