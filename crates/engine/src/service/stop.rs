//! A service on its way down: ExecStop=, signals, ExecStopPost=, signals again.

use crate::config::{KillMode, ServiceConfig, TimeoutFailure};
use crate::effect::{Action, Role, Target};
use crate::engine::Engine;
use crate::id::{Signal, UnitId};
use crate::state::{Main, Phase, Round, UnitResult};

/// The two times at which signals are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// Before ExecStopPost=.
    Stop,
    /// After it.
    Final,
}

impl Time {
    fn phase(self, round: Round) -> Phase {
        match self {
            Time::Stop => Phase::StopKill(round),
            Time::Final => Phase::FinalKill(round),
        }
    }
}

impl Engine {
    /// A job wants it down.
    pub(crate) fn service_stop(&mut self, id: UnitId, restart: bool) {
        let leaves = self.ending;
        self.hasten(id);
        let Some(run) = self.run_mut(id) else { return };
        run.stop_asked = true;
        run.restarting |= restart;
        match run.phase {
            // It goes with those that made it.
            Phase::Running | Phase::Exited if leaves && run.is_left => self.leave(id),
            Phase::Condition | Phase::StartPre | Phase::Start | Phase::StartPost => {
                self.stop_signals(id, UnitResult::Success)
            }
            Phase::Reload
            | Phase::ReloadSignal { .. }
            | Phase::ReloadNotify
            | Phase::ReloadPost => {
                self.kill_control(id);
                self.stop_commands(id, UnitResult::Success);
            }
            Phase::Running | Phase::Exited => self.stop_commands(id, UnitResult::Success),
            Phase::Stop | Phase::StopKill(_) | Phase::StopPost | Phase::FinalKill(_) => {}
        }
    }

    /// The control process is not waited for any more.
    pub(crate) fn kill_control(&mut self, id: UnitId) {
        let spared = self.service(id).kill.mode == KillMode::None;
        self.leave_control(id, spared);
    }

    fn leave_control(&mut self, id: UnitId, spared: bool) {
        let incarnation = self.unit(id).incarnation;
        let Some(run) = self.run_mut(id) else { return };
        if let Some(control) = run.control.take() {
            run.strays.push(control.serial);
            if spared {
                return;
            }
            let target = Target::Process(control.serial);
            self.emit(Action::Signal {
                unit: id,
                incarnation,
                target,
                signal: Signal::KILL,
            });
        }
    }

    /// ExecStop=, where there are any.
    pub(crate) fn stop_commands(&mut self, id: UnitId, result: UnitResult) {
        let commands = !self.service(id).stop.0.is_empty();
        if let Some(run) = self.run_mut(id) {
            run.note(result);
            run.runtime_end = None;
        }
        if !commands {
            return self.stop_signals(id, UnitResult::Success);
        }
        self.enter(id, Phase::Stop);
        self.spawn_control(id, Role::Stop, 0);
    }

    /// KillSignal=, before ExecStopPost=.
    pub(crate) fn stop_signals(&mut self, id: UnitId, result: UnitResult) {
        self.send_round(id, Time::Stop, Round::Term, result);
    }

    /// Sends a round of signals and waits for the ends; goes on at once where there is nothing to wait for.
    pub(crate) fn send_round(&mut self, id: UnitId, time: Time, round: Round, result: UnitResult) {
        let service = self.service(id);
        let limit = if round == Round::Watchdog {
            service.timeout_abort
        } else {
            service.timeout_stop
        };
        let deadline = self.now.deadline(limit);
        if let Some(run) = self.run_mut(id) {
            run.note(result);
            run.runtime_end = None;
            run.deadline = deadline;
        }
        self.enter(id, time.phase(round));
        if !self.signal_round(id, &service, round) {
            self.round_over(id, time, round, UnitResult::Success);
        }
    }

    /// Whether somebody who got the signal is waited for.
    pub(crate) fn signal_round(
        &mut self,
        id: UnitId,
        service: &ServiceConfig,
        round: Round,
    ) -> bool {
        let Some(run) = self.run(id) else {
            return false;
        };
        let (control, main, empty) = (run.control, run.main, run.empty && !run.has_process());
        let kill = service.kill;
        let signal = match round {
            Round::Watchdog => kill.watchdog_signal,
            Round::Term if run.restarting => kill.restart_signal,
            Round::Term => kill.signal,
            Round::Kill => kill.final_signal,
        };
        let everybody = match kill.mode {
            KillMode::None => return false,
            KillMode::ControlGroup => true,
            KillMode::Mixed => round == Round::Kill,
            KillMode::Process => false,
        };
        if everybody && empty {
            return false;
        }
        if everybody {
            self.send(id, Target::All, signal, service, round);
            let incarnation = self.unit(id).incarnation;
            self.emit(Action::WatchEmpty {
                unit: id,
                incarnation,
            });
            return true;
        }
        if let Main::Process(_) = main {
            self.send(id, Target::Main, signal, service, round);
        }
        if control.is_some() {
            self.send(id, Target::Control, signal, service, round);
        }
        control.is_some() || matches!(main, Main::Process(_))
    }

    /// A process came into being while signals are out: it gets them too.
    pub(crate) fn signal_latecomer(&mut self, id: UnitId) {
        if let Some(Phase::StopKill(round) | Phase::FinalKill(round)) =
            self.run(id).map(|run| run.phase)
        {
            let service = self.service(id);
            let _waits = self.signal_round(id, &service, round);
        }
    }

    fn send(
        &mut self,
        unit: UnitId,
        target: Target,
        signal: Signal,
        service: &ServiceConfig,
        round: Round,
    ) {
        let incarnation = self.unit(unit).incarnation;
        self.emit(Action::Signal {
            unit,
            incarnation,
            target,
            signal,
        });
        if round == Round::Kill {
            return;
        }
        // A stopped process cannot answer.
        self.emit(Action::Signal {
            unit,
            incarnation,
            target,
            signal: Signal::CONT,
        });
        if service.kill.send_sighup && round == Round::Term {
            self.emit(Action::Signal {
                unit,
                incarnation,
                target,
                signal: Signal::HUP,
            });
        }
    }

    /// A round has done what it can: the next one.
    pub(crate) fn round_over(&mut self, id: UnitId, time: Time, round: Round, result: UnitResult) {
        let kills = self.service(id).kill.send_sigkill;
        if round != Round::Kill && kills {
            return self.send_round(id, time, Round::Kill, result);
        }
        match time {
            Time::Stop => self.stop_post(id, result),
            Time::Final => {
                // No other run beside the processes that are left alone.
                let are_left = result == UnitResult::Timeout && round != Round::Kill;
                self.service_down(id, result, !are_left);
            }
        }
    }

    /// ExecStopPost=, where there are any.
    pub(crate) fn stop_post(&mut self, id: UnitId, result: UnitResult) {
        let service = self.service(id);
        let commands = !service.stop_post.0.is_empty();
        if let Some(run) = self.run_mut(id) {
            run.note(result);
        }
        let kill = service.kill;
        self.leave_control(id, kill.mode == KillMode::None || !kill.send_sigkill);
        if !commands {
            return self.send_round(id, Time::Final, Round::Term, UnitResult::Success);
        }
        self.enter(id, Phase::StopPost);
        self.spawn_control(id, Role::StopPost, 0);
    }

    /// A way up or down took too long.
    pub(crate) fn give_up(&mut self, id: UnitId, time: Time, mode: TimeoutFailure) {
        let round = match mode {
            TimeoutFailure::Terminate => Round::Term,
            TimeoutFailure::Abort => Round::Watchdog,
            TimeoutFailure::Kill if !self.service(id).kill.send_sigkill => {
                return self.round_over(id, time, Round::Term, UnitResult::Timeout);
            }
            TimeoutFailure::Kill => Round::Kill,
        };
        self.send_round(id, time, round, UnitResult::Timeout);
    }
}
