//! Clients that wait for jobs, or for units to end.

use crate::entry::LoadState;
use crate::manager::Manager;
use crate::pattern;
use crate::run::{ProcessRecord, RunRecord, exit_message};
use engine::{Input, JobId, JobKind, JobMode, JobResult, Refusal, UnitId};
use wire::{Failure, JobOutcome, JobReply, JobRequest};

/// Names in one request.
const NAMES_MAX: usize = 4096;

/// A call that is answered when all its parts are.
#[derive(Debug)]
pub(crate) struct Pending {
    client: u32,
    pub(crate) parts: Vec<Part>,
    /// Answer when the units have ended.
    wait: bool,
    /// Answer as soon as jobs are queued.
    no_block: bool,
    /// The answer is one outcome, not a list.
    single: bool,
    /// A first answer goes out when the job is done.
    announces: bool,
    /// The answer, which waits for the firewall alone.
    reload: Option<wire::ReloadReply>,
}

/// One name of a call.
#[derive(Debug)]
pub(crate) struct Part {
    unit: Option<UnitId>,
    request: u64,
    pub(crate) at: At,
    /// The job starts the unit, and what is wrong in its lines is told once per start.
    starts: bool,
    pub(crate) outcome: JobOutcome,
}

/// How far a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The engine was asked.
    Asked,
    /// The job waits or runs.
    Queued(JobId),
    /// The job is done, the unit runs.
    Running,
    /// All is said.
    Over,
}

/// How a call is to be answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    pub(crate) wait: bool,
    pub(crate) no_block: bool,
    pub(crate) single: bool,
    pub(crate) announces: bool,
}

/// A mode by its name; empty is the usual one.
pub(crate) fn job_mode(name: &str) -> Result<JobMode, Failure> {
    Ok(match name {
        "" | "replace" => JobMode::Replace,
        "replace-irreversibly" => JobMode::ReplaceIrreversibly,
        "flush" => JobMode::Flush,
        "restart-dependencies" => JobMode::RestartDependencies,
        "triggering" => JobMode::Triggering,
        "lenient" => JobMode::Lenient,
        "fail" => JobMode::Fail,
        "isolate" => JobMode::Isolate,
        "ignore-dependencies" => JobMode::IgnoreDependencies,
        "ignore-requirements" => JobMode::IgnoreRequirements,
        _ => return Err(Failure::BadMode { mode: name.into() }),
    })
}

impl Manager {
    /// Queues a job for each name of a request.
    pub(crate) fn queue_jobs(
        &mut self,
        client: u32,
        kind: JobKind,
        input: JobRequest,
    ) -> Result<(), Failure> {
        // Where it may not be, the engine makes a restart of it.
        let kind = match kind {
            JobKind::Restart if input.replace => JobKind::Replace,
            kind => kind,
        };
        self.queue_each(client, |_, _| kind, input)
    }

    pub(crate) fn queue_each(
        &mut self,
        client: u32,
        kind: impl Fn(&Self, UnitId) -> JobKind,
        input: JobRequest,
    ) -> Result<(), Failure> {
        let mode = job_mode(&input.mode)?;
        self.must_run()?;
        if input.names.is_empty() || input.names.len() > NAMES_MAX {
            return Err(Failure::InvalidParameter {
                parameter: "names".into(),
            });
        }
        let drain = input.drain_us.map(engine::Micros);
        let manner = Manner {
            wait: input.wait,
            no_block: input.no_block,
            ..Manner::default()
        };
        // Loading steps the engine: nothing may be asked of it before the call is there to hear the answer.
        let mut found = Vec::new();
        for name in self.expanded(&input.names) {
            let unit = self.unit_for_job(&name, input.allow_unenforced, &kind);
            found.push((name, unit));
        }
        found.sort_by_key(crate::calls::comes_late);
        let mut pending = Pending::new(client, manner);
        for (name, found) in found {
            pending.parts.push(match found {
                Ok((unit, kind)) if self.was_done_since(unit, kind, input.asked_us) => {
                    self.join(unit, manner)
                }
                Ok((unit, kind)) => self.ask(unit, kind, mode, drain),
                Err(failure) => Part::refused(&name, failure),
            });
        }
        self.pending.push(pending);
        Ok(())
    }

    /// Patterns as the names in memory that match them; a name that is given twice counts once.
    fn expanded(&self, given: &[String]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for one in given {
            let found = if pattern::is_pattern(one) {
                self.sorted()
                    .filter(|entry| entry.origin.load != LoadState::NotFound)
                    .map(|entry| entry.name.to_string())
                    .filter(|name| pattern::matches(one, name))
                    .collect()
            } else {
                vec![one.clone()]
            };
            for name in found {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Loads a unit, and refuses what can't be started as its file asks.
    fn unit_for_job(
        &mut self,
        name: &str,
        allow_unenforced: bool,
        kind: impl Fn(&Self, UnitId) -> JobKind,
    ) -> Result<(UnitId, JobKind), Failure> {
        let unit = self.find_or_load(name)?;
        let kind = kind(self, unit);
        // What does not run is not started by a try-restart, so it need not be startable.
        let starts = match kind {
            JobKind::Stop | JobKind::Reload | JobKind::TryReload => false,
            JobKind::TryRestart => self.is_up(unit),
            _ => true,
        };
        if starts {
            self.check_startable(unit, allow_unenforced)?;
            self.check_not_revoked(unit)?;
        }
        Ok((unit, kind))
    }

    /// Queues one job for a unit that is loaded.
    pub(crate) fn queue_one(&mut self, client: u32, unit: UnitId, mode: JobMode, manner: Manner) {
        let mut pending = Pending::new(client, manner);
        pending
            .parts
            .push(self.ask(unit, JobKind::Start, mode, None));
        self.pending.push(pending);
    }

    pub(crate) fn name_of(&self, unit: UnitId) -> String {
        let entry = self.units.get(&unit);
        entry
            .map(|entry| entry.name.to_string())
            .unwrap_or_default()
    }

    /// A job that no client waits for.
    pub(crate) fn queue_own(&mut self, unit: UnitId, kind: JobKind, mode: JobMode) {
        self.next_request += 1;
        self.inputs.push_back(Input::Job {
            request: self.next_request,
            unit,
            kind,
            mode,
        });
    }

    fn ask(
        &mut self,
        unit: UnitId,
        kind: JobKind,
        mode: JobMode,
        drain: Option<engine::Micros>,
    ) -> Part {
        if let Some(entry) = self.units.get_mut(&unit) {
            entry.failure = None;
        }
        let starts = match kind {
            JobKind::Start => !self.is_up(unit),
            JobKind::TryRestart => self.is_up(unit),
            JobKind::Restart | JobKind::ReloadOrStart | JobKind::Replace => true,
            JobKind::VerifyActive | JobKind::Stop | JobKind::Reload | JobKind::TryReload => false,
        };
        if starts {
            self.expect_network(unit);
        }
        match kind {
            JobKind::Replace => self.queue_replacement(unit, mode, drain),
            kind => self.queue_own(unit, kind, mode),
        }
        Part {
            request: self.next_request,
            starts,
            ..Part::new(unit, self.name_of(unit))
        }
    }

    fn part(&mut self, matches: impl Fn(&Part) -> bool) -> Option<(&mut Part, bool, bool)> {
        self.pending.iter_mut().find_map(|pending| {
            let (wait, no_block) = (pending.wait, pending.no_block);
            pending
                .parts
                .iter_mut()
                .find(|part| matches(part))
                .map(|part| (part, wait, no_block))
        })
    }

    pub(crate) fn on_job_queued(&mut self, request: u64, job: Option<JobId>) {
        let Some((part, _, no_block)) =
            self.part(|part| part.request == request && part.at == At::Asked)
        else {
            return;
        };
        part.outcome.job = job.map(|job| u64::from(job.0));
        match job {
            Some(_) if no_block => part.over("queued"),
            Some(job) => part.at = At::Queued(job),
            None => part.over("done"),
        }
    }

    pub(crate) fn on_job_refused(&mut self, request: u64, why: &Refusal) {
        let Some((part, ..)) = self.part(|part| part.request == request && part.at == At::Asked)
        else {
            self.note_last_target_refused(request, why);
            return self.note_generator_refused(request, why);
        };
        let (unit, message) = (part.outcome.unit.clone(), why.to_string());
        part.outcome.failure = Some(match why {
            Refusal::NotFound(unit) => Failure::NoSuchUnit { unit: unit.clone() },
            Refusal::Masked(unit) => Failure::Masked { unit: unit.clone() },
            Refusal::BadSetting(unit) | Refusal::LoadError(unit) => Failure::BadUnit {
                unit: unit.clone(),
                message,
            },
            Refusal::Unsupported(..) | Refusal::NotReloadable(_) => {
                Failure::NotSupported { unit, message }
            }
            Refusal::Manual(_)
            | Refusal::NoIsolate(_)
            | Refusal::Destructive(..)
            | Refusal::Irreversible(..) => Failure::NotPermitted { unit, message },
            _ => Failure::TransactionRefused { unit, message },
        });
        part.over("refused");
    }

    pub(crate) fn on_job_done(
        &mut self,
        job: JobId,
        unit: UnitId,
        result: JobResult,
        cause: &engine::Chain,
    ) {
        let words = crate::causes::job_result(result);
        self.publish_job(unit, job, words, cause);
        let failure = (result != JobResult::Done).then(|| self.job_failure(unit, result));
        while let Some((part, wait, _)) =
            self.part(|part| part.unit == Some(unit) && part.at == At::Queued(job))
        {
            part.outcome.result = words.into();
            part.outcome.failure.clone_from(&failure);
            part.at = if wait && failure.is_none() {
                At::Running
            } else {
                At::Over
            };
        }
    }

    /// Why a job failed: what the start ran into, or how the unit ended.
    pub(crate) fn job_failure(&self, unit: UnitId, result: JobResult) -> Failure {
        if let Some(failure) = self.set_up_failure(unit) {
            return failure;
        }
        Failure::JobFailed {
            unit: self.name_of(unit),
            result: crate::causes::job_result(result).into(),
            message: self.result_sentence(unit, result),
        }
    }

    /// What the last start's preparation, or a process's set-up, ran into.
    fn set_up_failure(&self, unit: UnitId) -> Option<Failure> {
        self.units.get(&unit)?.failure.as_deref().cloned()
    }

    fn result_sentence(&self, unit: UnitId, result: JobResult) -> String {
        match result {
            JobResult::Canceled => "another job took its place".into(),
            JobResult::Timeout => "it took too long".into(),
            JobResult::Dependency => "a unit that it needs did not start".into(),
            JobResult::Skipped | JobResult::Invalid => {
                let active = self.engine.state(unit).map(|state| state.active().name());
                format!("the unit is {}", active.unwrap_or("not there"))
            }
            JobResult::Assert => self.unmet_assertion(unit),
            JobResult::Unsupported => "it is not supported here".into(),
            JobResult::Collected => "the unit was forgotten".into(),
            JobResult::Once => "the unit may start only once".into(),
            JobResult::Concurrency => {
                "its slice has as many units as ConcurrencyHardMax= allows".into()
            }
            JobResult::Done | JobResult::Failed => {
                let exit = self.exit_of(unit);
                let exit = || exit.map(|exit| crate::causes::ending_of_run(&exit));
                let why = self
                    .failed_command(unit)
                    .or_else(|| self.told_of_table(unit))
                    .or_else(exit);
                why.unwrap_or_else(|| "it did not start".into())
            }
        }
    }

    /// The command beside the main process that failed, where it is what the unit fell or did not reload by.
    fn failed_command(&self, unit: UnitId) -> Option<String> {
        let snapshot = self.engine.snapshot(unit)?;
        let main_failed = matches!(snapshot.main_status, Some(engine::ExitStatus::Exited(1..)));
        let chain = self.engine.cause(unit);
        let failed = chain
            .links()
            .iter()
            .find(|cause| crate::causes::is_failed_command(cause));
        failed.filter(|_| !main_failed).map(crate::causes::sentence)
    }

    /// How a unit's last main process ended.
    pub(crate) fn exit_of(&self, unit: UnitId) -> Option<wire::ExitStatus> {
        let snapshot = self.engine.snapshot(unit)?;
        let result = match &snapshot.state {
            engine::State::Failed { result, .. } | engine::State::AutoRestart { result, .. } => {
                *result
            }
            engine::State::Service(run) => run.result,
            _ => snapshot.last_result,
        };
        let status = snapshot.main_status.or(match &snapshot.state {
            engine::State::Service(run) => match run.main {
                engine::Main::Ended(status) => Some(status),
                _ => None,
            },
            _ => None,
        });
        if status.is_none() && result == engine::UnitResult::Success {
            return None;
        }
        let mut exit = exit_message(status.unwrap_or(engine::ExitStatus::Unknown), result.name());
        if let Some(last) = self
            .units
            .get(&unit)
            .and_then(|entry| entry.last.as_deref())
        {
            let main = last.run.as_ref().and_then(RunRecord::main);
            exit.pid = main.and_then(ProcessRecord::visible_pid);
            exit.started_realtime_us = main.map(|main| main.started_us);
            exit.ended_realtime_us = main.and_then(|main| main.ended).map(|(_, when)| when);
            exit.cpu_ns = last.cpu_ns();
        }
        Some(exit)
    }

    /// Answers calls whose parts are all over; true if there were some, as their clients' next calls may have come up.
    pub(crate) fn answer_pending(&mut self) -> bool {
        let mut pending = std::mem::take(&mut self.pending);
        for call in &mut pending {
            self.look_for_ends(call);
        }
        let (over, waiting): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|call| self.is_over(call));
        self.pending = waiting;
        let mut answered = Vec::new();
        let missing: Vec<String> = over.iter().flat_map(Pending::missing).collect();
        for call in over {
            answered.push(call.client);
            self.answer_call(call);
        }
        if !missing.is_empty() {
            self.forget_missing(&missing);
        }
        for client in &answered {
            self.serve_waiting(*client);
        }
        let connections = &self.connections;
        self.pending
            .retain(|call| connections.contains_key(&call.client));
        !answered.is_empty()
    }

    /// The numbers of its units are where they are to be, too, or gone.
    fn is_over(&self, call: &Pending) -> bool {
        let sets = &self.aside.sets;
        let is_over = |part: &Part| {
            let is_changing = part.unit.is_some_and(|unit| sets.is_changing(unit));
            part.at == At::Over && (call.no_block || !is_changing)
        };
        call.parts.iter().all(is_over) && !(call.reload.is_some() && sets.are_changing())
    }

    /// Answers a reload when the firewall's sets are as the units have it.
    pub(crate) fn answer_reload(&mut self, client: u32, reply: wire::ReloadReply) {
        let mut pending = Pending::new(client, Manner::default());
        pending.reload = Some(reply);
        self.pending.push(pending);
    }

    fn look_for_ends(&mut self, call: &mut Pending) {
        for part in &mut call.parts {
            let (At::Running, Some(unit)) = (part.at, part.unit) else {
                continue;
            };
            if std::mem::take(&mut call.announces) {
                self.announce(call.client, unit, &part.outcome);
            }
            let state = self.engine.state(unit);
            if state.is_none_or(|state| state.active().is_down()) && self.engine.job(unit).is_none()
            {
                part.at = At::Over;
            }
        }
    }

    /// A first answer: the unit runs.
    fn announce(&mut self, client: u32, unit: UnitId, outcome: &JobOutcome) {
        let mut outcome = outcome.clone();
        self.complete(unit, &mut outcome);
        outcome.result = "running".into();
        if let Some(connection) = self.connections.get_mut(&client) {
            connection.reply_more(&outcome);
        }
    }

    fn answer_call(&mut self, call: Pending) {
        if let Some(reply) = &call.reload {
            return self.answer(call.client, reply);
        }
        let mut outcomes = Vec::with_capacity(call.parts.len());
        for mut part in call.parts {
            if let Some(unit) = part.unit {
                self.complete(unit, &mut part.outcome);
                if let Some(entry) = self.units.get(&unit).filter(|_| part.starts) {
                    let found = &entry.origin.diagnostics;
                    part.outcome.diagnostics.clone_from(found);
                }
                if call.wait && part.outcome.failure.is_none() {
                    // The job was done when the process was there; what its set-up ran into is known by now.
                    part.outcome.failure = self.set_up_failure(unit);
                }
                if call.wait || part.outcome.failure.is_some() {
                    part.outcome.exit = self.exit_of(unit).or_else(|| call.wait.then(success));
                }
            }
            outcomes.push(part.outcome);
        }
        if !call.single {
            return self.answer(call.client, &JobReply { outcomes });
        }
        let Some(outcome) = outcomes.pop() else {
            return;
        };
        match outcome.failure {
            Some(failure) if outcome.exit.is_none() => {
                if let Some(connection) = self.connections.get_mut(&call.client) {
                    connection.refuse(&failure);
                }
            }
            _ => self.answer(call.client, &outcome),
        }
    }

    /// What is known of the run that the job made.
    fn complete(&self, unit: UnitId, outcome: &mut JobOutcome) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        outcome.invocation_id = match (entry.current_run(), &entry.last) {
            (Some(run), _) => Some(run.invocation_text()),
            (None, Some(last)) => last.invocation().map(str::to_owned),
            (None, None) => None,
        };
        outcome.reductions = self.reductions_of(entry);
        if entry.transient.is_some() {
            outcome.diagnostics.clone_from(&entry.origin.diagnostics);
        }
    }
}

fn success() -> wire::ExitStatus {
    exit_message(
        engine::ExitStatus::Exited(0),
        engine::UnitResult::Success.name(),
    )
}

impl Pending {
    /// Names that turned out to be no units.
    fn missing(&self) -> impl Iterator<Item = String> + '_ {
        self.parts
            .iter()
            .filter_map(|part| match &part.outcome.failure {
                Some(Failure::NoSuchUnit { unit }) => Some(unit.clone()),
                _ => None,
            })
    }

    pub(crate) fn new(client: u32, manner: Manner) -> Self {
        let Manner {
            wait,
            no_block,
            single,
            announces,
        } = manner;
        Self {
            client,
            parts: Vec::new(),
            wait,
            no_block,
            single,
            announces,
            reload: None,
        }
    }
}

impl Part {
    pub(crate) fn new(unit: UnitId, name: String) -> Self {
        let outcome = JobOutcome {
            unit: name,
            ..JobOutcome::default()
        };
        Self {
            unit: Some(unit),
            request: 0,
            at: At::Asked,
            starts: false,
            outcome,
        }
    }

    fn refused(name: &str, failure: Failure) -> Self {
        let outcome = JobOutcome {
            unit: name.into(),
            failure: Some(failure),
            result: "refused".into(),
            ..JobOutcome::default()
        };
        Self {
            unit: None,
            request: 0,
            at: At::Over,
            starts: false,
            outcome,
        }
    }

    pub(crate) fn over(&mut self, result: &str) {
        self.outcome.result = result.into();
        self.at = At::Over;
    }
}
