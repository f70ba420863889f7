//! Mounts and swaps: services whose commands change a table of the kernel's, and that are up for as long as it has them.
//!
//! The table is asked before the end of a command is reported, and whenever the kernel says that it changed.

use crate::cause::{Cause, Chain};
use crate::effect::{Action, Target};
use crate::engine::Engine;
use crate::id::{Signal, UnitId};
use serde::{Deserialize, Serialize};

use crate::service::stop::Time;
use crate::state::{Phase, Round, ServiceRun, State, SubState, UnitResult};

/// A table of the kernel's, whose entries are units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Table {
    /// Mounts.
    Mounts,
    /// Swap areas.
    Swaps,
}

/// How often something is taken out that is there again, or that lay below.
const TRIES_MAX: u8 = 32;

impl Engine {
    pub(crate) fn in_table(&mut self, id: UnitId, is_there: bool) {
        let unit = self.unit(id);
        let is_entry = unit.config.is_some() && self.service(id).table.is_some();
        if !is_entry || unit.in_table == is_there {
            return;
        }
        self.unit_mut(id).in_table = is_there;
        let unit = self.name(id);
        self.cause = Chain::root(Cause::Table { unit, is_there });
        match (&self.unit(id).state, is_there) {
            (_, true) => self.look_in_table(id),
            (State::Service(run), false) => match run.phase {
                Phase::Running | Phase::Exited => self.stop_signals(id, UnitResult::Success),
                Phase::Reload => {
                    self.kill_control(id);
                    self.stop_signals(id, UnitResult::Success);
                }
                // The end of the command says how it went.
                _ => {}
            },
            _ => {}
        }
    }

    /// What is there is up, also where somebody else made it.
    pub(crate) fn look_in_table(&mut self, id: UnitId) {
        let unit = self.unit(id);
        let is_down = matches!(unit.state, State::Dead | State::Failed { .. });
        if !is_down || !unit.in_table || self.ending || self.service(id).table.is_none() {
            return;
        }
        let run = ServiceRun {
            phase: Phase::Exited,
            is_left: true,
            ..self.new_run(id)
        };
        self.change(id, State::Service(Box::new(run)));
    }

    /// The command that puts it in ended.
    pub(crate) fn put_in(&mut self, id: UnitId, result: UnitResult) {
        let is_there = self.unit(id).in_table;
        match (is_there, result) {
            (true, UnitResult::Success) => self.start_post(id),
            (true, _) => {
                let text = format!(
                    "{}: the command that puts it in has failed, and the kernel's table has it all the same: it counts as up.",
                    self.name(id)
                );
                self.log(id, text);
                self.start_post(id);
            }
            (false, UnitResult::Success) => {
                let text = format!(
                    "{}: the command that puts it in went well, and the kernel's table has it not: it counts as failed.",
                    self.name(id)
                );
                self.log(id, text);
                if let Some(run) = self.run_mut(id) {
                    run.note(UnitResult::Protocol);
                }
                // It may be elsewhere: what was put in is taken out again by the same name.
                self.stop_commands(id, UnitResult::Success);
            }
            (false, _) => self.stop_signals(id, result),
        }
    }

    /// The command that takes it out ended.
    pub(crate) fn taken_out(&mut self, id: UnitId, result: UnitResult) {
        if !self.unit(id).in_table {
            return self.stop_signals(id, UnitResult::Success);
        }
        let Some(run) = self.run_mut(id) else { return };
        run.tries += 1;
        if result == UnitResult::Success && run.tries < TRIES_MAX {
            return self.stop_commands(id, UnitResult::Success);
        }
        self.stays_in(id);
    }

    /// It could not be taken out: it is up as before, and the job that wanted it down has failed.
    pub(crate) fn stays_in(&mut self, id: UnitId) {
        let Some(run) = self.run_mut(id) else { return };
        run.result = UnitResult::Success;
        run.deadline = None;
        (run.control, run.tries, run.is_left) = (None, 0, true);
        (run.stop_asked, run.restarting) = (false, false);
        let text = format!(
            "{}: it could not be taken out and is up as before; end what uses it, and stop it again.",
            self.name(id)
        );
        self.log(id, text);
        self.enter(id, Phase::Exited);
    }

    /// The instance ends, and what is in the table stays there.
    pub(crate) fn leave(&mut self, id: UnitId) {
        let is_empty = self
            .run(id)
            .is_some_and(|run| run.empty && !run.has_process());
        if !is_empty {
            // What a command that was to take it out has left of itself.
            return self.send_round(id, Time::Final, Round::Kill, UnitResult::Success);
        }
        self.release(id);
        self.change(id, State::Dead);
    }

    /// A command that was given up came into being while the run is up again, as the table has it still.
    pub(crate) fn end_latecomer(&mut self, id: UnitId, serial: u32) {
        let incarnation = self.unit(id).incarnation;
        let Some(run) = self.run_mut(id) else { return };
        let is_up = run.table.is_some() && matches!(run.phase, Phase::Running | Phase::Exited);
        let is_awaited = run.control.is_some_and(|control| control.serial == serial);
        if !is_up || is_awaited || serial > run.last_serial {
            return;
        }
        run.empty = false;
        self.emit(Action::Signal {
            unit: id,
            incarnation,
            target: Target::Process(serial),
            signal: Signal::KILL,
        });
    }
}

impl ServiceRun {
    /// The inner state.
    pub fn sub(&self) -> SubState {
        let Some(table) = self.table else {
            return self.phase.sub();
        };
        let (on_the_way_up, up, out) = match table {
            Table::Mounts => (SubState::Mounting, SubState::Mounted, SubState::Unmounting),
            Table::Swaps => (
                SubState::Activating,
                SubState::Active,
                SubState::Deactivating,
            ),
        };
        match (self.phase, table) {
            (Phase::Condition | Phase::StartPre | Phase::Start | Phase::StartPost, _) => {
                on_the_way_up
            }
            (Phase::Running | Phase::Exited, _) => up,
            (
                Phase::Reload
                | Phase::ReloadSignal { .. }
                | Phase::ReloadNotify
                | Phase::ReloadPost,
                _,
            ) => SubState::Remounting,
            (Phase::Stop | Phase::StopPost, _) => out,
            (Phase::StopKill(Round::Kill) | Phase::FinalKill(Round::Kill), Table::Mounts) => {
                SubState::UnmountingSigkill
            }
            (Phase::StopKill(_) | Phase::FinalKill(_), Table::Mounts) => {
                SubState::UnmountingSigterm
            }
            (Phase::StopKill(Round::Kill) | Phase::FinalKill(Round::Kill), Table::Swaps) => {
                SubState::DeactivatingSigkill
            }
            (Phase::StopKill(_) | Phase::FinalKill(_), Table::Swaps) => {
                SubState::DeactivatingSigterm
            }
        }
    }
}
