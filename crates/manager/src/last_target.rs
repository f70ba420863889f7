//! The target by which an init ends: units that it wants run at the end, beside and after the stop of all others (systemd.special(7)).

use crate::manager::{Manager, Stage};
use engine::{JobKind, JobMode, JobResult, UnitId};
use kernel::power::Power;
use wire::ExitRequest;

/// What becomes of the power, the target that stands for it, and the word of the API for both.
const TARGETS: [(Option<Power>, &str, &str); 5] = [
    (Some(Power::Off), "poweroff.target", "poweroff"),
    (Some(Power::Restart), "reboot.target", "reboot"),
    (Some(Power::Halt), "halt.target", "halt"),
    (Some(Power::Kexec), "kexec.target", "kexec"),
    (None, "exit.target", "exit"),
];

/// What the end waits for.
#[derive(Debug, Default)]
pub(crate) struct LastTarget {
    /// The request of its start, and its name.
    request: Option<(u64, &'static str)>,
}

impl Manager {
    /// Ends in order: an init by its target, which stops all and starts what is wanted at the end; then what is up all the same is stopped.
    pub(crate) fn end_in_order(&mut self, power: Option<Power>) {
        let known = TARGETS.iter().find(|(of, ..)| *of == power);
        let Some((_, name, _)) = known.filter(|_| self.keeper.init && !self.keeper.adopt_only)
        else {
            return self.end();
        };
        if self.later.last_target.request.is_some() {
            return;
        }
        match self.find_or_load(name) {
            Ok(unit) if !self.is_up(unit) => {
                self.queue_own(unit, JobKind::Start, JobMode::ReplaceIrreversibly);
                self.later.last_target.request = Some((self.next_request, name));
            }
            Ok(_) => self.end(),
            Err(failure) => self.end_without(name, &failure.to_string()),
        }
    }

    fn end_without(&mut self, name: &str, why: &str) {
        self.log(&format!(
            "{name} is not reached, and what it wants may not have run: {why}; the rest is stopped now"
        ));
        self.end();
    }

    /// A request that no client made is refused: perhaps the start of the target.
    pub(crate) fn note_last_target_refused(&mut self, request: u64, why: &engine::Refusal) {
        if let Some((known, name)) = self.later.last_target.request
            && known == request
        {
            self.end_without(name, &why.to_string());
        }
    }

    /// A job is done: where it is that of such a target, whoever asked for it, the end goes on.
    pub(crate) fn note_last_target_done(&mut self, unit: UnitId, kind: JobKind, result: JobResult) {
        if !self.keeper.init || self.stage != Stage::Running || kind != JobKind::Start {
            return;
        }
        let name = self.engine.unit_name(unit).unwrap_or_default();
        let Some((_, name, action)) = TARGETS.iter().find(|(_, known, _)| *known == name) else {
            return;
        };
        let is_asked = self.later.last_target.request.is_some() || self.decided().is_some();
        match (result, is_asked) {
            (JobResult::Done, true) => self.end(),
            (JobResult::Done, false) => self.end_at_target(name, action),
            (_, true) => {
                let failure = self.job_failure(unit, result).to_string();
                self.end_without(name, &failure);
            }
            (_, false) => {}
        }
    }

    /// Somebody started the target by its name.
    fn end_at_target(&mut self, name: &str, action: &str) {
        let input = ExitRequest {
            action: action.into(),
            argument: String::new(),
        };
        match self.end_asked_for(&input) {
            Ok(_) => self.end(),
            Err(failure) => self.log(&format!("{name} is reached, and that is all: {failure}")),
        }
    }

    /// Is such a target on its way, as the first part of the end?
    pub(crate) fn is_going_down(&self) -> bool {
        let has_job = |name: &str| {
            let job = self.engine.id(name).and_then(|id| self.engine.job(id));
            job.is_some_and(|job| job.kind == JobKind::Start)
        };
        self.keeper.init && TARGETS.iter().any(|(_, name, _)| has_job(name))
    }
}
