//! How runs went.

use serde::{Deserialize, Serialize};

/// How a run went; the reference's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum UnitResult {
    /// Well.
    #[default]
    Success,
    /// Something could not be had.
    Resources,
    /// It broke a promise of its Type=.
    Protocol,
    /// It took too long.
    Timeout,
    /// An unclean exit status.
    ExitCode,
    /// An unclean signal.
    Signal,
    /// An unclean signal, with a core dump.
    CoreDump,
    /// It forgot its watchdog.
    Watchdog,
    /// Started too often.
    StartLimitHit,
    /// ExecCondition= said no.
    ExecCondition,
    /// A socket or a path unit was triggered too often.
    TriggerLimitHit,
    /// A socket's service was started too often.
    ServiceStartLimitHit,
    /// The unit of a path unit was started too often.
    UnitStartLimitHit,
    /// The mount of an automount unit was started too often.
    MountStartLimitHit,
    /// The kernel killed for lack of memory, and OOMPolicy= says that this ends it.
    OomKill,
    /// Its probes failed.
    Unhealthy,
}

impl UnitResult {
    /// The text that clients see.
    pub fn name(self) -> &'static str {
        match self {
            UnitResult::Success => "success",
            UnitResult::Resources => "resources",
            UnitResult::Protocol => "protocol",
            UnitResult::Timeout => "timeout",
            UnitResult::ExitCode => "exit-code",
            UnitResult::Signal => "signal",
            UnitResult::CoreDump => "core-dump",
            UnitResult::Watchdog => "watchdog",
            UnitResult::StartLimitHit => "start-limit-hit",
            UnitResult::ExecCondition => "exec-condition",
            UnitResult::TriggerLimitHit => "trigger-limit-hit",
            UnitResult::ServiceStartLimitHit => "service-start-limit-hit",
            UnitResult::UnitStartLimitHit => "unit-start-limit-hit",
            UnitResult::MountStartLimitHit => "mount-start-limit-hit",
            UnitResult::OomKill => "oom-kill",
            UnitResult::Unhealthy => "unhealthy",
        }
    }
}
