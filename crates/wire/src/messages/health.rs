//! How services are.

use crate::shape::records;

records! {
    /// What the probes of a service say.
    struct HealthStatus {
        /// `starting`, `healthy` or `unhealthy`.
        state: String,
        /// Since when.
        since_realtime_us: Option<u64>,
        /// Failures in a row that count.
        failures: u32,
        /// The last line of the last probe.
        line: Option<String>,
    }
}
