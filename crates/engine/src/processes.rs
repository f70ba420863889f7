//! What is told of processes and of control groups goes to the run that it is about.

use crate::config::KillMode;
use crate::effect::{Action, Target};
use crate::engine::Engine;
use crate::id::{Incarnation, ProcessKey, Signal, UnitId};
use crate::input::ExitStatus;
use crate::state::{Progress, State};

impl Engine {
    /// The highest number that a run of the unit had.
    fn last_run(&self, unit: UnitId) -> Incarnation {
        let unit = self.unit(unit);
        unit.incarnation.max(unit.numbered)
    }

    pub(crate) fn progressed(&mut self, key: ProcessKey, progress: Progress) {
        if self.restoring {
            self.reported.insert(key);
        }
        let current = self.is_current(key.unit, key.incarnation);
        self.cause = self.unit(key.unit).cause.clone();
        match &self.unit(key.unit).state {
            _ if self.is_beside(key.unit, key.incarnation) => self.beside_progressed(key, progress),
            State::Service(_) if current => self.service_progressed(key.unit, key.serial, progress),
            State::Socket(_) if current => self.socket_progressed(key.unit, key.serial, progress),
            _ if progress == Progress::Spawned => self.kill_latecomer(key),
            _ => {}
        }
    }

    /// A process came into being after its run was over.
    fn kill_latecomer(&mut self, key: ProcessKey) {
        let ran = key.incarnation.0 > 0 && key.incarnation <= self.last_run(key.unit);
        if ran && self.service(key.unit).kill.mode != KillMode::None {
            let target = Target::Process(key.serial);
            self.emit(Action::Signal {
                unit: key.unit,
                incarnation: key.incarnation,
                target,
                signal: Signal::KILL,
            });
        }
    }

    pub(crate) fn exec_failed(&mut self, key: ProcessKey) {
        if self.is_current(key.unit, key.incarnation) {
            let text = format!(
                "{}: a process could not be set up; its exit status says in which step.",
                self.name(key.unit)
            );
            self.log(key.unit, text);
        }
    }

    /// `None`: it never was.
    pub(crate) fn ended(&mut self, key: ProcessKey, status: Option<ExitStatus>) {
        self.cause = self.unit(key.unit).cause.clone();
        if self.is_beside(key.unit, key.incarnation) {
            return self.beside_ended(key.unit, key.serial, status);
        }
        if !self.is_current(key.unit, key.incarnation) {
            return;
        }
        match &self.unit(key.unit).state {
            State::Service(_) => self.service_ended(key.unit, key.serial, status),
            State::Socket(_) => self.socket_ended(key.unit, key.serial, status),
            _ => {}
        }
    }

    pub(crate) fn cgroup_empty(&mut self, unit: UnitId, incarnation: Incarnation) {
        self.cause = self.unit(unit).cause.clone();
        if self.is_beside(unit, incarnation) {
            return self.beside_empty(unit);
        }
        if !self.is_current(unit, incarnation) {
            return;
        }
        match &self.unit(unit).state {
            State::Service(_) => self.service_empty(unit),
            State::Socket(_) => self.socket_empty(unit),
            _ => {}
        }
    }
}
