//! What the engine knows of a unit: types, timeouts, restart policy, relations; nothing of what a process sees.

pub use crate::job_mode::JobMode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Micros, Signal};
use crate::path::PathConfig;
use crate::service::health::HealthConfig;
pub use crate::service::table::Table;
pub use crate::slice::Concurrency;
use crate::timer::TimerConfig;

/// One unit, as far as states and jobs are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitConfig {
    /// The unit's full name.
    pub name: Arc<str>,
    /// What came of loading it.
    pub load: Load,
    /// What it is.
    pub kind: Kind,
    /// The slice that it is in.
    pub slice: Option<Arc<str>>,
    /// Of a slice: how many of its units may be up or on their way.
    pub concurrency: Option<Box<Concurrency>>,
    /// Its relations to other units as written, sorted, defaults included.
    pub relations: Box<[(Relation, Arc<str>)]>,
    /// It has Condition…= or Assert…= lines, or a place that is to be looked at, so a start asks with `Action::TestConditions` first.
    pub conditions: bool,
    /// RefuseManualStart=
    pub refuse_manual_start: bool,
    /// RefuseManualStop=
    pub refuse_manual_stop: bool,
    /// AllowIsolate=
    pub allow_isolate: bool,
    /// IgnoreOnIsolate=
    pub ignore_on_isolate: bool,
    /// StopWhenUnneeded=
    pub stop_when_unneeded: bool,
    /// JobTimeoutSec=, from the moment the job is queued.
    pub job_timeout: Micros,
    /// JobRunningTimeoutSec=, from the moment the job runs.
    pub job_running_timeout: Micros,
    /// TimeoutCleanSec=
    pub timeout_clean: Micros,
    /// StartLimitIntervalSec= and StartLimitBurst=
    pub start_limit: RateLimit,
    /// The occasions on which it has something done to the whole.
    pub acts: Acts,
    /// OnFailureJobMode=, or OnFailureIsolate=
    pub on_failure_mode: JobMode,
    /// OnSuccessJobMode=
    pub on_success_mode: JobMode,
}

/// On which occasions a unit has something done to the machine, or to the instance; what, the engine need not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acts {
    /// FailureAction=
    pub failed: bool,
    /// SuccessAction=
    pub succeeded: bool,
    /// StartLimitAction=
    pub start_limit: bool,
    /// JobTimeoutAction=
    pub job_timeout: bool,
}

/// What came of loading a unit's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Read and understood.
    Loaded,
    /// There is no such file.
    NotFound,
    /// Masked.
    Masked,
    /// A value that must not be wrong is wrong.
    BadSetting,
    /// It could not be read.
    Error,
}

/// What a unit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A point of synchronisation; slices are treated alike.
    Target,
    /// Processes.
    Service(Arc<ServiceConfig>),
    /// Listening sockets.
    Socket(Arc<SocketConfig>),
    /// Moments.
    Timer(Arc<TimerConfig>),
    /// Places in the file system.
    Path(Arc<PathConfig>),
    /// Visitors of a place in the file system.
    Automount(Arc<crate::automount::AutomountConfig>),
    /// A device, which comes and goes by itself.
    Device,
    /// A kind, or a Type=, that this version does not run; starting it is refused with this sentence.
    Unsupported(&'static str),
}

/// How a unit relates to another; the inverses are derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Relation {
    /// Requires=
    Requires,
    /// Requisite=
    Requisite,
    /// Wants=
    Wants,
    /// BindsTo=
    BindsTo,
    /// PartOf=
    PartOf,
    /// Upholds=
    Upholds,
    /// Conflicts=
    Conflicts,
    /// Before=
    Before,
    /// After=
    After,
    /// OnFailure=
    OnFailure,
    /// OnSuccess=
    OnSuccess,
    /// PropagatesReloadTo=
    PropagatesReloadTo,
    /// PropagatesStopTo=
    PropagatesStopTo,
    /// ReloadPropagatedFrom=
    ReloadPropagatedFrom,
    /// StopPropagatedFrom=
    StopPropagatedFrom,
    /// A target comes after what it pulls in, unless that says otherwise; implied.
    TargetAfter,
    /// The unit that a socket, a timer or a path unit starts; implied.
    Triggers,
    /// Sockets=
    Sockets,
    /// JoinsNamespaceOf=
    JoinsNamespaceOf,
}

/// At most `burst` events per `interval`; an interval of 0 or infinity-less burst 0 switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The span looked back over.
    pub interval: Micros,
    /// How many are allowed in it.
    pub burst: u32,
}

/// A service's processes and policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Type=
    pub service_type: ServiceType,
    /// PIDFile= is set.
    pub pid_file: bool,
    /// ExitType=cgroup: it is up for as long as it has any process.
    pub exits_as_group: bool,
    /// A scope: its processes are there before it, and are taken over.
    pub takes_over: bool,
    /// A mount or a swap: it is up for as long as the kernel's table has it.
    pub table: Option<Table>,
    /// RemainAfterExit=
    pub remain_after_exit: bool,
    /// ExecCondition=
    pub condition: CommandList,
    /// ExecStartPre=
    pub start_pre: CommandList,
    /// ExecStart=
    pub start: CommandList,
    /// ExecStartPost=
    pub start_post: CommandList,
    /// ExecReload=
    pub reload: CommandList,
    /// ExecReloadPost=
    pub reload_post: CommandList,
    /// ExecStop=
    pub stop: CommandList,
    /// ExecStopPost=
    pub stop_post: CommandList,
    /// Restart=
    pub restart: Restart,
    /// RestartMode=direct: dependents do not see the unit fail between.
    pub restart_direct: bool,
    /// RestartSec=
    pub restart_delay: Micros,
    /// RestartSteps=
    pub restart_steps: u32,
    /// RestartMaxDelaySec=
    pub restart_max_delay: Micros,
    /// RestartRandomizedDelaySec=
    pub restart_jitter: Micros,
    /// RestartPreventExitStatus=
    pub restart_prevent: StatusSet,
    /// RestartForceExitStatus=
    pub restart_force: StatusSet,
    /// OOMPolicy=
    pub oom: OomPolicy,
    /// SuccessExitStatus=
    pub success: StatusSet,
    /// TimeoutStartSec=
    pub timeout_start: Micros,
    /// TimeoutStopSec=
    pub timeout_stop: Micros,
    /// TimeoutAbortSec=; TimeoutStopSec= where unset.
    pub timeout_abort: Micros,
    /// RuntimeMaxSec=
    pub runtime_max: Micros,
    /// RuntimeRandomizedExtraSec=
    pub runtime_jitter: Micros,
    /// WatchdogSec=
    pub watchdog: Micros,
    /// HealthCommand=
    pub health_commands: CommandList,
    /// How it is asked whether it works; nothing where it has no probes.
    pub health: Option<Box<HealthConfig>>,
    /// TimeoutStartFailureMode=
    pub start_failure: TimeoutFailure,
    /// TimeoutStopFailureMode=
    pub stop_failure: TimeoutFailure,
    /// ReloadSignal=, for Type=notify-reload.
    pub reload_signal: Signal,
    /// How it is stopped.
    pub kill: KillConfig,
    /// Two runs of it may be up at once (ReplaceMode=).
    pub overlaps: bool,
    /// DrainTimeoutSec=
    pub drain: Micros,
}

/// The commands of one Exec…= list, as far as states are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandList(pub Box<[Command]>);

/// One command of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Command {
    /// The prefix `-`: a failure of it counts as success.
    pub ignore_failure: bool,
}

/// Type=
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceType {
    /// Started when the process exists; also Type=idle.
    Simple,
    /// Started when the program was executed.
    Exec,
    /// Started when it exited.
    Oneshot,
    /// Started when it exited, and what it left behind goes on.
    Forking,
    /// Started when its BusName= is taken.
    Dbus,
    /// Started when it says READY=1.
    Notify,
    /// As notify, and a reload is a signal that it answers.
    NotifyReload,
}

/// Restart=
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    No,
    /// After a clean end.
    OnSuccess,
    /// After an unclean exit status, signal, core dump, timeout or watchdog.
    OnFailure,
    /// As on-failure, but not for exit statuses.
    OnAbnormal,
    /// After a missed watchdog.
    OnWatchdog,
    /// After an uncaught signal or a core dump.
    OnAbort,
    /// Whatever happened.
    Always,
}

/// What is sent when a timeout passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeoutFailure {
    /// The usual way of stopping.
    #[default]
    Terminate,
    /// WatchdogSignal= first.
    Abort,
    /// FinalKillSignal= at once.
    Kill,
}

/// The statuses named in a …ExitStatus= list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusSet {
    /// Exit statuses.
    pub statuses: Box<[u8]>,
    /// Signals.
    pub signals: Box<[Signal]>,
}

/// KillMode= and the signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KillConfig {
    /// KillMode=
    pub mode: KillMode,
    /// KillSignal=
    pub signal: Signal,
    /// RestartKillSignal=; KillSignal= where unset.
    pub restart_signal: Signal,
    /// FinalKillSignal=
    pub final_signal: Signal,
    /// WatchdogSignal=
    pub watchdog_signal: Signal,
    /// SendSIGKILL=
    pub send_sigkill: bool,
    /// SendSIGHUP=
    pub send_sighup: bool,
}

/// KillMode=
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillMode {
    /// All processes of the control group.
    ControlGroup,
    /// The first signal to the main process, the last to all.
    Mixed,
    /// Only the main and the control process.
    Process,
    /// Nobody.
    None,
}

/// A socket unit's service and policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketConfig {
    /// The service that traffic starts; with Accept=yes the template of those that connections start.
    pub service: Arc<str>,
    /// Accept=yes
    pub accept: Option<AcceptConfig>,
    /// FlushPending=
    pub flush_pending: bool,
    /// DeferTrigger=
    pub defer: DeferTrigger,
    /// DeferTriggerMaxSec=
    pub defer_max: Micros,
    /// TriggerLimitIntervalSec= and TriggerLimitBurst=
    pub trigger_limit: RateLimit,
    /// PollLimitIntervalSec= and PollLimitBurst=
    pub poll_limit: RateLimit,
    /// ExecStartPre=
    pub start_pre: CommandList,
    /// ExecStartPost=
    pub start_post: CommandList,
    /// ExecStopPre=
    pub stop_pre: CommandList,
    /// ExecStopPost=
    pub stop_post: CommandList,
    /// TimeoutSec=
    pub timeout: Micros,
    /// How its commands are stopped.
    pub kill: KillConfig,
}

/// Whether traffic waits for units that its service would stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeferTrigger {
    /// It does not: they are stopped.
    #[default]
    No,
    /// Until the jobs that are queued are done.
    Yes,
    /// Until they are gone.
    Patient,
}

/// What follows when the kernel killed a process of it for lack of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OomPolicy {
    /// Nothing.
    Continue,
    /// It is stopped.
    #[default]
    Stop,
    /// What is left of it is killed, as the kernel does by itself.
    Kill,
}

/// How many connections are served at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptConfig {
    /// MaxConnections=
    pub max_connections: u32,
    /// MaxConnectionsPerSource=; 0: as many as MaxConnections= allows.
    pub max_per_source: u32,
}

impl UnitConfig {
    /// A target without relations: the start of every literal configuration.
    pub fn target(name: &str) -> UnitConfig {
        UnitConfig {
            name: name.into(),
            load: Load::Loaded,
            kind: Kind::Target,
            slice: None,
            concurrency: None,
            relations: Box::default(),
            conditions: false,
            refuse_manual_start: false,
            refuse_manual_stop: false,
            allow_isolate: false,
            ignore_on_isolate: false,
            stop_when_unneeded: false,
            job_timeout: Micros::INFINITY,
            job_running_timeout: Micros::INFINITY,
            timeout_clean: Micros::INFINITY,
            start_limit: RateLimit {
                interval: Micros::seconds(10),
                burst: 5,
            },
            acts: Acts::default(),
            on_failure_mode: JobMode::Replace,
            on_success_mode: JobMode::Fail,
        }
    }

    /// What stands for a unit that could not be loaded.
    pub fn unloaded(name: &str, load: Load) -> UnitConfig {
        UnitConfig {
            load,
            ..UnitConfig::target(name)
        }
    }

    /// A service with one start command and the defaults.
    pub fn service(name: &str, service_type: ServiceType) -> UnitConfig {
        let kind = Kind::Service(Arc::new(ServiceConfig::new(service_type)));
        UnitConfig {
            kind,
            ..UnitConfig::target(name)
        }
    }

    /// A socket that starts `service`.
    pub fn socket(name: &str, service: &str) -> UnitConfig {
        let relations = Box::new([
            (Relation::Before, service.into()),
            (Relation::Triggers, service.into()),
        ]);
        let kind = Kind::Socket(Arc::new(SocketConfig::new(service)));
        UnitConfig {
            kind,
            relations,
            ..UnitConfig::target(name)
        }
    }
}

impl UnitConfig {
    /// A timer that starts `unit`.
    pub fn timer(name: &str, unit: &str) -> UnitConfig {
        let relations = Box::new([
            (Relation::Before, unit.into()),
            (Relation::Triggers, unit.into()),
        ]);
        let kind = Kind::Timer(Arc::new(TimerConfig::new(unit)));
        UnitConfig {
            kind,
            relations,
            ..UnitConfig::target(name)
        }
    }
}

impl ServiceConfig {
    /// One start command and the defaults.
    pub fn new(service_type: ServiceType) -> ServiceConfig {
        let oneshot = service_type == ServiceType::Oneshot;
        let timeout = Micros::seconds(90);
        ServiceConfig {
            service_type,
            pid_file: false,
            exits_as_group: false,
            takes_over: false,
            table: None,
            remain_after_exit: false,
            condition: CommandList::default(),
            start_pre: CommandList::default(),
            start: CommandList::of(1),
            start_post: CommandList::default(),
            reload: CommandList::default(),
            reload_post: CommandList::default(),
            stop: CommandList::default(),
            stop_post: CommandList::default(),
            restart: Restart::No,
            restart_direct: false,
            restart_delay: Micros(100_000),
            restart_steps: 0,
            oom: OomPolicy::Stop,
            restart_max_delay: Micros::INFINITY,
            restart_jitter: Micros(0),
            restart_prevent: StatusSet::default(),
            restart_force: StatusSet::default(),
            success: StatusSet::default(),
            timeout_start: if oneshot { Micros::INFINITY } else { timeout },
            timeout_stop: timeout,
            timeout_abort: timeout,
            runtime_max: Micros::INFINITY,
            runtime_jitter: Micros(0),
            watchdog: Micros::INFINITY,
            health_commands: CommandList::default(),
            health: None,
            start_failure: TimeoutFailure::Terminate,
            stop_failure: TimeoutFailure::Terminate,
            reload_signal: Signal::HUP,
            kill: KillConfig::default(),
            overlaps: false,
            drain: Micros::seconds(30),
        }
    }
}

impl SocketConfig {
    /// A socket of `service` with the defaults.
    pub fn new(service: &str) -> SocketConfig {
        SocketConfig {
            service: service.into(),
            accept: None,
            flush_pending: false,
            defer: DeferTrigger::No,
            defer_max: Micros::INFINITY,
            trigger_limit: RateLimit {
                interval: Micros::seconds(2),
                burst: 20,
            },
            poll_limit: RateLimit {
                interval: Micros::seconds(2),
                burst: 15,
            },
            start_pre: CommandList::default(),
            start_post: CommandList::default(),
            stop_pre: CommandList::default(),
            stop_post: CommandList::default(),
            timeout: Micros::seconds(90),
            kill: KillConfig::default(),
        }
    }
}

impl Default for KillConfig {
    fn default() -> KillConfig {
        KillConfig {
            mode: KillMode::ControlGroup,
            signal: Signal::TERM,
            restart_signal: Signal::TERM,
            final_signal: Signal::KILL,
            watchdog_signal: Signal::ABRT,
            send_sigkill: true,
            send_sighup: false,
        }
    }
}

impl CommandList {
    /// `count` commands without prefixes.
    pub fn of(count: usize) -> CommandList {
        CommandList(vec![Command::default(); count].into())
    }

    /// The command at `index`.
    pub fn get(&self, index: u16) -> Option<Command> {
        self.0.get(usize::from(index)).copied()
    }
}

impl RateLimit {
    /// Whether it limits anything.
    pub fn is_on(self) -> bool {
        self.interval.0 > 0 && self.burst > 0
    }
}
