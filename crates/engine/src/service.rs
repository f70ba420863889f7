//! A service on its way up, and while it is up.

mod bus;
pub(crate) mod end;
mod forking;
pub(crate) mod health;
mod memory;
mod notice;
pub(crate) mod replace;
mod restart;
mod stop;
pub(crate) mod table;
mod watchdog;

use crate::config::{CommandList, ServiceConfig, ServiceType, Table};
use crate::effect::{Action, JobResult, Role, Spawn, Target};
use crate::engine::Engine;
use crate::id::{Incarnation, Micros, ProcessKey, UnitId};
use crate::jitter::Jitter;
use crate::jobs::Move;
use crate::state::{Main, Phase, Process, Progress, ServiceRun, State, UnitResult};

impl ServiceRun {
    fn new(now: Micros, table: Option<Table>) -> ServiceRun {
        ServiceRun {
            table,
            is_left: false,
            tries: 0,
            phase: Phase::Condition,
            since: now,
            main: Main::None,
            control: None,
            strays: Vec::new(),
            last_serial: 0,
            result: UnitResult::Success,
            deadline: None,
            runtime_end: None,
            watchdog_end: None,
            watchdog: None,
            health: None,
            late_probes: Vec::new(),
            ready: false,
            named: false,
            empty: true,
            reload: UnitResult::Success,
            stop_asked: false,
            restarting: false,
            replaces: false,
            overlaps: false,
            began: now,
        }
    }

    /// There is a main process.
    pub(crate) fn has_main(&self) -> bool {
        matches!(self.main, Main::Process(_))
    }

    /// A process whose end was not reported is there.
    pub(crate) fn has_process(&self) -> bool {
        let probe = self.health.as_ref().and_then(|health| health.process());
        self.has_main()
            || self.control.is_some()
            || !self.strays.is_empty()
            || !self.late_probes.is_empty()
            || probe.is_some()
    }

    /// The first failure is the one that counts.
    pub(crate) fn note(&mut self, result: UnitResult) {
        if self.result == UnitResult::Success {
            self.result = result;
        }
    }
}

impl ServiceConfig {
    pub(crate) fn list(&self, role: Role) -> &CommandList {
        match role {
            Role::Condition => &self.condition,
            Role::StartPre => &self.start_pre,
            Role::Main => &self.start,
            Role::StartPost => &self.start_post,
            Role::Reload => &self.reload,
            Role::ReloadPost => &self.reload_post,
            Role::Health => &self.health_commands,
            Role::Stop => &self.stop,
            Role::StopPost => &self.stop_post,
        }
    }
}

impl Engine {
    pub(crate) fn service_start(&mut self, id: UnitId) -> Move {
        let run = self.new_run(id);
        self.change(id, State::Service(Box::new(run)));
        self.start_list(id, Phase::Condition);
        Move::Going
    }

    /// What begins with the next number.
    pub(crate) fn new_run(&mut self, id: UnitId) -> ServiceRun {
        let (now, service) = (self.now, self.service(id));
        let unit = self.unit_mut(id);
        unit.incarnation = Incarnation(unit.incarnation.max(unit.numbered).0 + 1);
        unit.numbered = Incarnation(0);
        unit.main_status = None;
        unit.last_result = UnitResult::Success;
        ServiceRun {
            overlaps: service.overlaps,
            ..ServiceRun::new(now, service.table)
        }
    }

    /// Begins a phase of the way up that runs a list, or the next one where the list is empty.
    pub(crate) fn start_list(&mut self, id: UnitId, phase: Phase) {
        let service = self.service(id);
        if phase == Phase::Condition && !service.condition.0.is_empty() {
            self.enter(id, Phase::Condition);
            self.spawn_control(id, Role::Condition, 0);
        } else if matches!(phase, Phase::Condition | Phase::StartPre)
            && !service.start_pre.0.is_empty()
        {
            self.enter(id, Phase::StartPre);
            self.spawn_control(id, Role::StartPre, 0);
        } else {
            self.start_main(id, &service);
        }
    }

    fn start_main(&mut self, id: UnitId, service: &ServiceConfig) {
        self.enter(id, Phase::Start);
        if service.takes_over {
            return self.take_over(id);
        }
        if service.start.0.is_empty() {
            return self.start_post(id);
        }
        if service.service_type == ServiceType::Forking {
            // What it starts is not what goes on.
            return self.spawn_control(id, Role::Main, 0);
        }
        self.spawn_main(id, 0);
    }

    /// Runs one ExecStart=, and gives it its time: each command of a oneshot has the whole of it.
    pub(crate) fn spawn_main(&mut self, id: UnitId, index: u16) {
        let deadline = self.now.deadline(self.service(id).timeout_start);
        let Some(process) = self.spawn(id, Role::Main, index) else {
            return;
        };
        if let Some(run) = self.run_mut(id) {
            run.main = Main::Process(process);
            run.deadline = deadline;
        }
    }

    /// Runs one command of a list beside the main process, and gives it its time.
    pub(crate) fn spawn_control(&mut self, id: UnitId, role: Role, index: u16) {
        let service = self.service(id);
        let stops = matches!(role, Role::Stop | Role::StopPost);
        let time = if stops {
            service.timeout_stop
        } else {
            service.timeout_start
        };
        let deadline = self.now.deadline(time);
        let Some(process) = self.spawn(id, role, index) else {
            return;
        };
        if let Some(run) = self.run_mut(id) {
            run.control = Some(process);
            run.deadline = deadline;
        }
    }

    fn spawn(&mut self, id: UnitId, role: Role, index: u16) -> Option<Process> {
        let incarnation = self.unit(id).incarnation;
        let main_status = self.unit(id).main_status;
        let run = self.run_mut(id)?;
        run.last_serial += 1;
        run.empty = false;
        let process = Process {
            serial: run.last_serial,
            role,
            index,
            progress: Progress::Asked,
        };
        let stops = matches!(role, Role::Stop | Role::StopPost);
        let result = stops.then_some(run.result);
        let main_status = main_status.filter(|_| stops);
        let key = ProcessKey {
            unit: id,
            incarnation,
            serial: process.serial,
        };
        self.emit(Action::Spawn(Spawn {
            process: key,
            role,
            index,
            result,
            main_status,
        }));
        Some(process)
    }

    /// RuntimeMaxSec= and what RuntimeRandomizedExtraSec= adds to it in this run.
    fn runtime_end(&self, id: UnitId, service: &ServiceConfig) -> Option<Micros> {
        if service.runtime_max.is_infinite() {
            return None;
        }
        let extra = self.jitter(id, Jitter::Runtime, service.runtime_jitter);
        self.now.deadline(service.runtime_max.after(extra))
    }

    /// What its Type= waits for has come, and what its probes have to say is waited for where there are any.
    pub(crate) fn start_post(&mut self, id: UnitId) {
        if self.is_ready(id) {
            self.go_on_starting(id);
        }
    }

    pub(crate) fn go_on_starting(&mut self, id: UnitId) {
        self.start_watchdog(id);
        if self.service(id).start_post.0.is_empty() {
            return self.go_running(id, UnitResult::Success);
        }
        self.enter(id, Phase::StartPost);
        self.spawn_control(id, Role::StartPost, 0);
    }

    /// Up, if what should be there is there; down again if not.
    pub(crate) fn go_running(&mut self, id: UnitId, result: UnitResult) {
        let service = self.service(id);
        let Some(run) = self.run_mut(id) else { return };
        run.note(result);
        run.control = None;
        run.deadline = None;
        let failed = run.result != UnitResult::Success;
        let lives_as_group = self.lives_as_group(id);
        // What a main process came to counts when all the others have ended, too.
        if failed && !(service.exits_as_group && lives_as_group) {
            return self.stop_signals(id, UnitResult::Success);
        }
        let Some(run) = self.run(id) else { return };
        let lives = run.has_main() || lives_as_group;
        if lives && !self.lacks_name(id) {
            let phase = run.phase;
            let fresh = run.runtime_end.is_none();
            let end = self.runtime_end(id, &service);
            if let Some(run) = self.run_mut(id).filter(|_| fresh) {
                run.runtime_end = end;
            }
            if phase != Phase::Running {
                self.enter(id, Phase::Running);
                self.take_place(id);
                self.probe_again(id);
            }
            if lives_as_group {
                let (unit, incarnation) = (id, self.unit(id).incarnation);
                self.emit(Action::WatchEmpty { unit, incarnation });
            }
        } else if service.remain_after_exit && !lives {
            self.enter(id, Phase::Exited);
        } else {
            self.stop_commands(id, UnitResult::Success);
        }
    }

    /// A process got further.
    pub(crate) fn service_progressed(&mut self, id: UnitId, serial: u32, progress: Progress) {
        if progress == Progress::Spawned {
            self.signal_latecomer(id);
            self.end_latecomer(id, serial);
        }
        let Some(run) = self.run_mut(id) else { return };
        if let Some(control) = run
            .control
            .as_mut()
            .filter(|control| control.serial == serial)
        {
            control.progress = control.progress.max(progress);
        }
        let Main::Process(main) = &mut run.main else {
            return;
        };
        if main.serial != serial {
            return;
        }
        main.progress = main.progress.max(progress);
        self.main_got_further(id);
    }

    /// What the main process came to may be what its Type=, or a probe, waits for.
    pub(crate) fn main_got_further(&mut self, id: UnitId) {
        let service_type = self.service(id).service_type;
        let Some(run) = self.run(id) else { return };
        let Main::Process(main) = &run.main else {
            return;
        };
        let is_up = match service_type {
            ServiceType::Simple => main.progress >= Progress::Spawned,
            ServiceType::Exec => main.progress >= Progress::Executed,
            // What it has said before its program was seen to run counts now.
            ServiceType::Notify | ServiceType::NotifyReload => {
                run.ready && main.progress >= Progress::Executed
            }
            // Of Type=dbus the bus tells it: see `name_changed`.
            ServiceType::Oneshot | ServiceType::Forking | ServiceType::Dbus => false,
        };
        if run.phase == Phase::Start && is_up {
            self.start_post(id);
        }
        self.probe_again(id);
    }

    pub(crate) fn service_reload(&mut self, id: UnitId) -> Move {
        let service = self.service(id);
        let Some(phase) = self.run(id).map(|run| run.phase) else {
            return Move::Over(JobResult::Skipped);
        };
        if !service.can_reload() || !matches!(phase, Phase::Running | Phase::Exited) {
            return Move::Over(JobResult::Skipped);
        }
        if let Some(run) = self.run_mut(id) {
            run.reload = UnitResult::Success;
        }
        if service.reload.0.is_empty() {
            if !self.run(id).is_some_and(|run| run.has_main()) {
                // Nobody to tell: it is over at once.
                self.enter(id, Phase::Reload);
            }
            self.signal_reload(id);
        } else {
            self.enter(id, Phase::Reload);
            self.spawn_control(id, Role::Reload, 0);
        }
        Move::Going
    }

    /// A reload went well: ExecReloadPost=, where there are any.
    pub(crate) fn reloaded(&mut self, id: UnitId) {
        let is_well = (self.run(id)).is_some_and(|run| run.result == UnitResult::Success);
        if !is_well || self.service(id).reload_post.0.is_empty() {
            return self.go_running(id, UnitResult::Success);
        }
        self.enter(id, Phase::ReloadPost);
        self.spawn_control(id, Role::ReloadPost, 0);
    }

    /// After ExecReload=, ReloadSignal= and the wait for what the service says to it.
    pub(crate) fn signal_reload(&mut self, id: UnitId) {
        let service = self.service(id);
        let (sent, incarnation) = (self.now, self.unit(id).incarnation);
        if !self.run(id).is_some_and(|run| run.has_main()) {
            return self.reloaded(id);
        }
        self.enter(id, Phase::ReloadSignal { sent });
        self.emit(Action::Signal {
            unit: id,
            incarnation,
            target: Target::Main,
            signal: service.reload_signal,
        });
        let deadline = self.now.deadline(service.timeout_start);
        if let Some(run) = self.run_mut(id) {
            run.deadline = deadline;
        }
    }
}
