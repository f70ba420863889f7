//! What the engine wants done.

use serde::{Deserialize, Serialize};

use crate::cause::Chain;
use crate::id::{Incarnation, JobId, Micros, ProcessKey, Signal, UnitId};
use crate::input::{ExitStatus, JobKind};
use crate::path::Watch;
use crate::state::UnitResult;
use crate::timer::Elapse;

/// One thing to do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// What to do.
    pub action: Action,
    /// Why.
    pub cause: Chain,
}

/// What one step wants done, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "an effect that is not carried out leaves the engine waiting"]
pub struct Effects(pub(crate) Vec<Effect>);

impl Effects {
    /// The effects in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Effect> {
        self.0.iter()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Effects {
    type Item = Effect;
    type IntoIter = std::vec::IntoIter<Effect>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a process. Sent again with the same key after a restore, so it must be idempotent.
    Spawn(Spawn),
    /// Send a signal. To what is already gone: nothing happens.
    Signal {
        /// The unit.
        unit: UnitId,
        /// The run.
        incarnation: Incarnation,
        /// Who gets it.
        target: Target,
        /// Which.
        signal: Signal,
    },
    /// Watch this process as the service's main process: the MAINPID= that it sent, or what was found.
    Track {
        /// The key under which its end is reported.
        process: ProcessKey,
        /// The pid from the message.
        pid: u32,
    },
    /// Answer with `MainFound`: at once, or, where it waits, when the PID file names a process of the run.
    FindMain {
        /// The unit.
        unit: UnitId,
        /// The run.
        incarnation: Incarnation,
        /// The PID file must come.
        waits: bool,
    },
    /// Ask the service by a connection: its HealthHTTP=, or its HealthTCP=, and answer with `Probed`.
    Probe {
        /// The probe's key.
        process: ProcessKey,
        /// Which of those that are set.
        index: u16,
    },
    /// No answer to the probe of this unit is waited for any more.
    EndProbe {
        /// The unit.
        unit: UnitId,
        /// It has taken too long.
        late: bool,
    },
    /// Answer with `CgroupEmpty`, at once if no process is left, else when the last one went.
    WatchEmpty {
        /// The unit.
        unit: UnitId,
        /// The run.
        incarnation: Incarnation,
    },
    /// Take the processes over that the scope is made of; answered by `Input::TakenOver`.
    TakeOver {
        /// The scope.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// Answer with `Conditions`.
    TestConditions(UnitId),
    /// Answer with `SocketsOpen` or `SocketsFailed`.
    OpenSockets {
        /// The socket unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// Close them; they may be closed already.
    CloseSockets {
        /// The socket unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// Report the next traffic, once.
    WatchSockets {
        /// The socket unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// Report no traffic.
    UnwatchSockets(UnitId),
    /// A connection that was accepted is to be served: load its unit, and answer with `ConnectionReady` or `ConnectionLost`.
    TakeConnection {
        /// The socket unit.
        unit: UnitId,
        /// Its number.
        number: u32,
    },
    /// A connection that was accepted is to be closed.
    RefuseConnection {
        /// The socket unit.
        unit: UnitId,
        /// Its number.
        number: u32,
    },
    /// The unit needs its connection no more.
    ReleaseConnection(UnitId),
    /// FlushPending=: throw away what waits at the sockets.
    FlushSockets(UnitId),
    /// Answer with `TimerReckoned`.
    ReckonTimer {
        /// The timer unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// Answer with `TimerElapsed` when the moment comes; replaces the former one. Sent again after a restore.
    WatchTimer {
        /// The timer unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// When.
        at: Elapse,
    },
    /// Report no moment.
    UnwatchTimer(UnitId),
    /// The timer elapsed: where Persistent= is set, keep that for the next boot.
    StampTimer(UnitId),
    /// Answer with `PathWatched` when all is watched, and with `PathFired` once what is waited for is so, or with `PathFailed`. Replaces the
    /// former wish. Sent again after a restore.
    WatchPath {
        /// The path unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// What counts.
        watch: Watch,
    },
    /// Watch nothing.
    UnwatchPath(UnitId),
    /// Have the file system of an automount unit at its place, and report its visits; answer with `AutomountSet` or `AutomountFailed`. Sent
    /// again after a restore.
    SetAutomount {
        /// The automount unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// The device of that which is there already.
        device: Option<u32>,
    },
    /// Turn away who waits, and take the file system out, and what lies on it; answer with `AutomountUnset` or `AutomountFailed`. Sent again
    /// after a restore.
    UnsetAutomount {
        /// The automount unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// Its device, where it is known.
        device: Option<u32>,
        /// The numbers of those who wait.
        waits: Box<[u32]>,
    },
    /// Let those go who wait at an automount unit's place, and answer with `AutomountAnswered`. Sent again after a restore.
    AnswerAutomount {
        /// The automount unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// Its device.
        device: Option<u32>,
        /// Their numbers.
        waits: Box<[u32]>,
        /// What they wait for has come.
        well: bool,
    },
    /// Report `Visit::Expires` where nobody has been at its place for its time.
    ExpireAutomount {
        /// The automount unit.
        unit: UnitId,
        /// Its run.
        incarnation: Incarnation,
        /// Its device.
        device: Option<u32>,
    },
    /// Remove what the unit left, and answer with `Cleaned`. Sent again after a restore.
    Clean {
        /// The unit.
        unit: UnitId,
        /// What, as the bits of `model::Resources`.
        what: u8,
    },
    /// End the process that removes; `Cleaned` follows.
    EndCleaning(UnitId),
    /// Send `Tick` then; replaces the former time. `None`: no need.
    WakeAt(Option<Micros>),
    /// A client's job is queued (or merged into this one).
    JobQueued {
        /// The client's number.
        request: u64,
        /// The job. `None`: there was nothing to do.
        job: Option<JobId>,
    },
    /// A client's job is impossible.
    Refused {
        /// The client's number.
        request: u64,
        /// A whole sentence.
        why: Refusal,
    },
    /// A job ended.
    JobDone {
        /// Which.
        job: JobId,
        /// Its unit.
        unit: UnitId,
        /// What it was.
        kind: JobKind,
        /// How it ended.
        result: JobResult,
    },
    /// The unit's state differs from before the step: record and publish it.
    StateChanged(UnitId),
    /// This run, and every earlier one but that which is kept, is over: its cgroup may go, and with the last of a unit's runs its runtime
    /// directories and dynamic user.
    Release {
        /// The unit.
        unit: UnitId,
        /// The run.
        incarnation: Incarnation,
        /// An earlier run that goes on.
        kept: Option<Incarnation>,
    },
    /// The unit is forgotten; its id is free.
    Removed(UnitId),
    /// The unit says that something is done to the whole on this occasion.
    Act {
        /// The unit.
        unit: UnitId,
        /// Which.
        occasion: Occasion,
    },
    /// Something an administrator should read.
    Log {
        /// The unit it is about.
        unit: UnitId,
        /// A whole sentence.
        text: String,
    },
}

/// When a unit has something done to the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// FailureAction=
    Failed,
    /// SuccessAction=
    Succeeded,
    /// StartLimitAction=
    StartLimit,
    /// JobTimeoutAction=
    JobTimeout,
}

/// A process to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spawn {
    /// Its key.
    pub process: ProcessKey,
    /// Which Exec…= list.
    pub role: Role,
    /// Which command of the list, from 0.
    pub index: u16,
    /// $SERVICE_RESULT for Stop and StopPost.
    pub result: Option<UnitResult>,
    /// $EXIT_CODE and $EXIT_STATUS for Stop and StopPost: how the main process ended, if it did.
    pub main_status: Option<ExitStatus>,
}

/// What a process is there for; a socket has no Condition, Main and Reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// ExecCondition=
    Condition,
    /// ExecStartPre=
    StartPre,
    /// ExecStart=
    Main,
    /// ExecStartPost=
    StartPost,
    /// ExecReload=
    Reload,
    /// ExecReloadPost=
    ReloadPost,
    /// HealthCommand=
    Health,
    /// ExecStop=; a socket's ExecStopPre=
    Stop,
    /// ExecStopPost=
    StopPost,
}

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The process with this serial.
    Process(u32),
    /// The main process.
    Main,
    /// The control process.
    Control,
    /// Every process of the incarnation's cgroup.
    All,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobResult {
    /// As asked.
    Done,
    /// Replaced, or given up by a client.
    Canceled,
    /// JobTimeoutSec= passed.
    Timeout,
    /// It did not work.
    Failed,
    /// A unit that it needs did not come up.
    Dependency,
    /// Not applicable to the unit's state.
    Skipped,
    /// A reload of what is not up.
    Invalid,
    /// An assertion does not hold.
    Assert,
    /// Not supported here.
    Unsupported,
    /// The unit was forgotten meanwhile.
    Collected,
    /// The unit may be started only once.
    Once,
    /// As many units as its slice allows are up.
    Concurrency,
}

/// Why a job could not be queued. The sentences name the objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The unit has no file.
    #[error("There is no unit file for {0}.")]
    NotFound(String),
    /// The unit is masked.
    #[error("{0} is masked; unmask it first.")]
    Masked(String),
    /// Its file is wrong.
    #[error("The unit file of {0} has a wrong setting; `coracle verify {0}` shows it.")]
    BadSetting(String),
    /// Its file could not be read.
    #[error("The unit file of {0} could not be read.")]
    LoadError(String),
    /// This version does not run it.
    #[error("{0}: {1}")]
    Unsupported(String, &'static str),
    /// RefuseManualStart=, RefuseManualStop=
    #[error("{0} starts and stops only together with other units.")]
    Manual(String),
    /// AllowIsolate=
    #[error("{0} is not made to be isolated (AllowIsolate=).")]
    NoIsolate(String),
    /// Only a start can isolate.
    #[error("Only a start can isolate.")]
    IsolateNotStart,
    /// Only a start restarts what needs the unit.
    #[error("Only a start can be in the mode restart-dependencies.")]
    OfStartsAlone,
    /// Only a stop stops what triggers the unit.
    #[error("Only a stop can be in the mode triggering.")]
    OfStopsAlone,
    /// It cannot be reloaded.
    #[error("{0} has no way to reload (ExecReload=).")]
    NotReloadable(String),
    /// Ordering cycle that cannot be broken.
    #[error("The jobs wait for each other: {0}.")]
    Cycle(String),
    /// Start and stop of one unit, both needed.
    #[error("{0} would have to {1} and to {2} at once: two relations contradict each other.")]
    Conflict(String, &'static str, &'static str),
    /// Mode fail met a queued job.
    #[error("{0}/{1} needs {2}/{4}, but {2}/{3} is queued.")]
    Destructive(String, &'static str, String, &'static str, &'static str),
    /// A job of mode replace-irreversibly is in the way.
    #[error(
        "{0}/{1} needs {2}/{4}, but {2}/{3} is queued and may not be replaced: it ends, or is cancelled, first."
    )]
    Irreversible(String, &'static str, String, &'static str, &'static str),
    /// Mode lenient met a unit that would have to stop.
    #[error(
        "{0} can't start as long as {1} is up or on its way: one of them would have to stop for the other."
    )]
    InTheWay(String, String),
    /// More jobs than the engine takes.
    #[error("More than {0} jobs would be queued.")]
    TooMany(usize),
    /// There is no such unit in the engine.
    #[error("There is no such unit.")]
    NoUnit,
}
