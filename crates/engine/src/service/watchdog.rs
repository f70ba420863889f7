//! WatchdogSec=: a service that is up must say that it is alive.

use crate::cause::Cause;
use crate::engine::Engine;
use crate::id::{Micros, UnitId};
use crate::service::stop::Time;
use crate::state::{Phase, Round, UnitResult};

impl Phase {
    /// A service that says nothing for too long is ended; before its start is over, and while it is stopped, it need not say anything.
    pub(crate) fn is_watched(self) -> bool {
        match self {
            Phase::StartPost
            | Phase::Running
            | Phase::Reload
            | Phase::ReloadSignal { .. }
            | Phase::ReloadNotify
            | Phase::ReloadPost => true,
            Phase::Condition
            | Phase::StartPre
            | Phase::Start
            | Phase::Exited
            | Phase::Stop
            | Phase::StopKill(_)
            | Phase::StopPost
            | Phase::FinalKill(_) => false,
        }
    }
}

impl Engine {
    /// Its start is over: from now on it is waited for.
    pub(crate) fn start_watchdog(&mut self, id: UnitId) {
        let end = self.next_silence(id);
        if let Some(run) = self.run_mut(id) {
            run.watchdog_end = end;
        }
    }

    /// When it has been silent for too long, if it says nothing from now on.
    pub(crate) fn next_silence(&self, id: UnitId) -> Option<Micros> {
        let own = self.run(id).and_then(|run| run.watchdog);
        self.now.deadline(own.unwrap_or(self.service(id).watchdog))
    }

    /// In another phase it may be that nothing is waited for any more.
    pub(crate) fn keep_watchdog(&mut self, id: UnitId) {
        if let Some(run) = self.run_mut(id).filter(|run| !run.phase.is_watched()) {
            run.watchdog_end = None;
        }
    }

    /// WATCHDOG=1. Said often, and nothing that has to be on record: who comes after a manager waits from then on.
    pub(crate) fn is_alive(&mut self, id: UnitId) {
        let end = self.next_silence(id);
        let state = &mut self.unit_unrecorded(id).state;
        if let crate::state::State::Service(run) = state
            && run.watchdog_end.is_some()
        {
            run.watchdog_end = end;
            self.keep_deadline(id);
        }
    }

    /// WATCHDOG_USEC=: another span, in this run.
    pub(crate) fn set_watchdog(&mut self, id: UnitId, span: Micros) {
        let Some(run) = self.run_mut(id) else { return };
        run.watchdog = Some(span);
        if run.phase.is_watched() {
            self.start_watchdog(id);
        }
    }

    /// It was silent for too long, or asked for this by WATCHDOG=trigger.
    pub(crate) fn watchdog_missed(&mut self, id: UnitId) {
        if !self.run(id).is_some_and(|run| run.phase.is_watched()) {
            return;
        }
        self.because(Cause::TimedOut {
            unit: self.name(id),
            at: self.now,
        });
        self.kill_control(id);
        self.send_round(id, Time::Stop, Round::Watchdog, UnitResult::Watchdog);
    }

    /// At a restore: the record is of its last change, and what it said since then is in none.
    pub(crate) fn listen_again(&mut self, id: UnitId) {
        let end = self.next_silence(id);
        if let crate::state::State::Service(run) = &mut self.unit_unrecorded(id).state
            && let Some(known) = run.watchdog_end
        {
            run.watchdog_end = end.map(|end| end.max(known));
        }
    }

    /// After a restore: what it said while nobody listened was not heard.
    pub(crate) fn watch_anew(&mut self, id: UnitId) {
        if self.run(id).is_some_and(|run| run.watchdog_end.is_some()) {
            self.start_watchdog(id);
        }
    }
}
