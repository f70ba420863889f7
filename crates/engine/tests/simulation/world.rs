//! The world around the engine: processes, cgroups, sockets, clients, and the manager's way of carrying out effects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coracle_engine::*;

use crate::generate::{Random, units};
use crate::support::{print_effect, print_state};

/// Events of a schedule before everything calms down.
const EVENTS: usize = 60;
/// Steps within which a world that calms down must be still.
const CALM_STEPS: usize = 6_000;

/// Of a hundred steps, so many are also taken by an engine restored from snapshots.
const TWINS: usize = 3;

pub(crate) type Run = (UnitId, Incarnation);

/// A process that the engine asked for.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) role: Role,
    pub(crate) life: Life,
    pub(crate) executed: bool,
    /// SIGTERM does nothing.
    pub(crate) stubborn: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// The keeper has the command and has not carried it out.
    Pending,
    Alive,
    /// Dead, not reported.
    Zombie(ExitStatus),
    /// Dead, reported.
    Reaped,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) engine: Engine,
    /// How often the manager came back.
    pub(crate) returns: u64,
    pub(crate) configs: Vec<UnitConfig>,
    /// What the manager recorded: the latest snapshot of every unit that changed.
    pub(crate) records: BTreeMap<UnitId, UnitSnapshot>,
    pub(crate) processes: BTreeMap<ProcessKey, Process>,
    /// Processes in a run's cgroup that nobody tracks: whether each is stubborn.
    pub(crate) orphans: BTreeMap<Run, Vec<bool>>,
    pub(crate) empty_watches: BTreeSet<Run>,
    /// Runs whose main process is looked for, and whether its file is waited for.
    pub(crate) searches: BTreeMap<Run, bool>,
    pub(crate) condition_tests: BTreeSet<UnitId>,
    pub(crate) opening: BTreeSet<Run>,
    pub(crate) cleaning: BTreeSet<UnitId>,
    pub(crate) watched: BTreeSet<Run>,
    /// A connection that was taken and has no unit yet: its number and source. The keeper has it.
    pub(crate) taken: Option<(UnitId, u32, Arc<str>)>,
    /// Probes by connections that were asked for and not answered.
    pub(crate) probes: BTreeSet<ProcessKey>,
    /// Timers whose next moment is asked for, and those that wait for one.
    pub(crate) reckoning: BTreeSet<Run>,
    pub(crate) timers: BTreeSet<Run>,
    /// Path units that are about to be watched, and those that are.
    pub(crate) watching: BTreeSet<Run>,
    pub(crate) paths: BTreeSet<Run>,
    pub(crate) automounts: crate::automounts::Automounts,
    /// How many mounts are at each unit's place.
    pub(crate) tables: BTreeMap<UnitId, u32>,
    pub(crate) now: Micros,
    pub(crate) wake: Option<Micros>,
    request: u64,
    /// A unit has ended the instance: everything is stopped.
    pub(crate) ending: bool,
    /// No more trouble: every process does what it should.
    pub(crate) calm: bool,
    tracing: bool,
    pub(crate) trace: Vec<String>,
    pub(crate) steps: u64,
    pub(crate) jobs: BTreeSet<JobId>,
    pub(crate) starts: BTreeMap<UnitId, Vec<Micros>>,
    pub(crate) released: BTreeSet<Run>,
    /// The runs that were to replace another one after the last step.
    pub(crate) replacing: BTreeMap<UnitId, Incarnation>,
    pub(crate) replaced: Replaced,
    /// The runs that were signalled since the manager came back.
    pub(crate) told: BTreeSet<Run>,
}

/// What became of runs that were to replace another.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Replaced {
    pub(crate) begun: u64,
    pub(crate) up: u64,
    pub(crate) back: u64,
}

impl World {
    pub(crate) fn new(seed: u64, tracing: bool) -> World {
        let mut random = Random::new(seed);
        let configs = units(&mut random);
        let mut world = World {
            random,
            engine: Engine::new(),
            returns: 0,
            configs: Vec::new(),
            records: BTreeMap::new(),
            processes: BTreeMap::new(),
            orphans: BTreeMap::new(),
            empty_watches: BTreeSet::new(),
            searches: BTreeMap::new(),
            condition_tests: BTreeSet::new(),
            opening: BTreeSet::new(),
            cleaning: BTreeSet::new(),
            watched: BTreeSet::new(),
            taken: None,
            probes: BTreeSet::new(),
            reckoning: BTreeSet::new(),
            timers: BTreeSet::new(),
            watching: BTreeSet::new(),
            paths: BTreeSet::new(),
            automounts: Default::default(),
            tables: BTreeMap::new(),
            now: Micros::seconds(100),
            wake: None,
            request: 0,
            ending: false,
            calm: false,
            tracing,
            trace: Vec::new(),
            steps: 0,
            jobs: BTreeSet::new(),
            replacing: BTreeMap::new(),
            replaced: Replaced::default(),
            told: BTreeSet::new(),
            starts: BTreeMap::new(),
            released: BTreeSet::new(),
        };
        world.note(|| {
            configs
                .iter()
                .map(crate::generate::brief)
                .collect::<Vec<_>>()
                .join("\n")
        });
        world.configs = configs;
        world
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.tracing {
            self.trace.push(line());
        }
    }

    pub(crate) fn run(&mut self) -> Result<(), String> {
        for config in self.configs.clone() {
            self.step(Input::Configure(Box::new(config)))?;
        }
        for _ in 0..EVENTS {
            self.event()?;
        }
        self.calm_down()
    }

    /// One event of a troubled world.
    fn event(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..=17 if self.ending => self.end_the_rest(),
            0..=17 => self.command(),
            18..=25 => self.pass_time(),
            26..=28 => self.noise(),
            29..=31 => self.restart_manager(None),
            32..=34 => self.be_misused(),
            _ => match self.possible_events() {
                events if events.is_empty() => self.pass_time(),
                events => {
                    let event = self.random.pick(&events).clone();
                    self.happen(event)
                }
            },
        }
    }

    /// Everything that is under way arrives, and then nothing may be left waiting.
    fn calm_down(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.ending) {
            self.restart_manager(None)?;
        }
        self.calm = true;
        self.note(|| "calm".to_owned());
        for _ in 0..CALM_STEPS {
            let events = self.possible_events();
            if let Some(event) = events.first() {
                self.happen(event.clone())?;
            } else if self.check_still().is_ok() {
                return Ok(());
            } else if let Some(wake) = self.wake {
                self.now = self.now.max(wake);
                self.all_are_alive()?;
                self.step(Input::Tick)?;
            } else {
                return self.check_still();
            }
        }
        self.check_still()
            .map_err(|why| format!("not still after {CALM_STEPS} steps: {why}"))
    }

    /// Services that must say so say in time that they are alive.
    fn all_are_alive(&mut self) -> Result<(), String> {
        for unit in self.engine.units().collect::<Vec<_>>() {
            if let Some(State::Service(run)) = self.engine.state(unit)
                && run.watchdog_end.is_some()
            {
                let incarnation = self.engine.snapshot(unit).unwrap().incarnation;
                let message = Notice {
                    alive: true,
                    ..Notice::default()
                };
                self.step(Input::Notify {
                    unit,
                    incarnation,
                    message,
                })?;
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<(), String> {
        use JobKind::{Reload, ReloadOrStart, Restart, Start, Stop, TryReload, TryRestart};
        if let Some(unit) = self.replaced_unit() {
            return self.ask_to_replace(unit);
        }
        let unit = self.any_unit();
        let kind = *self.random.pick(&[
            Start,
            Start,
            Start,
            Start,
            Stop,
            Stop,
            Restart,
            Restart,
            Reload,
            TryRestart,
            TryReload,
            ReloadOrStart,
        ]);
        let mode = match self.random.below(20) {
            0 | 1 => JobMode::Fail,
            2 => JobMode::Isolate,
            3 => JobMode::IgnoreRequirements,
            4 => JobMode::ReplaceIrreversibly,
            5 => JobMode::Flush,
            6 => JobMode::RestartDependencies,
            7 => JobMode::Triggering,
            _ => JobMode::Replace,
        };
        self.request += 1;
        self.step(Input::Job {
            request: self.request,
            unit,
            kind,
            mode,
        })
    }

    /// The service of which two may be up at once, mostly.
    fn replaced_unit(&mut self) -> Option<UnitId> {
        let first = self.configs.first()?;
        let overlaps = matches!(&first.kind, Kind::Service(service) if service.overlaps);
        (overlaps && self.random.chance(70)).then_some(UnitId(0))
    }

    fn ask_to_replace(&mut self, unit: UnitId) -> Result<(), String> {
        self.request += 1;
        let (request, mode) = (self.request, JobMode::Replace);
        let socket = UnitId(1);
        let (kind, unit) = match self.engine.state(unit).unwrap().active().is_up() {
            true if self.engine.state(socket).unwrap().active().is_up() => {
                let drain = self.random.chance(50).then_some(Micros::seconds(3));
                return self.step(Input::Replace {
                    request,
                    unit,
                    mode,
                    drain,
                });
            }
            true => (JobKind::Stop, unit),
            false if self.random.chance(50) => (JobKind::Start, socket),
            false => (JobKind::Start, unit),
        };
        self.step(Input::Job {
            request,
            unit,
            kind,
            mode,
        })
    }

    /// What the manager does when the instance ends; when all is down the next one begins, with a manager of its own.
    fn end_the_rest(&mut self) -> Result<(), String> {
        let units = self.engine.units();
        let rest: Vec<UnitId> = units
            .filter(|unit| match self.engine.job(*unit) {
                Some(job) => job.kind != JobKind::Stop,
                None => !self.engine.state(*unit).unwrap().active().is_down(),
            })
            .collect();
        if rest.is_empty() {
            self.ending = false;
            return self.restart_manager(None);
        }
        for unit in rest {
            self.step(Input::End(unit))?;
        }
        Ok(())
    }

    fn be_misused(&mut self) -> Result<(), String> {
        let unit = self.any_unit();
        match self.random.below(7) {
            0 => {
                self.starts.remove(&unit);
                self.step(Input::ResetFailed(unit))
            }
            1 => {
                let job = self.engine.jobs().next();
                job.map_or(Ok(()), |(job, _)| self.step(Input::Cancel(job)))
            }
            6 => self.step(Input::TakenBack(unit)),
            5 => self.step(Input::Clean { unit, what: 1 }),
            2 => self.step(Input::Kill {
                unit,
                target: Target::All,
                signal: Signal::TERM,
            }),
            _ => {
                let config = self.configs[self.random.below(self.configs.len())].clone();
                self.step(Input::Configure(Box::new(config)))
            }
        }
    }

    /// The configuration; that of an empty target for a unit that is only named.
    pub(crate) fn config(&self, unit: UnitId) -> UnitConfig {
        self.engine
            .config(unit)
            .cloned()
            .unwrap_or_else(|| UnitConfig::target("gone"))
    }

    pub(crate) fn any_unit(&mut self) -> UnitId {
        UnitId(self.random.below(self.configs.len()) as u32)
    }

    /// Events that mean nothing: late, repeated, of no one.
    fn noise(&mut self) -> Result<(), String> {
        let unit = self.any_unit();
        let current = self.engine.snapshot(unit).unwrap().incarnation;
        let old = Incarnation(current.0.saturating_sub(1 + self.random.below(2) as u64));
        // What drains is somebody.
        let is_beside = |beside: &Beside| beside.incarnation == old;
        let old = match self.engine.beside(unit).is_some_and(is_beside) {
            true => current,
            false => old,
        };
        let process = ProcessKey {
            unit,
            incarnation: old,
            serial: 1 + self.random.below(3) as u32,
        };
        let stray = ProcessKey {
            unit,
            incarnation: current,
            serial: 900,
        };
        let message = Notice {
            ready: true,
            stopping: true,
            main_pid: Some(1),
            ..Notice::default()
        };
        let before = self.engine.snapshot(unit);
        let input = match self.random.below(8) {
            0 if old < current => Input::Exited {
                process,
                status: ExitStatus::Exited(1),
            },
            1 if old < current => Input::CgroupEmpty {
                unit,
                incarnation: old,
            },
            2 if old < current => Input::Notify {
                unit,
                incarnation: old,
                message,
            },
            3 => Input::Exited {
                process: stray,
                status: ExitStatus::Killed(Signal::KILL),
            },
            6 => Input::PathFired {
                unit,
                incarnation: Incarnation(current.0 + 1),
                what: "nothing".into(),
                realtime_us: 0,
            },
            5 => Input::TimerElapsed {
                unit,
                incarnation: Incarnation(current.0 + 1),
                realtime_us: 0,
            },
            4 => Input::SocketTraffic {
                unit,
                incarnation: Incarnation(current.0 + 1),
            },
            _ => Input::Spawned(stray),
        };
        self.plain_step(input)?;
        let changed = before.map(|snapshot| snapshot.state)
            != self.engine.snapshot(unit).map(|snapshot| snapshot.state);
        if changed {
            Err("an event of nobody changed a state".to_owned())
        } else {
            Ok(())
        }
    }

    fn pass_time(&mut self) -> Result<(), String> {
        self.now = match self.wake {
            Some(wake) if self.random.chance(60) => self.now.max(wake),
            _ => self.now.after(Micros(self.random.below(3_000_000) as u64)),
        };
        self.step(Input::Tick)
    }

    /// One step of the engine, as the manager takes it: record, then carry out.
    pub(crate) fn step(&mut self, input: Input) -> Result<(), String> {
        let before = self.job_states();
        // That all is to end is no record: the manager says it again, of what is up.
        let has_twin = self.random.chance(TWINS) && !self.ending;
        let twin = has_twin.then(|| self.twin_step(&input));
        let effects = self.take_step(&input);
        if let Some(twin) = twin {
            self.check_twin(&effects, twin)?;
        }
        self.check_step(&before, &effects)?;
        if !self.calm && self.random.chance(1) {
            return self.restart_manager(Some((input, effects)));
        }
        self.record(&effects);
        for effect in &effects {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    pub(crate) fn take_step(&mut self, input: &Input) -> Vec<Effect> {
        self.steps += 1;
        let now = self.now;
        let effects: Vec<Effect> = self.engine.step(now, input.clone()).into_iter().collect();
        if self.tracing {
            let told: Vec<String> = effects
                .iter()
                .filter_map(|effect| print_effect(&self.engine, effect))
                .collect();
            let states: Vec<String> = self
                .engine
                .units()
                .map(|unit| print_state(&self.engine, unit))
                .collect();
            let event = match input {
                Input::Configure(config) => format!("configure {}", config.name),
                input => format!("{input:?}"),
            };
            self.trace.push(format!(
                "{now} {event} => {} | {}",
                told.join(", "),
                states.join(", ")
            ));
        }
        effects
    }

    pub(crate) fn record(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Action::StateChanged(unit) = effect.action {
                self.records
                    .insert(unit, self.engine.snapshot(unit).unwrap());
            }
        }
    }

    pub(crate) fn carry_out(&mut self, effect: &Effect) -> Result<(), String> {
        match &effect.action {
            Action::Spawn(spawn) => self.spawn(spawn)?,
            Action::Signal {
                unit,
                incarnation,
                target,
                signal,
            } => self.signal((*unit, *incarnation), *target, *signal),
            Action::Track { process, .. } => self.track(*process),
            Action::Probe { process, .. } => self.ask(*process)?,
            Action::EndProbe { unit, .. } => self.probes.retain(|probe| probe.unit != *unit),
            Action::Clean { unit, .. } => {
                self.cleaning.insert(*unit);
            }
            Action::FindMain {
                unit,
                incarnation,
                waits,
            } => {
                self.searches.insert((*unit, *incarnation), *waits);
            }
            Action::WatchEmpty { unit, incarnation } => {
                self.empty_watches.insert((*unit, *incarnation));
            }
            Action::TestConditions(unit) => {
                self.condition_tests.insert(*unit);
            }
            Action::OpenSockets { unit, incarnation } => {
                self.opening.insert((*unit, *incarnation));
            }
            Action::WatchSockets { unit, incarnation } => {
                self.watched.insert((*unit, *incarnation));
            }
            Action::TakeConnection { unit, number } => {
                let source = crate::life::source(*number);
                self.taken = Some((*unit, *number, source));
            }
            Action::ReckonTimer { unit, incarnation } => {
                self.timers.remove(&(*unit, *incarnation));
                self.reckoning.insert((*unit, *incarnation));
            }
            Action::WatchTimer {
                unit, incarnation, ..
            } => {
                self.timers.insert((*unit, *incarnation));
            }
            Action::WatchPath {
                unit, incarnation, ..
            } => {
                self.paths.remove(&(*unit, *incarnation));
                self.watching.insert((*unit, *incarnation));
            }
            Action::UnwatchPath(unit) => {
                self.paths.retain(|(watched, _)| watched != unit);
                self.watching.retain(|(watched, _)| watched != unit);
            }
            Action::UnwatchTimer(unit) => self.timers.retain(|(watched, _)| watched != unit),
            Action::UnwatchSockets(unit) => self.watched.retain(|(watched, _)| watched != unit),
            Action::CloseSockets { unit, .. } => {
                self.watched.retain(|(watched, _)| watched != unit)
            }
            Action::WakeAt(at) => self.wake = *at,
            Action::Act { .. } => self.ending = !self.calm,
            Action::Release {
                unit, incarnation, ..
            } => self.release((*unit, *incarnation))?,
            action => self.carry_out_of_automount(action),
        }
        Ok(())
    }

    fn spawn(&mut self, spawn: &Spawn) -> Result<(), String> {
        let key = spawn.process;
        if self.processes.contains_key(&key) {
            return Ok(());
        }
        let rivals = self.processes.iter().filter(|(other, process)| {
            (other.unit, other.incarnation) == (key.unit, key.incarnation)
                && process.role == Role::Main
                && matches!(process.life, Life::Pending | Life::Alive)
        });
        if spawn.role == Role::Main && rivals.count() > 0 {
            return Err(format!("two main processes of one run: {key:?}"));
        }
        if spawn.role == Role::Health {
            self.has_no_probe(key)?;
        }
        let stubborn = !self.calm && self.random.chance(20);
        self.processes.insert(
            key,
            Process {
                role: spawn.role,
                life: Life::Pending,
                executed: false,
                stubborn,
            },
        );
        Ok(())
    }
}
