//! The records of the interface: what goes in, what comes back.
//!
//! Times are microseconds since 1970 (`…_realtime_us`) or spans (`…_us`). A field that is an `Option` is left out where
//! there is nothing to say. Texts that come from units, services or images are passed on raw: whoever prints them on a
//! terminal escapes control bytes.

mod relations;
mod services;
mod triggers;
mod usage;

use crate::failure::Failure;
use crate::shape::records;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

pub use relations::{CauseLink, Related, RelationsReply, UnitRelations};
pub use services::{
    BesideStatus, CommandStatus, HealthStatus, MountRequest, ServiceStatus, TakenBackRequest,
};
pub use triggers::{
    AutomountStatus, Listening, PathStatus, SocketStatus, TimerStatus, WatchedPath,
};
pub use usage::{BlockIo, Storage, Traffic};

/// How a first process that finds another one begins to say so.
pub const ANOTHER_RUNS: &str = "another instance runs for";
/// The state of a manager after too many crashes in a row.
pub const ADOPT_ONLY: &str = "adopt-only";

records! {
    /// The parameters of every verb that queues jobs for named units.
    struct JobRequest {
        /// Units; a name without a suffix is a service's.
        names: Vec<String>,
        /// `replace` (the default), `fail`, `isolate`, `replace-irreversibly`, `ignore-dependencies`, `ignore-requirements`, …
        mode: String,
        /// Answer only when the units have ended, not when their jobs have.
        wait: bool,
        /// Answer as soon as the jobs are queued.
        no_block: bool,
        /// Start even where a sandboxing directive of the unit is not enforced by this version; recorded and shown.
        allow_unenforced: bool,
        /// The call was made at this moment of the monotonic clock, and the manager that had it went away: what was done since is not
        /// done again, and answered as if it were.
        asked_us: Option<u64>,
        /// Of a restart: the next run starts beside the one that is up, which drains then, where the unit allows it (ReplaceMode=).
        replace: bool,
        /// How long it may drain, in microseconds; nothing: as the unit says (DrainTimeoutSec=).
        drain_us: Option<u64>,
    }

    /// How everything ends.
    struct ExitRequest {
        /// `exit` (the default), `poweroff`, `reboot`, `halt`, `kexec`, and each with `-force` (units are killed) or `-immediate` (the machine
        /// is switched at once), as FailureAction= has them.
        action: String,
        /// For the firmware, at a restart.
        argument: String,
    }

    /// One outcome per name of the request, in its order.
    struct JobReply {
        /// What became of each.
        outcomes: Vec<JobOutcome>,
    }

    /// What became of one job.
    struct JobOutcome {
        /// The unit, with its suffix.
        unit: String,
        /// The job's number, where one was queued.
        job: Option<u64>,
        /// `done`, `failed`, `canceled`, `timeout`, `dependency`, `skipped`, `queued` (not waited for), `refused` (see `failure`).
        result: String,
        /// Why it did not work.
        failure: Option<Failure>,
        /// How the unit ended, where the request waited for that, or where it failed.
        exit: Option<ExitStatus>,
        /// The invocation that the job made.
        invocation_id: Option<String>,
        /// Restrictions that could not be applied in full at this start.
        reductions: Vec<Reduction>,
        /// What is wrong in the lines of the unit, or has no effect, where the job starts it.
        diagnostics: Vec<Diagnostic>,
    }

    /// How a process, or a unit, ended.
    struct ExitStatus {
        /// The process, where it is known.
        pid: Option<u32>,
        /// `exited`, `killed`, `dumped`, or `unknown`.
        code: String,
        /// The exit status, or the signal's number.
        status: i32,
        /// The unit's result: `success`, `exit-code`, `signal`, `core-dump`, `timeout`, `start-limit-hit`, `resources`, `protocol`, …
        result: String,
        /// When it was executed.
        started_realtime_us: Option<u64>,
        /// When its end was seen.
        ended_realtime_us: Option<u64>,
        /// Processor time of the unit, where it is accounted.
        cpu_ns: Option<u64>,
    }

    /// A restriction that holds less than the unit asks.
    struct Reduction {
        /// The directive.
        directive: String,
        /// Why, and what holds instead.
        reason: String,
    }

    /// A unit that exists only at run time. Descriptors of the message are named by their position in it.
    struct TransientRequest {
        /// Its name; empty: the manager makes one (`run-….service`).
        unit: String,
        /// Lines as in a unit file, `Directive=value`, in their order; the table knows the section. `Section.Directive=value` where two have the name.
        properties: Vec<String>,
        /// The command, as ExecStart= would have it, but taken literally: no specifiers, no variables.
        command: Vec<String>,
        /// As for jobs.
        mode: String,
        /// The position of the descriptor that becomes standard input.
        stdin: Option<u32>,
        /// … standard output.
        stdout: Option<u32>,
        /// … standard error.
        stderr: Option<u32>,
        /// Answer when the unit has ended. With `more` a first answer comes when it runs.
        wait: bool,
        /// Answer as soon as the job is queued.
        no_block: bool,
        /// Forget the unit when it ended, also when it failed.
        collect: bool,
        /// As for jobs.
        allow_unenforced: bool,
        /// The call was made before, and the manager that had it went away: if the unit is there, this waits for that one.
        again: bool,
        /// The positions of descriptors of processes (pidfd_open(2)) that a scope takes over.
        processes: Vec<u32>,
        /// The name of a service that the unit, a timer, a path or a socket, starts: made first, and not started. Empty: none is made.
        starts: String,
        /// Its lines.
        started_properties: Vec<String>,
        /// Its command.
        started_command: Vec<String>,
    }

    /// What a call that names one unit takes.
    struct OneUnit {
        /// The unit; without a suffix, a service.
        unit: String,
    }

    /// What `Clean` takes.
    struct CleanRequest {
        /// The unit; without a suffix, a service.
        unit: String,
        /// What to remove: `configuration`, `state`, `cache`, `logs`, `runtime`, `fdstore`, `all`; empty: `cache` and `runtime`.
        what: Vec<String>,
    }

    /// What a call that names some units takes.
    struct NamesRequest {
        /// Names or patterns with `*`, `?` and `[…]`; none: all.
        names: Vec<String>,
    }

    /// The full state of some units.
    struct StatusReply {
        /// In the order of the names, patterns expanded in the order of names.
        units: Vec<UnitStatus>,
    }

    /// All that the manager knows of one unit.
    struct UnitStatus {
        /// With its suffix.
        name: String,
        /// Other names of it.
        aliases: Vec<String>,
        /// Description=, or the name.
        description: String,
        /// Documentation=.
        documentation: Vec<String>,
        /// `loaded`, `not-found`, `bad-setting`, `error`, `masked`.
        load: String,
        /// Why it did not load, or what its files say wrong.
        diagnostics: Vec<Diagnostic>,
        /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`.
        active: String,
        /// The state of its kind, such as `running`, `listening`, `auto-restart`.
        sub: String,
        /// `success`, or what went wrong last.
        result: String,
        /// The unit file.
        fragment: Option<String>,
        /// Its drop-ins, in the order they apply.
        drop_ins: Vec<String>,
        /// Made at run time?
        transient: bool,
        /// Did its files change since they were read?
        needs_reload: bool,
        /// The job that is queued or runs.
        job: Option<JobSummary>,
        /// Why it is in this state, the nearest cause first.
        causes: Vec<String>,
        /// When it last entered its state.
        since_realtime_us: Option<u64>,
        /// When it last left `inactive`.
        inactive_exit_realtime_us: Option<u64>,
        /// When it last became active.
        active_enter_realtime_us: Option<u64>,
        /// When it last stopped being active.
        active_exit_realtime_us: Option<u64>,
        /// When it last became inactive or failed.
        inactive_enter_realtime_us: Option<u64>,
        /// Conditions that kept it from starting.
        failed_condition: Option<String>,
        /// Units that it starts, or that start it.
        triggers: Vec<String>,
        /// Units that start it.
        triggered_by: Vec<String>,
        /// What services have.
        service: Option<ServiceStatus>,
        /// What sockets have.
        socket: Option<SocketStatus>,
        /// What timers have.
        timer: Option<TimerStatus>,
        /// What path units have.
        path: Option<PathStatus>,
        /// Of an automount unit.
        automount: Option<AutomountStatus>,
        /// Which restrictions hold.
        sandbox: Option<SandboxStatus>,
        /// The image or directory that it runs from.
        image: Option<ImageStatus>,
        /// Its control group, below the mount of version 2.
        cgroup: Option<String>,
        /// The processes in it.
        processes: Vec<Process>,
        /// How many processes and threads.
        tasks: Option<u64>,
        /// Memory in use, where it is accounted.
        memory_bytes: Option<u64>,
        /// Processor time, where it is accounted.
        cpu_ns: Option<u64>,
        /// The most memory that was in use, where it is accounted.
        memory_peak_bytes: Option<u64>,
        /// Memory that was swapped out, where it is accounted.
        memory_swap_bytes: Option<u64>,
        /// What was read and written, where it is accounted.
        io: Option<BlockIo>,
        /// `running`, `freezing`, `frozen`; none where it has no control group.
        freezer: Option<String>,
        /// The slice that it is in.
        slice: Option<String>,
        /// Network traffic, where it is accounted.
        traffic: Option<Traffic>,
        /// What its directories hold, where that is counted.
        storage: Vec<Storage>,
    }

    /// A message about a line of a unit file.
    struct Diagnostic {
        /// The unit, where it is known.
        unit: Option<String>,
        /// `warning` or `error`.
        severity: String,
        /// The file.
        path: String,
        /// Its line, from 1.
        line: Option<u32>,
        /// A whole sentence.
        message: String,
        /// The nearest name, or what to do.
        hint: Option<String>,
    }

    /// A job.
    struct JobSummary {
        /// Its number.
        id: u64,
        /// The unit.
        unit: String,
        /// `start`, `stop`, `restart`, `try-restart`, `reload`, `verify-active`.
        kind: String,
        /// `waiting` or `running`.
        state: String,
        /// What queued it.
        cause: Option<String>,
        /// Numbers of the jobs that come first; only where jobs are listed.
        waits_for: Vec<u64>,
    }

    /// Which restrictions a unit asks for and what became of each at its last start.
    struct SandboxStatus {
        /// Enforced as they are written.
        applied: Vec<Setting>,
        /// Enforced in part.
        reduced: Vec<Reduction>,
        /// Not enforced by this version; the unit starts only with `allow_unenforced`.
        unenforced: Vec<Reduction>,
        /// Was it started in spite of those?
        allow_unenforced: bool,
    }

    /// A directive and its value.
    struct Setting {
        /// The directive.
        directive: String,
        /// As a unit file would say it.
        value: String,
    }

    /// Where a unit's files come from.
    struct ImageStatus {
        /// RootImage= or RootDirectory= of what runs; where nothing does, of the next start.
        path: String,
        /// Is it a disk image?
        is_image: bool,
        /// Is it mounted now, by this manager?
        mounted: bool,
        /// What protects its content, as the mount worker reported it.
        integrity: Option<String>,
        /// What the attaching command recorded about the portable.
        portable: Option<Box<RawValue>>,
    }

    /// A process of a unit.
    struct Process {
        /// Its number.
        pid: u32,
        /// Its command line, or its name in brackets.
        command: String,
        /// Its control group below the unit's, or empty.
        group: String,
    }

    /// What `Show` takes.
    struct ShowRequest {
        /// Names or patterns; none: the manager itself.
        names: Vec<String>,
        /// Which properties, by their names; none: all.
        properties: Vec<String>,
    }

    /// The properties of some units.
    struct ShowReply {
        /// In the order of the names.
        units: Vec<UnitProperties>,
    }

    /// Properties as `systemctl show` names and prints them, the unit's directives among them.
    struct UnitProperties {
        /// The unit, or empty for the manager.
        unit: String,
        /// Name and printed value.
        properties: BTreeMap<String, String>,
    }

    /// What `ListUnits` takes.
    struct ListUnitsRequest {
        /// Names or patterns.
        names: Vec<String>,
        /// Active, load or sub states.
        states: Vec<String>,
        /// Unit kinds, such as `service`.
        kinds: Vec<String>,
        /// Inactive ones too.
        all: bool,
    }

    /// The units in memory.
    struct ListUnitsReply {
        /// Sorted by name.
        units: Vec<UnitSummary>,
    }

    /// One line of the list.
    struct UnitSummary {
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
        /// The job that is queued or runs.
        job: Option<JobSummary>,
        /// The main process.
        main_pid: Option<u32>,
        /// Listening addresses, for sockets.
        listen: Vec<String>,
        /// What it starts.
        triggers: Vec<String>,
    }

    /// The jobs there are.
    struct ListJobsReply {
        /// By number.
        jobs: Vec<JobSummary>,
    }

    /// The texts of some units.
    struct CatReply {
        /// In the order they apply.
        files: Vec<UnitFile>,
    }

    /// One file of a unit.
    struct UnitFile {
        /// The unit.
        unit: String,
        /// The file; empty for a unit made at run time.
        path: String,
        /// Its text.
        text: String,
    }

    /// What `Kill` takes.
    struct KillRequest {
        /// Units or patterns.
        names: Vec<String>,
        /// A signal's name or number; empty: SIGTERM.
        signal: String,
        /// `all` (the default), `main`, `control`.
        whom: String,
    }

    /// What `Freeze` takes.
    struct FreezeRequest {
        /// Units or patterns.
        names: Vec<String>,
        /// Let them go on again.
        thaw: bool,
        /// Frozen by this call, they go on when its connection closes, however that comes. With `thaw`: those that are frozen so; it fails where one of
        /// the units was not frozen all the time.
        while_connected: bool,
    }

    /// A reply that says nothing but that it is done.
    struct Done {}

    /// What a reload of the unit files found.
    struct ReloadReply {
        /// How many units are in memory.
        units: u64,
        /// What is wrong in their files.
        diagnostics: Vec<Diagnostic>,
        /// Generators whose units may be missing.
        generators: Vec<GeneratorFailure>,
    }

    /// A generator that was not run, or did not end well.
    struct GeneratorFailure {
        /// The unit that ran it, which has a log; its file where none did.
        unit: String,
        /// Why.
        reason: String,
    }

    /// Variables, as `NAME=value`, or names where only a name is needed.
    struct Environment {
        /// The variables.
        environment: Vec<String>,
    }

    /// What is needed to enter the sandbox of a running service. The process's descriptor travels with it.
    struct SandboxReply {
        /// The unit.
        unit: String,
        /// Its main process.
        main_pid: u32,
        /// The position of its pidfd in the message.
        pidfd: u32,
        /// The invocation.
        invocation_id: String,
        /// Its control group, as a path in the host's file system.
        cgroup: Option<String>,
        /// The user it runs as.
        uid: Option<u32>,
        /// The group.
        gid: Option<u32>,
        /// Supplementary groups.
        groups: Vec<u32>,
        /// Its environment.
        environment: Vec<String>,
        /// WorkingDirectory=.
        working_directory: Option<String>,
        /// RootImage= or RootDirectory=.
        root: Option<String>,
        /// The steps that made it, as `explain --plan` prints them.
        steps: Vec<PlanStep>,
        /// The unit's directives, so that the same seccomp program and capabilities can be made for the newcomer.
        settings: Vec<Setting>,
    }

    /// The plan of a start.
    struct ExplainReply {
        /// The unit.
        unit: String,
        /// In the order they are taken.
        steps: Vec<PlanStep>,
        /// What will hold less than was asked.
        reductions: Vec<Reduction>,
        /// What would refuse the start.
        refusals: Vec<Reduction>,
    }

    /// One step of a plan.
    struct PlanStep {
        /// Its kind.
        step: String,
        /// What it does.
        text: String,
        /// The directive it comes from.
        directive: String,
    }

    /// What `Monitor` takes; call it with `more`.
    struct MonitorRequest {
        /// Names or patterns; none: all.
        names: Vec<String>,
    }

    /// A change. The first one, of kind `ready`, says that from now on none is missed.
    struct Event {
        /// `ready`, `unit`, `job`, `reload`, `overflow` (some were left out, as the reader was too slow).
        kind: String,
        /// The unit.
        unit: Option<String>,
        /// Its state.
        active: Option<String>,
        /// Its state.
        sub: Option<String>,
        /// Its result.
        result: Option<String>,
        /// The job.
        job: Option<u64>,
        /// The job's result, when it ended.
        job_result: Option<String>,
        /// Why.
        cause: Option<String>,
        /// When.
        realtime_us: u64,
    }

    /// The manager itself.
    struct ServerReply {
        /// Of the program.
        version: String,
        /// `init`, `beside`, `nested` or `user`.
        position: String,
        /// `running`, `stopping`, `adopt-only` (the manager crashed in a loop: it keeps what runs and starts nothing).
        state: String,
        /// The manager's process.
        pid: u32,
        /// The keeper's process.
        keeper_pid: u32,
        /// How often the manager was started again by the keeper.
        restarts: u32,
        /// The directory of this instance's sockets and records.
        runtime_dir: String,
        /// … of its store and state.
        state_dir: String,
        /// … of its configuration.
        config_dir: String,
        /// Where unit files are looked for.
        unit_path: Vec<String>,
        /// The control group below which units get theirs.
        cgroup: Option<String>,
        /// What this host can do.
        facts: BTreeMap<String, String>,
        /// What this host can not, for every unit.
        reductions: Vec<Reduction>,
        /// Units in memory.
        units: u64,
        /// Units that failed.
        failed: u64,
        /// Jobs.
        jobs: u64,
    }
}
