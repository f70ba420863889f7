//! Why things are as they are, as sentences: the engine's chains of causes, with names.

use crate::manager::Manager;
use engine::{Cause, Chain, ExitStatus, JobKind, Relation, UnitId};

/// The links of a chain, the nearest first.
pub(crate) fn sentences(manager: &Manager, chain: &Chain) -> Vec<String> {
    chain.links().iter().map(|cause| sentence(manager, *cause)).collect()
}

fn sentence(manager: &Manager, cause: Cause) -> String {
    let name = |unit: UnitId| match (manager.units.get(&unit), manager.engine.config(unit)) {
        (Some(entry), _) => entry.name.to_string(),
        (None, Some(config)) => config.name.to_string(),
        (None, None) => "a unit that is gone".to_owned(),
    };
    match cause {
        Cause::Asked { unit, kind } => format!("{} of {} was asked for", job_kind(kind), name(unit)),
        Cause::PulledIn { by, relation } => format!("{} needs it ({})", name(by), relation_name(relation)),
        Cause::Exited { unit, role, status, .. } => {
            format!("the {} process of {} {}", crate::run::role_name(role), name(unit), ending(status))
        }
        Cause::SpawnFailed { unit, role } => format!("the {} process of {} could not be started", crate::run::role_name(role), name(unit)),
        Cause::TimedOut { unit, .. } => format!("{} took too long", name(unit)),
        Cause::Notified { unit } => format!("{} said so", name(unit)),
        Cause::AutoRestart { unit, count } => format!("Restart= of {}, number {count}", name(unit)),
        Cause::Traffic { socket } => format!("traffic at {}", name(socket)),
        Cause::Followed { unit, relation } => format!("{} changed ({})", name(unit), relation_name(relation)),
        Cause::JobFailed { unit, .. } => format!("the job of {} failed", name(unit)),
        Cause::LimitHit { unit } => format!("{} was started too often", name(unit)),
        Cause::Sockets { unit } => format!("the sockets of {} are not open", name(unit)),
        Cause::Adopted { unit } => format!("{} was adopted by a new manager", name(unit)),
    }
}

/// The name of a kind of job as clients see it.
pub(crate) fn job_kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Start => "start",
        JobKind::VerifyActive => "verify-active",
        JobKind::Stop => "stop",
        JobKind::Reload => "reload",
        JobKind::Restart => "restart",
        JobKind::TryRestart => "try-restart",
        JobKind::TryReload => "try-reload",
        JobKind::ReloadOrStart => "reload-or-start",
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
        Relation::Triggers => "its socket",
    }
}

fn ending(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exited(status) => format!("exited with status {status}"),
        ExitStatus::Killed(signal) => format!("was killed by SIG{}", crate::signals::short_name(signal.0)),
        ExitStatus::Dumped(signal) => format!("dumped core after SIG{}", crate::signals::short_name(signal.0)),
        ExitStatus::Unknown => "ended, nobody knows how".into(),
    }
}
