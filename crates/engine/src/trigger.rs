//! What timers, path units and automounts have in common: they start another unit, which must be there.

use crate::config::{Load, Relation};
use crate::engine::Engine;
use crate::graph::End;
use crate::id::{Incarnation, UnitId};
use crate::state::{State, UnitResult};

impl Engine {
    /// The unit that a socket, a timer or a path unit starts.
    pub(crate) fn triggered(&self, id: UnitId) -> Option<UnitId> {
        self.related(id, Relation::Triggers, End::Ours).next()
    }

    /// The unit that a socket, a timer or a path unit starts.
    pub fn started_by(&self, id: UnitId) -> Option<UnitId> {
        self.triggered(id)
    }

    /// Is a socket, a timer or a path unit up that starts this one?
    pub fn has_trigger(&self, id: UnitId) -> bool {
        let mut triggers = self.related(id, Relation::Triggers, End::Theirs);
        triggers.any(|trigger| !self.active(trigger).is_down())
    }

    /// Is the unit there that it starts? If not, that is told.
    pub(crate) fn can_trigger(&mut self, id: UnitId, unit: &str) -> bool {
        let loaded = |unit: UnitId| {
            let config = self.unit(unit).config.as_ref();
            config.is_some_and(|config| config.load == Load::Loaded)
        };
        let can = self.triggered(id).is_some_and(loaded);
        if !can {
            let text = format!("{}: its unit {unit} is not loaded.", self.name(id));
            self.log(id, text);
        }
        can
    }

    /// Its next run begins.
    pub(crate) fn triggering_begins(&mut self, id: UnitId, state: State) {
        let unit = self.unit_mut(id);
        unit.incarnation = Incarnation(unit.incarnation.0 + 1);
        unit.last_result = UnitResult::Success;
        self.change(id, state);
    }

    /// It is down, for this reason.
    pub(crate) fn triggering_ends(&mut self, id: UnitId, result: UnitResult) {
        let was = self.unit(id).state.sub();
        self.unit_mut(id).last_result = result;
        let state = match result {
            UnitResult::Success => State::Dead,
            result => State::Failed { result, was },
        };
        self.change(id, state);
    }
}
