//! The main process of a service that puts itself into the background: asked for, found, or never there.

use crate::config::ServiceType;
use crate::effect::Action;
use crate::engine::Engine;
use crate::id::UnitId;
use crate::state::{Main, Phase, UnitResult};

impl Engine {
    /// ExecStart= of Type=forking has ended well: who goes on is asked for.
    pub(crate) fn forked(&mut self, id: UnitId) {
        let (service, known) = (
            self.service(id),
            self.run(id).is_some_and(|run| run.has_main()),
        );
        if known && !service.pid_file {
            return self.start_post(id);
        }
        self.look_for_main(id);
    }

    /// ExecStartPost= has ended well: the PID file may be its work.
    pub(crate) fn started_post(&mut self, id: UnitId) {
        let service = self.service(id);
        let guesses = service.service_type == ServiceType::Forking
            && self.run(id).is_some_and(|run| run.main == Main::None);
        if service.pid_file || guesses {
            self.look_for_main(id);
        } else {
            self.go_running(id, UnitResult::Success);
        }
    }

    /// Asks for the main process. A PID file is waited for, but for one that ExecStartPost= may still write; for as long as there is
    /// anybody who could write it.
    pub(crate) fn look_for_main(&mut self, id: UnitId) {
        let (unit, incarnation) = (id, self.unit(id).incarnation);
        let service = self.service(id);
        let Some(run) = self.run(id) else { return };
        let is_last_chance = run.phase == Phase::StartPost || service.start_post.0.is_empty();
        let waits = service.pid_file && is_last_chance;
        let watches = waits && !run.has_main();
        self.emit(Action::FindMain {
            unit,
            incarnation,
            waits,
        });
        if watches {
            self.emit(Action::WatchEmpty { unit, incarnation });
        }
    }

    /// Is the answer to `Action::FindMain` still to come?
    pub(crate) fn awaits_main(&self, id: UnitId) -> bool {
        let forks = self.service(id).service_type == ServiceType::Forking;
        self.run(id)
            .is_some_and(|run| match (run.phase, run.control) {
                (Phase::Start, None) => forks && run.health.is_none(),
                (Phase::StartPost, None) => true,
                _ => false,
            })
    }

    /// The answer: the pid of the new main process, or nothing where it is the old one, or not to be told.
    pub(crate) fn main_found(&mut self, id: UnitId, pid: Option<u32>) {
        if !self.awaits_main(id) {
            return;
        }
        if let Some(pid) = pid {
            self.new_main(id, pid);
        }
        match self.run(id).map(|run| run.phase) {
            Some(Phase::Start) => self.start_post(id),
            Some(_) => self.go_running(id, UnitResult::Success),
            None => {}
        }
    }

    /// Nobody is left who could write the PID file.
    pub(crate) fn never_written(&mut self, id: UnitId) {
        if !self.awaits_main(id) || !self.service(id).pid_file {
            return;
        }
        let text = format!(
            "{}: none of its processes is left, and its PID file never named one.",
            self.name(id)
        );
        self.log(id, text);
        match self.run(id).map(|run| run.phase) {
            Some(Phase::Start) => self.stop_signals(id, UnitResult::Protocol),
            Some(_) => self.stop_commands(id, UnitResult::Protocol),
            None => {}
        }
    }

    /// Is it up without a main process that anybody knows, for as long as it has any?
    pub(crate) fn lives_as_group(&self, id: UnitId) -> bool {
        let service = self.service(id);
        let forks = service.service_type == ServiceType::Forking;
        self.run(id).is_some_and(|run| {
            let of_group = service.exits_as_group && !run.has_main();
            !run.empty && (of_group || forks && run.main == Main::None)
        })
    }

    /// ExitType=cgroup: its main process has ended, and another may still say that it is ready.
    pub(crate) fn awaits_group(&self, id: UnitId) -> bool {
        let service = self.service(id);
        let must_say = matches!(
            service.service_type,
            ServiceType::Notify | ServiceType::NotifyReload
        );
        must_say
            && service.exits_as_group
            && (self.run(id)).is_some_and(|run| {
                run.phase == Phase::Start && !run.empty && matches!(run.main, Main::Ended(_))
            })
    }
}
