//! Removing what a unit that is down has left: one removal at a time, done by a process aside, with a deadline.

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Chain};
use crate::config::{Kind, Load};
use crate::effect::Action;
use crate::engine::Engine;
use crate::id::{Micros, UnitId};
use crate::state::State;

/// A removal under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaning {
    /// What is removed, as the bits of `model::Resources`.
    pub what: u8,
    /// Since when.
    pub since: Micros,
    /// When it has taken too long; nothing where it may take as long as it likes, or is being ended.
    pub deadline: Option<Micros>,
    /// The process that removes is being ended: the time is over, or the unit is to stop.
    pub ending: bool,
}

/// Why nothing is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotClean {
    /// It is not down, or has a job, or failed and that was not reset.
    Busy,
    /// It is of a kind that leaves nothing, or has no file.
    Unsupported,
}

impl Engine {
    /// Says whether what a unit left may be removed now. One that is being cleaned of the same may be cleaned: the answer is the same.
    ///
    /// # Errors
    /// Why not.
    pub fn may_clean(&self, id: UnitId, what: u8) -> Result<(), NotClean> {
        let Some(config) = self.config(id) else {
            return Err(NotClean::Unsupported);
        };
        if config.load != Load::Loaded
            || !matches!(
                config.kind,
                Kind::Service(_) | Kind::Socket(_) | Kind::Timer(_)
            )
        {
            return Err(NotClean::Unsupported);
        }
        match (&self.unit(id).state, &self.unit(id).job) {
            (State::Dead, None) => Ok(()),
            (State::Cleaning(cleaning), _) if cleaning.what & what == what && !cleaning.ending => {
                Ok(())
            }
            _ => Err(NotClean::Busy),
        }
    }

    pub(crate) fn clean(&mut self, id: UnitId, what: u8) {
        let is_idle = matches!(self.unit(id).state, State::Dead);
        if !is_idle || self.may_clean(id, what).is_err() {
            return;
        }
        let timeout = self
            .config(id)
            .map_or(Micros::INFINITY, |config| config.timeout_clean);
        let cleaning = Cleaning {
            what,
            since: self.now,
            deadline: self.now.deadline(timeout),
            ending: false,
        };
        self.cause = Chain::root(Cause::Cleaned {
            unit: self.name(id),
        });
        self.change(id, State::Cleaning(cleaning));
        self.emit(Action::Clean { unit: id, what });
    }

    /// The process that removed is gone, whatever became of it.
    pub(crate) fn cleaned(&mut self, id: UnitId) {
        if matches!(self.unit(id).state, State::Cleaning(_)) {
            self.cause = self.unit(id).cause.clone();
            self.change(id, State::Dead);
        }
    }

    pub(crate) fn clean_tick(&mut self, id: UnitId) {
        let now = self.now;
        if matches!(self.unit(id).state, State::Cleaning(cleaning) if cleaning.deadline.is_some_and(|at| at <= now))
        {
            self.end_cleaning(id);
        }
    }

    /// Ends the process that removes; the state ends with it.
    pub(crate) fn end_cleaning(&mut self, id: UnitId) {
        if let State::Cleaning(cleaning) = &mut self.unit_mut(id).state {
            cleaning.deadline = None;
            cleaning.ending = true;
            self.emit(Action::EndCleaning(id));
        }
    }

    /// After a restore: the process of the manager before us was ended with it.
    pub(crate) fn resend_cleaning(&mut self, id: UnitId, cleaning: Cleaning) {
        if cleaning.ending {
            return self.cleaned(id);
        }
        self.emit(Action::Clean {
            unit: id,
            what: cleaning.what,
        });
    }
}
