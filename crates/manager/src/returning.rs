//! Clients that come back after a change of managers: they ask again, and nothing is done again for them.

use crate::causes::job_result;
use crate::clock;
use crate::entry::Entry;
use crate::manager::Manager;
use crate::pending::{At, Manner, Part, Pending};
use engine::{JobKind, JobResult, Micros, UnitId};
use wire::{Failure, TransientRequest};

/// Units that a client of the manager before this one waits for.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    units: model::sorted::Set<UnitId>,
    /// Until then.
    pub(crate) until: Option<Micros>,
}

impl Awaited {
    pub(crate) fn covers(&self, unit: &UnitId) -> bool {
        self.units.contains(unit)
    }
}

impl Manager {
    /// The unit that this very request made when a manager before this one had it.
    pub(crate) fn same_transient(
        &mut self,
        input: &TransientRequest,
    ) -> Result<Option<UnitId>, Failure> {
        let name = self.parse_name(&input.unit)?;
        let text = crate::transient::text_of(&name, &input.properties)?;
        let same = |entry: &&Entry| {
            entry.transient.as_ref().is_some_and(|known| {
                known.record.text == text && known.record.command == input.command
            })
        };
        let found = self.entry(name.as_str()).filter(same).map(|entry| entry.id);
        if let Some(unit) = found
            && self.awaited.units.remove(&unit)
        {
            self.ended_transients.insert(unit);
        }
        Ok(found)
    }

    /// After a change of managers: clients that waited for a unit made at run time have this long to come back for its end.
    pub(crate) fn await_clients(&mut self) {
        /// Longer than a client needs that was stopped by a loaded machine, in microseconds.
        const PATIENCE_US: u64 = 10_000_000;
        let transients = self
            .units
            .values()
            .filter_map(|entry| Some((entry.id, entry.transient.as_ref()?.record.awaited)));
        for (unit, awaited) in transients {
            if awaited {
                self.awaited.units.insert(unit);
            }
            // What ended while no manager was there.
            self.ended_transients.insert(unit);
        }
        if !self.awaited.units.is_empty() {
            self.awaited.until = Some(clock::monotonic().after(Micros(PATIENCE_US)));
        }
    }

    pub(crate) fn stop_waiting_for_clients(&mut self) {
        if self
            .awaited
            .until
            .is_some_and(|until| until <= clock::monotonic())
        {
            self.awaited = Awaited::default();
        }
    }

    /// Waits for what an earlier call began, as that call would have.
    pub(crate) fn join_one(&mut self, client: u32, unit: UnitId, manner: Manner) {
        let mut pending = Pending::new(client, manner);
        pending.parts.push(self.join(unit, manner));
        self.pending.push(pending);
    }

    /// Did the manager before this one begin it, for a call of that moment? Stopping and reloading twice is as good as once.
    pub(crate) fn was_done_since(
        &self,
        unit: UnitId,
        kind: JobKind,
        asked_us: Option<u64>,
    ) -> bool {
        let Some(asked_us) = asked_us else {
            return false;
        };
        if matches!(kind, JobKind::Stop | JobKind::Reload | JobKind::TryReload) {
            return false;
        }
        let Some(stamps) = self.engine.snapshot(unit).map(|unit| unit.stamps) else {
            return false;
        };
        let job = self.engine.job(unit).map(|job| job.kind);
        // What replaces is up beside what it replaces: only its own beginning tells.
        if kind == JobKind::Replace {
            let run = match self.engine.state(unit) {
                Some(engine::State::Service(run)) => Some(run.began),
                _ => None,
            };
            return job == Some(kind) || run.is_some_and(|began| began.0 >= asked_us);
        }
        // What is up is restarted: asked of a unit that is already going down, it would mean nothing.
        let kind = match kind {
            JobKind::TryRestart => JobKind::Restart,
            kind => kind,
        };
        // The second half of what starts it anew is a start.
        let is_second_half = job == Some(JobKind::Start) && stamps.inactive_enter.0 >= asked_us;
        job == Some(kind) || is_second_half || stamps.inactive_exit.0 >= asked_us
    }

    pub(crate) fn join(&self, unit: UnitId, manner: Manner) -> Part {
        let mut part = Part::new(unit, self.name_of(unit));
        let failed = matches!(self.engine.state(unit), Some(engine::State::Failed { .. }));
        match self.engine.job(unit) {
            Some(_) if manner.no_block => part.over("queued"),
            Some(job) => part.at = At::Queued(job.id),
            None if failed && !manner.wait => {
                part.outcome.failure = Some(self.job_failure(unit, JobResult::Failed));
                part.over(job_result(JobResult::Failed));
            }
            None => {
                part.over(job_result(JobResult::Done));
                if manner.wait {
                    part.at = At::Running;
                }
            }
        }
        part
    }
}
