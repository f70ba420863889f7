//! The engine's effects, each handed to the adapter that can do it.

use crate::manager::Manager;
use crate::status::main_serial;
use engine::{Action, Effect, Incarnation, Input, ProcessKey, Signal, State, Target, UnitId};

impl Manager {
    /// Does, or queues, what the engine wants done.
    pub(crate) fn carry_out(&mut self, effect: Effect) {
        let Effect { action, cause } = effect;
        match action {
            Action::Spawn(spawn) => self.start_process(spawn),
            Action::Signal {
                unit,
                incarnation,
                target,
                signal,
            } => self.signal(unit, incarnation, target, signal),
            Action::Track { process, pid } => self.track(process, pid),
            Action::FindMain {
                unit,
                incarnation,
                waits,
            } => self.find_main(unit, incarnation, waits),
            Action::Probe { process, index } => self.probe(process, index),
            Action::EndProbe { unit, late } => self.end_probe(unit, late),
            Action::WatchEmpty { unit, incarnation } => self.watch_empty(unit, incarnation),
            Action::TakeOver { unit, incarnation } => self.take_processes(unit, incarnation),
            Action::TestConditions(unit) => self.test_conditions(unit),
            Action::OpenSockets { unit, incarnation } => self.open_sockets(unit, incarnation),
            Action::CloseSockets { unit, .. } => self.close_sockets(unit),
            Action::WatchSockets { unit, .. } => self.watch_sockets(unit),
            Action::UnwatchSockets(unit) => self.unwatch_sockets(unit),
            Action::TakeConnection { number, .. } => self.take_connection(number),
            Action::RefuseConnection { .. } => self.refuse_connection(),
            Action::ReleaseConnection(instance) => self.release_connection(instance),
            Action::FlushSockets(unit) => self.flush_sockets(unit),
            action @ (Action::ReckonTimer { .. }
            | Action::WatchTimer { .. }
            | Action::UnwatchTimer(_)
            | Action::StampTimer(_)
            | Action::WatchPath { .. }
            | Action::UnwatchPath(_)
            | Action::SetAutomount { .. }
            | Action::UnsetAutomount { .. }
            | Action::AnswerAutomount { .. }
            | Action::ExpireAutomount { .. }) => self.carry_out_of_trigger(action),
            Action::Clean { unit, what } => self.begin_cleaning(unit, what),
            Action::EndCleaning(unit) => self.end_cleaner(unit),
            Action::WakeAt(moment) => self.wake = moment,
            Action::JobQueued { request, job } => self.on_job_queued(request, job),
            Action::Refused { request, why } => self.on_job_refused(request, &why),
            Action::JobDone {
                job,
                unit,
                kind,
                result,
            } => {
                self.note_replacement(unit, kind, result);
                self.on_job_done(job, unit, result, &cause);
                self.note_generator_done(unit, result);
                self.note_last_target_done(unit, kind, result);
            }
            Action::StateChanged(unit) => self.on_state_changed(unit, &cause),
            Action::Release {
                unit,
                incarnation,
                kept,
            } => self.release(unit, incarnation, kept),
            Action::Removed(unit) => self.on_removed(unit),
            Action::Act { unit, occasion } => self.act(unit, occasion),
            Action::Log { unit, text } => {
                self.log_about(unit, &text);
                self.note_word(unit, &text);
            }
        }
    }

    /// What timers, path units and automounts want.
    fn carry_out_of_trigger(&mut self, action: Action) {
        match action {
            Action::ReckonTimer { unit, incarnation } => self.reckon_timer(unit, incarnation),
            Action::WatchTimer {
                unit,
                incarnation,
                at,
            } => self.watch_timer(unit, incarnation, at),
            Action::UnwatchTimer(unit) => self.unwatch_timer(unit),
            Action::StampTimer(unit) => self.stamp_timer(unit),
            Action::WatchPath {
                unit,
                incarnation,
                watch,
            } => self.watch_path(unit, incarnation, watch),
            Action::UnwatchPath(unit) => self.unwatch_path(unit),
            Action::SetAutomount {
                unit,
                incarnation,
                device,
            } => self.set_automount(unit, incarnation, device),
            Action::UnsetAutomount {
                unit,
                incarnation,
                device,
                waits,
            } => self.unset_automount(unit, incarnation, device, waits),
            Action::AnswerAutomount {
                unit,
                incarnation,
                device,
                waits,
                well,
            } => self.answer_automount((unit, incarnation), device, waits, well),
            Action::ExpireAutomount { unit, device, .. } => self.expire_automount(unit, device),
            _ => {}
        }
    }

    /// What the engine says of these is why its start failed, if it does: sockets, timers, path units and automounts have no process that could tell.
    fn note_word(&mut self, unit: UnitId, text: &str) {
        let entry = self.units.get_mut(&unit);
        let Some(entry) = entry.filter(|entry| {
            matches!(
                entry.name.kind(),
                model::UnitKind::Socket
                    | model::UnitKind::Timer
                    | model::UnitKind::Path
                    | model::UnitKind::Automount
            )
        }) else {
            return;
        };
        let name = entry.name.to_string();
        let own = text
            .strip_prefix(&name)
            .and_then(|text| text.strip_prefix(": "));
        let failure = wire::Failure::JobFailed {
            message: own.unwrap_or(text).trim_end_matches('.').to_owned(),
            unit: name,
            result: "failed".into(),
        };
        entry.failure.get_or_insert_with(|| Box::new(failure));
    }

    fn on_state_changed(&mut self, unit: UnitId, cause: &engine::Chain) {
        self.dirty.insert(unit);
        self.publish_state(unit, cause);
        self.tell_life(unit);
        self.follow_bus_name(unit);
        let down = self
            .engine
            .state(unit)
            .is_some_and(|state| state.active().is_down());
        let comes_again = matches!(
            self.engine.state(unit),
            Some(engine::State::AutoRestart { .. })
        );
        if down || comes_again {
            self.leave_store(unit);
        }
        if self
            .engine
            .state(unit)
            .is_some_and(|state| state.active() == engine::ActiveState::Deactivating || down)
        {
            self.thaw_for_stop(unit);
        }
        if down {
            self.retire_closed(unit);
            self.note_ended(unit);
            self.leave_slice_of(unit);
        }
        if down
            && self
                .units
                .get(&unit)
                .is_some_and(|entry| entry.transient.is_some() || entry.collects_failed())
        {
            self.ended_transients.insert(unit);
        }
    }

    fn on_removed(&mut self, unit: UnitId) {
        self.let_store_go(unit);
        self.forget_bus_name(unit, |_| false);
        self.dirty.remove(&unit);
        if let Some(entry) = self.units.remove(&unit) {
            self.by_key.remove(&entry.key);
            if let Err(error) = self.records.remove(entry.name.as_str()) {
                self.log(&format!(
                    "cannot remove the record of {}: {error}",
                    entry.name
                ));
            }
        }
    }

    /// Notes a signal to whom the engine means. It goes out when its cause is on record: the next manager would not know why they died.
    fn signal(&mut self, unit: UnitId, incarnation: Incarnation, target: Target, signal: Signal) {
        let serials = self.serials_of(unit, incarnation, target);
        // What waits for its image, for a socket, for the firewall or for a PID file has no process yet: it ends here, as if it had one.
        let fetches = &mut self.aside.fetches;
        let mut given_up = fetches.give_up(unit, incarnation, &serials);
        given_up.extend(self.mounts.give_up(unit, incarnation, &serials));
        given_up.extend(self.aside.sets.give_up(unit, incarnation, &serials));
        given_up.extend(self.aside.pid_files.give_up(unit, incarnation, &serials));
        given_up.extend(self.aside.joiners.give_up(unit, incarnation, &serials));
        for process in given_up {
            self.forget_probe_output(process);
            let status = engine::ExitStatus::Killed(signal);
            self.inputs.push_back(Input::Exited { process, status });
        }
        let is_last = self.is_last_round(unit, incarnation);
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        let Some(run) = entry.run(incarnation.0) else {
            return;
        };
        if target == Target::All
            && let (Some(cgroups), Some(path)) = (&self.cgroups, run.cgroup.clone())
        {
            if !run.is_empty(cgroups) {
                let whom = Whom::Group { path, is_last };
                self.signals.push((whom, signal));
            }
            return;
        }
        for process in run
            .processes
            .iter()
            .filter(|process| process.ended.is_none())
        {
            if target != Target::All && !serials.contains(&process.serial) {
                continue;
            }
            let whom = ProcessKey {
                unit,
                incarnation,
                serial: process.serial,
            };
            let is_probe = process.role == engine::Role::Health && signal == Signal::KILL;
            let whom = match is_probe {
                true => Whom::Probe(whom),
                false => Whom::Process(whom),
            };
            self.signals.push((whom, signal));
        }
    }

    /// Sends the signals of this round. What is gone gets nothing.
    pub(crate) fn send_signals(&mut self) {
        for (whom, signal) in std::mem::take(&mut self.signals) {
            match whom {
                Whom::Group { path, is_last } => {
                    if let Some(cgroups) = &self.cgroups {
                        signal_group(cgroups, &path, signal, is_last);
                    }
                }
                Whom::Process(process) => self.signal_process(process, signal),
                Whom::Probe(process) => {
                    self.signal_process(process, signal);
                    self.end_probe_processes(process);
                }
            }
        }
    }

    fn signal_process(&mut self, process: ProcessKey, signal: Signal) {
        let number = i32::from(signal.0);
        let run = self.run_mut(process.unit, process.incarnation);
        let known = run.and_then(|run| run.process(process.serial));
        match known.map(|known| &known.pidfd) {
            Some(Some(pidfd)) => match kernel::process::send_signal(pidfd, number) {
                // Gone meanwhile: its end is on its way.
                Ok(()) | Err(_) => {}
            },
            Some(None) => {
                if let Some(child) = self.child_key(process) {
                    self.link.signal(child, number);
                }
            }
            None => {}
        }
    }

    /// Is nothing started any more in the group of the unit's run?
    fn is_last_round(&self, unit: UnitId, incarnation: Incarnation) -> bool {
        let beside = self.engine.beside(unit);
        if let Some(beside) = beside.filter(|beside| beside.incarnation == incarnation) {
            return beside.stage == engine::Stage::Dies;
        }
        match self.engine.state(unit) {
            Some(State::Service(run)) => matches!(run.phase, engine::Phase::FinalKill(_)),
            _ => false,
        }
    }

    /// The serials of the processes that a target means in the current run.
    pub(crate) fn serials(&self, unit: UnitId, target: Target) -> Vec<u32> {
        let snapshot = self.engine.snapshot(unit);
        let current = snapshot.map(|snapshot| snapshot.incarnation);
        self.serials_of(unit, current.unwrap_or_default(), target)
    }

    /// The same in any run.
    pub(crate) fn serials_of(
        &self,
        unit: UnitId,
        incarnation: Incarnation,
        target: Target,
    ) -> Vec<u32> {
        let of_service = self.engine.run_of(unit, incarnation);
        let (main, control) = match (of_service, self.engine.state(unit)) {
            (Some(run), _) => (
                main_serial(&run.main),
                run.control.map(|process| process.serial),
            ),
            (None, Some(State::Socket(run))) if self.engine.is_current(unit, incarnation) => {
                (None, run.control.map(|process| process.serial))
            }
            _ => (None, None),
        };
        match target {
            Target::Process(serial) => vec![serial],
            Target::Main => main.into_iter().collect(),
            Target::Control => control.into_iter().collect(),
            Target::All => main.into_iter().chain(control).collect(),
        }
    }

    /// Watches a process that the service named as its main one.
    fn track(&mut self, process: ProcessKey, pid: u32) {
        let Some(key) = self.child_key(process) else {
            return;
        };
        // Asked again with the process in hand: it may have ended since it was named, and its number be another's by now.
        let run = self.run_mut(process.unit, process.incarnation);
        let group = run.and_then(|run| run.cgroup.clone());
        let Some(pidfd) = group.and_then(|group| crate::cgroup::member(pid, &group)) else {
            let status = engine::ExitStatus::Unknown;
            self.inputs.push_back(Input::Exited { process, status });
            return;
        };
        let copy = pidfd.try_clone().ok();
        self.link
            .watch(key, crate::run::role_number(engine::Role::Main), pid, pidfd);
        let Some(run) = self.run_mut(process.unit, process.incarnation) else {
            return;
        };
        let mut tracked = crate::run::RunProcess::asked(process, engine::Role::Main, 0);
        (tracked.pid, tracked.pidfd) = (Some(pid), copy);
        run.processes.push(tracked);
        self.dirty.insert(process.unit);
    }

    /// The keeper's name for a process.
    pub(crate) fn child_key(&self, process: ProcessKey) -> Option<keeper::protocol::ChildKey> {
        let unit = self.units.get(&process.unit)?.key;
        Some(keeper::protocol::ChildKey {
            unit,
            incarnation: process.incarnation.0,
            command: u64::from(process.serial),
        })
    }

    pub(crate) fn run_mut(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
    ) -> Option<&mut crate::run::Run> {
        self.units.get_mut(&unit)?.run(incarnation.0)
    }
}

/// Lets go of the processes of a run that wait to be started, of those with these serials.
pub(crate) fn let_go(
    starts: &mut Vec<engine::Spawn>,
    (unit, incarnation): (UnitId, Incarnation),
    serials: &[u32],
) -> Vec<ProcessKey> {
    let is_meant = |spawn: &mut engine::Spawn| {
        let process = spawn.process;
        process.unit == unit
            && process.incarnation == incarnation
            && serials.contains(&process.serial)
    };
    let meant = starts.extract_if(.., is_meant);
    meant.map(|spawn| spawn.process).collect()
}

/// Who gets a signal.
#[derive(Debug)]
pub(crate) enum Whom {
    /// Everybody in the control group of a run.
    Group {
        /// Below the mount.
        path: String,
        /// Nothing is started in it any more.
        is_last: bool,
    },
    /// One process.
    Process(ProcessKey),
    /// The process of a probe, with all that it started: there is no other signal for it than SIGKILL.
    Probe(ProcessKey),
}

/// Signals every process of a control group. The kernel's own way of killing one is only for a group whose time is over: on kernels since
/// 6.13 whatever is cloned into a group that was once killed so is killed at birth (fork compares the group's count of kills with that
/// of the cloning process's group), and ExecStopPost= is still to run in it.
pub(crate) fn signal_group(
    cgroups: &crate::cgroup::Cgroups,
    path: &str,
    signal: Signal,
    is_last: bool,
) {
    if signal != Signal::KILL {
        return signal_each(cgroups, path, signal);
    }
    if is_last && cgroups.kill(path) {
        return;
    }
    // What is frozen can't fork, and can die.
    let is_frozen = cgroups.freeze(path, true);
    signal_each(cgroups, path, signal);
    if is_frozen {
        cgroups.freeze(path, false);
    }
}

/// Every process of a control group, until no new ones appear: a fork may have escaped the first round.
fn signal_each(cgroups: &crate::cgroup::Cgroups, path: &str, signal: Signal) {
    /// A fork bomb outruns any number; SIGKILL comes to a frozen group.
    const ROUNDS_MAX: usize = 4;
    let mut signalled = model::sorted::Set::new();
    for _ in 0..ROUNDS_MAX {
        let fresh: Vec<u32> = cgroups
            .processes(path)
            .into_iter()
            .filter(|pid| signalled.insert(*pid))
            .collect();
        if fresh.is_empty() {
            return;
        }
        // By descriptor: one that ended meanwhile may have left its number to a process of somebody else.
        for process in fresh
            .into_iter()
            .filter_map(|pid| crate::cgroup::member(pid, path))
        {
            match kernel::process::send_signal(&process, i32::from(signal.0)) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}
