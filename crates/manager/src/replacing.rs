//! Runs that replace others: how that is asked for, and how it is shown.

use crate::clock::as_realtime_us;
use crate::entry::Entry;
use crate::manager::Manager;
use crate::run::{Run, RunProcess};
use crate::status::main_serial;
use engine::{Input, JobKind, JobMode, JobResult, Micros, Stage, UnitId};

impl Manager {
    /// Asks for a job that replaces what runs; says why that will be a stop and a start, where it will.
    pub(crate) fn queue_replacement(&mut self, unit: UnitId, mode: JobMode, drain: Option<Micros>) {
        if let Some(entry) = self.units.get(&unit)
            && let Some(why) = model::replacing::hindrance(&entry.unit)
            && entry.name.kind() == model::UnitKind::Service
            && self.is_up(unit)
        {
            let text = format!("it is stopped before it starts again, and not replaced: {why}");
            self.log_about(unit, &text);
        }
        self.next_request += 1;
        if self.is_up(unit) && self.is_mistaken(unit) {
            let text = "it is stopped before it starts again, and not replaced: its probes ask at a socket that both would have, and without control groups of version 2 the run before can't be held meanwhile";
            self.log_about(unit, text);
            return self.inputs.push_back(Input::Job {
                request: self.next_request,
                unit,
                kind: JobKind::Restart,
                mode,
            });
        }
        self.inputs.push_back(Input::Replace {
            request: self.next_request,
            unit,
            mode,
            drain,
        });
    }

    /// Why what runs was not replaced, where a start that went wrong has not said it.
    pub(crate) fn note_replacement(&mut self, unit: UnitId, kind: JobKind, result: JobResult) {
        let is_kept = kind == JobKind::Replace && result == JobResult::Failed && self.is_up(unit);
        let Some(entry) = self.units.get_mut(&unit).filter(|_| is_kept) else {
            return;
        };
        let failure = wire::Failure::JobFailed {
            unit: entry.name.to_string(),
            result: "failed".into(),
            message: "what was to replace it did not come up, and the run before goes on".into(),
        };
        entry.failure.get_or_insert_with(|| Box::new(failure));
    }

    /// The run beside the current one.
    pub(crate) fn beside_status(&self, entry: &Entry) -> Option<wire::BesideStatus> {
        let beside = self.engine.beside(entry.id)?;
        let number = beside.incarnation.0;
        let run = entry.runs.iter().find(|run| run.incarnation == number);
        let main = main_serial(&beside.run.main);
        let is_main = |process: &&RunProcess| Some(process.serial) == main;
        let process = run.and_then(|run| run.processes.iter().find(is_main));
        let state = match beside.stage {
            Stage::Stays => "serving",
            Stage::Drains => "draining",
            Stage::Dies => "dying",
        };
        Some(wire::BesideStatus {
            state: state.into(),
            main_pid: process.and_then(RunProcess::visible_pid),
            invocation_id: run.map(Run::invocation_text),
            deadline_realtime_us: beside.deadline.and_then(as_realtime_us),
        })
    }
}
