//! The manager died and is back: records in, then what the keeper has, then the rest is sent again.

use crate::cause::{Cause, Chain};
use crate::effect::{Action, Spawn};
use crate::engine::Engine;
use crate::id::{ProcessKey, UnitId};
use crate::input::ExitStatus;
use crate::snapshot::{JobSnapshot, UnitSnapshot};
use crate::state::{Main, Phase, Process, Progress, Round, SocketPhase, State};
use crate::transition::Followup;
use crate::unit::{Job, Unit};

impl Unit {
    pub(crate) fn snapshot(&self) -> UnitSnapshot {
        UnitSnapshot {
            name: self.name.clone(),
            state: self.state.clone(),
            incarnation: self.incarnation,
            numbered: self.numbered,
            beside: self.beside.clone(),
            main_status: self.main_status,
            last_result: self.last_result,
            restarts: self.restarts,
            starts: self.starts,
            triggers: self.triggers,
            followings: self.followings,
            stamps: self.stamps,
            traffic: self.traffic.clone(),
            served: self.served.clone(),
            in_table: self.in_table,
            job: self.job.as_ref().map(|job| job.snapshot()),
            last_job: self.last_job,
            cause: self.cause.links().to_vec(),
        }
    }
}

impl Job {
    pub(crate) fn snapshot(&self) -> JobSnapshot {
        JobSnapshot {
            id: self.id,
            kind: self.kind,
            automatic: self.automatic,
            drain: self.drain,
            running: self.running,
            queued: self.queued,
            began: self.began,
            ignore_order: self.ignore_order,
            irreversible: self.irreversible,
            testing: self.testing,
            cause: self.cause.links().to_vec(),
        }
    }

    pub(crate) fn restore(snapshot: JobSnapshot) -> Job {
        Job {
            id: snapshot.id,
            kind: snapshot.kind,
            automatic: snapshot.automatic,
            drain: snapshot.drain,
            running: snapshot.running,
            queued: snapshot.queued,
            began: snapshot.began,
            ignore_order: snapshot.ignore_order,
            irreversible: snapshot.irreversible,
            testing: snapshot.testing,
            cause: Chain::from_links(&snapshot.cause),
        }
    }
}

impl Engine {
    /// Puts a unit back where it was; configure it first, then report `Alive` and `Exited`, then `InventoryComplete`.
    pub fn restore(&mut self, snapshot: UnitSnapshot) {
        let id = self.intern(&snapshot.name);
        self.restoring = true;
        self.last_job = self.last_job.max(snapshot.last_job);
        let job = snapshot.job.map(Job::restore);
        if let Some(job) = &job {
            self.jobs.insert(job.id, id);
            self.last_job = self.last_job.max(job.id.0);
            if !job.running {
                self.ready.insert(job.id);
            }
        }
        let unit = self.unit_unrecorded(id);
        unit.state = snapshot.state;
        unit.incarnation = snapshot.incarnation;
        unit.numbered = snapshot.numbered;
        unit.beside = snapshot.beside;
        unit.main_status = snapshot.main_status;
        unit.last_result = snapshot.last_result;
        unit.restarts = snapshot.restarts;
        unit.starts = snapshot.starts;
        unit.triggers = snapshot.triggers;
        unit.followings = snapshot.followings;
        unit.stamps = snapshot.stamps;
        unit.traffic = snapshot.traffic;
        unit.served = snapshot.served.clone();
        unit.in_table = snapshot.in_table;
        unit.job = job.map(Box::new);
        unit.last_job = snapshot.last_job;
        unit.cause = Chain::from_links(&snapshot.cause);
        self.listen_again(id);
        let run = self.socket_run(id);
        if run.is_some_and(|run| run.phase == SocketPhase::Deferred) {
            self.deferred.insert(id);
        }
        if let Some(served) = snapshot.served {
            self.count_connection(&served.socket, &served.source, 1);
        }
        self.keep_deadline(id);
    }

    /// What was never confirmed is sent again, what is lost counts as ended; both do no harm where the former did arrive.
    pub(crate) fn inventory_complete(&mut self) {
        for id in self.units().collect::<Vec<_>>() {
            self.cause = self.unit(id).cause.and(Cause::Adopted {
                unit: self.name(id),
            });
            if self.unit(id).job.as_ref().is_some_and(|job| job.testing) {
                self.emit(Action::TestConditions(id));
            }
            self.resend_beside(id);
            match &self.unit(id).state {
                State::Service(_) => {
                    self.probe_anew(id);
                    let Some(run) = self.run(id) else { continue };
                    let main = match run.main {
                        Main::Process(process) => Some(process),
                        Main::None | Main::Ended(_) => None,
                    };
                    let processes = run.control.into_iter().chain(main).collect();
                    self.resend(id, processes);
                    self.resend_service(id);
                    self.watch_anew(id);
                }
                State::Socket(run) => {
                    let processes = run.control.into_iter().collect();
                    self.resend(id, processes);
                    self.resend_socket(id);
                }
                State::Timer(_) => self.resend_timer(id),
                State::Path(_) => self.resend_path(id),
                State::Automount(_) => self.resend_automount(id),
                State::Cleaning(cleaning) => {
                    let cleaning = *cleaning;
                    self.resend_cleaning(id, cleaning);
                }
                State::Dead | State::Failed { .. } | State::AutoRestart { .. }
                    if self.unit(id).incarnation.0 > 0 =>
                {
                    self.release(id);
                }
                _ => {}
            }
        }
        // Records are written one by one: a unit may not have seen what another had done.
        for id in self.units().collect::<Vec<_>>() {
            let state = self.active(id);
            self.look_around(id, state);
            let triggers = self.socket_run(id).is_some()
                || self.timer_run(id).is_some()
                || self.path_run(id).is_some()
                || self.automount_run(id).is_some();
            if triggers {
                self.followups.push_back(Followup::Triggered(id));
            }
        }
        self.reported.clear();
        self.restoring = false;
    }

    /// Asks again for processes that nobody has seen, and counts those as ended that were seen and are gone.
    fn resend(&mut self, id: UnitId, processes: Vec<Process>) {
        let incarnation = self.unit(id).incarnation;
        for process in processes {
            let key = ProcessKey {
                unit: id,
                incarnation,
                serial: process.serial,
            };
            if self.reported.contains(&key) {
                continue;
            }
            if process.progress > Progress::Asked {
                self.lost(key);
                continue;
            }
            let (result, main_status) = match self.run(id).filter(|run| {
                matches!(
                    run.phase,
                    Phase::Stop | Phase::StopPost | Phase::StopKill(_) | Phase::FinalKill(_)
                )
            }) {
                Some(run) => (Some(run.result), self.unit(id).main_status),
                None => (None, None),
            };
            let Process { role, index, .. } = process;
            self.emit(Action::Spawn(Spawn {
                process: key,
                role,
                index,
                result,
                main_status,
            }));
        }
        let strays = match &self.unit(id).state {
            State::Service(run) => run.strays.clone(),
            State::Socket(run) => run.strays.clone(),
            _ => Vec::new(),
        };
        for serial in strays {
            let key = ProcessKey {
                unit: id,
                incarnation,
                serial,
            };
            if !self.reported.contains(&key) {
                self.lost(key);
            }
        }
    }

    pub(crate) fn lost(&mut self, key: ProcessKey) {
        match &self.unit(key.unit).state {
            State::Service(_) => {
                self.service_ended(key.unit, key.serial, Some(ExitStatus::Unknown))
            }
            State::Socket(_) => self.socket_ended(key.unit, key.serial, Some(ExitStatus::Unknown)),
            _ => {}
        }
    }

    fn resend_service(&mut self, id: UnitId) {
        let service = self.service(id);
        match self.run(id).map(|run| run.phase) {
            Some(Phase::StopKill(round) | Phase::FinalKill(round)) => {
                let _waits = self.signal_round(id, &service, round);
            }
            Some(Phase::Start) if service.takes_over => self.take_over(id),
            _ if self.awaits_main(id) => self.look_for_main(id),
            Some(Phase::Start | Phase::Running)
                if self.lives_as_group(id) || self.awaits_group(id) =>
            {
                let (unit, incarnation) = (id, self.unit(id).incarnation);
                self.emit(Action::WatchEmpty { unit, incarnation });
            }
            Some(Phase::ReloadSignal { .. }) => {
                let incarnation = self.unit(id).incarnation;
                let (target, signal) = (crate::effect::Target::Main, service.reload_signal);
                self.emit(Action::Signal {
                    unit: id,
                    incarnation,
                    target,
                    signal,
                });
            }
            _ => {}
        }
    }

    pub(crate) fn resend_socket(&mut self, id: UnitId) {
        let unit = id;
        let incarnation = self.unit(id).incarnation;
        match self.socket_run(id).map(|run| run.phase) {
            Some(SocketPhase::StartOpen) => self.emit(Action::OpenSockets { unit, incarnation }),
            // What the poll limit holds back is watched when its interval is over.
            Some(SocketPhase::Listening) if self.unit(id).state.deadline().is_none() => {
                self.emit(Action::WatchSockets { unit, incarnation })
            }
            Some(SocketPhase::StopPost | SocketPhase::FinalKill(_)) => {
                self.emit(Action::CloseSockets { unit, incarnation })
            }
            _ => {}
        }
        if let Some(SocketPhase::StopPreKill(round) | SocketPhase::FinalKill(round)) =
            self.socket_run(id).map(|run| run.phase)
        {
            let kill = self.socket(id).kill;
            let signal = if round == Round::Kill {
                kill.final_signal
            } else {
                kill.signal
            };
            self.emit(Action::Signal {
                unit,
                incarnation,
                target: crate::effect::Target::All,
                signal,
            });
            self.emit(Action::WatchEmpty { unit, incarnation });
        }
    }
}
