//! Jobs: asked for, installed, run in order, finished.

use crate::cause::{Cause, Chain};
use crate::config::{JobMode, Kind, Relation, ServiceConfig, ServiceType};
use crate::effect::{Action, JobResult, Occasion, Refusal};
use crate::engine::Engine;
use crate::graph::End;
use crate::id::{JobId, UnitId};
use crate::input::{Conditions, JobKind};
use crate::state::{ActiveState, SocketPhase, State, UnitResult};
use crate::timer::TimerPhase;
use crate::transaction::{Wish, covers, merge};
use crate::unit::Job;

/// Jobs installed at once, at most.
const JOBS: usize = 1_000_000;

/// What came of a job's first move.
pub(crate) enum Move {
    /// It goes on; a change of state ends it.
    Going,
    /// Not now: the unit's state has to change first.
    Again,
    /// It is over.
    Over(JobResult),
}

/// How jobs of a transaction stand to others.
#[derive(Debug, Clone, Copy)]
struct Manner {
    ignore_order: bool,
    /// No later one takes their place.
    irreversible: bool,
}

impl Engine {
    pub(crate) fn client_job(&mut self, request: u64, unit: UnitId, kind: JobKind, mode: JobMode) {
        let cause = Chain::root(Cause::Asked {
            unit: self.name(unit),
            kind,
        });
        self.cause = cause.clone();
        let answer = self
            .check_manual(unit, kind, mode)
            .and_then(|()| self.request(unit, kind, mode, &cause, false));
        self.cause = cause;
        let answer = match answer {
            Ok(job) => Action::JobQueued { request, job },
            Err(why) => Action::Refused { request, why },
        };
        self.emit(answer);
    }

    /// The instance ends.
    pub(crate) fn end_unit(&mut self, unit: UnitId) {
        let kind = JobKind::Stop;
        let cause = Chain::root(Cause::Asked {
            unit: self.name(unit),
            kind,
        });
        self.ending = true;
        if let Err(refusal) = self.request(unit, kind, JobMode::Replace, &cause, false) {
            self.cause = cause;
            self.log(unit, refusal.to_string());
        }
    }

    /// Queues a job and all that belongs to it; nothing where the state makes it void.
    pub(crate) fn request(
        &mut self,
        unit: UnitId,
        kind: JobKind,
        mode: JobMode,
        cause: &Chain,
        automatic: bool,
    ) -> Result<Option<JobId>, Refusal> {
        let Some(kind) = self.collapse(unit, kind) else {
            return Ok(None);
        };
        let plan = self.plan_jobs(unit, kind, mode, cause)?;
        if self.jobs.len() + plan.wishes.len() > JOBS {
            return Err(Refusal::TooMany(JOBS));
        }
        if mode == JobMode::Flush {
            self.drop_all_jobs_but(&plan.wishes);
        }
        let manner = Manner {
            ignore_order: mode == JobMode::IgnoreDependencies,
            irreversible: mode == JobMode::ReplaceIrreversibly,
        };
        let mut first = None;
        for (unit, note) in plan.notes {
            self.cause = cause.clone();
            self.log(unit, note);
        }
        // What only looks comes first: nothing is to run whose Requisite= is not up, even where no order is said.
        let (looks, does): (Vec<_>, Vec<_>) = (plan.wishes.into_iter().enumerate())
            .partition(|(_, wish)| wish.kind == JobKind::VerifyActive);
        for (number, wish) in looks.into_iter().chain(does) {
            let is_asked = number == 0;
            let job = self.install(wish, manner, automatic && is_asked);
            first = first.or(is_asked.then_some(job));
        }
        Ok(first)
    }

    fn install(&mut self, wish: Wish, manner: Manner, automatic: bool) -> JobId {
        let id = wish.unit;
        if let Some(job) = self.unit(id).job.as_deref() {
            let merged = merge(job.kind, wish.kind).and_then(|kind| self.collapse(id, kind));
            match merged {
                Some(kind) => return self.merge_installed(&wish, kind, manner, automatic),
                None => {
                    self.cause = wish.cause.clone();
                    self.finish_job(id, JobResult::Canceled, false);
                }
            }
        }
        self.last_job = self.last_job.wrapping_add(1).max(1);
        let job = Job {
            id: JobId(self.last_job),
            kind: wish.kind,
            automatic,
            drain: None,
            running: false,
            queued: self.now,
            began: None,
            ignore_order: manner.ignore_order,
            irreversible: manner.irreversible,
            testing: false,
            cause: wish.cause,
        };
        let job_id = job.id;
        let unit = self.unit_mut(id);
        unit.last_job = job_id.0;
        unit.job = Some(Box::new(job));
        self.jobs.insert(job_id, id);
        self.ready.insert(job_id);
        self.wake_neighbours(id);
        job_id
    }

    /// A running job that does all that is wanted goes on; any other runs again as the merged one.
    fn merge_installed(
        &mut self,
        wish: &Wish,
        kind: JobKind,
        manner: Manner,
        automatic: bool,
    ) -> JobId {
        let mut again = None;
        let unit = self.unit_mut(wish.unit);
        let Some(job) = unit.job.as_deref_mut() else {
            return JobId(0);
        };
        let anew = matches!(wish.kind, JobKind::Reload | JobKind::Replace);
        let late_merge = !anew && covers(job.kind, wish.kind);
        if !job.running || !late_merge {
            job.kind = kind;
            job.running = false;
            job.began = None;
            job.testing = false;
            again = Some(job.id);
        }
        job.ignore_order |= manner.ignore_order;
        job.irreversible |= manner.irreversible;
        job.automatic |= automatic;
        let id = job.id;
        self.ready.extend(again);
        self.wake_neighbours(wish.unit);
        id
    }

    pub(crate) fn cancel(&mut self, job: JobId) {
        if let Some(unit) = self.jobs.get(&job).copied() {
            self.cause = self
                .unit(unit)
                .job
                .as_ref()
                .map(|job| job.cause.clone())
                .unwrap_or_default();
            self.finish_job(unit, JobResult::Canceled, true);
        }
    }

    /// Whether no job stands before it in the order.
    fn can_run(&self, id: UnitId, job: &Job) -> bool {
        self.stand_before(id, job).next().is_none()
    }

    /// Runs a job if it waits and may.
    pub(crate) fn try_run(&mut self, job_id: JobId) {
        let Some(id) = self.jobs.get(&job_id).copied() else {
            return;
        };
        let Some(job) = self
            .unit(id)
            .job
            .as_deref()
            .filter(|job| job.id == job_id && !job.running)
        else {
            return;
        };
        if !self.can_run(id, job) {
            return;
        }
        let (kind, now) = (job.kind, self.now);
        self.cause = job.cause.clone();
        if let Some(job) = self.unit_mut(id).job.as_deref_mut() {
            job.running = true;
            job.began = Some(now);
        }
        let moved = match kind {
            JobKind::Start => self.start_unit(id),
            JobKind::Stop | JobKind::Restart => self.stop_unit(id, kind == JobKind::Restart),
            JobKind::Reload => self.reload_unit(id),
            JobKind::Replace => self.replace_unit(id),
            JobKind::VerifyActive => self.verify_unit(id),
            JobKind::TryRestart | JobKind::TryReload | JobKind::ReloadOrStart => {
                Move::Over(JobResult::Skipped)
            }
        };
        if self
            .unit(id)
            .job
            .as_ref()
            .is_none_or(|job| job.id != job_id || job.kind != kind)
        {
            return;
        }
        match moved {
            Move::Going => {}
            Move::Over(result) => self.finish_job(id, result, true),
            Move::Again => {
                if let Some(job) = self.unit_mut(id).job.as_deref_mut() {
                    job.running = false;
                    job.began = None;
                }
            }
        }
    }

    fn verify_unit(&mut self, id: UnitId) -> Move {
        match self.active(id) {
            ActiveState::Active | ActiveState::Reloading => Move::Over(JobResult::Done),
            ActiveState::Activating => Move::Again,
            _ => Move::Over(JobResult::Skipped),
        }
    }

    pub(crate) fn start_unit(&mut self, id: UnitId) -> Move {
        match (&self.unit(id).state, self.active(id)) {
            (State::AutoRestart { until: Some(_), .. }, _) => {
                self.restart_due(id);
                return Move::Again;
            }
            (State::AutoRestart { .. } | State::Dead | State::Failed { .. }, _) => {}
            (_, ActiveState::Active | ActiveState::Reloading) => {
                return Move::Over(JobResult::Done);
            }
            (_, ActiveState::Deactivating | ActiveState::Maintenance) => return Move::Again,
            _ => return Move::Going,
        }
        let Some(config) = self.unit(id).config.clone() else {
            return Move::Over(JobResult::Failed);
        };
        if matches!(config.kind, Kind::Unsupported(_)) {
            return Move::Over(JobResult::Unsupported);
        }
        if self.waits_for_beside(id) {
            return Move::Again;
        }
        if let Some(held) = self.held_by_slice(id) {
            return held;
        }
        if !matches!(config.kind, Kind::Target | Kind::Device) {
            let now = self.now;
            if !self.unit_mut(id).starts.admit(now, config.start_limit) {
                return self.refuse_start(id, UnitResult::StartLimitHit);
            }
        }
        if config.conditions {
            if let Some(job) = self.unit_mut(id).job.as_deref_mut() {
                job.testing = true;
            }
            self.emit(Action::TestConditions(id));
            return Move::Going;
        }
        self.begin_start(id)
    }

    fn refuse_start(&mut self, id: UnitId, result: UnitResult) -> Move {
        let was = self.unit(id).state.sub();
        self.because(Cause::LimitHit {
            unit: self.name(id),
        });
        self.act(id, Occasion::StartLimit);
        self.log(
            id,
            format!(
                "{}: started too often; `coracle reset-failed` allows it again.",
                self.name(id)
            ),
        );
        self.unit_mut(id).last_result = result;
        self.change(id, State::Failed { result, was });
        Move::Over(JobResult::Failed)
    }

    pub(crate) fn conditions_tested(&mut self, id: UnitId, outcome: Conditions) {
        let Some(job) = self
            .unit_mut(id)
            .job
            .as_deref_mut()
            .filter(|job| job.testing)
        else {
            return;
        };
        job.testing = false;
        let (job_id, kind) = (job.id, job.kind);
        self.cause = job.cause.clone();
        let moved = match outcome {
            _ if kind == JobKind::Replace => self.replacement_tested(id, outcome),
            Conditions::Met => self.begin_start(id),
            Conditions::Unmet => Move::Over(JobResult::Done),
            Conditions::AssertFailed => Move::Over(JobResult::Assert),
        };
        let Move::Over(result) = moved else { return };
        if self
            .unit(id)
            .job
            .as_ref()
            .is_some_and(|job| job.id == job_id && job.kind == kind)
        {
            self.finish_job(id, result, true);
        }
    }

    fn begin_start(&mut self, id: UnitId) -> Move {
        let after: Vec<UnitId> = self.predecessors(id).collect();
        let unbound = self
            .related(id, Relation::BindsTo, End::Ours)
            .any(|other| after.contains(&other) && !self.active(other).is_up());
        if unbound {
            return Move::Over(JobResult::Dependency);
        }
        if self.unit(id).job.as_ref().is_some_and(|job| !job.automatic) {
            self.unit_mut(id).restarts = 0;
        }
        match self
            .unit(id)
            .config
            .as_ref()
            .map(|config| config.kind.clone())
        {
            Some(Kind::Target) => {
                let since = self.now;
                self.change(id, State::Reached { since });
                Move::Going
            }
            // It is waited for.
            Some(Kind::Device) => Move::Going,
            Some(Kind::Service(_)) => self.service_start(id),
            Some(Kind::Socket(_)) => self.socket_start(id),
            Some(Kind::Timer(_)) => self.timer_start(id),
            Some(Kind::Path(_)) => self.path_start(id),
            Some(Kind::Automount(_)) => self.automount_start(id),
            Some(Kind::Unsupported(_)) | None => Move::Over(JobResult::Unsupported),
        }
    }

    fn stop_unit(&mut self, id: UnitId, restart: bool) -> Move {
        let comes = matches!(self.unit(id).state, State::AutoRestart { .. });
        let is_down = matches!(self.unit(id).state, State::Dead | State::Failed { .. });
        if (is_down || (comes && !restart)) && self.hasten(id) {
            return Move::Going;
        }
        match &self.unit(id).state {
            State::Dead | State::Failed { .. } => return Move::Over(JobResult::Done),
            State::AutoRestart { .. } if restart => return Move::Over(JobResult::Done),
            // A stop that was asked for is no failure, whatever the last run was.
            State::AutoRestart { .. } => self.change(id, State::Dead),
            State::Reached { .. } => self.change(id, State::Dead),
            State::Plugged { .. } => self.leave_device(id),
            State::Service(_) => self.service_stop(id, restart),
            State::Socket(_) => self.socket_stop(id),
            State::Timer(_) => self.timer_stop(id),
            State::Path(_) => self.path_stop(id),
            State::Automount(_) => self.automount_stop(id),
            State::Cleaning(_) => self.end_cleaning(id),
        }
        Move::Going
    }

    fn reload_unit(&mut self, id: UnitId) -> Move {
        match self.active(id) {
            ActiveState::Active if !matches!(self.unit(id).state, State::Service(_)) => {
                Move::Over(JobResult::Done)
            }
            ActiveState::Active => self.service_reload(id),
            ActiveState::Reloading | ActiveState::Activating => Move::Again,
            _ => Move::Over(JobResult::Invalid),
        }
    }

    /// What the unit's new state means for its job. False: no job explains the state.
    pub(crate) fn job_sees(&mut self, id: UnitId, new: ActiveState) -> bool {
        let Some(job) = self.unit(id).job.as_deref() else {
            return false;
        };
        let (kind, running, job_id) = (job.kind, job.running, job.id);
        if !running {
            self.ready.insert(job_id);
        }
        let (result, expected) = match kind {
            JobKind::Start | JobKind::VerifyActive if new.is_up() => (Some(JobResult::Done), true),
            JobKind::Start | JobKind::VerifyActive if running => match new {
                ActiveState::Activating => (None, true),
                ActiveState::Failed => (Some(JobResult::Failed), false),
                ActiveState::Inactive => (Some(JobResult::Done), false),
                _ => (None, false),
            },
            // What is beside it goes, too.
            JobKind::Stop | JobKind::Restart if new.is_down() && self.unit(id).beside.is_some() => {
                (None, true)
            }
            JobKind::Stop | JobKind::Restart if new.is_down() => (Some(JobResult::Done), true),
            JobKind::Stop | JobKind::Restart if running && new != ActiveState::Deactivating => {
                (Some(JobResult::Failed), false)
            }
            JobKind::Reload if running => match new {
                ActiveState::Active => (Some(self.reload_result(id)), true),
                ActiveState::Reloading | ActiveState::Activating => (None, true),
                _ if new.is_down() => (Some(JobResult::Failed), false),
                _ => (None, false),
            },
            JobKind::Replace if running => self.replacement_sees(id, new),
            _ => (None, true),
        };
        if let Some(result) = result {
            self.finish_job(id, result, true);
        }
        expected
    }

    fn reload_result(&self, id: UnitId) -> JobResult {
        let well = self
            .run(id)
            .is_none_or(|run| run.reload == UnitResult::Success);
        if well {
            JobResult::Done
        } else {
            JobResult::Failed
        }
    }

    /// Ends a unit's job and, if it failed, those that needed it.
    pub(crate) fn finish_job(&mut self, id: UnitId, result: JobResult, take_along: bool) {
        let mut ending = vec![(id, result)];
        let cause = self.cause.clone();
        while let Some((id, result)) = ending.pop() {
            let Some(job) = self.end_job(id, result) else {
                continue;
            };
            let fails = take_along && result != JobResult::Done;
            // Requisite= merged into a start that went well but ended down again.
            let vanished =
                take_along && !fails && job.kind == JobKind::Start && self.active(id).is_down();
            if fails || vanished {
                self.cause = job.cause.and(Cause::JobFailed {
                    job: job.id,
                    unit: self.name(id),
                });
                ending.extend(
                    self.losers(id, job.kind, vanished)
                        .into_iter()
                        .map(|loser| (loser, JobResult::Dependency)),
                );
            }
            if matches!(self.unit(id).state, State::AutoRestart { until: None, .. }) {
                self.leave_auto_restart(id);
            }
            if fails
                && job.kind == JobKind::Start
                && matches!(result, JobResult::Timeout | JobResult::Dependency)
            {
                self.trigger(id, Relation::OnFailure);
            }
        }
        self.cause = cause;
    }

    /// Takes the job away, tells, and lets others run; the first half of a restart only turns into the second.
    fn end_job(&mut self, id: UnitId, result: JobResult) -> Option<Job> {
        let mut job = self.unit_mut(id).job.take()?;
        if job.kind == JobKind::Restart && result == JobResult::Done {
            job.kind = JobKind::Start;
            job.running = false;
            job.began = None;
            self.ready.insert(job.id);
            self.unit_mut(id).job = Some(job);
            self.wake_neighbours(id);
            return None;
        }
        self.jobs.remove(&job.id);
        self.ready.remove(&job.id);
        self.emit(Action::JobDone {
            job: job.id,
            unit: id,
            kind: job.kind,
            result,
        });
        self.wake_neighbours(id);
        if matches!(job.kind, JobKind::Stop | JobKind::Restart) && result != JobResult::Done {
            self.watch_on(id);
        }
        let state = self.active(id);
        self.look_around(id, state);
        self.tell_those_that_start_it(id);
        Some(*job)
    }

    /// It was to go down and stays: what came meanwhile, and was not followed, is to be told again.
    fn watch_on(&mut self, id: UnitId) {
        match &self.unit(id).state {
            State::Timer(run) if run.phase == TimerPhase::Waiting => self.resend_timer(id),
            State::Path(_) => self.resend_path(id),
            State::Socket(run) if run.phase == SocketPhase::Listening => self.resend_socket(id),
            _ => {}
        }
    }

    /// The units whose jobs cannot be without this one's.
    fn losers(&self, id: UnitId, kind: JobKind, only_requisite: bool) -> Vec<UnitId> {
        let relations: &[Relation] = match kind {
            JobKind::Start if only_requisite => &[Relation::Requisite],
            JobKind::Start | JobKind::VerifyActive => {
                &[Relation::Requires, Relation::Requisite, Relation::BindsTo]
            }
            JobKind::Stop => &[Relation::Conflicts],
            _ => &[],
        };
        let others = relations
            .iter()
            .flat_map(|relation| self.related(id, *relation, End::Theirs));
        let starts = |other: &UnitId| {
            self.unit(*other)
                .job
                .as_ref()
                .is_some_and(|job| matches!(job.kind, JobKind::Start | JobKind::VerifyActive))
        };
        others.filter(starts).collect()
    }

    /// Jobs of units in order with this one may be able to run now.
    pub(crate) fn wake_neighbours(&mut self, id: UnitId) {
        let around = self.predecessors(id).chain(self.successors(id));
        let jobs: Vec<JobId> = around
            .filter_map(|other| self.unit(other).job.as_ref())
            .filter(|job| !job.running)
            .map(|job| job.id)
            .collect();
        self.ready.extend(jobs);
    }

    pub(crate) fn job_tick(&mut self, id: UnitId) {
        let unit = self.unit(id);
        let (Some(job), Some(config)) = (unit.job.as_deref(), unit.config.as_deref()) else {
            return;
        };
        let queued = job.queued.deadline(config.job_timeout);
        let running = job
            .began
            .and_then(|began| began.deadline(config.job_running_timeout));
        if queued.into_iter().chain(running).any(|at| at <= self.now) {
            self.act(id, Occasion::JobTimeout);
            self.finish_job(id, JobResult::Timeout, true);
        }
    }
}

impl ServiceConfig {
    pub(crate) fn can_reload(&self) -> bool {
        self.service_type == ServiceType::NotifyReload || !self.reload.0.is_empty()
    }
}
