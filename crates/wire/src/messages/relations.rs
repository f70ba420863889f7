//! How units are tied, and when they came up.

use super::JobSummary;
use crate::shape::records;

records! {
    /// The units in memory, and what ties them.
    struct RelationsReply {
        /// When this instance was started, in microseconds since the boot without sleep.
        began_monotonic_us: Option<u64>,
        /// Sorted by name.
        units: Vec<UnitRelations>,
    }

    /// One unit among others.
    struct UnitRelations {
        /// With its suffix.
        name: String,
        /// Description=, or the name.
        description: String,
        /// As in the status.
        load: String,
        /// As in the status.
        active: String,
        /// As in the status.
        sub: String,
        /// As in the status.
        result: String,
        /// The job that is queued or runs.
        job: Option<JobSummary>,
        /// What ties it to others, by the names that properties have: `Requires`, `RequiredBy`, `After`, `Triggers`, ….
        relations: Vec<Related>,
        /// Why it is in this state, the nearest cause first.
        causes: Vec<CauseLink>,
        /// Conditions that kept it from starting.
        failed_condition: Option<String>,
        /// When it last left `inactive`, in microseconds since the boot without sleep, as the others here.
        inactive_exit_monotonic_us: Option<u64>,
        /// When it last became active.
        active_enter_monotonic_us: Option<u64>,
        /// When it last stopped being active.
        active_exit_monotonic_us: Option<u64>,
        /// When it last became inactive or failed.
        inactive_enter_monotonic_us: Option<u64>,
    }

    /// The units at the other end of a relation.
    struct Related {
        /// Its name, seen from here.
        relation: String,
        /// Sorted by name.
        units: Vec<String>,
    }

    /// One link of a chain of causes.
    struct CauseLink {
        /// As a sentence.
        text: String,
        /// The unit that it is about.
        unit: String,
    }
}
