//! DeferTrigger=: traffic whose service would stop others waits until those are gone, instead.

use crate::cause::Cause;
use crate::config::{DeferTrigger, JobMode};
use crate::effect::{Action, Refusal};
use crate::engine::Engine;
use crate::id::UnitId;
use crate::input::JobKind;
use crate::state::{SocketPhase, UnitResult};

impl Engine {
    /// How a service is started that there is traffic for.
    pub(crate) fn trigger_mode(&self, id: UnitId) -> JobMode {
        match self.socket(id).defer {
            DeferTrigger::No => JobMode::Replace,
            DeferTrigger::Yes | DeferTrigger::Patient => JobMode::Lenient,
        }
    }

    /// Its service can't be started now. What else is queued may change that, and is waited for.
    pub(crate) fn defer(&mut self, id: UnitId, refusal: &Refusal) {
        let socket = self.socket(id);
        let is_for_now = matches!(
            refusal,
            Refusal::InTheWay(..) | Refusal::Destructive(..) | Refusal::Irreversible(..)
        );
        if socket.defer == DeferTrigger::No || !is_for_now {
            self.log(id, refusal.to_string());
            return self.socket_fail(id, UnitResult::Resources);
        }
        if socket.defer == DeferTrigger::Yes && self.jobs.is_empty() {
            self.log(id, format!("{}: waits no longer: {refusal}", self.name(id)));
            return self.socket_fail(id, UnitResult::Resources);
        }
        if self.socket_run(id).map(|run| run.phase) != Some(SocketPhase::Deferred) {
            self.log(id, format!("{}: waits: {refusal}", self.name(id)));
            let deadline = self.now.deadline(socket.defer_max);
            if let Some(run) = self.socket_run_mut(id) {
                run.deadline = deadline;
            }
            self.enter_socket(id, SocketPhase::Deferred);
        }
        self.deferred.insert(id);
    }

    /// No job is left that could change anything: the traffic that waits is looked at again.
    pub(crate) fn try_deferred(&mut self, id: UnitId) {
        let phase = self.socket_run(id).map(|run| run.phase);
        let (Some(SocketPhase::Deferred), Some(service)) = (phase, self.triggered(id)) else {
            self.deferred.remove(&id);
            return;
        };
        let cause = self.unit(id).cause.clone();
        match self.request(service, JobKind::Start, JobMode::Lenient, &cause, false) {
            Ok(_) => {
                self.cause = cause;
                if let Some(run) = self.socket_run_mut(id) {
                    run.deadline = None;
                }
                self.enter_socket(id, SocketPhase::Running);
            }
            Err(refusal) => {
                self.cause = cause;
                self.defer(id, &refusal);
            }
        }
    }

    /// DeferTriggerMaxSec= is over.
    pub(crate) fn deferred_too_long(&mut self, id: UnitId) {
        self.because(Cause::TimedOut {
            unit: self.name(id),
            at: self.now,
        });
        self.socket_fail(id, UnitResult::Timeout);
    }

    /// A service that came up by other hands has the traffic.
    pub(crate) fn served_meanwhile(&mut self, id: UnitId) {
        if let Some(run) = self.socket_run_mut(id) {
            run.deadline = None;
        }
        self.emit(Action::UnwatchSockets(id));
        self.enter_socket(id, SocketPhase::Running);
    }
}
