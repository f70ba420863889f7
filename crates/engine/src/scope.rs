//! Scopes: services whose processes somebody else started, and that are up for as long as there are any.

use crate::effect::Action;
use crate::engine::Engine;
use crate::id::UnitId;
use crate::state::{Phase, UnitResult};

impl Engine {
    /// Its processes are to be taken over; what became of that is told by `Input::TakenOver`.
    pub(crate) fn take_over(&mut self, id: UnitId) {
        let deadline = self.now.deadline(self.service(id).timeout_start);
        if let Some(run) = self.run_mut(id) {
            run.deadline = deadline;
        }
        let incarnation = self.unit(id).incarnation;
        self.emit(Action::TakeOver {
            unit: id,
            incarnation,
        });
    }

    pub(crate) fn taken_over(&mut self, id: UnitId, well: bool) {
        let takes_over = self.service(id).takes_over;
        let Some(run) = self.run_mut(id).filter(|_| takes_over) else {
            return;
        };
        run.empty &= !well;
        match run.phase {
            Phase::Start if well => self.go_running(id, UnitResult::Success),
            Phase::Start => self.stop_signals(id, UnitResult::Resources),
            _ => self.signal_latecomer(id),
        }
    }
}
