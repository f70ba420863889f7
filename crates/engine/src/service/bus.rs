//! Type=dbus: up as soon as the name is taken on the bus, and for as long as somebody has it.

use crate::cause::Cause;
use crate::config::ServiceType;
use crate::engine::Engine;
use crate::id::UnitId;
use crate::state::{Phase, UnitResult};

impl Engine {
    /// The name of a service has an owner, or has none any more.
    pub(crate) fn name_changed(&mut self, id: UnitId, is_owned: bool) {
        if !self.needs_name(id) {
            return;
        }
        let Some(run) = self.run_mut(id) else { return };
        let was_named = std::mem::replace(&mut run.named, is_owned);
        let (phase, has_main) = (run.phase, run.has_main());
        let unit = self.name(id);
        let cause = Cause::BusName { unit, is_owned };
        match phase {
            // Only a loss counts: that nobody has it may have been said before this run had it.
            Phase::Running if was_named && !is_owned => {
                self.because(cause);
                self.go_running(id, UnitResult::Success);
            }
            Phase::Start if is_owned && has_main && !self.awaits_health(id) => {
                self.because(cause);
                self.start_post(id);
            }
            _ => {}
        }
    }

    /// Does it need a name, and has it not?
    pub(crate) fn lacks_name(&self, id: UnitId) -> bool {
        self.needs_name(id) && self.run(id).is_some_and(|run| !run.named)
    }

    fn needs_name(&self, id: UnitId) -> bool {
        self.run(id).is_some() && self.service(id).service_type == ServiceType::Dbus
    }
}
