//! A process of a service ended: what that means depends on the phase.

use crate::cause::Cause;
use crate::config::{KillMode, ServiceConfig, ServiceType, StatusSet};
use crate::effect::{Action, Role};
use crate::engine::Engine;
use crate::id::{Signal, UnitId};
use crate::input::ExitStatus;
use crate::service::stop::Time;
use crate::state::{Main, Phase, Process, Round, UnitResult};

/// Signals that end a long-running process cleanly.
const CLEAN_SIGNALS: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::TERM, Signal::PIPE];

impl StatusSet {
    pub(crate) fn has(&self, status: ExitStatus) -> bool {
        match status {
            ExitStatus::Exited(status) => self.statuses.contains(&status),
            ExitStatus::Killed(signal) | ExitStatus::Dumped(signal) => {
                self.signals.contains(&signal)
            }
            ExitStatus::Unknown => false,
        }
    }
}

/// How a command's end counts.
pub(crate) fn judge_command(status: Option<ExitStatus>, role: Role) -> UnitResult {
    match status {
        None => UnitResult::Resources,
        Some(ExitStatus::Exited(0) | ExitStatus::Unknown) => UnitResult::Success,
        Some(ExitStatus::Exited(1..=254)) if role == Role::Condition => UnitResult::ExecCondition,
        Some(ExitStatus::Exited(_)) => UnitResult::ExitCode,
        Some(ExitStatus::Killed(_)) => UnitResult::Signal,
        Some(ExitStatus::Dumped(_)) => UnitResult::CoreDump,
    }
}

/// How the end of one of a service's processes counts.
fn judge(service: &ServiceConfig, status: Option<ExitStatus>, process: Process) -> UnitResult {
    let judged = judge_command(status, process.role);
    let Some(status) = status else { return judged };
    let daemon = process.role == Role::Main && service.service_type != ServiceType::Oneshot;
    let clean_signal =
        daemon && matches!(status, ExitStatus::Killed(signal) if CLEAN_SIGNALS.contains(&signal));
    let ignored = service
        .list(process.role)
        .get(process.index)
        .is_some_and(|command| command.ignore_failure);
    if clean_signal || ignored || service.success.has(status) {
        UnitResult::Success
    } else {
        judged
    }
}

impl Engine {
    /// `None`: the process could not be made.
    pub(crate) fn service_ended(&mut self, id: UnitId, serial: u32, status: Option<ExitStatus>) {
        let Some(run) = self.run_mut(id) else { return };
        if let Some(place) = run.strays.iter().position(|stray| *stray == serial) {
            run.strays.swap_remove(place);
            return self.watch_again(id);
        }
        if self.probe_exited(id, serial, status) {
            return;
        }
        let Some(run) = self.run(id) else { return };
        let main = match run.main {
            Main::Process(main) if main.serial == serial => Some(main),
            _ => None,
        };
        let control = run.control.filter(|control| control.serial == serial);
        let Some(process) = main.or(control) else {
            return;
        };
        self.blame(id, process, status);
        if main.is_some() {
            self.main_ended(id, process, status);
        } else {
            self.control_ended(id, process, status);
        }
    }

    fn blame(&mut self, id: UnitId, process: Process, status: Option<ExitStatus>) {
        let (unit, incarnation, role) = (self.name(id), self.unit(id).incarnation, process.role);
        self.because(match status {
            Some(status) => Cause::Exited {
                unit,
                incarnation,
                role,
                status,
            },
            None => Cause::SpawnFailed { unit, role },
        });
    }

    fn main_ended(&mut self, id: UnitId, process: Process, status: Option<ExitStatus>) {
        let service = self.service(id);
        let result = judge(&service, status, process);
        self.unit_mut(id).main_status = status;
        let Some(run) = self.run_mut(id) else { return };
        run.main = Main::Ended(status.unwrap_or(ExitStatus::Unknown));
        if service.table.is_some() && run.phase == Phase::Start {
            return self.put_in(id, result);
        }
        let Some(run) = self.run_mut(id) else { return };
        let phase = run.phase;
        run.note(result);
        let (controlled, oneshot) = (
            run.control.is_some(),
            service.service_type == ServiceType::Oneshot,
        );
        match phase {
            Phase::Start if oneshot && result == UnitResult::Success => {
                self.next_main(id, process.index)
            }
            Phase::Start if self.awaits_group(id) => self.watch_again(id),
            Phase::Start if result != UnitResult::Success || oneshot => {
                self.stop_signals(id, result)
            }
            Phase::Start => self.ended_too_early(id, &service),
            Phase::StartPost
            | Phase::Reload
            | Phase::ReloadSignal { .. }
            | Phase::ReloadNotify
            | Phase::ReloadPost => {
                if !controlled {
                    self.stop_or_signal(id, result);
                }
            }
            Phase::Running => self.go_running(id, result),
            Phase::Stop | Phase::StopKill(_) if controlled => self.watch_again(id),
            Phase::StopPost | Phase::FinalKill(_) if controlled => self.watch_again(id),
            Phase::Stop => self.stop_signals(id, result),
            Phase::StopKill(round) => self.stopped_main(id, round, result),
            Phase::StopPost => self.send_round(id, Time::Final, Round::Term, result),
            Phase::FinalKill(_) => self.final_end(id, result),
            Phase::Condition | Phase::StartPre | Phase::Exited => {}
        }
    }

    /// The next ExecStart= of a oneshot.
    fn next_main(&mut self, id: UnitId, index: u16) {
        let next = index + 1;
        if self.service(id).start.get(next).is_some() {
            self.spawn_main(id, next);
        } else {
            self.start_post(id);
        }
    }

    /// The main process ended cleanly before the service was up.
    fn ended_too_early(&mut self, id: UnitId, service: &ServiceConfig) {
        match service.service_type {
            ServiceType::Notify | ServiceType::NotifyReload => {
                self.stop_signals(id, UnitResult::Protocol)
            }
            _ if self.awaits_health(id) => self.stop_signals(id, UnitResult::Protocol),
            // Nobody is left who could take the name.
            ServiceType::Dbus => self.go_running(id, UnitResult::Success),
            // It ran, and so it was up: the report of that was overtaken by its end.
            _ => self.start_post(id),
        }
    }

    fn stop_or_signal(&mut self, id: UnitId, result: UnitResult) {
        let goes_on = self.service(id).remain_after_exit || self.lives_as_group(id);
        if result == UnitResult::Success && !goes_on {
            self.stop_commands(id, result);
        } else {
            self.go_running(id, result);
        }
    }

    fn stopped_main(&mut self, id: UnitId, round: Round, result: UnitResult) {
        // The last round is for all, so it waits for all.
        let waits_for_all = round == Round::Kill
            && matches!(
                self.service(id).kill.mode,
                KillMode::ControlGroup | KillMode::Mixed
            );
        if waits_for_all {
            return self.watch_again(id);
        }
        self.stop_post(id, result);
    }

    /// The signals after ExecStopPost= had an effect on a tracked process.
    fn final_end(&mut self, id: UnitId, result: UnitResult) {
        let Some(Phase::FinalKill(round)) = self.run(id).map(|run| run.phase) else {
            return;
        };
        let waits_for_all = match self.service(id).kill.mode {
            KillMode::ControlGroup => true,
            KillMode::Mixed => round == Round::Kill,
            KillMode::Process | KillMode::None => false,
        };
        if waits_for_all {
            return self.watch_again(id);
        }
        if self
            .run(id)
            .is_some_and(|run| !run.has_main() && run.control.is_none())
        {
            self.round_over_quietly(id, round, result);
        }
    }

    /// Nobody is left to wait for in this round.
    fn round_over_quietly(&mut self, id: UnitId, round: Round, result: UnitResult) {
        if self.service(id).kill.mode == KillMode::Mixed {
            return self.round_over(id, Time::Final, round, result);
        }
        self.service_down(id, result, true);
    }

    fn control_ended(&mut self, id: UnitId, process: Process, status: Option<ExitStatus>) {
        let service = self.service(id);
        let list = service.list(process.role);
        let result = judge(&service, status, process);
        let next = process.index + 1;
        let more = result == UnitResult::Success && list.get(next).is_some();
        let Some(run) = self.run_mut(id) else { return };
        run.control = None;
        let phase = run.phase;
        if service.table.is_some() && phase == Phase::Stop {
            return self.taken_out(id, result);
        }
        let Some(run) = self.run_mut(id) else { return };
        if matches!(process.role, Role::Reload | Role::ReloadPost) {
            run.reload = result;
        } else {
            run.note(result);
        }
        if more && phase_of(process.role) == Some(phase) {
            return self.spawn_control(id, process.role, next);
        }
        self.list_ended(id, phase, result);
    }

    fn list_ended(&mut self, id: UnitId, phase: Phase, result: UnitResult) {
        let well = result == UnitResult::Success;
        let main = self.run(id).is_some_and(|run| run.has_main());
        match phase {
            Phase::Condition | Phase::StartPre if well => {
                self.start_list(
                    id,
                    if phase == Phase::Condition {
                        Phase::StartPre
                    } else {
                        Phase::Start
                    },
                );
            }
            Phase::Condition | Phase::StartPre | Phase::Stop => self.stop_signals(id, result),
            Phase::StartPost if !well => self.stop_signals(id, result),
            Phase::Reload if well && self.service(id).service_type == ServiceType::NotifyReload => {
                self.signal_reload(id);
            }
            Phase::Start if well => self.forked(id),
            Phase::Start => self.stop_signals(id, result),
            Phase::StartPost => self.started_post(id),
            Phase::Reload if well => self.reloaded(id),
            Phase::Reload | Phase::ReloadPost => self.go_running(id, UnitResult::Success),
            Phase::StopKill(_) if main => self.watch_again(id),
            Phase::StopKill(round) => self.stopped_main(id, round, result),
            Phase::StopPost => self.send_round(id, Time::Final, Round::Term, result),
            Phase::FinalKill(_) => self.final_end(id, result),
            Phase::Running | Phase::Exited | Phase::ReloadSignal { .. } | Phase::ReloadNotify => {}
        }
    }

    /// An end was reported while all ends are waited for: ask whether it was the last one.
    pub(crate) fn watch_again(&mut self, id: UnitId) {
        let mode = self.service(id).kill.mode;
        let Some(run) = self.run(id) else { return };
        let waits = match run.phase {
            Phase::StopKill(round) | Phase::FinalKill(round) => {
                mode == KillMode::ControlGroup || (mode == KillMode::Mixed && round == Round::Kill)
            }
            Phase::Start if self.awaits_group(id) => true,
            Phase::Start if self.awaits_health(id) => self.lives_as_group(id),
            Phase::Start | Phase::StartPost => self.awaits_main(id) && self.service(id).pid_file,
            Phase::Running => self.lives_as_group(id),
            _ => false,
        };
        if waits && !run.has_process() {
            let incarnation = self.unit(id).incarnation;
            self.emit(Action::WatchEmpty {
                unit: id,
                incarnation,
            });
        }
    }

    /// No process is left in the cgroup.
    pub(crate) fn service_empty(&mut self, id: UnitId) {
        let Some(run) = self.run_mut(id) else { return };
        if run.has_process() {
            return;
        }
        let (awaited, probed) = (self.awaits_group(id), self.awaits_health(id));
        let Some(run) = self.run_mut(id) else { return };
        run.empty = true;
        match run.phase {
            // Nobody is left who could say READY=1.
            Phase::Start if awaited => self.stop_signals(id, UnitResult::Protocol),
            // Nor who could be healthy.
            Phase::Start if probed => self.stop_signals(id, UnitResult::Protocol),
            Phase::StopKill(_) => self.stop_post(id, UnitResult::Success),
            Phase::FinalKill(_) => self.service_down(id, UnitResult::Success, true),
            Phase::Start | Phase::StartPost => self.never_written(id),
            Phase::Running => self.go_running(id, UnitResult::Success),
            _ => {}
        }
    }
}

fn phase_of(role: Role) -> Option<Phase> {
    match role {
        Role::Condition => Some(Phase::Condition),
        Role::StartPre => Some(Phase::StartPre),
        Role::StartPost => Some(Phase::StartPost),
        Role::Reload => Some(Phase::Reload),
        Role::ReloadPost => Some(Phase::ReloadPost),
        Role::Stop => Some(Phase::Stop),
        Role::StopPost => Some(Phase::StopPost),
        Role::Main | Role::Health => None,
    }
}
