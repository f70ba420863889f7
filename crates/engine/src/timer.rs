//! Timer units: they wait for a moment, start their unit, and look again when it has come and gone.
//!
//! What moment that is knows the adapter, which has the clocks, the calendars and the dice: it reckons from the moments that are kept
//! here, and says when one has come.

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Chain};
use crate::config::{JobMode, Relation};
use crate::effect::{Action, JobResult};
use crate::engine::Engine;
use crate::id::{Incarnation, Micros, UnitId};
use crate::input::JobKind;
use crate::jobs::Move;
use crate::state::{State, SubState, UnitResult};

/// A run of a timer unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerRun {
    /// What it is doing.
    pub phase: TimerPhase,
    /// Since when.
    pub since: Micros,
    /// When it elapsed last; where that is kept, also in an earlier run.
    pub last_trigger: Option<Moment>,
    /// When it elapses next; none while nobody has reckoned it.
    pub next: Option<Elapse>,
}

/// What a timer unit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimerPhase {
    /// Up; it will elapse.
    Waiting,
    /// Up; it has elapsed, and its unit has not ended since.
    Running,
    /// Up; it does not elapse any more by itself.
    Elapsed,
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// On the engine's clock; none for one of an earlier boot.
    pub monotonic: Option<Micros>,
    /// Microseconds since 1970.
    pub realtime_us: u64,
}

/// When a timer elapses: at the first of both. With neither, only a change of the clock or of the time zone makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Elapse {
    /// On the engine's clock, RandomizedDelaySec= included.
    pub monotonic: Option<Micros>,
    /// By the calendar, in microseconds since 1970, RandomizedDelaySec= included.
    pub realtime_us: Option<u64>,
}

/// What the adapter reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reckoned {
    /// When it elapses next; none: never by itself.
    pub next: Option<Elapse>,
    /// What was found to be the last time: from the file that Persistent= keeps, or corrected where the clock was set back.
    pub last_trigger: Option<Moment>,
}

/// A timer unit's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerConfig {
    /// Unit=, or the service of the timer's name.
    pub unit: std::sync::Arc<str>,
    /// RemainAfterElapse=
    pub remain_after_elapse: bool,
    /// It has OnUnitActiveSec= or OnUnitInactiveSec=: what its unit does moves its next moment.
    pub follows_unit: bool,
}

impl TimerConfig {
    /// A timer of `unit` with the defaults.
    pub fn new(unit: &str) -> TimerConfig {
        TimerConfig {
            unit: unit.into(),
            remain_after_elapse: true,
            follows_unit: false,
        }
    }
}

impl TimerPhase {
    /// The inner state.
    pub fn sub(self) -> SubState {
        match self {
            TimerPhase::Waiting => SubState::Waiting,
            TimerPhase::Running => SubState::Running,
            TimerPhase::Elapsed => SubState::Elapsed,
        }
    }
}

impl Engine {
    pub(crate) fn timer_run(&self, id: UnitId) -> Option<&TimerRun> {
        match &self.unit(id).state {
            State::Timer(run) => Some(run),
            _ => None,
        }
    }

    fn timer_run_mut(&mut self, id: UnitId) -> Option<&mut TimerRun> {
        match &mut self.unit_mut(id).state {
            State::Timer(run) => Some(run),
            _ => None,
        }
    }

    pub(crate) fn timer_start(&mut self, id: UnitId) -> Move {
        let unit = self.timer(id).unit.clone();
        if !self.can_trigger(id, &unit) {
            return Move::Over(JobResult::Failed);
        }
        let run = TimerRun {
            phase: TimerPhase::Waiting,
            since: self.now,
            last_trigger: None,
            next: None,
        };
        self.triggering_begins(id, State::Timer(Box::new(run)));
        self.ask_for_moment(id);
        Move::Going
    }

    pub(crate) fn timer_stop(&mut self, id: UnitId) {
        self.timer_down(id, UnitResult::Success);
    }

    fn timer_down(&mut self, id: UnitId, result: UnitResult) {
        self.emit(Action::UnwatchTimer(id));
        self.triggering_ends(id, result);
    }

    fn ask_for_moment(&mut self, id: UnitId) {
        let incarnation = self.unit(id).incarnation;
        self.emit(Action::ReckonTimer {
            unit: id,
            incarnation,
        });
    }

    /// The next moment has to be found anew: its unit moved, or the clock did.
    pub(crate) fn reckon_again(&mut self, id: UnitId) {
        let Some(run) = self.timer_run_mut(id) else {
            return;
        };
        run.next = None;
        if run.phase != TimerPhase::Waiting {
            self.enter_timer(id, TimerPhase::Waiting);
        }
        self.ask_for_moment(id);
    }

    /// The clock, the time zone or the timer's file is another: who waits for a moment waits for another, and one may be left again.
    pub(crate) fn reckon_anew(&mut self, id: UnitId) {
        let waits = |run: &TimerRun| run.phase != TimerPhase::Running;
        if self.timer_run(id).is_some_and(waits) {
            self.cause = self.unit(id).cause.clone();
            self.reckon_again(id);
        }
    }

    pub(crate) fn timer_reckoned(&mut self, id: UnitId, incarnation: Incarnation, found: Reckoned) {
        let is_asked = |run: &TimerRun| run.phase == TimerPhase::Waiting && run.next.is_none();
        if !self.is_current(id, incarnation) || !self.timer_run(id).is_some_and(is_asked) {
            return;
        }
        self.cause = self.unit(id).cause.clone();
        if let Some(run) = self.timer_run_mut(id) {
            run.next = found.next;
            run.last_trigger = found.last_trigger;
        }
        let config = self.timer(id);
        match found.next {
            Some(_) => self.watch_timer(id),
            None if config.remain_after_elapse || config.follows_unit => {
                self.emit(Action::UnwatchTimer(id));
                self.enter_timer(id, TimerPhase::Elapsed);
            }
            None => self.timer_down(id, UnitResult::Success),
        }
    }

    fn watch_timer(&mut self, id: UnitId) {
        let incarnation = self.unit(id).incarnation;
        if let Some(at) = self.timer_run(id).and_then(|run| run.next) {
            self.emit(Action::WatchTimer {
                unit: id,
                incarnation,
                at,
            });
        }
    }

    pub(crate) fn timer_elapsed(&mut self, id: UnitId, incarnation: Incarnation, realtime_us: u64) {
        let waits = |run: &TimerRun| run.phase == TimerPhase::Waiting;
        let stops = self
            .unit(id)
            .job
            .as_ref()
            .is_some_and(|job| matches!(job.kind, JobKind::Stop | JobKind::Restart));
        if !self.is_current(id, incarnation) || !self.timer_run(id).is_some_and(waits) || stops {
            return;
        }
        self.cause = Chain::root(Cause::Elapsed {
            timer: self.name(id),
        });
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
                return self.timer_down(id, UnitResult::Resources);
            }
            None => return self.timer_down(id, UnitResult::Resources),
        }
        let now = self.now;
        if let Some(run) = self.timer_run_mut(id) {
            run.next = None;
            run.last_trigger = Some(Moment {
                monotonic: Some(now),
                realtime_us,
            });
        }
        self.emit(Action::StampTimer(id));
        self.enter_timer(id, TimerPhase::Running);
    }

    /// Its unit came, went, or had a job that is over.
    pub(crate) fn timer_looks(&mut self, id: UnitId) {
        let Some(phase) = self.timer_run(id).map(|run| run.phase) else {
            return;
        };
        let Some(unit) = self.triggered(id) else {
            return;
        };
        let unit_state = self.unit(unit);
        let is_over = unit_state.job.is_none() && unit_state.state.active().is_down();
        let again = match phase {
            TimerPhase::Running => is_over,
            TimerPhase::Waiting | TimerPhase::Elapsed => self.timer(id).follows_unit,
        };
        if !again {
            return;
        }
        self.cause = unit_state.cause.and(Cause::Followed {
            unit: self.name(unit),
            relation: Relation::Triggers,
        });
        self.reckon_again(id);
    }

    /// After a restore: the clock is set again, or the moment is asked for that nobody had told.
    pub(crate) fn resend_timer(&mut self, id: UnitId) {
        match self.timer_run(id).map(|run| (run.phase, run.next)) {
            Some((TimerPhase::Waiting, Some(_))) => self.watch_timer(id),
            Some((TimerPhase::Waiting, None)) => self.ask_for_moment(id),
            _ => {}
        }
    }
}
