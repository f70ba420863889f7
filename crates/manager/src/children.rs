//! What the keeper tells of children, what executors report, and when a run's control group is empty.

use crate::manager::{Error, Manager, Stage};
use crate::run::exit_status;
use engine::{Incarnation, Input, ProcessKey, Role, UnitId};
use keeper::protocol::{ChildKey, ChildState, Event, Exit};
use kernel::message::{Descriptors, ReceiveOptions, receive};
use kernel::signal::number::{SIGHUP, SIGINT, SIGTERM};
use plan::interpreter::Interpreter;
use plan::report::{HEAD_BYTES, RECORD_BYTES, Report};
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// The end of a process that said something before, which is heard first.
#[derive(Debug)]
pub(crate) struct LateEnd {
    pub(crate) process: ProcessKey,
    exit: Exit,
    /// How many rounds it waited.
    rounds: u32,
    /// What is reaped when it is on record; nothing where the keeper will tell of it once more.
    pub(crate) reaped: Option<ChildKey>,
}

impl Manager {
    /// Takes all events that the keeper has sent.
    pub(crate) fn on_keeper(&mut self) -> Result<(), Error> {
        while let Some((event, descriptors)) = self.link.receive()? {
            let event = Told::from(event);
            self.on_told(event, descriptors)?;
        }
        Ok(())
    }

    fn on_told(&mut self, event: Told, descriptors: Vec<OwnedFd>) -> Result<(), Error> {
        match event {
            Told::Hello {
                pid,
                restarts,
                init,
                adopt_only,
                power,
            } => {
                let adopt_only = adopt_only || self.keeper.adopt_only;
                self.keeper = crate::manager::KeeperFacts {
                    pid,
                    restarts,
                    init,
                    adopt_only,
                    power,
                };
                let executor = descriptors.first();
                self.filters.executor = executor.and_then(crate::filters::executor);
                self.link.ask_inventory();
            }
            Told::Spawned { key, pid } => self.on_spawned(key, pid, descriptors.into_iter().next()),
            Told::SpawnFailed { key, errno } => self.on_spawn_failed(key, errno),
            Told::Exited { key, pid, exit } => self.on_exited(key, pid, exit),
            Told::Child { key, pid, state } => self.inventory.child(key, pid, state, descriptors),
            Told::Held { class, name } => self.inventory.held(class, name, descriptors),
            Told::InventoryEnd => self.adopt()?,
            Told::Signal(signal) => self.on_signal(signal),
            Told::Refused { kind, key, errno } => {
                let why = std::io::Error::from_raw_os_error(errno);
                self.log(&format!(
                    "the keeper refused a command of kind {kind} for {key:?}: {why}"
                ));
                // Nobody waits for a worker that is not there; of a service's process the next manager asks again.
                if key.command >= crate::opener::OPENER_COMMAND {
                    self.on_spawn_failed(key, errno);
                }
            }
        }
        Ok(())
    }

    /// The process of a key, if its unit is known.
    fn process_of(&self, key: ChildKey) -> Option<ProcessKey> {
        let unit = *self.by_key.get(&key.unit)?;
        let serial = u32::try_from(key.command).ok()?;
        Some(ProcessKey {
            unit,
            incarnation: Incarnation(key.incarnation),
            serial,
        })
    }

    fn on_spawned(&mut self, key: ChildKey, pid: u32, pidfd: Option<OwnedFd>) {
        if self.openers.contains_key(&key) {
            return;
        }
        let Some(process) = self.process_of(key) else {
            return;
        };
        let Some(run) = self.run_mut(process.unit, process.incarnation) else {
            return;
        };
        if let Some(known) = run.process(process.serial) {
            (known.pid, known.pidfd) = (Some(pid), pidfd);
        }
        self.inputs.push_back(Input::Spawned(process));
        self.dirty.insert(process.unit);
    }

    fn on_spawn_failed(&mut self, key: ChildKey, errno: i32) {
        if let Some(opening) = self.openers.remove(&key) {
            return self.on_opener_failed(
                opening,
                &format!("no process: {}", std::io::Error::from_raw_os_error(errno)),
            );
        }
        if self.on_cleaner_failed(key, errno) {
            return;
        }
        let Some(process) = self.process_of(key) else {
            return;
        };
        let message = format!(
            "the keeper cannot start a process: {}",
            std::io::Error::from_raw_os_error(errno)
        );
        let run = self.run_mut(process.unit, process.incarnation);
        let known = run.and_then(|run| run.process(process.serial));
        if known.is_some_and(|known| known.role == Role::Health) {
            self.probe_not_begun(process, &message);
        } else if let Some(entry) = self.units.get_mut(&process.unit) {
            let unit = entry.name.to_string();
            entry.failure = Some(Box::new(wire::Failure::Refused {
                unit,
                directive: "ExecStart".into(),
                message,
            }));
        }
        self.forget_report(process);
        self.inputs.push_back(Input::SpawnFailed(process));
    }

    /// A child ended: what it reported comes first, then its end, and it is reaped when that is on record.
    pub(crate) fn on_exited(&mut self, key: ChildKey, _pid: u32, exit: Exit) {
        if self.on_worker_exited(key, exit) {
            return self.to_reap.push(key);
        }
        let Some(process) = self.process_of(key) else {
            return self.to_reap.push(key);
        };
        let waits = self.aside.pid_files.end_of(process);
        let mut late = self.late_ends.iter_mut();
        match waits.or_else(|| late.find(|late| late.process == process)) {
            Some(late) => late.reaped = Some(key),
            None => self.take_end(LateEnd {
                process,
                exit,
                rounds: 0,
                reaped: Some(key),
            }),
        }
    }

    /// A process of a unit ended. Heard twice after the manager came back: with the inventory, and again until it is reaped.
    pub(crate) fn ended(&mut self, process: ProcessKey, exit: Exit) {
        self.take_end(LateEnd {
            process,
            exit,
            rounds: 0,
            reaped: None,
        });
    }

    fn take_end(&mut self, end: LateEnd) {
        /// More messages than that were not in the queue (net.unix.max_dgram_qlen): others still talk.
        const ROUNDS_MAX: u32 = 512;
        if end.rounds < ROUNDS_MAX && self.hear_first(end.process) {
            let rounds = end.rounds + 1;
            return self.late_ends.push(LateEnd { rounds, ..end });
        }
        if self.may_hand_over(end.process) {
            if self.stage != Stage::Adopting {
                return self.ask_whom_it_named(end);
            }
            // Whom its PID file names can only be asked when it is known what there is, and until then it is the main process.
            let process = end.process;
            self.inputs.push_back(Input::Alive { process });
            return self.late_ends.push(end);
        }
        self.conclude(end);
    }

    /// Nothing comes before this end any more.
    pub(crate) fn conclude(&mut self, end: LateEnd) {
        let LateEnd { process, exit, .. } = end;
        let run = self.run_mut(process.unit, process.incarnation);
        let known = run.and_then(|run| run.process(process.serial));
        if known.is_some_and(|known| known.role == Role::Health) {
            self.end_probe_processes(process);
        }
        self.to_reap.extend(end.reaped);
        let now = crate::clock::realtime_us();
        let known = self
            .run_mut(process.unit, process.incarnation)
            .and_then(|run| run.process(process.serial));
        if known.as_ref().is_some_and(|known| known.ended.is_some()) {
            return;
        }
        if let Some(report) = known.and_then(|known| known.report) {
            self.on_report(report);
            self.forget_report(process);
        }
        let (mut status, mut role) = (exit_status(exit), None);
        // Why it was killed comes before that it was.
        if matches!(status, engine::ExitStatus::Killed(engine::Signal::KILL)) {
            self.look_at_memory(process.unit);
        }
        if let Some(run) = self.run_mut(process.unit, process.incarnation)
            && let Some(known) = run.process(process.serial)
        {
            status = known.unveiled(status);
            (known.ended, known.pidfd) = (Some((status, now)), None);
            role = Some(known.role);
        }
        if role == Some(Role::Health) {
            self.probe_ended(process, status);
        } else if let Some(role) = role {
            self.tell_end(process.unit, role, status);
        }
        self.dirty.insert(process.unit);
        self.look_again(process.unit);
        self.inputs.push_back(Input::Exited { process, status });
        self.empty_without_group(process.unit, process.incarnation);
    }

    /// Did its run say something that is not heard yet? What was said before an end comes before it.
    fn hear_first(&mut self, process: ProcessKey) -> bool {
        let run = self.run_mut(process.unit, process.incarnation);
        let Some(number) = run.and_then(|run| run.notify) else {
            return false;
        };
        if self.stage == Stage::Adopting {
            // Nothing is heard before the engine knows what there is, and until then the process is one that there is.
            self.inputs.push_back(Input::Alive { process });
            return true;
        }
        self.on_notify(number);
        self.notifications.was_heard(number)
    }

    /// The ends that had to wait for what was said before them.
    pub(crate) fn take_late_ends(&mut self) {
        for late in std::mem::take(&mut self.late_ends) {
            self.take_end(late);
        }
    }

    /// Reads what an executor has to say; the end of the stream means that it executed the service.
    pub(crate) fn on_report(&mut self, number: u32) {
        let Some(report) = self.reports.get(&number) else {
            return;
        };
        let (process, socket) = (report.process, Rc::clone(&report.socket));
        let mut buffer = [0; RECORD_BYTES + HEAD_BYTES];
        let mut descriptors = Descriptors::default();
        loop {
            let received = match receive(
                &*socket,
                &mut buffer,
                &mut descriptors,
                ReceiveOptions::default(),
            ) {
                Ok(received) => received,
                Err(kernel::Errno::AGAIN | kernel::Errno::INTR) => return,
                Err(_) => return self.forget_report(process),
            };
            if received.bytes == 0 {
                self.forget_report(process);
                self.hold_mounts(process);
                self.inputs.push_back(Input::Executed(process));
                return;
            }
            let sender = received.credentials.map(|credentials| credentials.pid);
            let message = buffer.get(..received.bytes).unwrap_or_default();
            let (record, head) = message.split_at(message.len().min(RECORD_BYTES));
            match Report::decode(record) {
                Some(Report::Failure(failure)) => return self.on_failure(process, failure, head),
                Some(Report::Payload) => self.on_payload(process, sender),
                Some(Report::Namespaces { kinds }) => {
                    self.on_namespaces(process, kinds, &mut descriptors)
                }
                Some(
                    Report::Socket { .. }
                    | Report::Network
                    | Report::Ahead
                    | Report::Files
                    | Report::Unmade(_),
                )
                | None => {}
            }
        }
    }

    /// The first bytes of a program come with the failure where what they name may be missing.
    fn on_failure(&mut self, process: ProcessKey, failure: plan::report::Failure, head: &[u8]) {
        let command = self.command_of(process);
        let interpreter = Interpreter::of(head);
        let failure = self.explain_failure(process.unit, Some(command), failure, interpreter);
        self.log_as(crate::own_log::ERROR, process.unit, &failure.to_string());
        if let Some(entry) = self.units.get_mut(&process.unit) {
            entry.failure = Some(Box::new(failure));
            // Whoever mends what was in the way is to have another plan: some of it depends on what the host has.
            entry.prepared = None;
        }
        self.forget_report(process);
        self.records_needed = true;
        self.dirty.insert(process.unit);
        self.inputs.push_back(Input::ExecFailed(process));
    }

    /// What a process was to execute, by its directive.
    fn command_of(&self, process: ProcessKey) -> (&'static str, String) {
        let entry = self.units.get(&process.unit);
        let run = entry.and_then(|entry| {
            let mut runs = entry.runs.iter();
            runs.find(|run| run.incarnation == process.incarnation.0)
        });
        let known = run.and_then(|run| {
            run.processes
                .iter()
                .find(|one| one.serial == process.serial)
        });
        let (role, index) = known.map_or((Role::Main, 0), |known| (known.role, known.index));
        let commands = entry.map(|entry| crate::start::commands(&entry.unit, role));
        let command = commands
            .as_ref()
            .and_then(|commands| commands.get(usize::from(index)));
        let program = command.map(|command| command.path.clone());
        (
            crate::start::exec_directive(role),
            program.unwrap_or_default(),
        )
    }

    fn on_payload(&mut self, process: ProcessKey, pid: Option<u32>) {
        if let Some(run) = self.run_mut(process.unit, process.incarnation)
            && let Some(known) = run.process(process.serial)
        {
            known.payload = pid.filter(|pid| *pid != 0);
            self.records_needed = true;
            self.dirty.insert(process.unit);
        }
    }

    /// Closes a report; the keeper's copy goes with the child.
    pub(crate) fn forget_report(&mut self, process: ProcessKey) {
        let number = self
            .run_mut(process.unit, process.incarnation)
            .and_then(|run| run.process(process.serial)?.report.take());
        if let Some(report) = number.and_then(|number| self.reports.remove(&number)) {
            self.poll.forget(&*report.socket);
            self.go_on_with_joiners();
        }
    }

    /// Answers when no process is left in the run's group, now or later.
    pub(crate) fn watch_empty(&mut self, unit: UnitId, incarnation: Incarnation) {
        let empty = Input::CgroupEmpty { unit, incarnation };
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        let Some(run) = entry.run(incarnation.0) else {
            return self.inputs.push_back(empty);
        };
        run.wants_empty = true;
        let (Some(cgroups), Some(path)) = (&self.cgroups, run.cgroup.clone()) else {
            return self.empty_without_group(unit, incarnation);
        };
        if run.is_empty(cgroups) {
            return self.told_empty(unit, incarnation);
        }
        match cgroups.watch(&path) {
            Ok(watch) => {
                run.watch = Some(watch);
                self.cgroup_watches.insert(watch, (unit, incarnation.0));
            }
            Err(errno) => self.log(&format!("cannot watch the control group {path}: {errno}")),
        }
        self.check_empty(unit, incarnation);
    }

    /// The kernel reports changes of control groups.
    pub(crate) fn on_cgroups(&mut self) {
        let Some(cgroups) = &self.cgroups else { return };
        let changed = cgroups.changed();
        let all = || {
            let watches = self.cgroup_watches.keys();
            watches
                .chain(self.later.memory_watches.keys())
                .copied()
                .collect()
        };
        for watch in changed.unwrap_or_else(all) {
            if let Some(&(unit, _)) = self.later.memory_watches.get(&watch) {
                match self.is_counted(unit) {
                    true => self.look_at_memory(unit),
                    false => drop(self.later.memory_watches.remove(&watch)),
                }
            }
            if let Some(&(unit, incarnation)) = self.cgroup_watches.get(&watch) {
                self.check_empty(unit, Incarnation(incarnation));
            }
        }
    }

    fn check_empty(&mut self, unit: UnitId, incarnation: Incarnation) {
        let run = self
            .units
            .get_mut(&unit)
            .and_then(|entry| entry.run(incarnation.0));
        let is_empty = match (&self.cgroups, run) {
            (Some(cgroups), Some(run)) => run.is_empty(cgroups),
            _ => true,
        };
        if is_empty {
            self.told_empty(unit, incarnation);
        }
    }

    fn told_empty(&mut self, unit: UnitId, incarnation: Incarnation) {
        let Some(run) = self.run_mut(unit, incarnation) else {
            return;
        };
        let watch = run.watch.take();
        if !std::mem::take(&mut run.wants_empty) {
            return;
        }
        if let (Some(watch), Some(cgroups)) = (watch, &self.cgroups) {
            self.cgroup_watches.remove(&watch);
            cgroups.unwatch(watch);
        }
        self.inputs
            .push_back(Input::CgroupEmpty { unit, incarnation });
    }

    /// Where there are no control groups, a run is empty when the last process that we know of ended.
    fn empty_without_group(&mut self, unit: UnitId, incarnation: Incarnation) {
        let Some(run) = self.run_mut(unit, incarnation) else {
            return;
        };
        if run.cgroup.is_none() && run.wants_empty && !run.has_live_process() {
            self.told_empty(unit, incarnation);
        }
    }

    fn on_signal(&mut self, signal: i32) {
        match signal {
            SIGHUP => self.reload(None),
            _ if self.keeper.init => self.on_signal_as_init(signal),
            SIGINT | SIGTERM if self.stage == Stage::Running => self.begin_stopping(),
            _ => {}
        }
    }
}

/// An event of the keeper's, without what it borrowed.
enum Told {
    Hello {
        pid: u32,
        restarts: u32,
        init: bool,
        adopt_only: bool,
        power: bool,
    },
    Spawned {
        key: ChildKey,
        pid: u32,
    },
    SpawnFailed {
        key: ChildKey,
        errno: i32,
    },
    Exited {
        key: ChildKey,
        pid: u32,
        exit: Exit,
    },
    Child {
        key: ChildKey,
        pid: u32,
        state: ChildState,
    },
    Held {
        class: keeper::protocol::Class,
        name: String,
    },
    InventoryEnd,
    Signal(i32),
    Refused {
        kind: u16,
        key: ChildKey,
        errno: i32,
    },
}

impl From<Event<'_>> for Told {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Hello {
                pid,
                restarts,
                init,
                adopt_only,
                power,
            } => Self::Hello {
                pid,
                restarts,
                init,
                adopt_only,
                power,
            },
            Event::Spawned { key, pid, .. } => Self::Spawned { key, pid },
            Event::SpawnFailed { key, errno, .. } => Self::SpawnFailed { key, errno },
            Event::Exited { key, pid, exit, .. } => Self::Exited { key, pid, exit },
            Event::Child {
                key, pid, state, ..
            } => Self::Child { key, pid, state },
            Event::Held { class, name } => Self::Held {
                class,
                name: String::from_utf8_lossy(name).into_owned(),
            },
            Event::InventoryEnd => Self::InventoryEnd,
            Event::SignalReceived { signal } => Self::Signal(signal),
            Event::Refused { kind, key, errno } => Self::Refused { kind, key, errno },
        }
    }
}
