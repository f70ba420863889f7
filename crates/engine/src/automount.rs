//! Automount units: a file system of the kernel's lies at their place, which lets the first visitor wait until their mount is there, and asks
//! for its end when nobody has been there for a while.
//!
//! The kernel gives each wait a number, and lets go of it only when it is answered: the numbers are part of the state, and are answered again
//! by the next manager, to which the kernel says of one that was answered before that there is none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Chain};
use crate::config::{JobMode, Kind, Relation, UnitConfig};
use crate::convert::timeout;
use crate::effect::{Action, JobResult};
use crate::engine::Engine;
use crate::id::{Incarnation, Micros, UnitId};
use crate::input::{JobKind, Visit};
use crate::jobs::Move;
use crate::state::{ActiveState, State, SubState, UnitResult};
use crate::transition::Followup;

/// A run of an automount unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomountRun {
    /// What it is doing.
    pub phase: AutomountPhase,
    /// Since when.
    pub since: Micros,
    /// The number of the file system's device, once it lies there.
    pub device: Option<u32>,
    /// Those who wait for the mount, by the kernel's numbers.
    pub visitors: Box<[u32]>,
    /// What waits for the mount's end, by the kernel's numbers.
    pub expiries: Box<[u32]>,
    /// Answers that the kernel may not have yet: a number, and whether what it waits for has come.
    pub answers: Box<[(u32, bool)]>,
    /// While it ends: what went wrong.
    pub result: UnitResult,
    /// On the way up or down: when that has lasted too long. While it runs: when it is looked whether anybody is there.
    pub deadline: Option<Micros>,
}

/// So long its file system may take to be there or to be gone; none of its settings says how long.
const CHANGE_MAX: Micros = Micros::seconds(90);
/// It is looked for idleness three times in the time after which it counts, and not more often than each second.
const LOOKS: u64 = 3;
const LOOK_MIN: Micros = Micros::seconds(1);
/// Numbers that are kept; the kernel has one for all who wait for the same.
const WAITS_MAX: usize = 64;

/// What an automount unit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutomountPhase {
    /// Its file system is about to be there.
    Starting,
    /// Up; nobody has been there.
    Waiting,
    /// Up; its mount is there, or on its way.
    Running,
    /// Its file system is about to be gone.
    Stopping,
}

/// An automount unit's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutomountConfig {
    /// The mount unit of its name.
    pub unit: Arc<str>,
    /// TimeoutIdleSec=; infinity: it stays mounted.
    pub idle: Micros,
}

impl From<&model::Unit> for AutomountConfig {
    fn from(unit: &model::Unit) -> AutomountConfig {
        let mount = unit.name().with_kind(model::UnitKind::Mount);
        AutomountConfig {
            unit: mount.map_or_else(|_| "".into(), |mount| mount.as_str().into()),
            idle: timeout(unit.value(&model::key::TIMEOUT_IDLE_SEC)),
        }
    }
}

impl UnitConfig {
    /// An automount unit of the mount `unit`.
    pub fn automount(name: &str, unit: &str) -> UnitConfig {
        let relations = Box::new([
            (Relation::Before, unit.into()),
            (Relation::Triggers, unit.into()),
        ]);
        let kind = Kind::Automount(Arc::new(AutomountConfig {
            unit: unit.into(),
            idle: Micros::INFINITY,
        }));
        UnitConfig {
            kind,
            relations,
            ..UnitConfig::target(name)
        }
    }
}

impl AutomountPhase {
    /// The outer state.
    pub fn active(self) -> ActiveState {
        match self {
            AutomountPhase::Starting => ActiveState::Activating,
            AutomountPhase::Waiting | AutomountPhase::Running => ActiveState::Active,
            AutomountPhase::Stopping => ActiveState::Deactivating,
        }
    }

    /// The inner state; the reference has none on the way, as it waits for the kernel there.
    pub fn sub(self) -> SubState {
        match self {
            AutomountPhase::Starting | AutomountPhase::Waiting => SubState::Waiting,
            AutomountPhase::Running | AutomountPhase::Stopping => SubState::Running,
        }
    }
}

impl AutomountRun {
    fn is_up(&self) -> bool {
        self.phase.active().is_up()
    }
}

impl Engine {
    pub(crate) fn automount_run(&self, id: UnitId) -> Option<&AutomountRun> {
        match &self.unit(id).state {
            State::Automount(run) => Some(run),
            _ => None,
        }
    }

    fn automount_run_mut(&mut self, id: UnitId) -> Option<&mut AutomountRun> {
        match &mut self.unit_mut(id).state {
            State::Automount(run) => Some(run),
            _ => None,
        }
    }

    fn automount(&self, id: UnitId) -> Arc<AutomountConfig> {
        match self.unit(id).config.as_deref() {
            Some(UnitConfig {
                kind: Kind::Automount(automount),
                ..
            }) => Arc::clone(automount),
            _ => Arc::new(AutomountConfig {
                unit: "".into(),
                idle: Micros::INFINITY,
            }),
        }
    }

    pub(crate) fn automount_start(&mut self, id: UnitId) -> Move {
        let unit = self.automount(id).unit.clone();
        if !self.can_trigger(id, &unit) {
            return Move::Over(JobResult::Failed);
        }
        let run = AutomountRun {
            phase: AutomountPhase::Starting,
            since: self.now,
            device: None,
            visitors: Box::default(),
            expiries: Box::default(),
            answers: Box::default(),
            result: UnitResult::Success,
            deadline: self.now.deadline(CHANGE_MAX),
        };
        self.triggering_begins(id, State::Automount(Box::new(run)));
        self.set_automount(id);
        Move::Going
    }

    fn set_automount(&mut self, id: UnitId) {
        let incarnation = self.unit(id).incarnation;
        let device = self.automount_run(id).and_then(|run| run.device);
        self.emit(Action::SetAutomount {
            unit: id,
            incarnation,
            device,
        });
    }

    pub(crate) fn automount_stop(&mut self, id: UnitId) {
        self.automount_ends(id, UnitResult::Success);
    }

    /// Its file system is taken out, and whoever waits at it is turned away.
    fn automount_ends(&mut self, id: UnitId, result: UnitResult) {
        let is_going = |run: &AutomountRun| run.phase == AutomountPhase::Stopping;
        if self.automount_run(id).is_none_or(is_going) {
            return;
        }
        let deadline = self.now.deadline(CHANGE_MAX);
        self.enter_automount(id, AutomountPhase::Stopping, deadline);
        if let Some(run) = self.automount_run_mut(id) {
            run.result = result;
        }
        self.unset_automount(id);
    }

    fn unset_automount(&mut self, id: UnitId) {
        let incarnation = self.unit(id).incarnation;
        let Some(run) = self.automount_run(id) else {
            return;
        };
        let answered = run.answers.iter().map(|(token, _)| token);
        let waits = run.visitors.iter().chain(&run.expiries).chain(answered);
        let (device, waits) = (run.device, waits.copied().collect());
        self.emit(Action::UnsetAutomount {
            unit: id,
            incarnation,
            device,
            waits,
        });
    }

    /// Its file system is there.
    pub(crate) fn automount_set(&mut self, id: UnitId, incarnation: Incarnation, device: u32) {
        let Some(phase) = self.automount_run(id).map(|run| run.phase) else {
            return;
        };
        if !self.is_current(id, incarnation) || phase == AutomountPhase::Stopping {
            return;
        }
        self.cause = self.unit(id).cause.clone();
        if self.automount_run(id).map(|run| run.device) != Some(Some(device))
            && let Some(run) = self.automount_run_mut(id)
        {
            run.device = Some(device);
        }
        if phase == AutomountPhase::Starting {
            self.enter_automount(id, AutomountPhase::Waiting, None);
            self.followups.push_back(Followup::Triggered(id));
        }
    }

    /// Its file system is gone.
    pub(crate) fn automount_unset(&mut self, id: UnitId, incarnation: Incarnation) {
        let Some(run) = self.automount_run(id) else {
            return;
        };
        if self.is_current(id, incarnation) && run.phase == AutomountPhase::Stopping {
            let result = run.result;
            self.cause = self.unit(id).cause.clone();
            self.triggering_ends(id, result);
        }
    }

    /// Its file system can't be put there, or somebody else took it out.
    pub(crate) fn automount_failed(&mut self, id: UnitId, incarnation: Incarnation, why: &str) {
        let Some(phase) = self.automount_run(id).map(|run| run.phase) else {
            return;
        };
        if !self.is_current(id, incarnation) {
            return;
        }
        self.cause = self.unit(id).cause.clone();
        self.log(id, format!("{}: {why}", self.name(id)));
        match phase {
            AutomountPhase::Starting => self.triggering_ends(id, UnitResult::Resources),
            AutomountPhase::Waiting | AutomountPhase::Running => {
                self.automount_ends(id, UnitResult::Resources);
            }
            // What can't be taken out stays, and the unit is down all the same.
            AutomountPhase::Stopping => self.triggering_ends(id, UnitResult::Resources),
        }
    }

    /// Somebody waits for the mount, or the kernel for its end.
    pub(crate) fn automount_visited(
        &mut self,
        id: UnitId,
        incarnation: Incarnation,
        token: u32,
        visit: Visit,
    ) {
        let job = self.unit(id).job.as_ref().map(|job| job.kind);
        let leaves = matches!(job, Some(JobKind::Stop | JobKind::Restart));
        let Some(run) = self.automount_run(id) else {
            return;
        };
        if !self.is_current(id, incarnation) {
            return;
        }
        let waits = match visit {
            Visit::Enters { .. } => &run.visitors,
            Visit::Expires => &run.expiries,
        };
        let is_answered = run.answers.iter().any(|(answered, _)| *answered == token);
        if is_answered || waits.contains(&token) {
            return;
        }
        let (is_up, is_full) = (run.is_up(), waits.len() >= WAITS_MAX);
        self.cause = Chain::root(match &visit {
            Visit::Enters { who } => Cause::Entered {
                automount: self.name(id),
                who: Arc::clone(who),
            },
            Visit::Expires => Cause::Idle {
                automount: self.name(id),
            },
        });
        if !is_up || leaves || is_full {
            return self.answer_automount(id, Box::new([token]), false);
        }
        let kind = match visit {
            Visit::Enters { .. } => JobKind::Start,
            Visit::Expires => JobKind::Stop,
        };
        if let Some(run) = self.automount_run_mut(id) {
            let waits = match kind {
                JobKind::Start => &mut run.visitors,
                _ => &mut run.expiries,
            };
            *waits = waits.iter().copied().chain([token]).collect();
        }
        self.ask_of_mount(id, kind);
    }

    /// A job for its mount; what comes of it is seen when it is over.
    fn ask_of_mount(&mut self, id: UnitId, kind: JobKind) {
        let Some(mount) = self.triggered(id) else {
            return self.automount_ends(id, UnitResult::Resources);
        };
        let state = self.active(mount);
        let is_so = match kind {
            JobKind::Start => state.is_up(),
            _ => state.is_down(),
        };
        self.followups.push_back(Followup::Triggered(id));
        if is_so && self.unit(mount).job.is_none() {
            return;
        }
        let cause = self.cause.clone();
        let asked = self.request(mount, kind, JobMode::Replace, &cause, false);
        self.cause = cause;
        match (asked, kind) {
            (Ok(_), JobKind::Start) => self.run_automount(id),
            (Ok(_), _) => {}
            (Err(refusal), JobKind::Start) => {
                self.log(id, refusal.to_string());
                self.automount_ends(id, UnitResult::Resources);
            }
            // It stays mounted, and the kernel asks again.
            (Err(refusal), _) => self.log(id, refusal.to_string()),
        }
    }

    /// Answers, and keeps in mind that the kernel may not have the answer yet.
    fn answer_automount(&mut self, id: UnitId, waits: Box<[u32]>, well: bool) {
        if let Some(run) = self.automount_run_mut(id) {
            let answers = waits.iter().map(|token| (*token, well));
            run.answers = run.answers.iter().copied().chain(answers).collect();
        }
        self.send_answers(id, waits, well);
    }

    fn send_answers(&mut self, id: UnitId, waits: Box<[u32]>, well: bool) {
        let incarnation = self.unit(id).incarnation;
        let device = self.automount_run(id).and_then(|run| run.device);
        if !waits.is_empty() {
            self.emit(Action::AnswerAutomount {
                unit: id,
                incarnation,
                device,
                waits,
                well,
            });
        }
    }

    /// The kernel has these answers.
    pub(crate) fn automount_answered(
        &mut self,
        id: UnitId,
        incarnation: Incarnation,
        waits: &[u32],
    ) {
        if self.is_current(id, incarnation)
            && self
                .automount_run(id)
                .is_some_and(|run| !run.answers.is_empty())
            && let Some(run) = self.automount_run_mut(id)
        {
            let others = run
                .answers
                .iter()
                .filter(|(token, _)| !waits.contains(token));
            run.answers = others.copied().collect();
        }
    }

    fn answer_visitors(&mut self, id: UnitId, well: bool) {
        if self
            .automount_run(id)
            .is_some_and(|run| !run.visitors.is_empty())
            && let Some(run) = self.automount_run_mut(id)
        {
            let waits = std::mem::take(&mut run.visitors);
            self.answer_automount(id, waits, well);
        }
    }

    fn answer_expiries(&mut self, id: UnitId, well: bool) {
        if self
            .automount_run(id)
            .is_some_and(|run| !run.expiries.is_empty())
            && let Some(run) = self.automount_run_mut(id)
        {
            let waits = std::mem::take(&mut run.expiries);
            self.answer_automount(id, waits, well);
        }
    }

    /// Its mount came, went, or had a job that is over.
    pub(crate) fn automount_looks(&mut self, id: UnitId) {
        if !self.automount_run(id).is_some_and(AutomountRun::is_up) {
            return;
        }
        let Some(mount) = self.triggered(id) else {
            return;
        };
        let other = self.unit(mount);
        let (has_job, active) = (other.job.is_some(), other.state.active());
        let is_limited = matches!(
            other.state,
            State::Failed {
                result: UnitResult::StartLimitHit,
                ..
            }
        );
        self.cause = other.cause.and(Cause::Followed {
            unit: self.name(mount),
            relation: Relation::Triggers,
        });
        match active {
            _ if has_job => {}
            _ if is_limited => self.automount_ends(id, UnitResult::MountStartLimitHit),
            ActiveState::Active | ActiveState::Reloading => {
                self.answer_expiries(id, false);
                self.answer_visitors(id, true);
                self.run_automount(id);
            }
            ActiveState::Inactive | ActiveState::Failed => {
                self.answer_expiries(id, active == ActiveState::Inactive);
                self.answer_visitors(id, false);
                let phase = self.automount_run(id).map(|run| run.phase);
                if phase == Some(AutomountPhase::Running) {
                    self.enter_automount(id, AutomountPhase::Waiting, None);
                }
            }
            ActiveState::Activating | ActiveState::Deactivating | ActiveState::Maintenance => {}
        }
    }

    fn run_automount(&mut self, id: UnitId) {
        let phase = self.automount_run(id).map(|run| run.phase);
        if phase == Some(AutomountPhase::Waiting) {
            let look = self.next_look(id);
            self.enter_automount(id, AutomountPhase::Running, look);
        }
    }

    fn next_look(&self, id: UnitId) -> Option<Micros> {
        let idle = self.automount(id).idle;
        let pause = match idle {
            Micros::INFINITY => idle,
            idle => LOOK_MIN.max(Micros(idle.0 / LOOKS)),
        };
        self.now.deadline(pause)
    }

    /// Its file may say another time.
    pub(crate) fn idle_anew(&mut self, id: UnitId) {
        let Some(run) = self.automount_run(id) else {
            return;
        };
        let look = self.next_look(id);
        if run.phase == AutomountPhase::Running
            && run.deadline.is_some() != look.is_some()
            && let Some(run) = self.automount_run_mut(id)
        {
            run.deadline = look;
        }
    }

    pub(crate) fn automount_tick(&mut self, id: UnitId) {
        let now = self.now;
        let Some(run) = self.automount_run(id) else {
            return;
        };
        if run.deadline.is_none_or(|at| at > now) {
            return;
        }
        let (phase, result, device) = (run.phase, run.result, run.device);
        let late = "where it is, the file system does not answer.";
        match phase {
            AutomountPhase::Starting => {
                self.log(id, format!("{}: {late}", self.name(id)));
                self.automount_ends(id, UnitResult::Timeout);
            }
            AutomountPhase::Stopping => {
                self.log(id, format!("{}: {late}", self.name(id)));
                let result = match result {
                    UnitResult::Success => UnitResult::Timeout,
                    result => result,
                };
                self.triggering_ends(id, result);
            }
            AutomountPhase::Waiting | AutomountPhase::Running => {
                let look = self.next_look(id);
                if let Some(run) = self.automount_run_mut(id) {
                    run.deadline = look;
                }
                let incarnation = self.unit(id).incarnation;
                self.emit(Action::ExpireAutomount {
                    unit: id,
                    incarnation,
                    device,
                });
            }
        }
    }

    /// After a restore: what was never confirmed is done again, and the kernel is listened to.
    pub(crate) fn resend_automount(&mut self, id: UnitId) {
        match self.automount_run(id).map(|run| run.phase) {
            Some(AutomountPhase::Stopping) => self.unset_automount(id),
            Some(_) => self.set_automount(id),
            None => {}
        }
        for well in [true, false] {
            let answers = self.automount_run(id).map(|run| &run.answers);
            let meant = answers.into_iter().flatten().filter(|one| one.1 == well);
            let waits = meant.map(|(token, _)| *token).collect();
            self.send_answers(id, waits, well);
        }
    }

    /// Puts an automount unit's run into another phase.
    fn enter_automount(&mut self, id: UnitId, phase: AutomountPhase, deadline: Option<Micros>) {
        let Some(run) = self.automount_run(id) else {
            return;
        };
        let run = AutomountRun {
            phase,
            deadline,
            since: self.now,
            ..run.clone()
        };
        self.change(id, State::Automount(Box::new(run)));
    }
}
