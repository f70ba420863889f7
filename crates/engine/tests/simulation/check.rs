//! The invariants, checked after each step and at the end of each schedule.

use std::collections::BTreeMap;

use coracle_engine::*;

use crate::world::{Life, World};

/// Before a step: each unit's outer state and job.
pub(crate) type Before = BTreeMap<UnitId, (ActiveState, Option<JobSnapshot>)>;

fn has_executed(run: &ServiceRun) -> bool {
    match run.main {
        Main::Process(main) => main.progress == Progress::Executed,
        Main::None | Main::Ended(_) => false,
    }
}

fn is_start(job: &JobSnapshot) -> bool {
    job.kind == JobKind::Start
}

impl World {
    pub(crate) fn job_states(&self) -> Before {
        let states = self.engine.units().map(|unit| {
            (
                unit,
                (
                    self.engine.state(unit).unwrap().active(),
                    self.engine.job(unit),
                ),
            )
        });
        states.collect()
    }

    pub(crate) fn check_step(&mut self, before: &Before, effects: &[Effect]) -> Result<(), String> {
        for effect in effects {
            self.check_effect(effect)?;
        }
        self.check_order(before)?;
        self.check_acts(before, effects)?;
        self.check_jobs()?;
        for unit in self.engine.units().collect::<Vec<_>>() {
            self.check_unit(unit)?;
            self.check_beside(unit)?;
            self.check_health(unit, before)?;
        }
        self.check_connections()
    }

    /// What may be the unit's again is told nothing, unless an administrator does.
    fn check_spares(&self, effect: &Effect) -> Result<(), String> {
        let Action::Signal {
            unit,
            incarnation,
            target: Target::Main | Target::Control | Target::All,
            ..
        } = effect.action
        else {
            return Ok(());
        };
        let asked = matches!(effect.cause.links().first(), Some(Cause::Signalled { .. }));
        let stays = self.engine.beside(unit).is_some_and(|beside| {
            beside.incarnation == incarnation && beside.stage == Stage::Stays
        });
        match stays && !asked {
            true => Err(format!("a run that stays is signalled: {effect:?}")),
            false => Ok(()),
        }
    }

    /// The run beside the current one is older, and stays exactly as long as that one is to replace it; what came up in its place has
    /// answered its probes.
    fn check_beside(&mut self, unit: UnitId) -> Result<(), String> {
        let snapshot = self.engine.snapshot(unit).unwrap();
        let wrong = |what: &str| Err(format!("{}: {what}: {snapshot:?}", snapshot.name));
        let run = match &snapshot.state {
            State::Service(run) => Some(run),
            _ => None,
        };
        let replaces = run.is_some_and(|run| run.replaces);
        let beside = snapshot.beside.as_deref();
        let stays = beside.is_some_and(|beside| beside.stage == Stage::Stays);
        if replaces != stays {
            return wrong("one that is replaced and none that replaces it, or none of it");
        }
        let is_stopped =
            |job: &JobSnapshot| job.running && matches!(job.kind, JobKind::Stop | JobKind::Restart);
        if stays && snapshot.job.as_ref().is_some_and(is_stopped) {
            return wrong("it is stopped, and a run of it is not told");
        }
        if let Some(beside) = beside {
            if beside.incarnation >= snapshot.incarnation || !beside.run.overlaps {
                return wrong("the run beside the current one should not be there");
            }
            if !stays && beside.deadline.is_none() {
                return wrong("drains without a deadline");
            }
            if stays && !snapshot.state.active().is_up() {
                return wrong("it is up and said not to be");
            }
        }
        let was = self.replacing.get(&unit).copied();
        let is_health = |run: &ServiceRun| match &run.health {
            Some(health) => health.health != Health::Starting,
            None => false,
        };
        let probed =
            matches!(self.config(unit).kind, Kind::Service(service) if service.health.is_some());
        if was == Some(snapshot.incarnation) && !replaces {
            let up = run.filter(|run| run.phase == Phase::Running && !run.stop_asked);
            if up.is_some_and(|run| probed && !is_health(run)) {
                return wrong("it took the place of another and answered no probe");
            }
            self.replaced.up += u64::from(up.is_some());
        }
        self.replaced.back += u64::from(was.is_some_and(|was| was > snapshot.incarnation));
        self.replaced.begun += u64::from(replaces && was != Some(snapshot.incarnation));
        match replaces {
            true => self.replacing.insert(unit, snapshot.incarnation),
            false => self.replacing.remove(&unit),
        };
        Ok(())
    }

    /// A connection is its unit's until that is idle, and there are no more than the limits allow.
    fn check_connections(&self) -> Result<(), String> {
        let mut served: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for unit in self.engine.units() {
            let Some(connection) = self.engine.served(unit) else {
                continue;
            };
            let idle = self.engine.job(unit).is_none()
                && self.engine.state(unit).unwrap().active().is_down();
            if idle {
                return Err(format!("{unit:?} is idle and has a connection"));
            }
            let sources = served.entry(connection.socket.clone()).or_default();
            sources.push(connection.source.clone());
        }
        for unit in self.engine.units() {
            let name = self.engine.unit_name(unit).unwrap();
            let sources = served.remove(name).unwrap_or_default();
            if self.engine.connections_of(unit) as usize != sources.len() {
                return Err(format!("{name}: connections are counted wrongly"));
            }
            let Kind::Socket(socket) = self.config(unit).kind else {
                continue;
            };
            let Some(accept) = socket.accept else {
                continue;
            };
            let most_of = |source| sources.iter().filter(|one| *one == source).count();
            let most = sources.iter().map(most_of).max().unwrap_or_default();
            let over_source = accept.max_per_source > 0 && most > accept.max_per_source as usize;
            if sources.len() > accept.max_connections as usize || over_source {
                return Err(format!(
                    "{name}: {} connections are too many",
                    sources.len()
                ));
            }
        }
        Ok(())
    }

    /// Effects are about current runs, jobs end once, and everything has a cause.
    fn check_effect(&mut self, effect: &Effect) -> Result<(), String> {
        let current = |unit: UnitId, incarnation: Incarnation| {
            let snapshot = self.engine.snapshot(unit).unwrap();
            let now = snapshot.incarnation.max(snapshot.numbered);
            incarnation.0 > 0 && incarnation <= now && !self.released.contains(&(unit, incarnation))
        };
        let known = match &effect.action {
            Action::Spawn(spawn) => {
                let key = spawn.process;
                let starts = spawn.role != Role::Stop;
                if spawn.process.serial == 1 && starts && !self.processes.contains_key(&key) {
                    self.starts.entry(key.unit).or_default().push(self.now);
                    self.check_start_limit(key.unit)?;
                }
                current(key.unit, key.incarnation)
            }
            Action::Signal {
                target: Target::Process(_),
                ..
            } => true,
            Action::Signal {
                unit, incarnation, ..
            }
            | Action::FindMain {
                unit, incarnation, ..
            }
            | Action::WatchEmpty { unit, incarnation } => current(*unit, *incarnation),
            Action::OpenSockets { unit, incarnation }
            | Action::TakeOver { unit, incarnation }
            | Action::WatchSockets { unit, incarnation }
            | Action::ReckonTimer { unit, incarnation }
            | Action::WatchPath {
                unit, incarnation, ..
            }
            | Action::SetAutomount {
                unit, incarnation, ..
            }
            | Action::UnsetAutomount {
                unit, incarnation, ..
            }
            | Action::WatchTimer {
                unit, incarnation, ..
            } => current(*unit, *incarnation),
            Action::Probe { process, .. } | Action::Track { process, .. } => {
                current(process.unit, process.incarnation)
            }
            Action::JobDone { job, .. } => {
                self.jobs.remove(job) || self.engine.jobs().all(|(installed, _)| installed != *job)
            }
            _ => true,
        };
        let caused = match &effect.action {
            Action::Spawn(_)
            | Action::Probe { .. }
            | Action::Signal { .. }
            | Action::JobDone { .. }
            | Action::Act { .. }
            | Action::Release { .. } => !effect.cause.links().is_empty(),
            _ => true,
        };
        if let Action::Release {
            unit, incarnation, ..
        } = &effect.action
        {
            self.released.insert((*unit, *incarnation));
        }
        self.check_spares(effect)?;
        match (known, caused) {
            (false, _) => Err(format!("an effect for an unknown run or job: {effect:?}")),
            (_, false) => Err(format!("an effect without a cause: {effect:?}")),
            _ => Ok(()),
        }
    }

    /// The instance is ended when a unit that says so fails, succeeds, is started too often or has a job too long, and only then.
    fn check_acts(&self, before: &Before, effects: &[Effect]) -> Result<(), String> {
        for unit in self.engine.units() {
            let acts = self.config(unit).acts;
            let done = |asked: Occasion| {
                effects.iter().any(|effect| {
                    matches!(effect.action, Action::Act { unit: other, occasion } if (other, occasion) == (unit, asked))
                })
            };
            let unasked = [
                (Occasion::Failed, acts.failed),
                (Occasion::Succeeded, acts.succeeded),
                (Occasion::StartLimit, acts.start_limit),
                (Occasion::JobTimeout, acts.job_timeout),
            ]
            .into_iter()
            .find(|(occasion, is_asked)| done(*occasion) && !is_asked);
            if let Some((occasion, _)) = unasked {
                return Err(format!("{unit:?} acts as {occasion:?}, and was not to"));
            }
            let changed = effects.iter().any(
                |effect| matches!(effect.action, Action::StateChanged(other) if other == unit),
            );
            let moved = done(Occasion::Failed) || done(Occasion::Succeeded);
            if moved && !changed {
                return Err(format!("{unit:?} acts, and nothing has happened to it"));
            }
            let Some((was, _)) = before.get(&unit) else {
                continue;
            };
            let is = self.engine.state(unit).unwrap().active();
            if acts.failed && *was != is && is == ActiveState::Failed && !done(Occasion::Failed) {
                return Err(format!("{unit:?} fails and does not act"));
            }
            let result = self.engine.snapshot(unit).unwrap().last_result;
            let well = is == ActiveState::Inactive && result == UnitResult::Success;
            if acts.succeeded && was.is_up() && well && !done(Occasion::Succeeded) {
                return Err(format!("{unit:?} succeeds and does not act"));
            }
        }
        Ok(())
    }

    /// The window opens with its first event, so two neighbouring windows can be full.
    fn check_start_limit(&self, unit: UnitId) -> Result<(), String> {
        let Some(config) = self.engine.config(unit) else {
            return Ok(());
        };
        let from = self.now.0.saturating_sub(config.start_limit.interval.0);
        let starts = self.starts.get(&unit).map_or(0, |starts| {
            starts.iter().filter(|start| start.0 >= from).count()
        });
        if starts > 2 * config.start_limit.burst as usize {
            Err(format!("{}: started {starts} times", config.name))
        } else {
            Ok(())
        }
    }

    /// No unit leaves down while a start before it in the order is still under way.
    fn check_order(&self, before: &Before) -> Result<(), String> {
        for unit in self.engine.units() {
            let Some((was, own)) = before.get(&unit) else {
                continue;
            };
            let is = self.engine.state(unit).unwrap().active();
            let waits_for_restart =
                matches!(self.engine.state(unit), Some(State::AutoRestart { .. }));
            // It began before the other was queued, and tested its conditions since.
            let began = own.as_ref().is_some_and(|job| job.running);
            let is_cleaned = is == ActiveState::Maintenance;
            // Others ask nobody.
            let appeared =
                matches!(self.engine.state(unit), Some(State::Service(run)) if run.is_left);
            if !was.is_down()
                || is.is_down()
                || is_cleaned
                || appeared
                || waits_for_restart
                || began
            {
                continue;
            }
            for other in self.engine.relations(unit, Relation::After, false) {
                let had = before
                    .get(&other)
                    .and_then(|(_, job)| job.as_ref())
                    .filter(|job| is_start(job));
                let has = self.engine.job(other).filter(is_start);
                if had.is_some_and(|had| has.is_some_and(|has| has.id == had.id)) {
                    return Err(format!(
                        "{unit:?} started before {other:?}, which it is ordered after"
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_jobs(&mut self) -> Result<(), String> {
        for (job, unit) in self.engine.jobs() {
            if self
                .engine
                .job(unit)
                .is_none_or(|installed| installed.id != job)
            {
                return Err(format!("{job:?} is in the list but not on its unit"));
            }
            self.jobs.insert(job);
        }
        for unit in self.engine.units() {
            if let Some(job) = self.engine.job(unit)
                && !self.engine.jobs().any(|(installed, _)| installed == job.id)
            {
                return Err(format!("{:?} of {unit:?} is not in the list", job.id));
            }
        }
        Ok(())
    }

    /// Deadlines stand wherever something is waited for, and the alarm is set for the first.
    fn check_unit(&self, unit: UnitId) -> Result<(), String> {
        let snapshot = self.engine.snapshot(unit).unwrap();
        let name = &snapshot.name;
        let state = &snapshot.state;
        if matches!(state, State::AutoRestart { until: None, .. }) && snapshot.job.is_none() {
            return Err(format!("{name}: queued for a restart that no job makes"));
        }
        let Some(config) = self.engine.config(unit) else {
            return Ok(());
        };
        let endless = match &config.kind {
            Kind::Service(service) => {
                service.timeout_start.is_infinite() && state.active() != ActiveState::Deactivating
            }
            _ => false,
        };
        let waits = matches!(
            state.active(),
            ActiveState::Activating | ActiveState::Deactivating | ActiveState::Reloading
        );
        let queued = matches!(state, State::AutoRestart { until: None, .. });
        if waits && !endless && !queued && state.deadline().is_none() {
            return Err(format!("{name}: waits without a deadline in {state:?}"));
        }
        Ok(())
    }

    /// Who is to be asked is asked, or has a moment at which that is; who waits for it is not up before; and nobody else is asked.
    fn check_health(&self, unit: UnitId, before: &Before) -> Result<(), String> {
        let Some(State::Service(run)) = self.engine.state(unit) else {
            return Ok(());
        };
        let Kind::Service(service) = self.config(unit).kind else {
            return Ok(());
        };
        let is_up = run.phase.active().is_up();
        let is_notify = matches!(
            service.service_type,
            ServiceType::Notify | ServiceType::NotifyReload
        );
        let wrong = |what: &str| Err(format!("{unit:?} {what}: {run:?}"));
        let (Some(health), Some(config)) = (&run.health, &service.health) else {
            return match (&run.health, &service.health) {
                (None, Some(_)) if run.phase == Phase::Running && has_executed(run) => {
                    wrong("is up and is not asked")
                }
                (None, Some(_))
                    if is_notify && run.phase == Phase::Start && run.ready && has_executed(run) =>
                {
                    wrong("is ready and is not asked")
                }
                _ => Ok(()),
            };
        };
        if !is_up && !matches!(run.phase, Phase::Start | Phase::StartPost) {
            return wrong("is asked when it is to end");
        }
        if health.probe.is_none() && health.at.is_none() {
            return wrong("is never asked again");
        }
        let came = before.get(&unit).is_some_and(|(was, _)| !was.is_up());
        if matches!(run.main, Main::Process(_)) && !has_executed(run) {
            return wrong("is asked before it runs its program");
        }
        if came && is_up && config.ready && health.health == Health::Starting {
            return wrong("is up before it answered");
        }
        let acted = config.on_failure != HealthFailure::None;
        if health.health == Health::Unhealthy && (acted || health.failures < config.retries) {
            return wrong("is unhealthy, and should not be here");
        }
        Ok(())
    }

    /// A probe by a connection.
    pub(crate) fn ask(&mut self, key: ProcessKey) -> Result<(), String> {
        self.has_no_probe(key)?;
        self.probes.insert(key);
        Ok(())
    }

    /// One probe at a time; one that was given up is dead, or is told so.
    pub(crate) fn has_no_probe(&self, key: ProcessKey) -> Result<(), String> {
        let is_of_run = |other: &ProcessKey| {
            *other != key && (other.unit, other.incarnation) == (key.unit, key.incarnation)
        };
        let lives = |(other, process): (&ProcessKey, &crate::world::Process)| {
            is_of_run(other) && process.role == Role::Health && process.life == Life::Alive
        };
        if self.processes.iter().any(lives) || self.probes.iter().any(is_of_run) {
            return Err(format!("two probes of one run: {key:?}"));
        }
        Ok(())
    }

    /// A released run has no process, unless its KillMode= or SendSIGKILL= let them live.
    pub(crate) fn release(&mut self, run: (UnitId, Incarnation)) -> Result<(), String> {
        let Kind::Service(service) = self.config(run.0).kind else {
            return Ok(());
        };
        let thorough = matches!(service.kill.mode, KillMode::ControlGroup | KillMode::Mixed)
            && service.kill.send_sigkill;
        if thorough && self.is_populated(run) {
            return Err(format!("{run:?} was released with processes in it"));
        }
        let pending = self.processes.iter().any(|(key, process)| {
            (key.unit, key.incarnation) == run && process.life == Life::Pending
        });
        if thorough && pending && self.calm {
            return Err(format!(
                "{run:?} was released while a process of it was being made"
            ));
        }
        Ok(())
    }

    /// At the end nothing waits.
    pub(crate) fn check_still(&self) -> Result<(), String> {
        self.check_automounts()?;
        if let Some((job, unit)) = self.engine.jobs().next() {
            return Err(format!(
                "{job:?} of {unit:?} waits for ever: {:?}",
                self.engine.job(unit)
            ));
        }
        for unit in self.engine.units() {
            let state = self.engine.state(unit).unwrap();
            if !state.active().is_up() && !state.active().is_down()
                || state.active() == ActiveState::Reloading
            {
                return Err(format!("{unit:?} hangs in {state:?}"));
            }
            self.check_table(unit)?;
            if self.engine.beside(unit).is_some() {
                return Err(format!("{unit:?} drains for ever"));
            }
            let run = (unit, self.engine.snapshot(unit).unwrap().incarnation);
            let waits = matches!(state, State::Timer(timer) if timer.phase == TimerPhase::Waiting);
            let listens =
                matches!(state, State::Socket(socket) if socket.phase == SocketPhase::Listening);
            if listens && !self.watched.contains(&run) {
                return Err(format!(
                    "{unit:?} listens for traffic that nobody watches for"
                ));
            }
            if waits && !self.timers.contains(&run) {
                return Err(format!(
                    "{unit:?} waits for a moment that nobody watches for"
                ));
            }
            let watches = matches!(state, State::Path(path) if path.phase == PathPhase::Waiting);
            if watches && !self.paths.contains(&run) {
                return Err(format!("{unit:?} waits for what nobody watches for"));
            }
            let has_started = matches!(state, State::Timer(timer) if timer.phase == TimerPhase::Running)
                || matches!(state, State::Path(path) if path.phase == PathPhase::Running);
            if has_started
                && self
                    .engine
                    .relations(unit, Relation::Triggers, false)
                    .iter()
                    .all(|other| self.engine.state(*other).unwrap().active().is_down())
            {
                return Err(format!(
                    "{unit:?} waits for the end of a unit that has ended"
                ));
            }
        }
        Ok(())
    }

    /// What an engine that is restored from this one's snapshots makes of the same input.
    pub(crate) fn twin_step(&mut self, input: &Input) -> (Vec<Effect>, Engine) {
        let mut twin = Engine::new();
        let through_text = self.random.chance(20);
        for config in &self.configs {
            let _configured = twin.step(Micros(0), Input::Configure(Box::new(config.clone())));
        }
        for unit in 0..=self.configs.len() as u32 {
            let Some(snapshot) = self.engine.snapshot(UnitId(unit)) else {
                continue;
            };
            let snapshot = if through_text {
                let text = serde_json::to_string(&snapshot).expect("snapshots are plain");
                serde_json::from_str(&text).expect("what was written")
            } else {
                snapshot
            };
            twin.restore(snapshot);
        }
        let effects = twin.step(self.now, input.clone()).into_iter().collect();
        (effects, twin)
    }

    pub(crate) fn check_twin(
        &self,
        effects: &[Effect],
        twin: (Vec<Effect>, Engine),
    ) -> Result<(), String> {
        let matter = |effect: &&Effect| {
            !matches!(effect.action, Action::WakeAt(_) | Action::StateChanged(_))
        };
        if !effects
            .iter()
            .filter(matter)
            .eq(twin.0.iter().filter(matter))
        {
            return Err(format!(
                "restored from snapshots, the engine does otherwise:\n{effects:?}\n{:?}",
                twin.0
            ));
        }
        for unit in self.engine.units() {
            let (is, would_be) = (self.engine.snapshot(unit), twin.1.snapshot(unit));
            if is != would_be {
                return Err(format!(
                    "restored from snapshots, the unit is otherwise:\n{is:?}\n{would_be:?}"
                ));
            }
        }
        Ok(())
    }
}
