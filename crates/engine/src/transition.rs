//! What follows when a unit's state changes: its job may be over, others may have to follow.

use crate::cause::{Cause, Chain};
use crate::config::{JobMode, RateLimit, Relation};
use crate::effect::{Action, Occasion};
use crate::engine::Engine;
use crate::graph::End;
use crate::id::{Micros, UnitId};
use crate::input::JobKind;
use crate::state::{ActiveState, Phase, SocketPhase, State, UnitResult};
use crate::timer::TimerPhase;

/// Jobs that other units' doings (Upholds=, BindsTo=, OnFailure= …) may queue per unit: units that contradict each other must not spin.
const FOLLOWING_LIMIT: RateLimit = RateLimit {
    interval: Micros::seconds(10),
    burst: 16,
};

/// A consequence to be drawn later in the same step.
#[derive(Debug)]
pub(crate) enum Followup {
    /// Queue a job.
    Queue {
        unit: UnitId,
        kind: JobKind,
        mode: JobMode,
        cause: Chain,
    },
    /// Stop it if a unit that it is bound to is down.
    Bound(UnitId),
    /// Start it if a unit that is up upholds it.
    Upheld(UnitId),
    /// Stop it if no unit needs it and it wants to go then.
    Unneeded(UnitId),
    /// A socket, a timer or a path unit looks at its unit.
    Triggered(UnitId),
    /// It is up if the kernel's table has it.
    InTable(UnitId),
}

impl Engine {
    /// Puts a unit into another state.
    pub(crate) fn change(&mut self, id: UnitId, state: State) {
        let old = self.active(id);
        self.unit_mut(id).state = state;
        self.changed(id, old, false);
    }

    /// Puts a unit down, on its way to an automatic restart.
    pub(crate) fn change_before_restart(&mut self, id: UnitId, state: State) {
        let old = self.active(id);
        self.unit_mut(id).state = state;
        self.changed(id, old, true);
    }

    /// Puts a service's run into another phase.
    pub(crate) fn enter(&mut self, id: UnitId, phase: Phase) {
        let (old, now) = (self.active(id), self.now);
        if let Some(run) = self.run_mut(id) {
            run.phase = phase;
            run.since = now;
        }
        self.keep_watchdog(id);
        self.keep_health(id);
        self.changed(id, old, false);
    }

    /// Puts a timer's run into another phase.
    pub(crate) fn enter_timer(&mut self, id: UnitId, phase: TimerPhase) {
        let (old, now) = (self.active(id), self.now);
        if let State::Timer(run) = &mut self.unit_mut(id).state {
            run.phase = phase;
            run.since = now;
        }
        self.changed(id, old, false);
    }

    /// Puts a socket's run into another phase.
    pub(crate) fn enter_socket(&mut self, id: UnitId, phase: SocketPhase) {
        let (old, now) = (self.active(id), self.now);
        if let Some(run) = self.socket_run_mut(id) {
            run.phase = phase;
            run.since = now;
        }
        self.changed(id, old, false);
    }

    pub(crate) fn changed(&mut self, id: UnitId, old: ActiveState, will_restart: bool) {
        let new = self.active(id);
        self.stamp(id, old, new);
        self.unit_mut(id).cause = self.cause.clone();
        let expected = self.job_sees(id, new);
        if !expected {
            self.follow_unexpected(id, old, new);
        }
        if old != new {
            self.wake_slices(id);
            if !will_restart {
                self.follow_end(id, old, new);
            }
            self.look_around(id, new);
        }
        self.tell_those_that_start_it(id);
    }

    /// Sockets, timers and path units look at their unit.
    pub(crate) fn tell_those_that_start_it(&mut self, id: UnitId) {
        let others: Vec<UnitId> = self.related(id, Relation::Triggers, End::Theirs).collect();
        self.followups
            .extend(others.into_iter().map(Followup::Triggered));
    }

    fn stamp(&mut self, id: UnitId, old: ActiveState, new: ActiveState) {
        let now = self.now;
        let stamps = &mut self.unit_mut(id).stamps;
        stamps.change = now;
        if old.is_down() && !new.is_down() {
            stamps.inactive_exit = now;
        }
        if !old.is_down() && new.is_down() {
            stamps.inactive_enter = now;
        }
        if !old.is_up() && new.is_up() {
            stamps.active_enter = now;
        }
        if old.is_up() && !new.is_up() {
            stamps.active_exit = now;
        }
    }

    /// Queues a job because another unit did something; not too often, for two that follow each other must not spin.
    fn follow(
        &mut self,
        id: UnitId,
        kind: JobKind,
        mode: JobMode,
        other: UnitId,
        relation: Relation,
    ) {
        let now = self.now;
        if self.unit_mut(id).followings.admit(now, FOLLOWING_LIMIT) {
            let cause = self.cause.and(Cause::Followed {
                unit: self.name(other),
                relation,
            });
            self.followups.push_back(Followup::Queue {
                unit: id,
                kind,
                mode,
                cause,
            });
        } else {
            self.log(
                id,
                format!(
                    "{}: followed {} too often; giving up.",
                    self.name(id),
                    self.name(other)
                ),
            );
        }
    }

    /// No job asked for this: those that a job would have taken along follow now.
    fn follow_unexpected(&mut self, id: UnitId, old: ActiveState, new: ActiveState) {
        let goes_up = !matches!(
            new,
            ActiveState::Inactive
                | ActiveState::Failed
                | ActiveState::Deactivating
                | ActiveState::Maintenance
        );
        let was_up = !matches!(
            old,
            ActiveState::Inactive
                | ActiveState::Failed
                | ActiveState::Deactivating
                | ActiveState::Maintenance
        );
        if !was_up && goes_up {
            self.follow_start(id);
        }
        if was_up && !goes_up {
            let along = [
                (Relation::BindsTo, End::Theirs),
                (Relation::PropagatesStopTo, End::Ours),
                (Relation::StopPropagatedFrom, End::Theirs),
            ];
            for (relation, other) in self.all_related(id, &along) {
                if !self.active(other).is_down() {
                    self.follow(other, JobKind::Stop, JobMode::Replace, id, relation);
                }
            }
        }
    }

    fn follow_start(&mut self, id: UnitId) {
        let pulled = [
            Relation::Requires,
            Relation::BindsTo,
            Relation::Wants,
            Relation::Upholds,
        ];
        let before: Vec<UnitId> = self.predecessors(id).collect();
        for (relation, other) in self.all_related(id, &pulled.map(|relation| (relation, End::Ours)))
        {
            if before.contains(&other)
                || self.active(other).is_up()
                || self.active(other) == ActiveState::Activating
            {
                continue;
            }
            let needed = matches!(relation, Relation::Requires | Relation::BindsTo);
            let mode = if needed {
                JobMode::Replace
            } else {
                JobMode::Fail
            };
            self.follow(other, JobKind::Start, mode, id, relation);
        }
        for (relation, other) in self.all_related(
            id,
            &[
                (Relation::Conflicts, End::Ours),
                (Relation::Conflicts, End::Theirs),
            ],
        ) {
            if !self.active(other).is_down() {
                self.follow(other, JobKind::Stop, JobMode::Replace, id, relation);
            }
        }
    }

    /// OnFailure= and OnSuccess=
    fn follow_end(&mut self, id: UnitId, old: ActiveState, new: ActiveState) {
        if new == ActiveState::Failed {
            self.trigger(id, Relation::OnFailure);
            self.act(id, Occasion::Failed);
        } else if new == ActiveState::Inactive
            && !matches!(old, ActiveState::Failed | ActiveState::Maintenance)
            && self.unit(id).last_result == UnitResult::Success
        {
            self.trigger(id, Relation::OnSuccess);
            self.act(id, Occasion::Succeeded);
        }
    }

    /// FailureAction= and its kin.
    pub(crate) fn act(&mut self, id: UnitId, occasion: Occasion) {
        let acts = self.unit(id).config.as_ref().map(|config| config.acts);
        let acts = acts.unwrap_or_default();
        let is_asked = match occasion {
            Occasion::Failed => acts.failed,
            Occasion::Succeeded => acts.succeeded,
            Occasion::StartLimit => acts.start_limit,
            Occasion::JobTimeout => acts.job_timeout,
        };
        if is_asked {
            self.emit(Action::Act { unit: id, occasion });
        }
    }

    /// OnFailure=, of what has not failed itself: it was replaced by a version that worked no better than if it had.
    pub(crate) fn taken_back(&mut self, id: UnitId) {
        self.cause = Chain::root(Cause::TakenBack {
            unit: self.name(id),
        });
        self.trigger(id, Relation::OnFailure);
    }

    pub(crate) fn trigger(&mut self, id: UnitId, relation: Relation) {
        let Some(config) = &self.unit(id).config else {
            return;
        };
        let mode = if relation == Relation::OnFailure {
            config.on_failure_mode
        } else {
            config.on_success_mode
        };
        for (relation, other) in self.all_related(id, &[(relation, End::Ours)]) {
            self.follow(other, JobKind::Start, mode, id, relation);
        }
    }

    /// Lets those that watch this unit's state think again.
    pub(crate) fn look_around(&mut self, id: UnitId, new: ActiveState) {
        if new.is_up() {
            self.followups.push_back(Followup::Bound(id));
            self.followups.push_back(Followup::Unneeded(id));
            let upheld: Vec<UnitId> = self.related(id, Relation::Upholds, End::Ours).collect();
            self.followups
                .extend(upheld.into_iter().map(Followup::Upheld));
        }
        if new.is_down() {
            if self.unit(id).in_table {
                self.followups.push_back(Followup::InTable(id));
            }
            self.followups.push_back(Followup::Upheld(id));
            let bound: Vec<UnitId> = self.related(id, Relation::BindsTo, End::Theirs).collect();
            self.followups
                .extend(bound.into_iter().map(Followup::Bound));
            let needed: Vec<_> = NEEDS
                .iter()
                .flat_map(|need| self.related(id, *need, End::Ours))
                .collect();
            self.followups
                .extend(needed.into_iter().map(Followup::Unneeded));
        }
    }

    pub(crate) fn follow_up(&mut self, followup: Followup) {
        match followup {
            Followup::Queue {
                unit,
                kind,
                mode,
                cause,
            } => {
                if let Err(refusal) = self.request(unit, kind, mode, &cause, false) {
                    self.cause = cause;
                    self.log(unit, refusal.to_string());
                }
            }
            Followup::Bound(unit) => self.check_bound(unit),
            Followup::Upheld(unit) => self.check_upheld(unit),
            Followup::Unneeded(unit) => self.check_unneeded(unit),
            Followup::InTable(unit) => self.look_in_table(unit),
            Followup::Triggered(unit) => match self.unit(unit).state {
                State::Timer(_) => self.timer_looks(unit),
                State::Path(_) => self.path_looks(unit),
                State::Automount(_) => self.automount_looks(unit),
                _ => self.service_changed(unit),
            },
        }
    }

    fn check_bound(&mut self, id: UnitId) {
        if self.active(id) != ActiveState::Active || self.unit(id).job.is_some() {
            return;
        }
        let mut bounds = self.related(id, Relation::BindsTo, End::Ours);
        let lost =
            bounds.find(|other| self.unit(*other).job.is_none() && self.active(*other).is_down());
        drop(bounds);
        if let Some(other) = lost {
            self.follow(
                id,
                JobKind::Stop,
                JobMode::Replace,
                other,
                Relation::BindsTo,
            );
        }
    }

    fn check_upheld(&mut self, id: UnitId) {
        let unit = self.unit(id);
        let limited = matches!(
            unit.state,
            State::Failed {
                result: UnitResult::StartLimitHit,
                ..
            }
        );
        if !unit.is_idle() || limited || unit.config.is_none() {
            return;
        }
        let mut upholders = self.related(id, Relation::Upholds, End::Theirs);
        let by =
            upholders.find(|other| self.unit(*other).job.is_none() && self.active(*other).is_up());
        drop(upholders);
        if let Some(by) = by {
            self.follow(id, JobKind::Start, JobMode::Fail, by, Relation::Upholds);
        }
    }

    fn check_unneeded(&mut self, id: UnitId) {
        let unit = self.unit(id);
        let wants_to_go = unit
            .config
            .as_ref()
            .is_some_and(|config| config.stop_when_unneeded);
        if !wants_to_go || unit.job.is_some() || !unit.state.active().is_up() {
            return;
        }
        let needs = |other: UnitId| self.unit(other).job.is_some() || !self.active(other).is_down();
        let needed = NEEDS
            .iter()
            .any(|need| self.related(id, *need, End::Theirs).any(needs));
        if !needed {
            self.follow(id, JobKind::Stop, JobMode::Fail, id, Relation::Wants);
        }
    }
}

/// The relations that keep a unit with StopWhenUnneeded= up.
const NEEDS: [Relation; 5] = [
    Relation::Requires,
    Relation::Requisite,
    Relation::Wants,
    Relation::BindsTo,
    Relation::Upholds,
];
