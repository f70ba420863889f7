//! Probes: a service that is up, or about to be, is asked whether it works.
//!
//! One round asks all of a service's probes, one after the other, and ends with the first that fails. A probe that is a command is a
//! process of the run beside the main and the control process; every other one is the manager's to make (`Action::Probe`).

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::config::ServiceConfig;
use crate::effect::{Action, Role, Spawn, Target};
use crate::engine::Engine;
use crate::id::{Micros, ProcessKey, Signal, UnitId};
use crate::input::ExitStatus;
use crate::service::stop::Time;
use crate::state::{Main, Phase, Progress, Round, UnitResult};

/// How soon the first round that failed is followed by the second while the service comes up; each next wait is twice as long.
const FIRST_WAIT: Micros = Micros(100_000);
/// The longest wait while it comes up, unless HealthIntervalSec= is shorter.
const LONGEST_WAIT: Micros = Micros::seconds(1);

/// How a service is asked whether it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthConfig {
    /// How many probes the manager makes itself, after the commands: HealthHTTP=, HealthTCP=
    pub connections: u16,
    /// HealthIntervalSec=
    pub interval: Micros,
    /// HealthTimeoutSec=
    pub timeout: Micros,
    /// HealthStartPeriodSec=
    pub start_period: Micros,
    /// HealthRetries=
    pub retries: u32,
    /// HealthOnFailure=
    pub on_failure: HealthFailure,
    /// HealthReady=
    pub ready: bool,
}

/// HealthOnFailure=
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HealthFailure {
    /// It is said, and nothing else.
    #[default]
    None,
    /// FinalKillSignal=, and Restart= decides.
    Kill,
    /// Stopped as failed, and started again.
    Restart,
    /// Stopped as failed, and Restart= decides.
    Stop,
}

impl HealthFailure {
    /// The word in a unit file.
    pub fn name(self) -> &'static str {
        match self {
            HealthFailure::None => "none",
            HealthFailure::Kill => "kill",
            HealthFailure::Restart => "restart",
            HealthFailure::Stop => "stop",
        }
    }
}

/// How a run answers its probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRun {
    /// What is known.
    pub health: Health,
    /// Since when.
    pub since: Micros,
    /// When it was asked first.
    pub began: Micros,
    /// Rounds that failed one after the other and count.
    pub failures: u32,
    /// Rounds that failed before one counted or succeeded.
    pub early: u32,
    /// The probe that is under way.
    pub probe: Option<Probe>,
    /// When the next round begins, or the probe has taken too long.
    pub at: Option<Micros>,
}

/// What is known of a service that has probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// No round has succeeded yet.
    Starting,
    /// It works.
    Healthy,
    /// So many rounds failed that it does not.
    Unhealthy,
}

/// A probe that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Its serial in the run.
    pub serial: u32,
    /// Its place among the service's probes.
    pub index: u16,
    /// It is a process.
    pub is_process: bool,
}

impl Health {
    /// The text that clients see.
    pub fn name(self) -> &'static str {
        match self {
            Health::Starting => "starting",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        }
    }
}

impl HealthRun {
    fn new(now: Micros) -> HealthRun {
        HealthRun {
            health: Health::Starting,
            since: now,
            began: now,
            failures: 0,
            early: 0,
            probe: None,
            at: None,
        }
    }

    /// The probe that is a process.
    pub(crate) fn process(&self) -> Option<Probe> {
        self.probe.filter(|probe| probe.is_process)
    }
}

impl Phase {
    /// What comes before is not up, and what comes after is to end.
    fn is_probed(self) -> bool {
        self == Phase::Start || self.is_watched()
    }
}

/// The wait after a round that failed while the service comes up.
fn early_wait(health: &HealthConfig, early: u32) -> Micros {
    let grown = Micros(FIRST_WAIT.0 << early.saturating_sub(1).min(8));
    grown.min(LONGEST_WAIT).min(health.interval)
}

impl Engine {
    /// What its Type= waits for has come. False: the first probe that succeeds is waited for, too, and the start goes on then.
    pub(crate) fn is_ready(&mut self, id: UnitId) -> bool {
        let service = self.service(id);
        let Some(health) = &service.health else {
            return true;
        };
        if self.awaits_health(id) {
            return false;
        }
        // What takes another run's place must be known to work, or that other one would go for nothing.
        let waits = health.ready || self.run(id).is_some_and(|run| run.replaces);
        if !self.is_there(id) {
            // Nobody is left to be asked.
            if waits {
                self.stop_signals(id, UnitResult::Protocol);
            }
            return !waits;
        }
        if !self.runs_its_program(id) {
            return !waits;
        }
        let deadline = self.now.deadline(service.timeout_start);
        if let Some(run) = self.run_mut(id).filter(|_| waits) {
            run.deadline = deadline;
        }
        if waits && self.lives_as_group(id) {
            let (unit, incarnation) = (id, self.unit(id).incarnation);
            self.emit(Action::WatchEmpty { unit, incarnation });
        }
        self.begin_probing(id);
        !waits
    }

    /// Before that, what the service is to be asked in may be the host's: its namespaces are made by the process itself.
    fn runs_its_program(&self, id: UnitId) -> bool {
        (self.run(id)).is_some_and(|run| match run.main {
            Main::Process(main) => main.progress == Progress::Executed,
            Main::None | Main::Ended(_) => true,
        })
    }

    fn begin_probing(&mut self, id: UnitId) {
        let now = self.now;
        if let Some(run) = self.run_mut(id) {
            run.health = Some(Box::new(HealthRun::new(now)));
        }
        self.probe(id, 0);
    }

    /// It is up and not asked yet: its program was not executed then, or it had no process.
    pub(crate) fn probe_again(&mut self, id: UnitId) {
        let is_probed = self.service(id).health.is_some() && self.runs_its_program(id);
        let is_up = |phase: Phase| phase != Phase::Start && phase.is_probed();
        let asks = (self.run(id)).is_some_and(|run| is_up(run.phase) && run.health.is_none());
        if is_probed && asks {
            self.begin_probing(id);
        }
    }

    fn is_there(&self, id: UnitId) -> bool {
        self.run(id).is_some_and(|run| run.has_main()) || self.lives_as_group(id)
    }

    /// Is it only a probe that is waited for before the start goes on?
    pub(crate) fn awaits_health(&self, id: UnitId) -> bool {
        (self.run(id)).is_some_and(|run| run.phase == Phase::Start && run.health.is_some())
    }

    /// In another phase it may be that nobody is asked any more.
    pub(crate) fn keep_health(&mut self, id: UnitId) {
        if (self.run(id)).is_some_and(|run| run.health.is_some() && !run.phase.is_probed()) {
            self.end_probe(id, false);
            if let Some(run) = self.run_mut(id) {
                run.health = None;
            }
        }
    }

    /// Asks one probe.
    fn probe(&mut self, id: UnitId, index: u16) {
        let (service, incarnation) = (self.service(id), self.unit(id).incarnation);
        let Some(health) = &service.health else {
            return;
        };
        let commands = u16::try_from(service.health_commands.0.len()).unwrap_or(u16::MAX);
        if index >= commands.saturating_add(health.connections) {
            return self.round_succeeded(id, &service);
        }
        let is_process = index < commands;
        let deadline = self.now.deadline(health.timeout);
        let Some(run) = self.run_mut(id) else { return };
        run.last_serial += 1;
        run.empty &= !is_process;
        let serial = run.last_serial;
        if let Some(health) = &mut run.health {
            health.at = deadline;
            health.probe = Some(Probe {
                serial,
                index,
                is_process,
            });
        }
        let process = ProcessKey {
            unit: id,
            incarnation,
            serial,
        };
        self.emit(if is_process {
            Action::Spawn(Spawn {
                process,
                role: Role::Health,
                index,
                result: None,
                main_status: None,
            })
        } else {
            Action::Probe {
                process,
                index: index - commands,
            }
        });
    }

    /// Waits no more for the probe that is under way.
    pub(crate) fn end_probe(&mut self, id: UnitId, late: bool) {
        let Some(run) = self.run_mut(id) else { return };
        let Some(probe) = (run.health.as_mut()).and_then(|health| health.probe.take()) else {
            return;
        };
        if late || !probe.is_process {
            self.emit(Action::EndProbe { unit: id, late });
        }
        if !probe.is_process {
            return;
        }
        let Some(run) = self.run_mut(id) else { return };
        run.late_probes.push(probe.serial);
        self.kill_probe(id, probe.serial);
    }

    /// Whatever KillMode= says: it is no part of what the service does.
    fn kill_probe(&mut self, unit: UnitId, serial: u32) {
        let incarnation = self.unit(unit).incarnation;
        self.emit(Action::Signal {
            unit,
            incarnation,
            target: Target::Process(serial),
            signal: Signal::KILL,
        });
    }

    /// The answer of a probe; false where it is none that is waited for.
    pub(crate) fn probe_ended(&mut self, id: UnitId, serial: u32, well: bool) -> bool {
        let Some(health) = self.run_mut(id).and_then(|run| run.health.as_mut()) else {
            return false;
        };
        let Some(probe) = health.probe.filter(|probe| probe.serial == serial) else {
            return false;
        };
        health.probe = None;
        if well {
            self.probe(id, probe.index.saturating_add(1));
        } else {
            self.round_failed(id);
        }
        true
    }

    /// The end of a process, where it is that of a probe.
    pub(crate) fn probe_exited(
        &mut self,
        id: UnitId,
        serial: u32,
        status: Option<ExitStatus>,
    ) -> bool {
        let service = self.service(id);
        let Some(run) = self.run_mut(id) else {
            return false;
        };
        if let Some(place) = run.late_probes.iter().position(|late| *late == serial) {
            run.late_probes.swap_remove(place);
            self.watch_again(id);
            return true;
        }
        let Some(probe) = run.health.as_ref().and_then(|health| health.process()) else {
            return false;
        };
        let command = service.health_commands.get(probe.index);
        let well = command.is_some_and(|command| command.ignore_failure)
            || status == Some(ExitStatus::Exited(0));
        self.probe_ended(id, serial, well)
    }

    fn round_succeeded(&mut self, id: UnitId, service: &ServiceConfig) {
        let now = self.now;
        let at = (service.health.as_ref()).and_then(|health| now.deadline(health.interval));
        let Some(health) = self.run_mut(id).and_then(|run| run.health.as_mut()) else {
            return;
        };
        (health.failures, health.early, health.at) = (0, 0, at);
        let was = std::mem::replace(&mut health.health, Health::Healthy);
        if was != Health::Healthy {
            health.since = now;
        }
        if was == Health::Unhealthy {
            let text = format!(
                "{}: its probes succeed again: it is healthy.",
                self.name(id)
            );
            self.log(id, text);
        }
        if self.awaits_health(id) {
            return self.go_on_starting(id);
        }
        self.settle_as_group(id);
    }

    fn round_failed(&mut self, id: UnitId) {
        let (service, now) = (self.service(id), self.now);
        let Some(config) = &service.health else {
            return self.stop_probing(id);
        };
        let is_coming = self.awaits_health(id);
        let Some(health) = self.run_mut(id).and_then(|run| run.health.as_mut()) else {
            return;
        };
        let is_early = health.health == Health::Starting
            && (is_coming || health.began.after(config.start_period) > now);
        if is_early {
            health.early = health.early.saturating_add(1);
            health.at = now.deadline(early_wait(config, health.early));
            return self.settle_as_group(id);
        }
        health.at = now.deadline(config.interval);
        health.failures = health.failures.saturating_add(1);
        let failures = health.failures;
        if failures < config.retries || health.health == Health::Unhealthy {
            return self.settle_as_group(id);
        }
        (health.health, health.since) = (Health::Unhealthy, now);
        self.settle_as_group(id);
        self.is_unhealthy(id, config.on_failure, failures);
    }

    fn is_unhealthy(&mut self, id: UnitId, action: HealthFailure, failures: u32) {
        self.because(Cause::Unhealthy {
            unit: self.name(id),
        });
        let what = match action {
            HealthFailure::None => "nothing is done about it",
            HealthFailure::Kill => "it is killed",
            HealthFailure::Restart => "it is restarted",
            HealthFailure::Stop => "it is stopped",
        };
        let (name, word) = (self.name(id), action.name());
        let text = format!(
            "{name}: its probes failed, {failures} in a row, so it is unhealthy; {what} (HealthOnFailure={word})."
        );
        self.log(id, text);
        match action {
            HealthFailure::None => {}
            HealthFailure::Kill => {
                self.kill_control(id);
                self.send_round(id, Time::Stop, Round::Kill, UnitResult::Unhealthy);
            }
            HealthFailure::Restart | HealthFailure::Stop => {
                self.kill_control(id);
                self.stop_commands(id, UnitResult::Unhealthy);
            }
        }
    }

    /// The process of a probe is gone: where the service lives for as long as it has any process, that may have been the last.
    fn settle_as_group(&mut self, id: UnitId) {
        let has_process = self.run(id).is_some_and(|run| run.has_process());
        let is_up =
            (self.run(id)).is_some_and(|run| matches!(run.phase, Phase::Start | Phase::Running));
        if !has_process && is_up && self.lives_as_group(id) {
            let (unit, incarnation) = (id, self.unit(id).incarnation);
            self.emit(Action::WatchEmpty { unit, incarnation });
        }
    }

    /// The unit has no probes any more: what waited for them goes on.
    fn stop_probing(&mut self, id: UnitId) {
        let waited = self.awaits_health(id);
        self.end_probe(id, false);
        if let Some(run) = self.run_mut(id) {
            run.health = None;
        }
        if waited {
            self.go_on_starting(id);
        }
    }

    /// The next round is due, or a probe has taken too long. False: neither is.
    pub(crate) fn health_tick(&mut self, id: UnitId) -> bool {
        let (now, service) = (self.now, self.service(id));
        let Some(health) = self.run(id).and_then(|run| run.health.as_ref()) else {
            return false;
        };
        if health.at.is_none_or(|at| at > now) {
            return false;
        }
        let is_late = health.probe.is_some();
        match (&service.health, is_late) {
            (None, _) => self.stop_probing(id),
            (Some(_), true) => {
                self.end_probe(id, true);
                self.round_failed(id);
            }
            (Some(_), false) => self.probe(id, 0),
        }
        true
    }

    /// At the end of a restore: whoever waited for the probe's answer is gone, so it is asked again. The end of those that were given up may
    /// not have been asked for.
    pub(crate) fn probe_anew(&mut self, id: UnitId) {
        let (now, incarnation) = (self.now, self.unit(id).incarnation);
        for serial in self
            .run(id)
            .map(|run| run.late_probes.clone())
            .unwrap_or_default()
        {
            let key = ProcessKey {
                unit: id,
                incarnation,
                serial,
            };
            // Also one that nobody has seen: it may be about to be made.
            self.kill_probe(id, serial);
            if !self.reported.contains(&key) {
                self.lost(key);
            }
        }
        let probe = self.run(id).and_then(|run| run.health.as_ref()?.probe);
        let Some(probe) = probe else { return };
        self.end_probe(id, false);
        let key = ProcessKey {
            unit: id,
            incarnation,
            serial: probe.serial,
        };
        if probe.is_process && !self.reported.contains(&key) {
            self.lost(key);
        }
        if let Some(health) = self.run_mut(id).and_then(|run| run.health.as_mut()) {
            health.at = Some(now);
        }
    }
}
