//! A service speaks, or is silent for too long.

use crate::cause::Cause;
use crate::config::{ServiceType, TimeoutFailure};
use crate::effect::{Action, Role};
use crate::engine::Engine;
use crate::id::{Micros, ProcessKey, UnitId};
use crate::input::Notice;
use crate::service::stop::Time;
use crate::state::{Main, Phase, Process, Progress, Round, UnitResult};

impl Engine {
    pub(crate) fn notified(&mut self, id: UnitId, notice: Notice) {
        if let Some(pid) = notice.main_pid {
            self.new_main(id, pid);
        }
        if notice.restart_reset {
            self.unit_mut(id).restarts = 0;
        }
        if let Some(span) = notice.extend_timeout {
            self.extend(id, Micros(span));
        }
        if let Some(span) = notice.watchdog {
            self.set_watchdog(id, Micros(span));
        }
        if notice.alive {
            self.is_alive(id);
        }
        if notice.watchdog_trigger {
            return self.watchdog_missed(id);
        }
        if notice.says_only_alive() {
            return;
        }
        let Some(run) = self.run_mut(id) else { return };
        run.ready |= notice.ready;
        let phase = run.phase;
        match phase {
            Phase::Running | Phase::ReloadNotify | Phase::ReloadSignal { .. }
                if notice.stopping =>
            {
                self.stops_itself(id)
            }
            Phase::Start if notice.ready && self.awaits_ready(id) && !self.awaits_health(id) => {
                self.start_post(id);
            }
            Phase::ReloadNotify if notice.ready => self.reloaded(id),
            // Who says both has reloaded already.
            Phase::Running if notice.reloading && !notice.ready => self.reloads_itself(id),
            Phase::ReloadSignal { sent }
                if notice.reloading && notice.monotonic.is_none_or(|at| at >= sent.0) =>
            {
                self.reloads_itself(id);
                if notice.ready {
                    self.reloaded(id);
                }
            }
            _ => {}
        }
    }

    fn awaits_ready(&self, id: UnitId) -> bool {
        use crate::config::ServiceType::{Notify, NotifyReload};
        matches!(self.service(id).service_type, Notify | NotifyReload)
            && (self.run(id).is_some_and(|run| run.has_main()) || self.awaits_group(id))
    }

    fn reloads_itself(&mut self, id: UnitId) {
        let deadline = self.now.deadline(self.service(id).timeout_start);
        if let Some(run) = self.run_mut(id) {
            run.reload = UnitResult::Success;
            run.deadline = deadline;
        }
        self.enter(id, Phase::ReloadNotify);
    }

    /// STOPPING=1: as after KillSignal=, without the signal.
    fn stops_itself(&mut self, id: UnitId) {
        let deadline = self.now.deadline(self.service(id).timeout_stop);
        if let Some(run) = self.run_mut(id) {
            run.runtime_end = None;
            run.deadline = deadline;
        }
        self.enter(id, Phase::StopKill(Round::Term));
    }

    /// MAINPID=, or a PID file: the former main process is only one of the service's processes now.
    pub(crate) fn new_main(&mut self, id: UnitId, pid: u32) {
        let incarnation = self.unit(id).incarnation;
        let forks = self.service(id).service_type == ServiceType::Forking;
        let Some(run) = self.run_mut(id) else { return };
        let old = match run.main {
            Main::Process(old) => Some(old.serial),
            Main::None if forks => None,
            Main::None | Main::Ended(_) => return,
        };
        let settled = matches!(
            run.phase,
            Phase::Start
                | Phase::StartPost
                | Phase::Running
                | Phase::Reload
                | Phase::ReloadSignal { .. }
                | Phase::ReloadNotify
                | Phase::ReloadPost
        );
        if !settled {
            return;
        }
        run.last_serial += 1;
        run.strays.extend(old);
        let process = Process {
            serial: run.last_serial,
            role: Role::Main,
            index: 0,
            progress: Progress::Executed,
        };
        run.main = Main::Process(process);
        let key = ProcessKey {
            unit: id,
            incarnation,
            serial: process.serial,
        };
        self.emit(Action::Track { process: key, pid });
        self.main_got_further(id);
    }

    /// EXTEND_TIMEOUT_USEC=: the deadline moves away, never closer.
    fn extend(&mut self, id: UnitId, span: Micros) {
        let until = self.now.after(span);
        let Some(run) = self.run_mut(id) else { return };
        run.deadline = run.deadline.map(|at| at.max(until));
        run.runtime_end = run.runtime_end.map(|at| at.max(until));
    }

    /// A deadline may have passed.
    pub(crate) fn service_tick(&mut self, id: UnitId) {
        let now = self.now;
        let Some(run) = self.run(id) else { return };
        let (phase, service) = (run.phase, self.service(id));
        if run.runtime_end.is_some_and(|at| at <= now) {
            self.kill_control(id);
            return self.stop_commands(id, UnitResult::Timeout);
        }
        if run.watchdog_end.is_some_and(|at| at <= now) {
            return self.watchdog_missed(id);
        }
        if run.deadline.is_none_or(|at| at > now) {
            let _due = self.health_tick(id);
            return;
        }
        self.because(Cause::TimedOut {
            unit: self.name(id),
            at: now,
        });
        let failure = service.stop_failure;
        let aborts = failure == TimeoutFailure::Abort;
        match phase {
            Phase::Condition | Phase::StartPre | Phase::Start | Phase::StartPost => {
                self.give_up(id, Time::Stop, service.start_failure)
            }
            Phase::Reload
            | Phase::ReloadSignal { .. }
            | Phase::ReloadNotify
            | Phase::ReloadPost => self.reload_timed_out(id),
            Phase::Stop => self.give_up(id, Time::Stop, failure),
            Phase::StopPost => self.give_up(id, Time::Final, failure),
            Phase::StopKill(Round::Term) if aborts => self.give_up(id, Time::Stop, failure),
            Phase::FinalKill(Round::Term) if aborts => self.give_up(id, Time::Final, failure),
            Phase::StopKill(round) => self.round_over(id, Time::Stop, round, UnitResult::Timeout),
            Phase::FinalKill(round) => self.round_over(id, Time::Final, round, UnitResult::Timeout),
            Phase::Running | Phase::Exited => {}
        }
    }

    fn reload_timed_out(&mut self, id: UnitId) {
        self.kill_control(id);
        if let Some(run) = self.run_mut(id) {
            run.reload = UnitResult::Timeout;
        }
        self.go_running(id, UnitResult::Success);
    }
}
