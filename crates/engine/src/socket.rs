//! Socket units: opened, watched, handed to their service, closed.

use crate::cause::{Cause, Chain};
use crate::config::{CommandList, Load, Relation, SocketConfig};
use crate::effect::{Action, JobResult, Role, Spawn, Target};
use crate::engine::Engine;
use crate::id::{Incarnation, ProcessKey, UnitId};
use crate::input::{ExitStatus, JobKind};
use crate::jobs::Move;
use crate::service::end::judge_command;
use crate::state::{Process, Progress, Round, SocketPhase, SocketRun, State, UnitResult};

impl SocketRun {
    fn note(&mut self, result: UnitResult) {
        if self.result == UnitResult::Success {
            self.result = result;
        }
    }

    fn has_process(&self) -> bool {
        self.control.is_some() || !self.strays.is_empty()
    }
}

impl SocketConfig {
    fn list(&self, role: Role) -> Option<&CommandList> {
        match role {
            Role::StartPre => Some(&self.start_pre),
            Role::StartPost => Some(&self.start_post),
            Role::Stop => Some(&self.stop_pre),
            Role::StopPost => Some(&self.stop_post),
            Role::Condition | Role::Main | Role::Reload | Role::ReloadPost | Role::Health => None,
        }
    }
}

impl Engine {
    /// Traffic would wait in vain for a service that is not there.
    fn lacks_service(&mut self, id: UnitId) -> bool {
        let service = self.socket(id).service.clone();
        let loaded = |service: UnitId| {
            let config = self.unit(service).config.as_ref();
            config.is_some_and(|config| config.load == Load::Loaded)
        };
        let lacks = !self.triggered(id).is_some_and(loaded);
        if lacks {
            let text = format!("{}: its service {service} is not loaded.", self.name(id));
            self.log(id, text);
        }
        lacks
    }

    pub(crate) fn socket_start(&mut self, id: UnitId) -> Move {
        if self.socket(id).accept.is_none() && self.lacks_service(id) {
            return Move::Over(JobResult::Failed);
        }
        let busy = self.triggered(id).filter(|service| {
            !matches!(
                self.unit(*service).state,
                State::Dead | State::Failed { .. } | State::AutoRestart { .. } | State::Cleaning(_)
            )
        });
        if let Some(service) = busy {
            self.log(
                id,
                format!(
                    "{}: its service {} is up without it; stop that first.",
                    self.name(id),
                    self.name(service)
                ),
            );
            return Move::Over(JobResult::Failed);
        }
        let now = self.now;
        let run = SocketRun {
            phase: SocketPhase::StartPre,
            since: now,
            control: None,
            strays: Vec::new(),
            last_serial: 0,
            result: UnitResult::Success,
            deadline: None,
            empty: true,
        };
        let unit = self.unit_mut(id);
        if let Some(traffic) = &mut unit.traffic {
            traffic.polls = Default::default();
        }
        unit.incarnation = Incarnation(unit.incarnation.0 + 1);
        unit.last_result = UnitResult::Success;
        self.change(id, State::Socket(Box::new(run)));
        if !self.socket_list(id, SocketPhase::StartPre, Role::StartPre) {
            self.open_sockets(id);
        }
        Move::Going
    }

    /// Begins a list; false where it is empty.
    fn socket_list(&mut self, id: UnitId, phase: SocketPhase, role: Role) -> bool {
        if self
            .socket(id)
            .list(role)
            .is_none_or(|list| list.0.is_empty())
        {
            return false;
        }
        self.enter_socket(id, phase);
        self.spawn_socket(id, role, 0);
        true
    }

    fn spawn_socket(&mut self, id: UnitId, role: Role, index: u16) {
        let deadline = self.now.deadline(self.socket(id).timeout);
        let incarnation = self.unit(id).incarnation;
        let Some(run) = self.socket_run_mut(id) else {
            return;
        };
        run.last_serial += 1;
        run.empty = false;
        run.deadline = deadline;
        run.control = Some(Process {
            serial: run.last_serial,
            role,
            index,
            progress: Progress::Asked,
        });
        let result = matches!(role, Role::Stop | Role::StopPost).then_some(run.result);
        let process = ProcessKey {
            unit: id,
            incarnation,
            serial: run.last_serial,
        };
        self.emit(Action::Spawn(Spawn {
            process,
            role,
            index,
            result,
            main_status: None,
        }));
    }

    fn open_sockets(&mut self, id: UnitId) {
        let deadline = self.now.deadline(self.socket(id).timeout);
        if let Some(run) = self.socket_run_mut(id) {
            run.deadline = deadline;
        }
        self.enter_socket(id, SocketPhase::StartOpen);
        let incarnation = self.unit(id).incarnation;
        self.emit(Action::OpenSockets {
            unit: id,
            incarnation,
        });
    }

    pub(crate) fn sockets_opened(&mut self, id: UnitId, incarnation: Incarnation, well: bool) {
        let Some(phase) = self.socket_run(id).map(|run| run.phase) else {
            return;
        };
        if !self.is_current(id, incarnation) {
            return;
        }
        if !well && phase.has_sockets() {
            self.because(Cause::Sockets {
                unit: self.name(id),
            });
            return self.socket_fail(id, UnitResult::Resources);
        }
        if phase != SocketPhase::StartOpen {
            return;
        }
        self.cause = self.unit(id).cause.clone();
        if !well {
            self.because(Cause::Sockets {
                unit: self.name(id),
            });
            return self.socket_stop_post(id, UnitResult::Resources);
        }
        if !self.socket_list(id, SocketPhase::StartPost, Role::StartPost) {
            self.listen(id);
        }
    }

    fn listen(&mut self, id: UnitId) {
        let incarnation = self.unit(id).incarnation;
        if let Some(run) = self.socket_run_mut(id) {
            run.deadline = None;
        }
        self.enter_socket(id, SocketPhase::Listening);
        if self.socket(id).flush_pending {
            self.emit(Action::FlushSockets(id));
        }
        self.emit(Action::WatchSockets {
            unit: id,
            incarnation,
        });
    }

    pub(crate) fn traffic(&mut self, id: UnitId, incarnation: Incarnation) {
        let listening = self
            .socket_run(id)
            .is_some_and(|run| run.phase == SocketPhase::Listening);
        let stopping = self
            .unit(id)
            .job
            .as_ref()
            .is_some_and(|job| matches!(job.kind, JobKind::Stop | JobKind::Restart));
        if !listening || stopping || !self.is_current(id, incarnation) {
            return;
        }
        self.cause = Chain::root(Cause::Traffic {
            socket: self.name(id),
        });
        if !self.polled(id) {
            return;
        }
        let (now, limit) = (self.now, self.socket(id).trigger_limit);
        if !self.unit_mut(id).triggers.admit(now, limit) {
            self.because(Cause::LimitHit {
                unit: self.name(id),
            });
            return self.socket_fail(id, UnitResult::TriggerLimitHit);
        }
        let Some(service) = self.triggered(id) else {
            return self.socket_fail(id, UnitResult::Resources);
        };
        if self.is_up_or_coming(service) {
            return self.enter_socket(id, SocketPhase::Running);
        }
        let cause = self.cause.clone();
        let mode = self.trigger_mode(id);
        match self.request(service, JobKind::Start, mode, &cause, false) {
            Ok(_) => {
                self.cause = cause;
                self.enter_socket(id, SocketPhase::Running);
            }
            Err(refusal) => {
                self.cause = cause;
                self.defer(id, &refusal);
            }
        }
    }

    fn is_up_or_coming(&self, service: UnitId) -> bool {
        let unit = self.unit(service);
        let job = unit.job.as_ref().is_some_and(|job| {
            matches!(
                job.kind,
                JobKind::Start | JobKind::Restart | JobKind::Reload | JobKind::Replace
            )
        });
        let coming = matches!(unit.state, State::Service(_))
            && unit.state.active() != crate::state::ActiveState::Deactivating;
        job || coming
    }

    /// The service came or went.
    pub(crate) fn service_changed(&mut self, id: UnitId) {
        let Some(phase) = self.socket_run(id).map(|run| run.phase) else {
            return;
        };
        let Some(service) = self.triggered(id) else {
            return;
        };
        let unit = self.unit(service);
        if unit.job.is_some() || !phase.has_sockets() {
            return;
        }
        let state = unit.state.clone();
        self.cause = unit.cause.and(Cause::Followed {
            unit: self.name(service),
            relation: Relation::Triggers,
        });
        match state {
            State::Failed {
                result: UnitResult::StartLimitHit,
                ..
            } => self.socket_fail(id, UnitResult::ServiceStartLimitHit),
            State::Dead | State::Failed { .. } | State::AutoRestart { .. }
                if phase == SocketPhase::Running =>
            {
                self.listen(id)
            }
            State::Service(run) if run.phase.active().is_up() && phase != SocketPhase::Running => {
                self.served_meanwhile(id)
            }
            _ => {}
        }
    }

    pub(crate) fn socket_fail(&mut self, id: UnitId, result: UnitResult) {
        if let Some(run) = self.socket_run_mut(id) {
            run.note(result);
        }
        self.emit(Action::UnwatchSockets(id));
        if !self.socket_list(id, SocketPhase::StopPre, Role::Stop) {
            self.socket_stop_post(id, UnitResult::Success);
        }
    }

    /// A job wants it down.
    pub(crate) fn socket_stop(&mut self, id: UnitId) {
        match self.socket_run(id).map(|run| run.phase) {
            Some(SocketPhase::StartPre | SocketPhase::StartOpen | SocketPhase::StartPost) => {
                self.socket_round(id, false, Round::Term, UnitResult::Success);
            }
            Some(SocketPhase::Listening | SocketPhase::Deferred | SocketPhase::Running) => {
                self.socket_fail(id, UnitResult::Success)
            }
            Some(
                SocketPhase::StopPre
                | SocketPhase::StopPreKill(_)
                | SocketPhase::StopPost
                | SocketPhase::FinalKill(_),
            )
            | None => {}
        }
    }

    fn socket_stop_post(&mut self, id: UnitId, result: UnitResult) {
        let incarnation = self.unit(id).incarnation;
        let Some(run) = self.socket_run_mut(id) else {
            return;
        };
        run.note(result);
        if let Some(control) = run.control.take() {
            run.strays.push(control.serial);
        }
        self.emit(Action::CloseSockets {
            unit: id,
            incarnation,
        });
        if !self.socket_list(id, SocketPhase::StopPost, Role::StopPost) {
            self.socket_round(id, true, Round::Term, UnitResult::Success);
        }
    }

    /// Signals to whatever a command left, before (`last` false) or after ExecStopPost=.
    fn socket_round(&mut self, id: UnitId, last: bool, round: Round, result: UnitResult) {
        let socket = self.socket(id);
        let deadline = self.now.deadline(socket.timeout);
        let incarnation = self.unit(id).incarnation;
        let Some(run) = self.socket_run_mut(id) else {
            return;
        };
        run.note(result);
        run.deadline = deadline;
        let nobody = run.empty && !run.has_process();
        self.enter_socket(
            id,
            if last {
                SocketPhase::FinalKill(round)
            } else {
                SocketPhase::StopPreKill(round)
            },
        );
        if nobody {
            return self.socket_round_over(id, last, UnitResult::Success);
        }
        let signal = if round == Round::Kill {
            socket.kill.final_signal
        } else {
            socket.kill.signal
        };
        self.emit(Action::Signal {
            unit: id,
            incarnation,
            target: Target::All,
            signal,
        });
        self.emit(Action::WatchEmpty {
            unit: id,
            incarnation,
        });
    }

    fn socket_round_over(&mut self, id: UnitId, last: bool, result: UnitResult) {
        if last {
            self.socket_down(id, result)
        } else {
            self.socket_stop_post(id, result)
        }
    }

    fn socket_down(&mut self, id: UnitId, result: UnitResult) {
        let Some(run) = self.socket_run_mut(id) else {
            return;
        };
        run.note(result);
        let (result, was) = (run.result, run.phase.sub());
        self.unit_mut(id).last_result = result;
        self.release(id);
        self.change(
            id,
            if result == UnitResult::Success {
                State::Dead
            } else {
                State::Failed { result, was }
            },
        );
    }

    pub(crate) fn socket_progressed(&mut self, id: UnitId, serial: u32, progress: Progress) {
        let Some(run) = self.socket_run_mut(id) else {
            return;
        };
        if let Some(control) = run
            .control
            .as_mut()
            .filter(|control| control.serial == serial)
        {
            control.progress = control.progress.max(progress);
        }
    }

    pub(crate) fn socket_ended(&mut self, id: UnitId, serial: u32, status: Option<ExitStatus>) {
        let incarnation = self.unit(id).incarnation;
        let socket = self.socket(id);
        let Some(run) = self.socket_run_mut(id) else {
            return;
        };
        let phase = run.phase;
        run.strays.retain(|stray| *stray != serial);
        let control = run.control.filter(|control| control.serial == serial);
        if control.is_some() {
            run.control = None;
        }
        if matches!(
            phase,
            SocketPhase::StopPreKill(_) | SocketPhase::FinalKill(_)
        ) {
            if !run.has_process() {
                self.emit(Action::WatchEmpty {
                    unit: id,
                    incarnation,
                });
            }
            return;
        }
        let Some(process) = control else { return };
        let list = socket.list(process.role);
        let next = process.index + 1;
        let ignored = list
            .and_then(|list| list.get(process.index))
            .is_some_and(|command| command.ignore_failure);
        let result = if ignored {
            UnitResult::Success
        } else {
            judge_command(status, process.role)
        };
        if result == UnitResult::Success && list.is_some_and(|list| list.get(next).is_some()) {
            return self.spawn_socket(id, process.role, next);
        }
        self.socket_list_ended(id, phase, result);
    }

    fn socket_list_ended(&mut self, id: UnitId, phase: SocketPhase, result: UnitResult) {
        let well = result == UnitResult::Success;
        match phase {
            SocketPhase::StartPre if well => self.open_sockets(id),
            SocketPhase::StartPost if well => self.listen(id),
            SocketPhase::StartPre | SocketPhase::StartPost => {
                self.socket_round(id, false, Round::Term, result)
            }
            SocketPhase::StopPre => self.socket_stop_post(id, result),
            SocketPhase::StopPost => self.socket_round(id, true, Round::Term, result),
            _ => {}
        }
    }

    pub(crate) fn socket_empty(&mut self, id: UnitId) {
        let Some(run) = self.socket_run_mut(id) else {
            return;
        };
        if run.has_process() {
            return;
        }
        run.empty = true;
        match run.phase {
            SocketPhase::StopPreKill(_) => self.socket_round_over(id, false, UnitResult::Success),
            SocketPhase::FinalKill(_) => self.socket_round_over(id, true, UnitResult::Success),
            _ => {}
        }
    }

    pub(crate) fn socket_tick(&mut self, id: UnitId) {
        let now = self.now;
        let Some(run) = self.socket_run(id) else {
            return;
        };
        if run.deadline.is_none_or(|at| at > now) {
            return;
        }
        let (phase, timeout) = (run.phase, UnitResult::Timeout);
        let spares = !self.socket(id).kill.send_sigkill;
        self.because(Cause::TimedOut {
            unit: self.name(id),
            at: now,
        });
        match phase {
            SocketPhase::StartPre
            | SocketPhase::StartOpen
            | SocketPhase::StartPost
            | SocketPhase::StopPre => {
                self.socket_round(id, false, Round::Term, timeout);
            }
            SocketPhase::StopPost => self.socket_round(id, true, Round::Term, timeout),
            SocketPhase::StopPreKill(round) if round == Round::Kill || spares => {
                self.socket_round_over(id, false, timeout);
            }
            SocketPhase::FinalKill(round) if round == Round::Kill || spares => {
                self.socket_round_over(id, true, timeout);
            }
            SocketPhase::StopPreKill(_) => self.socket_round(id, false, Round::Kill, timeout),
            SocketPhase::FinalKill(_) => self.socket_round(id, true, Round::Kill, timeout),
            SocketPhase::Deferred => self.deferred_too_long(id),
            SocketPhase::Listening | SocketPhase::Running => self.resume_polling(id),
        }
    }
}
