//! Devices: they come and go by themselves, and whoever wants one waits.

use crate::cause::{Cause, Chain};
use crate::config::Kind;
use crate::engine::Engine;
use crate::id::UnitId;
use crate::state::State;

impl Engine {
    /// A device is there, or is no more.
    pub(crate) fn device_changed(&mut self, id: UnitId, is_there: bool) {
        let unit = self.unit(id);
        let is_device = (unit.config.as_ref()).is_some_and(|config| config.kind == Kind::Device);
        let was_there = matches!(unit.state, State::Plugged { .. });
        // Whoever ends the instance is done with what is there.
        if !is_device || was_there == is_there || self.ending {
            return;
        }
        let (unit, since) = (self.name(id), self.now);
        self.cause = Chain::root(Cause::Device { unit, is_there });
        let state = match is_there {
            true => State::Plugged { since },
            false => State::Dead,
        };
        self.change(id, state);
    }

    /// It can't be stopped: who wants it gone waits for that; the end of the instance does not.
    pub(crate) fn leave_device(&mut self, id: UnitId) {
        if self.ending {
            self.change(id, State::Dead);
        }
    }
}
