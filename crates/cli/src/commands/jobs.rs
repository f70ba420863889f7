//! `stop`, `restart`, `try-restart`, `reload`, `reload-or-restart`, and the part of `start` that is about units.

use anyhow::Result;
use clap::Args;
use model::value::TimeSpan;
use wire::methods::{
    ReloadOrRestartUnit, ReloadUnit, RestartUnit, StartUnit, Status as StatusMethod, StopUnit,
    TryRestartUnit,
};
use wire::{Client, Failure, JobOutcome, JobReply, JobRequest, Method, NamesRequest, Reduction};

use crate::context::Context;
use crate::failure::{self, WithHint, hint};
use crate::moment::SECOND_US;
use crate::terminal::{Paint, complain, plain};
use crate::verbs::Run;

/// Options of the verbs that start units.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct JobOptions {
    /// Wait until the units have ended, too
    #[arg(long, conflicts_with = "no_block")]
    pub(crate) wait: bool,
    /// Return as soon as the jobs are queued
    #[arg(long)]
    pub(crate) no_block: bool,
    /// How the jobs meet those that are queued: replace, fail, isolate, replace-irreversibly, flush, restart-dependencies, ignore-dependencies, ignore-requirements, lenient
    #[arg(long, value_name = "MODE", default_value = "replace")]
    pub(crate) job_mode: String,
    /// Start although this version does not enforce a sandboxing directive of the unit; `status` shows it
    #[arg(long)]
    pub(crate) allow_unenforced: bool,
    /// What is wrong in the units' lines was told before.
    #[arg(skip)]
    pub(crate) findings_told: bool,
    /// Of a restart: what runs is replaced, where it allows that.
    #[arg(skip)]
    pub(crate) replace: Option<Drain>,
}

/// How long a run that is replaced may finish what it is at, in microseconds; nothing: as its unit says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drain(Option<u64>);

impl Drain {
    /// As the unit says, unless another time is given.
    pub(crate) fn of(given: Option<&str>) -> Result<Drain> {
        let Some(text) = given else {
            return Ok(Drain::default());
        };
        let span = TimeSpan::parse_in(text, SECOND_US).or_hint(
            || format!("--drain={} is no time", plain(text)),
            "30s, 5min or infinity are times; 0 waits for nothing",
        )?;
        Ok(Drain(Some(span.micros())))
    }
}

/// Options of `restart`.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct RestartOptions {
    #[command(flatten)]
    jobs: JobOptions,
    /// Start the next run beside the one that is up, which then has so long to finish what it is at [default: as the unit says]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    drain: Option<String>,
}

impl RestartOptions {
    fn read(self) -> Result<JobOptions> {
        let given = self.drain.as_deref();
        let drain = given.map(|text| Drain::of(Some(text).filter(|text| !text.is_empty())));
        Ok(JobOptions {
            replace: drain.transpose()?,
            ..self.jobs
        })
    }
}

/// Options of the verbs that start nothing.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct QueueOptions {
    /// Return as soon as the jobs are queued
    #[arg(long)]
    no_block: bool,
    /// How the jobs meet those that are queued: replace, fail, triggering, replace-irreversibly, flush, ignore-dependencies, ignore-requirements
    #[arg(long, value_name = "MODE", default_value = "replace")]
    job_mode: String,
}

impl From<QueueOptions> for JobOptions {
    fn from(options: QueueOptions) -> JobOptions {
        JobOptions {
            no_block: options.no_block,
            job_mode: options.job_mode,
            ..JobOptions::default()
        }
    }
}

impl JobOptions {
    /// Those of somebody who names none.
    pub(crate) fn replacing() -> JobOptions {
        QueueOptions {
            no_block: false,
            job_mode: "replace".to_owned(),
        }
        .into()
    }

    /// Those of a start that stops all else.
    pub(crate) fn isolating() -> JobOptions {
        JobOptions {
            job_mode: "isolate".to_owned(),
            ..JobOptions::replacing()
        }
    }

    fn request(&self, names: &[String]) -> JobRequest {
        JobRequest {
            names: names.to_vec(),
            mode: self.job_mode.clone(),
            wait: self.wait,
            no_block: self.no_block,
            allow_unenforced: self.allow_unenforced,
            asked_us: None,
            replace: self.replace.is_some(),
            drain_us: self.replace.and_then(|drain| drain.0),
        }
    }
}

/// Queues jobs, waits as asked, and tells what did not work.
///
/// # Errors
/// When the manager can't be reached.
pub(crate) fn queue<M>(
    context: &Context,
    method: M,
    names: &[String],
    options: &JobOptions,
) -> Result<u8>
where
    M: Method<Input = JobRequest, Reply = JobReply>,
{
    let alone: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
    queue_groups(context, method, &alone, options)
}

/// The same for the units of each name that was given.
fn queue_groups<M>(
    context: &Context,
    method: M,
    groups: &[Vec<String>],
    options: &JobOptions,
) -> Result<u8>
where
    M: Method<Input = JobRequest, Reply = JobReply>,
{
    let mut client = if M::NAME == StopUnit::NAME {
        match context.connect_to_what_runs()? {
            Some(client) => client,
            None => return nothing_to_stop(context, &groups.concat()),
        }
    } else {
        context.connect()?
    };
    let outcomes = ask(context, &mut client, method, groups, options)?;
    if M::NAME == StopUnit::NAME {
        tell_triggers(context, &outcomes)?;
    }
    Ok(status_of(&outcomes))
}

/// Starts units over a connection that is there, and tells what did not work; what became of each comes back in the order of their names.
///
/// # Errors
/// When the manager can't be reached.
pub(crate) fn start_through(
    context: &Context,
    client: &mut Client,
    names: &[String],
    options: &JobOptions,
) -> Result<Vec<JobOutcome>> {
    ask(context, client, StartUnit, &[names.to_vec()], options)
}

fn ask<M>(
    context: &Context,
    client: &mut Client,
    method: M,
    groups: &[Vec<String>],
    options: &JobOptions,
) -> Result<Vec<JobOutcome>>
where
    M: Method<Input = JobRequest, Reply = JobReply>,
{
    let request = options.request(&groups.concat());
    let mut outcomes = client.call(method, &request)?.outcomes;
    if M::NAME == ReloadUnit::NAME {
        leave_out(&mut outcomes, groups);
    }
    for outcome in &mut outcomes {
        // What a start could not apply is of no interest to those who end it.
        if M::NAME == StopUnit::NAME {
            outcome.reductions.clear();
        }
        if options.findings_told {
            outcome.diagnostics.clear();
        }
        tell(context, outcome);
    }
    Ok(outcomes)
}

/// Tells of units that are still up and would start again what was stopped.
fn tell_triggers(context: &Context, outcomes: &[JobOutcome]) -> Result<()> {
    let stopped = outcomes.iter().filter(|outcome| succeeded(outcome));
    let names: Vec<String> = stopped.map(|outcome| outcome.unit.clone()).collect();
    if context.globals.quiet || names.is_empty() {
        return Ok(());
    }
    let mut client = context.connect()?;
    let stopped = client.call(StatusMethod, &NamesRequest { names })?.units;
    for unit in stopped {
        let names = unit.triggered_by;
        if names.is_empty() {
            continue;
        }
        let triggers = client.call(StatusMethod, &NamesRequest { names })?.units;
        let up = triggers
            .iter()
            .filter(|one| crate::portable::show::is_up(one));
        for trigger in up {
            context.narrate(&format!(
                "{} {} is stopped, and {} still starts it: `coracle stop {}` closes that, too",
                Paint::Yellow.on("warning:"),
                unit.name,
                trigger.name,
                trigger.name
            ));
        }
    }
    Ok(())
}

/// Of a portable, its units that can't reload are left out as long as another one can; where none can, one of them says so.
fn leave_out(outcomes: &mut Vec<JobOutcome>, groups: &[Vec<String>]) {
    let can_not =
        |outcome: &JobOutcome| matches!(outcome.failure, Some(Failure::NotSupported { .. }));
    for units in groups {
        let is_of = |outcome: &JobOutcome| units.contains(&outcome.unit);
        let last = outcomes.iter().rev().find(|outcome| is_of(outcome));
        let Some(last) = last.map(|outcome| outcome.unit.clone()) else {
            continue;
        };
        let can = outcomes
            .iter()
            .any(|outcome| is_of(outcome) && !can_not(outcome));
        outcomes
            .retain(|outcome| !is_of(outcome) || !can_not(outcome) || !can && outcome.unit == last);
    }
}

/// What does not run is stopped already, if it is a unit.
fn nothing_to_stop(context: &Context, names: &[String]) -> Result<u8> {
    let loader = crate::check::loader(context);
    let named = names.iter().filter(|name| !name.contains(['*', '?', '[']));
    let mut status = 0;
    for name in named {
        let unit = crate::context::full_unit_name(name.clone());
        if !matches!(loader.load(&unit.parse()?).state, load::LoadState::NotFound) {
            continue;
        }
        let missing = wire::Failure::NoSuchUnit { unit };
        status = failure::status_of(&missing);
        failure::tell_failure(context, missing);
    }
    Ok(status)
}

/// Starts units.
pub(crate) fn start(context: &Context, names: &[String], options: &JobOptions) -> Result<u8> {
    queue(context, StartUnit, names, options)
}

/// Stops units.
pub(crate) fn stop(context: &Context, names: &[String], options: &JobOptions) -> Result<u8> {
    queue(context, StopUnit, names, options)
}

fn succeeded(outcome: &JobOutcome) -> bool {
    matches!(outcome.result.as_str(), "done" | "queued" | "skipped")
}

/// The exit status of the first job that did not work, as systemctl has it: see [`failure::status_of`]. With `--wait` a unit
/// that ended badly is a failure, too.
pub(crate) fn status_of(outcomes: &[JobOutcome]) -> u8 {
    outcomes
        .iter()
        .map(|outcome| match &outcome.failure {
            Some(failure) => failure::status_of(failure),
            None if !succeeded(outcome) => 1,
            None => u8::from(
                outcome
                    .exit
                    .as_ref()
                    .is_some_and(|exit| exit.result != "success"),
            ),
        })
        .find(|status| *status != 0)
        .unwrap_or(0)
}

/// The status that a shell would see of the unit's command: its exit status, or 128 and the signal's number. What went wrong
/// in another way (a time-out, a start that was refused) is 1, and a unit whose result is success is 0, as SuccessExitStatus= has it.
pub(crate) fn exit_status(exit: &wire::ExitStatus) -> u8 {
    let status = match exit.result.as_str() {
        "success" => 0,
        "exit-code" if exit.code == "exited" && exit.status != 0 => exit.status,
        "signal" | "core-dump" => 128 + exit.status,
        // The kernel killed one of its processes for lack of memory: whether that was the command, it says itself.
        "oom-kill" if exit.code == "exited" && exit.status != 0 => exit.status,
        "oom-kill" if matches!(exit.code.as_str(), "killed" | "dumped") => 128 + exit.status,
        _ => 1,
    };
    u8::try_from(status).unwrap_or(1)
}

/// Tells what became of a job: reductions and lines without effect always, failures with their cause and the next step.
pub(crate) fn tell(context: &Context, outcome: &JobOutcome) {
    for found in &outcome.diagnostics {
        context.narrate(&super::daemon::line(found, &outcome.unit));
    }
    for reduction in &outcome.reductions {
        tell_reduction(context, &outcome.unit, reduction);
    }
    if succeeded(outcome) && outcome.failure.is_none() {
        return;
    }
    let cause = outcome
        .failure
        .as_ref()
        .map(|failure| plain(&failure.to_string()));
    let cause = cause
        .unwrap_or_else(|| format!("the job for {} ended as {}", outcome.unit, outcome.result));
    complain(&format!("{} {cause}", Paint::Red.on("Error:")));
    if let Some(next) = next_step(context, outcome) {
        complain(&format!("{} {next}", Paint::Bold.on("Hint:")));
    }
}

/// Tells a restriction that holds less than it says.
pub(crate) fn tell_reduction(context: &Context, unit: &str, reduction: &Reduction) {
    context.narrate(&format!(
        "{} {unit}: {}= {}",
        Paint::Yellow.on("reduced:"),
        reduction.directive,
        plain(&reduction.reason)
    ));
}

/// What to do next; nothing where the failure has said all that is known.
fn next_step(context: &Context, outcome: &JobOutcome) -> Option<String> {
    let unit = &outcome.unit;
    let failure = outcome.failure.as_ref();
    if let Some(next) = failure.and_then(|failure| failure::next_step(context, failure)) {
        return Some(next);
    }
    let says_all = matches!(
        failure,
        Some(wire::Failure::NotSupported { .. } | wire::Failure::BadName { .. })
    );
    (!says_all).then(|| {
        format!("`coracle why {unit}` tells what led to it, `coracle logs -u {unit}` what it said")
    })
}

macro_rules! job_verbs {
    ($($(#[doc = $doc:literal])* $name:ident $method:ident $options:ident;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Args, Debug)]
        pub(crate) struct $name {
            /// Units, patterns or portables; a name without a suffix is a service's
            #[arg(required = true, value_name = "UNIT")]
            names: Vec<String>,
            #[command(flatten)]
            options: $options,
        }

        impl Run for $name {
            fn run(self, context: &Context) -> Result<u8> {
                let groups = groups(context, &self.names)?;
                queue_groups(context, $method, &groups, &self.options.into())
            }
        }
    )*};
}

/// `restart`.
#[derive(Args, Debug)]
pub(crate) struct Restart {
    /// Units, patterns or portables; a name without a suffix is a service's
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
    #[command(flatten)]
    options: RestartOptions,
}

impl Run for Restart {
    fn run(self, context: &Context) -> Result<u8> {
        let options = self.options.read()?;
        let mut groups = groups(context, &self.names)?;
        if options.replace.is_some() {
            // What is replaced has the sockets that are open.
            groups.iter_mut().for_each(leave_sockets);
        }
        queue_groups(context, RestartUnit, &groups, &options)
    }
}

/// Of several units of one name the sockets are left out.
fn leave_sockets(units: &mut Vec<String>) {
    let is_socket = |unit: &String| unit.ends_with(".socket");
    if !units.iter().all(is_socket) {
        units.retain(|unit| !is_socket(unit));
    }
}

/// The units of each name.
fn groups(context: &Context, names: &[String]) -> Result<Vec<Vec<String>>> {
    let units = |name| crate::portable::units_of(context, std::slice::from_ref(name));
    let groups = names.iter().map(units).collect::<Result<Vec<_>>>()?;
    if groups.is_empty() {
        return Err(hint(
            "no unit belongs to that name",
            "`coracle list` lists the portables that are here",
        ));
    }
    Ok(groups)
}

job_verbs! {
    /// `stop`.
    Stop StopUnit QueueOptions;
    /// `try-restart`.
    TryRestart TryRestartUnit JobOptions;
    /// `reload`.
    Reload ReloadUnit QueueOptions;
    /// `reload-or-restart`.
    ReloadOrRestart ReloadOrRestartUnit JobOptions;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_what_a_shell_would_see() {
        for (result, code, status, expected) in [
            ("success", "exited", 3, 0),
            ("exit-code", "exited", 3, 3),
            ("signal", "killed", 15, 143),
            ("core-dump", "dumped", 11, 139),
            ("oom-kill", "killed", 9, 137),
            ("oom-kill", "exited", 7, 7),
            ("oom-kill", "exited", 0, 1),
            ("timeout", "killed", 15, 1),
        ] {
            let exit = wire::ExitStatus {
                result: result.into(),
                code: code.into(),
                status,
                ..Default::default()
            };
            assert_eq!(exit_status(&exit), expected, "{result} {code} {status}");
        }
    }
}
