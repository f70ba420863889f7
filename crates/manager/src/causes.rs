//! Why things are as they are, as sentences: the engine's chains of causes, with names.

use engine::{Cause, Chain, ExitStatus, JobResult, Relation, Role};

/// The links of a chain, the nearest first.
pub(crate) fn sentences(chain: &Chain) -> Vec<String> {
    chain.links().iter().map(sentence).collect()
}

pub(crate) fn sentence(cause: &Cause) -> String {
    match cause {
        Cause::Asked { unit, kind } => format!("{} of {} was asked for", kind.name(), unit),
        Cause::PulledIn { by, relation } => {
            format!("{} needs it ({})", by, relation_name(*relation))
        }
        Cause::Exited {
            unit, role, status, ..
        } => {
            format!(
                "the {} process of {} {}",
                crate::run::role_name(*role),
                unit,
                ending(*status)
            )
        }
        Cause::SpawnFailed { unit, role } => format!(
            "the {} process of {} could not be started",
            crate::run::role_name(*role),
            unit
        ),
        Cause::Cleaned { unit } => format!("a client asked to clean {unit}"),
        Cause::Signalled { unit } => format!("a client sent a signal to {unit}"),
        Cause::TimedOut { unit, .. } => format!("{} took too long", unit),
        Cause::Device {
            unit,
            is_there: true,
        } => format!("the device of {unit} came"),
        Cause::Device { unit, .. } => format!("the device of {unit} went"),
        Cause::BusName {
            unit,
            is_owned: true,
        } => format!("the name of {unit} was taken on the bus"),
        Cause::BusName { unit, .. } => {
            format!("the name of {unit} is nobody's on the bus any more")
        }
        Cause::OutOfMemory { unit } => {
            format!("the kernel killed a process of {unit} for lack of memory")
        }
        Cause::Notified { unit } => format!("a notification by {unit}"),
        Cause::AutoRestart { unit, count } => format!("Restart= of {}, number {count}", unit),
        Cause::TakenBack { unit } => format!("a version of {unit} was taken back"),
        Cause::Unhealthy { unit } => format!("the probes of {unit} failed"),
        Cause::Elapsed { timer } => format!("the time of {timer}"),
        Cause::Watched { path, what } => format!("what {path} waits for at {what}"),
        Cause::Entered { automount, who } => format!("{who} came to {automount}"),
        Cause::Idle { automount } => format!("nobody was at {automount} for its time"),
        Cause::Traffic { socket } => format!("traffic at {}", socket),
        Cause::Followed { unit, relation } => {
            format!("{} changed ({})", unit, relation_name(*relation))
        }
        Cause::JobFailed { unit, .. } => format!("the job of {} failed", unit),
        Cause::LimitHit { unit } => format!("{} was started too often", unit),
        Cause::Table {
            unit,
            is_there: true,
        } => format!(
            "{unit} is there, and no job of ours did that: somebody else {}",
            made(unit)
        ),
        Cause::Table { unit, .. } => {
            format!("{unit} is there no more, and no job of ours did that")
        }
        Cause::Sockets { unit } => format!("the sockets of {} are not open", unit),
        Cause::Adopted { unit } => format!("{} was adopted by a new manager", unit),
    }
}

/// What others did who made a mount or a swap.
fn made(unit: &str) -> &'static str {
    if unit.ends_with(".swap") {
        "switched it on"
    } else {
        "mounted it"
    }
}

/// Is it the end, by a failure, of a command that runs before, beside or for the main process?
pub(crate) fn is_failed_command(cause: &Cause) -> bool {
    match cause {
        Cause::Exited { role, status, .. } => {
            !matches!(role, Role::Main | Role::Stop | Role::StopPost)
                && !matches!(status, ExitStatus::Exited(0) | ExitStatus::Unknown)
        }
        _ => false,
    }
}

/// The name of a result as clients see it.
pub(crate) fn job_result(result: JobResult) -> &'static str {
    match result {
        JobResult::Done => "done",
        JobResult::Canceled => "canceled",
        JobResult::Timeout => "timeout",
        JobResult::Failed => "failed",
        JobResult::Dependency => "dependency",
        JobResult::Skipped => "skipped",
        JobResult::Invalid => "invalid",
        JobResult::Assert => "assert",
        JobResult::Unsupported => "unsupported",
        JobResult::Collected => "collected",
        JobResult::Once => "once",
        JobResult::Concurrency => "concurrency",
    }
}

/// The directive of a relation.
pub(crate) fn relation_name(relation: Relation) -> &'static str {
    match relation {
        Relation::Requires => "Requires=",
        Relation::Requisite => "Requisite=",
        Relation::Wants => "Wants=",
        Relation::BindsTo => "BindsTo=",
        Relation::PartOf => "PartOf=",
        Relation::Upholds => "Upholds=",
        Relation::Conflicts => "Conflicts=",
        Relation::Before => "Before=",
        Relation::After => "After=",
        Relation::OnFailure => "OnFailure=",
        Relation::OnSuccess => "OnSuccess=",
        Relation::PropagatesReloadTo => "PropagatesReloadTo=",
        Relation::PropagatesStopTo => "PropagatesStopTo=",
        Relation::Triggers => "what it starts",
        Relation::Sockets => "Sockets=",
        Relation::JoinsNamespaceOf => "JoinsNamespaceOf=",
        Relation::ReloadPropagatedFrom => "ReloadPropagatedFrom=",
        Relation::StopPropagatedFrom => "StopPropagatedFrom=",
        Relation::TargetAfter => "its target",
    }
}

fn ending(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exited(status) => format!("exited with status {status}"),
        ExitStatus::Killed(signal) => {
            format!("was killed by SIG{}", crate::signals::short_name(signal.0))
        }
        ExitStatus::Dumped(signal) => format!(
            "dumped core after SIG{}",
            crate::signals::short_name(signal.0)
        ),
        ExitStatus::Unknown => "ended, nobody knows how".into(),
    }
}

/// How a run ended, in words: what the unit's result says comes before what became of a process, which may be of an earlier run.
pub(crate) fn ending_of_run(exit: &wire::ExitStatus) -> String {
    match (exit.result.as_str(), exit.code.as_str()) {
        ("start-limit-hit", _) => "it was started too often (StartLimitBurst=)".into(),
        ("timeout", _) => "it took too long".into(),
        ("protocol", _) => "it ended before it said that it is ready".into(),
        (_, "exited") => format!("the process exited with status {}", exit.status),
        (result, "unknown") => format!("the result is {result}"),
        _ => format!(
            "the process was killed by {}",
            u8::try_from(exit.status).map_or_else(
                |_| "a signal".into(),
                |number| model::value::Signal(number).name()
            )
        ),
    }
}
