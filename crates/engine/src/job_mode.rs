//! How the jobs of a transaction meet those that are queued, `--job-mode=` of systemctl(1).

use serde::{Deserialize, Serialize};

/// What happens to jobs that stand in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum JobMode {
    /// Contradicting jobs are replaced.
    #[default]
    Replace,
    /// Fail rather than replace a contradicting job.
    Fail,
    /// Neither replace a contradicting job nor stop what is up or on its way.
    Lenient,
    /// Everything else is stopped.
    Isolate,
    /// Neither relations nor order.
    IgnoreDependencies,
    /// Order, but no relations.
    IgnoreRequirements,
    /// Contradicting jobs are replaced, and these can't be.
    ReplaceIrreversibly,
    /// All other jobs are dropped.
    Flush,
    /// A start, and a restart of what is up and needs the unit.
    RestartDependencies,
    /// A stop, also of what would start the unit again.
    Triggering,
}
