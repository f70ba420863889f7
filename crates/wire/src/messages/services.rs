//! How services are.

use super::ExitStatus;
use crate::shape::records;

records! {
    /// What a service adds to a unit's status.
    struct ServiceStatus {
        /// Type=.
        kind: String,
        /// The main process.
        main_pid: Option<u32>,
        /// The process of another step that runs now.
        control_pid: Option<u32>,
        /// Which step that is: `start-pre`, `reload`, `stop`, ….
        control_step: Option<String>,
        /// STATUS= of its last notification.
        status_text: Option<String>,
        /// ERRNO= of it.
        status_errno: Option<i32>,
        /// The invocation, 32 hexadecimal digits.
        invocation_id: Option<String>,
        /// How often it was restarted by Restart=.
        restarts: u32,
        /// The main process's last end.
        exit: Option<ExitStatus>,
        /// The commands of the last run and how they ended.
        commands: Vec<CommandStatus>,
        /// The user that it runs as.
        user: Option<String>,
        /// Its number.
        uid: Option<u32>,
        /// The group's number.
        gid: Option<u32>,
        /// Descriptors stored by it.
        stored_descriptors: u32,
        /// When its end is expected at the latest.
        deadline_realtime_us: Option<u64>,
        /// What its probes say; nothing where it has none, or is not up.
        health: Option<HealthStatus>,
        /// The run that the current one replaces, or has replaced and that drains.
        beside: Option<BesideStatus>,
    }

    /// A run beside the current one.
    struct BesideStatus {
        /// `serving`: it is up until the current one is; `draining`; `dying`: its time is over.
        state: String,
        /// Its main process.
        main_pid: Option<u32>,
        /// Its invocation, 32 hexadecimal digits.
        invocation_id: Option<String>,
        /// When it has to be over.
        deadline_realtime_us: Option<u64>,
    }

    /// One command of a run.
    struct CommandStatus {
        /// `condition`, `start-pre`, `main`, `start-post`, `reload`, `stop`, `stop-post`.
        step: String,
        /// Its place among the commands of that step.
        index: u32,
        /// The command line.
        argv: Vec<String>,
        /// How it ended, if it did.
        exit: Option<ExitStatus>,
    }

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

    /// What `MountAhead` takes.
    struct MountRequest {
        /// The image, by its path in the store.
        path: String,
    }

    /// A version of a unit that was taken back.
    struct TakenBackRequest {
        /// The unit that did not work.
        unit: String,
        /// What happened, as a whole sentence for its log.
        text: String,
        /// It did not fail by itself, so that its OnFailure= is still due.
        follows: bool,
    }
}
