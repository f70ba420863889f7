//! Path units: they start their unit when something is so, or changes, at a path, and look again when it has come and gone.
//!
//! What is watched knows the adapter, which says that all of it is, or that something is so. The unit is on its way up until it says
//! the first: what happens at the path after the start's job has ended starts the unit.

use std::sync::Arc;

use model::key;
use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Chain};
use crate::config::{JobMode, RateLimit, Relation, UnitConfig};
use crate::convert::{span, triggered};
use crate::effect::{Action, JobResult};
use crate::engine::Engine;
use crate::id::{Incarnation, Micros, UnitId};
use crate::input::JobKind;
use crate::jobs::Move;
use crate::state::{ActiveState, State, SubState, UnitResult};
use crate::timer::Moment;

/// A run of a path unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRun {
    /// What it is doing.
    pub phase: PathPhase,
    /// Since when.
    pub since: Micros,
    /// What the adapter wants to know after a restore of what is watched: in its order, and of its making.
    pub marks: Box<[Mark]>,
    /// What started its unit last.
    pub last_trigger: Option<PathTrigger>,
    /// While it starts: when that has lasted too long.
    pub deadline: Option<Micros>,
}

/// So long a start waits for file systems that do not answer; none of its settings says how long.
const START_MAX: Micros = Micros::seconds(90);

/// What a path unit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathPhase {
    /// On its way up: not all is watched yet.
    Starting,
    /// Up; all is watched, or is about to be again.
    Waiting,
    /// Up; its unit was started and has not ended since.
    Running,
}

/// A note of the adapter on one of the things that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Something was there when it was looked at last.
    pub there: bool,
    /// The number of what watches it.
    pub watch: Option<i32>,
}

/// What started the unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathTrigger {
    /// What was found, in the adapter's words.
    pub what: Arc<str>,
    /// When.
    pub at: Moment,
}

/// Why the adapter is to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// The unit was started: what is as it is now is the beginning.
    First,
    /// What it starts has ended, or its file is another: what changed before does not count, what is so does.
    Again,
    /// After a restore: what changed since counts, by the run's marks.
    Resumed,
}

/// A path unit's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathConfig {
    /// Unit=, or the service of the path unit's name.
    pub unit: Arc<str>,
    /// TriggerLimitIntervalSec= and TriggerLimitBurst=
    pub trigger_limit: RateLimit,
}

impl PathConfig {
    /// A path unit of `unit` with the defaults.
    pub fn new(unit: &str) -> PathConfig {
        PathConfig {
            unit: unit.into(),
            trigger_limit: RateLimit {
                interval: Micros::seconds(2),
                burst: 200,
            },
        }
    }
}

impl From<&model::Unit> for PathConfig {
    fn from(unit: &model::Unit) -> PathConfig {
        PathConfig {
            unit: triggered(unit, &key::PATH_UNIT),
            trigger_limit: RateLimit {
                interval: span(unit.value(&key::PATH_TRIGGER_LIMIT_INTERVAL_SEC)),
                burst: unit.value(&key::PATH_TRIGGER_LIMIT_BURST),
            },
        }
    }
}

impl UnitConfig {
    /// A path unit that starts `unit`.
    pub fn path(name: &str, unit: &str) -> UnitConfig {
        let relations = Box::new([
            (Relation::Before, unit.into()),
            (Relation::Triggers, unit.into()),
        ]);
        let kind = crate::config::Kind::Path(Arc::new(PathConfig::new(unit)));
        UnitConfig {
            kind,
            relations,
            ..UnitConfig::target(name)
        }
    }
}

impl PathPhase {
    /// The outer state.
    pub fn active(self) -> ActiveState {
        match self {
            PathPhase::Starting => ActiveState::Activating,
            PathPhase::Waiting | PathPhase::Running => ActiveState::Active,
        }
    }

    /// The inner state.
    pub fn sub(self) -> SubState {
        match self {
            PathPhase::Starting => SubState::Start,
            PathPhase::Waiting => SubState::Waiting,
            PathPhase::Running => SubState::Running,
        }
    }
}

impl Engine {
    pub(crate) fn path_run(&self, id: UnitId) -> Option<&PathRun> {
        match &self.unit(id).state {
            State::Path(run) => Some(run),
            _ => None,
        }
    }

    fn path_run_mut(&mut self, id: UnitId) -> Option<&mut PathRun> {
        match &mut self.unit_mut(id).state {
            State::Path(run) => Some(run),
            _ => None,
        }
    }

    fn path(&self, id: UnitId) -> Arc<PathConfig> {
        match self.unit(id).config.as_deref() {
            Some(UnitConfig {
                kind: crate::config::Kind::Path(path),
                ..
            }) => Arc::clone(path),
            _ => Arc::new(PathConfig::new("")),
        }
    }

    pub(crate) fn path_start(&mut self, id: UnitId) -> Move {
        let unit = self.path(id).unit.clone();
        if !self.can_trigger(id, &unit) {
            return Move::Over(JobResult::Failed);
        }
        let run = PathRun {
            phase: PathPhase::Starting,
            since: self.now,
            marks: Box::default(),
            last_trigger: None,
            deadline: self.now.deadline(START_MAX),
        };
        self.triggering_begins(id, State::Path(Box::new(run)));
        self.watch_path(id, Watch::First);
        Move::Going
    }

    pub(crate) fn path_stop(&mut self, id: UnitId) {
        self.path_down(id, UnitResult::Success);
    }

    fn path_down(&mut self, id: UnitId, result: UnitResult) {
        self.emit(Action::UnwatchPath(id));
        self.triggering_ends(id, result);
    }

    fn watch_path(&mut self, id: UnitId, watch: Watch) {
        let incarnation = self.unit(id).incarnation;
        self.emit(Action::WatchPath {
            unit: id,
            incarnation,
            watch,
        });
    }

    /// Its file is another: what waits waits by that.
    pub(crate) fn watch_path_anew(&mut self, id: UnitId) {
        match self.path_run(id).map(|run| run.phase) {
            Some(PathPhase::Starting) => self.watch_path(id, Watch::First),
            Some(PathPhase::Waiting) => self.watch_path(id, Watch::Again),
            Some(PathPhase::Running) | None => {}
        }
    }

    /// All is watched, or watched anew.
    pub(crate) fn path_watched(
        &mut self,
        id: UnitId,
        incarnation: Incarnation,
        marks: Box<[Mark]>,
    ) {
        if !self.path_waits(id, incarnation) {
            return;
        }
        if self.path_run(id).is_some_and(|run| run.marks != marks)
            && let Some(run) = self.path_run_mut(id)
        {
            run.marks = marks;
        }
        if self.path_run(id).map(|run| run.phase) == Some(PathPhase::Starting) {
            self.cause = self.unit(id).cause.clone();
            if !self.leave_to_its_unit(id) {
                self.enter_path(id, PathPhase::Waiting);
            }
        }
    }

    /// Its unit is up already: nothing is watched until that has ended.
    fn leave_to_its_unit(&mut self, id: UnitId) -> bool {
        let is_up = |unit: UnitId| !self.active(unit).is_down();
        let is_left = self.triggered(id).is_some_and(is_up);
        if is_left {
            self.emit(Action::UnwatchPath(id));
            self.enter_path(id, PathPhase::Running);
        }
        is_left
    }

    /// Is it the run that waits, and not about to go down?
    fn path_waits(&self, id: UnitId, incarnation: Incarnation) -> bool {
        let phase = self.path_run(id).map(|run| run.phase);
        let waits = matches!(phase, Some(PathPhase::Starting | PathPhase::Waiting));
        let job = self.unit(id).job.as_ref().map(|job| job.kind);
        let leaves = matches!(job, Some(JobKind::Stop | JobKind::Restart));
        waits && !leaves && self.is_current(id, incarnation)
    }

    /// It can't be watched.
    pub(crate) fn path_failed(&mut self, id: UnitId, incarnation: Incarnation, why: &str) {
        if self.path_waits(id, incarnation) {
            self.cause = self.unit(id).cause.clone();
            self.log(id, format!("{}: {why}", self.name(id)));
            self.path_down(id, UnitResult::Resources);
        }
    }

    pub(crate) fn path_tick(&mut self, id: UnitId) {
        let now = self.now;
        let is_due = |run: &PathRun| run.deadline.is_some_and(|at| at <= now);
        if self.path_run(id).is_some_and(is_due) {
            let text = format!(
                "{}: where it looks, the file system does not answer.",
                self.name(id)
            );
            self.log(id, text);
            self.path_down(id, UnitResult::Timeout);
        }
    }

    /// What is waited for is so.
    pub(crate) fn path_fired(
        &mut self,
        id: UnitId,
        incarnation: Incarnation,
        what: Arc<str>,
        realtime_us: u64,
    ) {
        if !self.path_waits(id, incarnation) {
            return;
        }
        self.cause = Chain::root(Cause::Watched {
            path: self.name(id),
            what: Arc::clone(&what),
        });
        if self.leave_to_its_unit(id) {
            return;
        }
        let (now, limit) = (self.now, self.path(id).trigger_limit);
        if !self.unit_mut(id).triggers.admit(now, limit) {
            self.because(Cause::LimitHit {
                unit: self.name(id),
            });
            self.log(
                id,
                format!(
                    "{}: it would start its unit too often (TriggerLimitBurst={}), the last time for {what}.",
                    self.name(id),
                    limit.burst
                ),
            );
            return self.path_down(id, UnitResult::TriggerLimitHit);
        }
        let cause = self.cause.clone();
        let asked = self.triggered(id).map(|unit| {
            self.request(unit, JobKind::Start, JobMode::Replace, &cause, false)
                .map(drop)
                .map_err(|refusal| refusal.to_string())
        });
        self.cause = cause;
        match asked {
            Some(Ok(())) => {}
            Some(Err(refusal)) => {
                self.log(id, refusal);
                return self.path_down(id, UnitResult::Resources);
            }
            None => return self.path_down(id, UnitResult::Resources),
        }
        if let Some(run) = self.path_run_mut(id) {
            let at = Moment {
                monotonic: Some(now),
                realtime_us,
            };
            run.last_trigger = Some(PathTrigger { what, at });
        }
        self.emit(Action::UnwatchPath(id));
        self.enter_path(id, PathPhase::Running);
    }

    /// Its unit came, went, or had a job that is over.
    pub(crate) fn path_looks(&mut self, id: UnitId) {
        let Some(phase) = self.path_run(id).map(|run| run.phase) else {
            return;
        };
        let Some(unit) = self.triggered(id) else {
            return;
        };
        let other = self.unit(unit);
        let (has_job, is_down) = (other.job.is_some(), other.state.active().is_down());
        let is_limited = matches!(
            other.state,
            State::Failed {
                result: UnitResult::StartLimitHit,
                ..
            }
        );
        let cause = other.cause.and(Cause::Followed {
            unit: self.name(unit),
            relation: Relation::Triggers,
        });
        match phase {
            PathPhase::Running if is_limited && !has_job => {
                self.cause = cause;
                self.path_down(id, UnitResult::UnitStartLimitHit);
            }
            PathPhase::Running if is_down && !has_job => {
                self.cause = cause;
                self.enter_path(id, PathPhase::Waiting);
                self.watch_path(id, Watch::Again);
            }
            PathPhase::Waiting if !is_down && !has_job => {
                self.cause = cause;
                self.leave_to_its_unit(id);
            }
            _ => {}
        }
    }

    /// After a restore, or a stop that did not come about: what is waited for is watched again.
    pub(crate) fn resend_path(&mut self, id: UnitId) {
        match self.path_run(id).map(|run| run.phase) {
            Some(PathPhase::Starting) => self.watch_path(id, Watch::First),
            Some(PathPhase::Waiting) => self.watch_path(id, Watch::Resumed),
            Some(PathPhase::Running) | None => {}
        }
    }

    /// Puts a path unit's run into another phase.
    fn enter_path(&mut self, id: UnitId, phase: PathPhase) {
        let now = self.now;
        let Some(run) = self.path_run(id) else { return };
        let run = PathRun {
            phase,
            since: now,
            deadline: None,
            ..run.clone()
        };
        self.change(id, State::Path(Box::new(run)));
    }
}
