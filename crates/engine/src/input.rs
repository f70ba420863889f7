//! What can happen to the engine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{JobMode, UnitConfig};
use crate::effect::Target;
use crate::id::{Incarnation, JobId, Micros, ProcessKey, Signal, UnitId};
use crate::path::Mark;
use crate::timer::Reckoned;

/// One event. Events about an incarnation that is no longer the current one change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A unit was loaded, or loaded again; its run goes on with the new configuration.
    Configure(Box<UnitConfig>),
    /// A unit's file is gone. Forgotten at once when idle; else it stays as not-found until it is.
    Forget(UnitId),
    /// A client wants something done. Answered by `Action::JobQueued` or `Action::Refused` with the same request.
    Job {
        /// The client's own number, given back in the answer.
        request: u64,
        /// The unit.
        unit: UnitId,
        /// What to do.
        kind: JobKind,
        /// What may be done to others for it.
        mode: JobMode,
    },
    /// The same for a job that replaces.
    Replace {
        /// The client's own number, given back in the answer.
        request: u64,
        /// The unit.
        unit: UnitId,
        /// What may be done to others for it.
        mode: JobMode,
        /// How long what is replaced may drain. `None`: as the unit says.
        drain: Option<Micros>,
    },
    /// The instance ends: a stop that RefuseManualStop= does not refuse, and that nobody is told of.
    End(UnitId),
    /// A client gives a job up.
    Cancel(JobId),
    /// `reset-failed`: forget the failure, the restart count and the start limit.
    ResetFailed(UnitId),
    /// A version of the unit did not work, and the one before it is back: OnFailure= is as due as after a failure.
    TakenBack(UnitId),
    /// `clean`: remove what the unit left; nothing happens where [`crate::Engine::may_clean`] says no.
    Clean {
        /// The unit.
        unit: UnitId,
        /// What, as the bits of `model::Resources`.
        what: u8,
    },
    /// The process of `Action::Clean` is gone, or could not be made.
    Cleaned(UnitId),
    /// `kill`: only a signal, no job.
    Kill {
        /// The unit.
        unit: UnitId,
        /// Who gets it.
        target: Target,
        /// Which signal.
        signal: Signal,
    },
    /// The answer to `Action::TestConditions`.
    Conditions {
        /// The unit.
        unit: UnitId,
        /// What came of it.
        outcome: Conditions,
    },
    /// The process of a `Spawn` exists.
    Spawned(ProcessKey),
    /// The process of a `Spawn` could not be made (plan refused, clone failed …). No `Exited` follows.
    SpawnFailed(ProcessKey),
    /// execve(2) of the process succeeded.
    Executed(ProcessKey),
    /// The executor reported a failed step; `Exited` follows.
    ExecFailed(ProcessKey),
    /// A process ended, as the kernel tells it.
    Exited {
        /// Which process.
        process: ProcessKey,
        /// How.
        status: ExitStatus,
    },
    /// No process is left in the incarnation's cgroup: the answer, at once or later, to `Action::WatchEmpty`.
    CgroupEmpty {
        /// The unit.
        unit: UnitId,
        /// The run.
        incarnation: Incarnation,
    },
    /// The answer to `Action::TakeOver`.
    TakenOver {
        /// The scope.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// Its processes are in its group, at least one.
        well: bool,
    },
    /// The answer to `Action::Probe`.
    Probed {
        /// The probe.
        process: ProcessKey,
        /// The service answered as it should.
        well: bool,
    },
    /// What the kernel's table has of a mount or a swap, whenever that may be something else.
    InTable {
        /// The unit.
        unit: UnitId,
        /// It is there.
        is_there: bool,
    },
    /// The answer to `Action::FindMain`.
    MainFound {
        /// The unit.
        unit: UnitId,
        /// The run.
        incarnation: Incarnation,
        /// A process of the run that is not its main process now (the manager checks both).
        pid: Option<u32>,
    },
    /// The kernel killed a process of the run for lack of memory.
    OutOfMemory {
        /// The unit.
        unit: UnitId,
        /// The run.
        incarnation: Incarnation,
    },
    /// A message of the service, already authenticated and parsed.
    Notify {
        /// The unit.
        unit: UnitId,
        /// The run it came from.
        incarnation: Incarnation,
        /// What it said.
        message: Notice,
    },
    /// Whether a device is there, whenever that may be something else.
    Device {
        /// The unit.
        unit: UnitId,
        /// It is there, and ready.
        is_there: bool,
    },
    /// Whether the name of a service of Type=dbus is taken, whenever that may be something else.
    BusName {
        /// The unit.
        unit: UnitId,
        /// Somebody owns it.
        is_owned: bool,
    },
    /// All sockets of the unit are open.
    SocketsOpen {
        /// The socket unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// They could not be opened, or are lost.
    SocketsFailed {
        /// The socket unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// A watched socket became readable.
    SocketTraffic {
        /// The socket unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// A connection was accepted. Answered by `Action::TakeConnection` or `Action::RefuseConnection` with the same number.
    Connection {
        /// The socket unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// The number that it would have: that of the connections that were taken before.
        number: u32,
        /// Where it comes from, as far as sources are told apart.
        source: Arc<str>,
    },
    /// A connection that was taken has its unit; or one that the keeper held when the manager came back, and that no unit had.
    ConnectionReady {
        /// The socket unit.
        unit: UnitId,
        /// Its number.
        number: u32,
        /// The unit that serves it, configured.
        instance: UnitId,
        /// As in `Connection`.
        source: Arc<str>,
    },
    /// A connection that was taken has no unit: there is no template, or it can't be loaded.
    ConnectionLost(UnitId),
    /// The answer to `Action::ReckonTimer`.
    TimerReckoned {
        /// The timer unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// What came of it.
        found: Reckoned,
    },
    /// The moment of `Action::WatchTimer` has come, or the clock or the time zone was set and the timer waits for that.
    TimerElapsed {
        /// The timer unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// Now, in microseconds since 1970.
        realtime_us: u64,
    },
    /// The clock, the time zone or the timer's file is another: a timer that is up has to be reckoned anew.
    ReckonTimer(UnitId),
    /// All of a path unit is watched, or watched anew.
    PathWatched {
        /// The path unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// What is to be known after a restore.
        marks: Box<[Mark]>,
    },
    /// What a path unit waits for is so.
    PathFired {
        /// The path unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// What was found.
        what: std::sync::Arc<str>,
        /// Now, in microseconds since 1970.
        realtime_us: u64,
    },
    /// A path unit can't be watched.
    PathFailed {
        /// The path unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// A whole sentence.
        why: String,
    },
    /// A path unit's file is another: what is up is watched anew.
    WatchPath(UnitId),
    /// An automount unit's file system is at its place.
    AutomountSet {
        /// The automount unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// The number of its device.
        device: u32,
    },
    /// It is gone.
    AutomountUnset {
        /// The automount unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// It can't be put there or taken out, or somebody else took it out.
    AutomountFailed {
        /// The automount unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// A whole sentence.
        why: String,
    },
    /// Who waited by these numbers was let go of, or there was nobody.
    AutomountAnswered {
        /// The automount unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// The numbers.
        waits: Box<[u32]>,
    },
    /// The kernel waits for an automount unit, until `Action::AnswerAutomount` names the number.
    AutomountVisited {
        /// The automount unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// The number of the wait.
        token: u32,
        /// For what.
        visit: Visit,
    },
    /// Time passed; due when the time of the last `Action::WakeAt` came.
    Tick,
    /// After a restore: this process is alive.
    Alive {
        /// Which process.
        process: ProcessKey,
    },
    /// After a restore: the inventory is complete. What was not `Alive` or `Exited` is lost, what was never sent is sent again.
    InventoryComplete,
}

/// What the kernel waits for at an automount unit's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visit {
    /// Somebody waits until it is mounted.
    Enters {
        /// Who, in the adapter's words.
        who: std::sync::Arc<str>,
    },
    /// Nobody is there, and it waits until it is not mounted.
    Expires,
}

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JobKind {
    /// Bring it up.
    Start,
    /// Fail unless it is up; only pulled in by Requisite=.
    VerifyActive,
    /// Bring it down.
    Stop,
    /// Make it read its configuration again; it must be up.
    Reload,
    /// Stop, then start.
    Restart,
    /// Restart if it is up, else nothing.
    TryRestart,
    /// Reload if it is up, else nothing.
    TryReload,
    /// Reload if it is up, else start.
    ReloadOrStart,
    /// Start the next run beside the one that is up, which then drains; where that may not be, a restart.
    Replace,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ExitStatus {
    /// exit(2) with this status.
    Exited(u8),
    /// Killed by a signal.
    Killed(Signal),
    /// Killed by a signal, with a core dump.
    Dumped(Signal),
    /// Nobody knows: it was not our child, or the keeper died. Counts as clean, as in the reference.
    Unknown,
}

/// What came of Condition…= and Assert…=
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// All hold.
    Met,
    /// A condition does not hold: the job ends as done, the unit stays down.
    Unmet,
    /// An assertion does not hold: the job fails.
    AssertFailed,
}

/// A service's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notice {
    /// READY=1
    pub ready: bool,
    /// RELOADING=1
    pub reloading: bool,
    /// STOPPING=1
    pub stopping: bool,
    /// MAINPID= of a process of this unit that is not its main process now (the manager checks both).
    pub main_pid: Option<u32>,
    /// EXTEND_TIMEOUT_USEC=
    pub extend_timeout: Option<u64>,
    /// RESTART_RESET=1: restarts count from here.
    pub restart_reset: bool,
    /// WATCHDOG=1
    pub alive: bool,
    /// WATCHDOG=trigger
    pub watchdog_trigger: bool,
    /// WATCHDOG_USEC=
    pub watchdog: Option<u64>,
    /// MONOTONIC_USEC=, which Type=notify-reload compares with the moment of the signal.
    pub monotonic: Option<u64>,
}

impl Notice {
    /// It says nothing that is to be remembered.
    pub(crate) fn says_only_alive(&self) -> bool {
        let rest = Notice {
            alive: false,
            monotonic: None,
            ..*self
        };
        rest == Notice::default()
    }
}
