//! The lives of a world's processes: what can happen to each, and what it does then.

use coracle_engine::*;
use std::sync::Arc;

use crate::world::{Life, Process, Run, World};

impl World {
    pub(crate) fn track(&mut self, key: ProcessKey) {
        let orphans = self.orphans.entry((key.unit, key.incarnation)).or_default();
        let life = if orphans.pop().is_some() {
            Life::Alive
        } else {
            Life::Zombie(ExitStatus::Unknown)
        };
        self.processes.insert(
            key,
            Process {
                role: Role::Main,
                life,
                executed: true,
                stubborn: false,
            },
        );
        // The former main process is any process now.
        for (other, process) in &mut self.processes {
            if *other != key
                && (other.unit, other.incarnation) == (key.unit, key.incarnation)
                && process.role == Role::Main
            {
                process.role = Role::Reload;
            }
        }
    }

    pub(crate) fn signal(&mut self, run: Run, target: Target, signal: Signal) {
        self.told.insert(run);
        if matches!(signal, Signal::CONT | Signal::HUP) {
            return;
        }
        let of_service = self.engine.run_of(run.0, run.1);
        let (main, control) = match (self.engine.state(run.0), of_service) {
            (_, Some(service)) => (
                main_serial(&service.main),
                service.control.map(|control| control.serial),
            ),
            (Some(State::Socket(socket)), None) => {
                (None, socket.control.map(|control| control.serial))
            }
            _ => (None, None),
        };
        let serial = match target {
            Target::Process(serial) => Some(serial),
            Target::Main => main,
            Target::Control => control,
            Target::All => None,
        };
        if target != Target::All && serial.is_none() {
            return;
        }
        for (key, process) in &mut self.processes {
            let meant = (key.unit, key.incarnation) == run
                && serial.is_none_or(|serial| serial == key.serial);
            // The keeper takes commands in their order: one process that is to be killed is made and dies.
            let is_made = process.life == Life::Alive
                || (process.life == Life::Pending && serial.is_some() && signal == Signal::KILL);
            if meant && is_made && (signal == Signal::KILL || !process.stubborn) {
                process.life = Life::Zombie(ExitStatus::Killed(signal));
            }
        }
        if target == Target::All {
            self.orphans
                .entry(run)
                .or_default()
                .retain(|stubborn| *stubborn && signal != Signal::KILL);
        }
    }

    /// What is possible now, in a fixed order.
    pub(crate) fn possible_events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (key, process) in &self.processes {
            match process.life {
                Life::Pending => events.push(Event::Spawn(*key)),
                Life::Zombie(_) => events.push(Event::Report(*key)),
                Life::Alive if !process.executed => {
                    events.push(Event::Execute(*key));
                    // It may be heard before its program is seen to run.
                    let events_of_life = self.life_events(*key, process).into_iter();
                    events.extend(events_of_life.filter(|event| matches!(event, Event::Say(_))));
                }
                Life::Alive => events.extend(self.life_events(*key, process)),
                Life::Reaped => {}
            }
        }
        events.extend(
            self.empty_watches
                .iter()
                .filter(|run| !self.is_populated(**run))
                .map(|run| Event::Empty(*run)),
        );
        events.extend(self.found_mains());
        events.extend(self.table_events());
        events.extend(self.automount_events());
        events.extend(
            self.condition_tests
                .iter()
                .map(|unit| Event::Conditions(*unit)),
        );
        events.extend(self.taken.iter().map(|_| Event::Serves));
        events.extend(self.cleaning.iter().map(|unit| Event::Cleaned(*unit)));
        events.extend(self.probes.iter().map(|probe| Event::Answers(*probe)));
        events.extend(self.opening.iter().map(|run| Event::Opened(*run)));
        events.extend(self.reckoning.iter().map(|run| Event::Reckoned(*run)));
        events.extend(self.watching.iter().map(|run| Event::PathWatched(*run)));
        if !self.calm {
            events.extend(self.timers.iter().map(|run| Event::Elapsed(*run)));
            events.extend(self.timers.iter().map(|run| Event::ClockSet(*run)));
            let paths = self.watching.iter().chain(&self.paths);
            events.extend(paths.map(|run| Event::PathFired(*run)));
            events.extend(self.paths.iter().map(|run| Event::PathTroubled(*run)));
            let of = |run: &&Run| self.engine.takes_connections(run.0, run.1);
            events.extend(
                (self.watched.iter().filter(|run| !of(run))).map(|run| Event::Traffic(*run)),
            );
            if self.taken.is_none() {
                events.extend((self.watched.iter().filter(of)).map(|run| Event::Connects(*run)));
            }
            events.extend(
                self.orphans
                    .iter()
                    .filter(|(_, orphans)| !orphans.is_empty())
                    .map(|(run, _)| Event::OrphanDies(*run)),
            );
        }
        events
    }

    pub(crate) fn life_events(&self, key: ProcessKey, process: &Process) -> Vec<Event> {
        let UnitConfig {
            kind: Kind::Service(service),
            ..
        } = self.config(key.unit)
        else {
            return vec![Event::Die(key)];
        };
        let forks = service.service_type == ServiceType::Forking;
        let daemon = process.role == Role::Main
            && service.service_type != ServiceType::Oneshot
            && !(forks && self.is_control(key));
        if !self.calm {
            return if daemon {
                vec![Event::Die(key), Event::Say(key), Event::Say(key)]
            } else {
                vec![Event::Die(key)]
            };
        }
        let snapshot = self.engine.snapshot(key.unit).unwrap();
        if let Some(beside) =
            (snapshot.beside.as_ref()).filter(|beside| beside.incarnation == key.incarnation)
        {
            let dies = beside.stage != Stage::Stays && !process.stubborn;
            return dies.then_some(Event::Die(key)).into_iter().collect();
        }
        let State::Service(run) = &snapshot.state else {
            return Vec::new();
        };
        let waits = match run.phase {
            // Once it is asked by probes it has said what it has to.
            Phase::Start => run.health.is_none(),
            Phase::ReloadSignal { .. } | Phase::ReloadNotify => true,
            // It was told so by itself, and a process that says STOPPING=1 goes.
            Phase::StopKill(_) | Phase::FinalKill(_) => {
                return if process.stubborn {
                    Vec::new()
                } else {
                    vec![Event::Die(key)]
                };
            }
            _ => false,
        };
        match daemon {
            true if waits
                && snapshot.incarnation == key.incarnation
                && main_serial(&run.main) == Some(key.serial) =>
            {
                vec![Event::Say(key)]
            }
            true => Vec::new(),
            false => vec![Event::Die(key)],
        }
    }

    fn is_control(&self, key: ProcessKey) -> bool {
        let snapshot = self.engine.snapshot(key.unit).unwrap();
        let State::Service(run) = &snapshot.state else {
            return true;
        };
        snapshot.incarnation != key.incarnation || main_serial(&run.main) != Some(key.serial)
    }

    /// A file that is waited for names somebody at some time, and what is not waited for may also be nobody.
    fn found_mains(&self) -> impl Iterator<Item = Event> + '_ {
        self.searches.iter().flat_map(|(run, waits)| {
            let orphans = self.orphans.get(run);
            let has_any = orphans.is_some_and(|orphans| !orphans.is_empty());
            let found = has_any.then_some(Event::Found(*run, true));
            // It may name the process that is the main one anyway.
            let has_main = matches!(self.engine.state(run.0), Some(State::Service(service)) if matches!(service.main, Main::Process(_)));
            let none = (!waits || has_main).then_some(Event::Found(*run, false));
            found.into_iter().chain(none)
        })
    }

    pub(crate) fn is_populated(&self, run: Run) -> bool {
        let alive = |(key, process): (&ProcessKey, &Process)| {
            (key.unit, key.incarnation) == run && process.life == Life::Alive
        };
        self.processes.iter().any(alive)
            || self
                .orphans
                .get(&run)
                .is_some_and(|orphans| !orphans.is_empty())
    }

    pub(crate) fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Spawn(key) => self.spawned(key),
            Event::Execute(key) => self.executed(key),
            Event::Die(key) => {
                self.die(key);
                Ok(())
            }
            Event::Report(key) => self.report(key),
            Event::Say(key) => self.say(key),
            Event::Empty(run) => {
                self.empty_watches.remove(&run);
                self.step(Input::CgroupEmpty {
                    unit: run.0,
                    incarnation: run.1,
                })
            }
            Event::Found((unit, incarnation), found) => {
                self.searches.remove(&(unit, incarnation));
                self.step(Input::MainFound {
                    unit,
                    incarnation,
                    pid: found.then_some(7),
                })
            }
            Event::Conditions(unit) => {
                self.condition_tests.remove(&unit);
                let outcome = *self.random.pick(&[
                    Conditions::Met,
                    Conditions::Met,
                    Conditions::Unmet,
                    Conditions::AssertFailed,
                ]);
                self.step(Input::Conditions { unit, outcome })
            }
            Event::Answers(process) => {
                self.probes.remove(&process);
                let well = self.calm || self.random.chance(70);
                self.step(Input::Probed { process, well })
            }
            Event::Opened((unit, incarnation)) => {
                self.opening.remove(&(unit, incarnation));
                let well = self.calm || self.random.chance(80);
                self.step(if well {
                    Input::SocketsOpen { unit, incarnation }
                } else {
                    Input::SocketsFailed { unit, incarnation }
                })
            }
            Event::Cleaned(unit) => {
                self.cleaning.remove(&unit);
                self.step(Input::Cleaned(unit))
            }
            Event::Traffic((unit, incarnation)) => {
                self.watched.remove(&(unit, incarnation));
                self.step(Input::SocketTraffic { unit, incarnation })
            }
            Event::TableSeen(unit) => self.see_table(unit),
            Event::TableChanged(unit) => {
                self.others_change_table(unit);
                Ok(())
            }
            Event::Connects(run) => self.connect(run),
            Event::Serves => self.serve(),
            Event::Reckoned(_) | Event::Elapsed(_) | Event::ClockSet(_) => {
                self.happen_to_timer(event)
            }
            Event::PathWatched(_) | Event::PathFired(_) | Event::PathTroubled(_) => {
                self.happen_to_path(event)
            }
            Event::AutomountSet(_)
            | Event::AutomountUnset(_)
            | Event::AutomountAnswered
            | Event::AutomountVisited(_)
            | Event::AutomountIdle(_)
            | Event::AutomountBroken(_) => self.happen_to_automount(&event),
            Event::OrphanDies(run) => {
                self.orphans.entry(run).or_default().pop();
                Ok(())
            }
        }
    }

    fn connect(&mut self, (unit, incarnation): Run) -> Result<(), String> {
        let number = self.engine.traffic_of(unit).accepted;
        self.step(Input::Connection {
            unit,
            incarnation,
            number,
            source: source(number),
        })
    }

    /// The unit of a connection that was taken is loaded, or there is none.
    fn serve(&mut self) -> Result<(), String> {
        let Some((unit, number, source)) = self.taken.clone() else {
            return Ok(());
        };
        let instance = self.engine.id(&crate::generate::instance_name(number));
        let instance = instance.filter(|_| self.calm || self.random.chance(90));
        let returns = self.returns;
        let outcome = self.step(match instance {
            Some(instance) => Input::ConnectionReady {
                unit,
                number,
                instance,
                source,
            },
            None => Input::ConnectionLost(unit),
        });
        // A manager that was killed meanwhile finds the connection with the keeper.
        if self.returns == returns {
            self.taken = None;
        }
        outcome
    }

    fn happen_to_timer(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Reckoned((unit, incarnation)) => {
                self.reckoning.remove(&(unit, incarnation));
                let next = Elapse {
                    monotonic: Some(self.now),
                    realtime_us: None,
                };
                let found = Reckoned {
                    next: self.random.chance(80).then_some(next),
                    last_trigger: None,
                };
                self.step(Input::TimerReckoned {
                    unit,
                    incarnation,
                    found,
                })
            }
            Event::Elapsed((unit, incarnation)) => {
                self.timers.remove(&(unit, incarnation));
                self.step(Input::TimerElapsed {
                    unit,
                    incarnation,
                    realtime_us: self.now.0,
                })
            }
            Event::ClockSet((unit, _)) => self.step(Input::ReckonTimer(unit)),
            _ => Ok(()),
        }
    }

    fn happen_to_path(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::PathWatched((unit, incarnation)) => {
                self.watching.remove(&(unit, incarnation));
                self.paths.insert((unit, incarnation));
                let mark = Mark {
                    there: self.random.chance(50),
                    watch: None,
                };
                self.step(Input::PathWatched {
                    unit,
                    incarnation,
                    marks: Box::new([mark]),
                })
            }
            Event::PathFired((unit, incarnation)) => {
                self.watching.remove(&(unit, incarnation));
                self.paths.remove(&(unit, incarnation));
                self.step(Input::PathFired {
                    unit,
                    incarnation,
                    what: "/x".into(),
                    realtime_us: self.now.0,
                })
            }
            Event::PathTroubled((unit, _)) if self.random.chance(80) => {
                self.step(Input::WatchPath(unit))
            }
            Event::PathTroubled((unit, incarnation)) => {
                self.paths.remove(&(unit, incarnation));
                self.step(Input::PathFailed {
                    unit,
                    incarnation,
                    why: "it can't be watched".into(),
                })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn spawned(&mut self, key: ProcessKey) -> Result<(), String> {
        if !self.calm && self.random.chance(5) {
            self.processes.remove(&key);
            return self.step(Input::SpawnFailed(key));
        }
        self.set_life(key, Life::Alive);
        self.step(Input::Spawned(key))
    }

    pub(crate) fn executed(&mut self, key: ProcessKey) -> Result<(), String> {
        if !self.calm && self.random.chance(5) {
            self.set_life(key, Life::Zombie(ExitStatus::Exited(203)));
            return self.step(Input::ExecFailed(key));
        }
        if let Some(process) = self.processes.get_mut(&key) {
            process.executed = true;
        }
        self.step(Input::Executed(key))
    }

    pub(crate) fn die(&mut self, key: ProcessKey) {
        let status = match self.random.below(10) {
            _ if self.calm => ExitStatus::Exited(0),
            0 => ExitStatus::Exited(1),
            1 => ExitStatus::Exited(255),
            2 => ExitStatus::Killed(Signal(11)),
            3 => ExitStatus::Dumped(Signal::ABRT),
            4 => ExitStatus::Killed(Signal::TERM),
            _ => ExitStatus::Exited(0),
        };
        let is_main = self
            .processes
            .get(&key)
            .is_some_and(|process| process.role == Role::Main);
        let forks = is_main
            && matches!(self.config(key.unit).kind, Kind::Service(service) if service.service_type == ServiceType::Forking)
            && self.is_control(key);
        let leaves = match self.calm {
            true => forks,
            false => self.random.chance(if forks { 70 } else { 20 }),
        };
        if leaves {
            let stubborn = !self.calm && self.random.chance(30);
            self.orphans
                .entry((key.unit, key.incarnation))
                .or_default()
                .push(stubborn);
        }
        if let Some(role) = self.processes.get(&key).map(|process| process.role) {
            self.change_table(key, role, status);
        }
        self.note(|| format!("dies {key:?} {status:?}"));
        self.set_life(key, Life::Zombie(status));
    }

    pub(crate) fn report(&mut self, key: ProcessKey) -> Result<(), String> {
        let Some(Life::Zombie(status)) = self.processes.get(&key).map(|process| process.life)
        else {
            return Ok(());
        };
        self.set_life(key, Life::Reaped);
        self.see_table(key.unit)?;
        self.step(Input::Exited {
            process: key,
            status,
        })
    }

    pub(crate) fn set_life(&mut self, key: ProcessKey, life: Life) {
        if let Some(process) = self.processes.get_mut(&key) {
            process.life = life;
        }
    }

    pub(crate) fn say(&mut self, key: ProcessKey) -> Result<(), String> {
        let mut message = Notice {
            ready: true,
            ..Notice::default()
        };
        if self.calm {
            let snapshot = self.engine.snapshot(key.unit).unwrap();
            message.reloading = matches!(&snapshot.state, State::Service(run) if matches!(run.phase, Phase::ReloadSignal { .. }));
            message.monotonic = message.reloading.then_some(self.now.0);
            message.ready = true;
        } else {
            match self.random.below(12) {
                5 => {
                    message = Notice {
                        alive: true,
                        ..Notice::default()
                    }
                }
                6 => message.watchdog_trigger = self.random.chance(20),
                8 => {
                    let (unit, incarnation) = (key.unit, key.incarnation);
                    return self.step(Input::OutOfMemory { unit, incarnation });
                }
                7 => message.watchdog = Some(2_000_000),
                0 => message.stopping = true,
                1 => message.reloading = true,
                2 => {
                    message = Notice {
                        reloading: true,
                        monotonic: Some(self.now.0),
                        ..Notice::default()
                    }
                }
                3 => message.extend_timeout = Some(5_000_000),
                4 => message.main_pid = Some(7),
                _ => {}
            }
        }
        self.step(Input::Notify {
            unit: key.unit,
            incarnation: key.incarnation,
            message,
        })
    }
}

/// What can happen next.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Spawn(ProcessKey),
    Execute(ProcessKey),
    Die(ProcessKey),
    Report(ProcessKey),
    Say(ProcessKey),
    Empty(Run),
    Conditions(UnitId),
    Answers(ProcessKey),
    Opened(Run),
    Traffic(Run),
    Connects(Run),
    Serves,
    Reckoned(Run),
    PathWatched(Run),
    PathFired(Run),
    PathTroubled(Run),
    AutomountSet(Run),
    AutomountUnset(Run),
    AutomountAnswered,
    AutomountVisited(Run),
    AutomountIdle(Run),
    AutomountBroken(Run),
    Elapsed(Run),
    ClockSet(Run),
    OrphanDies(Run),
    Found(Run, bool),
    TableSeen(UnitId),
    TableChanged(UnitId),
    Cleaned(UnitId),
}

/// Two peers, by turns.
pub(crate) fn source(number: u32) -> Arc<str> {
    format!("10.0.0.{}", number % 2).into()
}

pub(crate) fn main_serial(main: &Main) -> Option<u32> {
    match main {
        Main::Process(process) => Some(process.serial),
        Main::None | Main::Ended(_) => None,
    }
}
