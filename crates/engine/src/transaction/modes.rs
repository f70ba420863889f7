//! What the mode of a transaction adds to it, refuses of it, and does to jobs beside it.

use super::{Link, RESTART_PULLS, Transaction, Wish, merge};
use crate::config::{JobMode, Relation};
use crate::effect::JobResult;
use crate::effect::Refusal;
use crate::engine::Engine;
use crate::graph::End;
use crate::id::UnitId;
use crate::input::JobKind;

impl Engine {
    /// What the mode adds to what was asked for.
    pub(super) fn widen(&self, plan: &mut Transaction, mode: JobMode) {
        match mode {
            JobMode::Isolate => self.isolate(plan),
            JobMode::RestartDependencies => self.pull_in(plan, 0, &RESTART_PULLS),
            JobMode::Triggering => {
                let pull = (Relation::Triggers, End::Theirs, JobKind::Stop, true);
                self.pull_in(plan, 0, &[pull]);
            }
            _ => {}
        }
    }

    /// Everything that is not part of the wish is stopped.
    fn isolate(&self, plan: &mut Transaction) {
        let mut next = 1;
        while next < plan.wishes.len() {
            self.expand(plan, next);
            next += 1;
        }
        let kept: Vec<UnitId> = plan.index.keys().map(|(unit, _)| *unit).collect();
        for unit in self.names.values().copied() {
            let record = self.unit(unit);
            let exempt = record
                .config
                .as_ref()
                .is_none_or(|config| config.ignore_on_isolate);
            let triggered = self
                .related(unit, Relation::Triggers, End::Theirs)
                .any(|socket| kept.binary_search(&socket).is_ok());
            if exempt || record.is_idle() || triggered || kept.binary_search(&unit).is_ok() {
                continue;
            }
            let cause = plan
                .wishes
                .first()
                .map(|wish| wish.cause.clone())
                .unwrap_or_default();
            let to = plan.add(self, unit, JobKind::Stop, cause);
            plan.links.push(Link {
                from: 0,
                to,
                matters: true,
            });
        }
    }

    /// Jobs that may not be replaced stay, whatever comes, but for the end of everything.
    pub(super) fn refuse_destructive(
        &self,
        plan: &Transaction,
        mode: JobMode,
    ) -> Result<(), Refusal> {
        let refuses = matches!(mode, JobMode::Fail | JobMode::Lenient);
        for wish in &plan.wishes {
            let installed = self.unit(wish.unit).job.as_ref();
            let stays = installed.filter(|job| refuses || job.irreversible && !self.ending);
            let installed = stays.map(|job| job.kind);
            if let Some(kind) = installed.filter(|kind| merge(*kind, wish.kind).is_none()) {
                let (anchor, name) = plan
                    .wishes
                    .first()
                    .map(|first| (first.kind, self.name(first.unit)))
                    .unwrap_or((wish.kind, self.name(wish.unit)));
                let other = self.name(wish.unit).to_string();
                let refusal = match refuses {
                    true => Refusal::Destructive,
                    false => Refusal::Irreversible,
                };
                return Err(refusal(
                    name.to_string(),
                    anchor.name(),
                    other,
                    kind.name(),
                    wish.kind.name(),
                ));
            }
        }
        Ok(())
    }

    /// Mode lenient: what is up or on its way stays so.
    pub(super) fn refuse_stops(&self, plan: &Transaction) -> Result<(), Refusal> {
        let stopped = plan.wishes.iter().find(|wish| {
            let is_coming = self.unit(wish.unit).job.as_ref();
            let is_coming = is_coming.is_some_and(|job| job.kind != JobKind::Stop);
            wish.kind == JobKind::Stop && (is_coming || !self.active(wish.unit).is_down())
        });
        match (plan.wishes.first(), stopped) {
            (Some(first), Some(stopped)) if first.kind != JobKind::Stop => Err(Refusal::InTheWay(
                self.name(first.unit).to_string(),
                self.name(stopped.unit).to_string(),
            )),
            _ => Ok(()),
        }
    }

    /// Mode flush: what others wait for does not come, but of those that isolation leaves alone, too.
    pub(crate) fn drop_all_jobs_but(&mut self, wishes: &[Wish]) {
        let is_kept = |id: &UnitId| {
            let config = self.unit(*id).config.as_ref();
            config.is_some_and(|config| config.ignore_on_isolate)
                || wishes.iter().any(|wish| wish.unit == *id)
        };
        let dropped: Vec<UnitId> = self
            .jobs
            .values()
            .copied()
            .filter(|id| !is_kept(id))
            .collect();
        for id in dropped {
            self.finish_job(id, JobResult::Canceled, false);
        }
    }

    /// Whether somebody may ask for such a job.
    pub(crate) fn check_manual(
        &self,
        id: UnitId,
        kind: JobKind,
        mode: JobMode,
    ) -> Result<(), Refusal> {
        let name = || self.name(id).to_string();
        let Some(config) = &self.unit(id).config else {
            return Err(Refusal::NotFound(name()));
        };
        if config.load == crate::config::Load::NotFound && self.unit(id).is_idle() {
            return Err(Refusal::NotFound(name()));
        }
        let starts = matches!(
            kind,
            JobKind::Start
                | JobKind::Restart
                | JobKind::TryRestart
                | JobKind::ReloadOrStart
                | JobKind::Replace
        );
        let stops = matches!(
            kind,
            JobKind::Stop | JobKind::Restart | JobKind::TryRestart | JobKind::Replace
        );
        if (starts && config.refuse_manual_start) || (stops && config.refuse_manual_stop) {
            return Err(Refusal::Manual(name()));
        }
        match mode {
            JobMode::Isolate if kind != JobKind::Start => return Err(Refusal::IsolateNotStart),
            JobMode::RestartDependencies if kind != JobKind::Start => {
                return Err(Refusal::OfStartsAlone);
            }
            JobMode::Triggering if kind != JobKind::Stop => return Err(Refusal::OfStopsAlone),
            _ => {}
        }
        if mode == JobMode::Isolate && !config.allow_isolate {
            return Err(Refusal::NoIsolate(name()));
        }
        Ok(())
    }
}
