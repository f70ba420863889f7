//! `stop`, `restart`, `try-restart`, `reload`, `reload-or-restart`, and the part of `start` that is about units.

use anyhow::Result;
use clap::Args;
use wire::methods::{
    ReloadOrRestartUnit, ReloadUnit, RestartUnit, StartUnit, StopUnit, TryRestartUnit,
};
use wire::{JobOutcome, JobReply, JobRequest, Method};

use crate::context::Context;
use crate::failure::hint;
use crate::terminal::{Paint, complain, plain};
use crate::verbs::Run;

/// Options that every verb about jobs takes.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct JobOptions {
    /// Wait until the units have ended, too
    #[arg(long)]
    pub(crate) wait: bool,
    /// Return as soon as the jobs are queued
    #[arg(long)]
    pub(crate) no_block: bool,
    /// How the jobs meet those that are queued: replace, fail, isolate, ignore-dependencies, ignore-requirements
    #[arg(long, value_name = "MODE", default_value = "replace")]
    pub(crate) job_mode: String,
    /// Start although this version does not enforce a sandboxing directive of the unit; `status` shows it
    #[arg(long)]
    pub(crate) allow_unenforced: bool,
}

impl JobOptions {
    fn request(&self, names: &[String]) -> JobRequest {
        JobRequest {
            names: names.to_vec(),
            mode: self.job_mode.clone(),
            wait: self.wait,
            no_block: self.no_block,
            allow_unenforced: self.allow_unenforced,
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
    let mut reply = context.connect()?.call(method, &options.request(names))?;
    for outcome in &mut reply.outcomes {
        // What a start could not apply is of no interest to those who end it.
        if M::NAME == StopUnit::NAME {
            outcome.reductions.clear();
        }
        tell(context, outcome);
    }
    Ok(status_of(&reply.outcomes, options.wait))
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

/// 0; 1 when a job failed; with `--wait`, the exit status of the unit that failed.
fn status_of(outcomes: &[JobOutcome], waited: bool) -> u8 {
    let failed = outcomes.iter().find(|outcome| !succeeded(outcome));
    let ended = outcomes
        .iter()
        .filter_map(|outcome| outcome.exit.as_ref())
        .find(|exit| waited && exit.result != "success");
    match (failed, ended) {
        (_, Some(exit)) => exit_status(exit),
        (Some(_), None) => 1,
        (None, None) => 0,
    }
}

/// The status that a shell would see: the exit status, or 128 and the signal's number.
pub(crate) fn exit_status(exit: &wire::ExitStatus) -> u8 {
    let status = if exit.code == "exited" {
        exit.status
    } else {
        128 + exit.status
    };
    u8::try_from(status).unwrap_or(1)
}

/// Tells what became of a job: reductions always, failures with their cause and the next step.
pub(crate) fn tell(context: &Context, outcome: &JobOutcome) {
    for reduction in &outcome.reductions {
        context.narrate(&format!(
            "{} {}: {}= {}",
            Paint::Yellow.on("reduced:"),
            outcome.unit,
            reduction.directive,
            plain(&reduction.reason)
        ));
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
    complain(&format!(
        "{} {}",
        Paint::Bold.on("Hint:"),
        next_step(outcome)
    ));
}

fn next_step(outcome: &JobOutcome) -> String {
    use wire::Failure;
    let unit = &outcome.unit;
    match &outcome.failure {
        Some(Failure::NoSuchUnit { .. }) => "`coracle list-units --all` lists the units that are known; a portable is started by its URL or file".to_owned(),
        Some(Failure::Unenforced { .. }) => format!("`coracle start --allow-unenforced {unit}` starts it without them; `coracle status` will show it"),
        Some(Failure::Masked { .. }) => "remove the mask, a link to /dev/null in the unit path, then `coracle daemon-reload`".to_owned(),
        Some(Failure::BadUnit { .. }) => format!("`coracle verify {unit}` shows the lines"),
        Some(Failure::Refused { directive, .. }) => format!("`coracle explain {directive}` says what the directive needs"),
        Some(Failure::JobFailed { message, .. }) if message.contains("StartLimitBurst=") => format!("`coracle reset-failed {unit}` lets it start again at once"),
        _ => format!("`coracle status {unit}` and `coracle logs -u {unit}` tell more"),
    }
}

macro_rules! job_verbs {
    ($($(#[doc = $doc:literal])* $name:ident $method:ident;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Args, Debug)]
        pub(crate) struct $name {
            /// Units; a name without a suffix is a service's
            #[arg(required = true, value_name = "UNIT")]
            names: Vec<String>,
            #[command(flatten)]
            options: JobOptions,
        }

        impl Run for $name {
            fn run(self, context: &Context) -> Result<u8> {
                let names = crate::portable::units_of(context, &self.names)?;
                if names.is_empty() {
                    return Err(hint("no unit belongs to that name", "`coracle list` lists the portables that are here"));
                }
                queue(context, $method, &names, &self.options)
            }
        }
    )*};
}

job_verbs! {
    /// `stop`.
    Stop StopUnit;
    /// `restart`.
    Restart RestartUnit;
    /// `try-restart`.
    TryRestart TryRestartUnit;
    /// `reload`.
    Reload ReloadUnit;
    /// `reload-or-restart`.
    ReloadOrRestart ReloadOrRestartUnit;
}
