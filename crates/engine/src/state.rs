//! The states of units, and what must hold between them.
//!
//! # The states of a service
//!
//! A unit is *dead* or *failed* when nothing of it is left; `Failed` keeps what went wrong and where. Everything else is a *run*,
//! which has a number, its processes, the first thing that went wrong, and one of these phases:
//!
//! | phase | it waits for | then | if it goes wrong |
//! |---|---|---|---|
//! | condition | each ExecCondition= | start-pre | stop-sigterm (1 to 254: dead, not failed) |
//! | start-pre | each ExecStartPre= | start | stop-sigterm |
//! | start | simple: the process; exec: its program; oneshot: the end of each; forking: its end, then the PID file; notify: READY=1; with probes: the first round of them that succeeds | start-post | stop-sigterm |
//! | start-post | each ExecStartPost=, then the PID file | running, exited, or stop | stop-sigterm |
//! | running | the end of the main process, or of all where there is none or ExitType=cgroup says so, STOPPING=1, RuntimeMaxSec=, WatchdogSec=, its probes | stop | stop-sigterm, stop-watchdog, stop-sigkill |
//! | exited | a stop (RemainAfterExit=) | stop | |
//! | reload, reload-signal, reload-notify, reload-post | ExecReload=; RELOADING=1; READY=1; ExecReloadPost= | running | running, the job fails |
//! | stop | each ExecStop= | stop-sigterm | stop-sigterm |
//! | stop-watchdog, stop-sigterm, stop-sigkill | the processes that got the signal | stop-post | the next signal, then stop-post |
//! | stop-post | each ExecStopPost= | final-sigterm | final-sigterm |
//! | final-watchdog, final-sigterm, final-sigkill | the processes that got the signal | down | the next signal, then down |
//!
//! What a dead unit left may be removed: it is *cleaning* until the process that removes is gone, and a start waits for that.
//!
//! Down is *dead*, *failed*, or *auto-restart*, which waits for RestartSec= and then, as *auto-restart-queued*, for its own job.
//! A scope is a service without commands: start (its processes are taken over), running (as long as there are any), and the signals of stopping.
//!
//! From the moment on at which its Type= says that it is up, a service that has probes is asked, round after round, until it is to end. A probe that is a
//! process is neither the main nor the control process: no phase waits for its end, and it dies with the phases in which it is asked.
//!
//! A round of signals that nobody gets is passed through at once. Each waiting phase has a deadline, unless a timeout is infinite.
//!
//! A service that may be up twice is *replaced*: its next run starts beside the one that is up, and the unit is *reloading* meanwhile. Once the
//! next run is up the former one drains: it gets RestartKillSignal=, has its drain time to finish what it is at, then gets FinalKillSignal=, and is
//! released by itself. Where the next run fails, it is released and the former one is the unit's again, as if nothing had been. At most
//! two runs of a unit live at any time: the third waits until the first has drained. A stop ends both.
//!
//! A mount or a swap is a service whose commands change a table of the kernel's (mounting, remounting, unmounting): *exited* means that the table has
//! it (mounted, or active), whoever put it there, and a stop that leaves it there has failed. It goes up and down by itself when others mount and unmount.
//!
//! # The states of a socket
//!
//! start-pre, start-open (the manager opens), start-post, listening (watched), running (its service has it), stop-pre,
//! stop-pre-sigterm, stop-pre-sigkill, stop-post, final-sigterm, final-sigkill. A target is dead or active.
//! With Accept=yes it stays listening: each connection has a unit of its own, whose connection it is until that is idle. A deadline while
//! listening is the end of the poll limit's interval.
//!
//! # The states of a timer
//!
//! waiting (the manager watches for the moment), running (its unit was started and has not ended), elapsed (no moment is left).
//! A timer that waits has a moment, or the manager was asked for one and has not answered.
//!
//! # The states of a path unit
//!
//! start (not all is watched yet), waiting (the manager watches), running (its unit was started and has not ended).
//!
//! # The states of an automount unit
//!
//! waiting (its file system is there, or about to be), running (somebody came: its mount is there or on its way; or it is about to be gone). Who waits
//! at its place waits for a job of the mount, and is answered when that is over. A deadline while it runs is the next look for idleness.
//!
//! # Who decides first
//!
//! 1. An event of another run than the current one and the one beside it changes nothing; a process that comes into being after its run was over is killed.
//! 2. A stop that was asked for ends Restart=: such a run never restarts by itself.
//! 3. The first failure of a run is its result; what fails later while it is cleaned up does not change it.
//! 4. RestartPreventExitStatus= before RestartForceExitStatus= before Restart=.
//! 5. The start limit before conditions, conditions before BindsTo=, all before the first process.
//! 6. Of two contradicting jobs for a unit the one that the wish depends on stays; of two that do not matter the start stays, unless
//!    Conflicts= of another unit asked for the stop. Stops go before starts, in the reverse order.
//! 7. What units do to each other by themselves (Upholds=, BindsTo=, OnFailure= …) is limited in rate per unit.
//!
//! # Invariants (the simulator checks them after each step)
//!
//! - A run never has two main processes at once, nor two probes.
//! - A run beside the current one is either up and replaced if the current one comes up, or drains and has a deadline; it is the older
//!   one, and a service that may not be up twice gets no new run beside it.
//! - A service is asked, or has a moment at which it is, exactly in the phases in which it is to be; it is up only after a probe succeeded, where it is to wait for that.
//! - An effect is about a run that exists and was not released; only the SIGKILL for a latecomer is about an old one.
//! - A released run has no process, unless KillMode= or SendSIGKILL= let it keep some.
//! - No unit leaves down while a start before it in the order is queued or under way.
//! - A job is in the list exactly as long as it is on its unit, and ends once.
//! - Where something is waited for there is a deadline, unless the timeout is infinite; auto-restart-queued has its job.
//! - No more starts than the start limit admits.
//! - A unit has the instance ended on the occasions that it names, each time, and on no other.
//! - Whoever waits at an automount is answered, at the latest when it goes down.
//! - An event of nobody changes no state. Every spawn, signal, release and end of a job has a cause.
//! - An engine restored from snapshots takes the next step exactly as the original.
//! - When the world is calm, no job waits and no unit is on its way.

use serde::{Deserialize, Serialize};

use crate::config::Table;
use crate::effect::Role;
use crate::id::Micros;
use crate::input::ExitStatus;
use crate::path::PathRun;
pub use crate::result::UnitResult;
use crate::service::health::HealthRun;
pub use crate::sub_state::SubState;
use crate::timer::TimerRun;

/// Where a unit is. Everything that is only true in one state lives inside that state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum State {
    /// Down, and nothing of it is left.
    #[default]
    Dead,
    /// Down, and not as it should be.
    Failed {
        /// What went wrong.
        result: UnitResult,
        /// Where it was when it went wrong.
        was: SubState,
    },
    /// A target that is reached.
    Reached {
        /// Since when.
        since: Micros,
    },
    /// A device that is there.
    Plugged {
        /// Since when.
        since: Micros,
    },
    /// A service that has, or may have, processes; or is up without any.
    Service(Box<ServiceRun>),
    /// A service that waits for its automatic restart.
    AutoRestart {
        /// How the last run ended.
        result: UnitResult,
        /// When it is queued; nothing once it is.
        until: Option<Micros>,
    },
    /// A socket unit that is not down.
    Socket(Box<SocketRun>),
    /// A timer unit that is not down.
    Timer(Box<TimerRun>),
    /// A path unit that is not down.
    Path(Box<PathRun>),
    /// An automount unit that is not down.
    Automount(Box<crate::automount::AutomountRun>),
    /// Down, while what it left is being removed.
    Cleaning(crate::cleaning::Cleaning),
}

/// A run of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRun {
    /// A mount's or a swap's.
    #[serde(default)]
    pub table: Option<Table>,
    /// Others made that, or it could not be taken out: who ends the instance leaves it there.
    #[serde(default)]
    pub is_left: bool,
    /// How often that was to be taken out in vain.
    #[serde(default)]
    pub tries: u8,
    /// What it is doing.
    pub phase: Phase,
    /// Since when.
    pub since: Micros,
    /// The main process.
    pub main: Main,
    /// The command of another Exec…= list that runs now.
    pub control: Option<Process>,
    /// Serials of former main or control processes whose end was not reported yet.
    pub strays: Vec<u32>,
    /// The serial of the last process.
    pub last_serial: u32,
    /// The first thing that went wrong.
    pub result: UnitResult,
    /// When the phase has lasted too long.
    pub deadline: Option<Micros>,
    /// When `RuntimeMaxSec=` is over.
    pub runtime_end: Option<Micros>,
    /// When it has been silent for too long (WatchdogSec=).
    #[serde(default)]
    pub watchdog_end: Option<Micros>,
    /// WATCHDOG_USEC= of this run, in place of WatchdogSec=.
    #[serde(default)]
    pub watchdog: Option<Micros>,
    /// How it answers its probes, from when it is asked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Box<HealthRun>>,
    /// Serials of probes that were given up, and whose end was not reported yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late_probes: Vec<u32>,
    /// It said READY=1 in this run.
    pub ready: bool,
    /// Type=dbus: its BusName= is taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
    /// No process is left, as far as was reported since the last spawn.
    pub empty: bool,
    /// How the last reload went.
    pub reload: UnitResult,
    /// A job asked for the stop, so Restart= stays silent.
    pub stop_asked: bool,
    /// It is stopped as the first half of a restart, so RestartKillSignal= is used.
    pub restarting: bool,
    /// It is to take the place of the run beside it, which is up until this one is.
    #[serde(default)]
    pub replaces: bool,
    /// It may be up beside another run of the unit, as its file had it when it began.
    #[serde(default)]
    pub overlaps: bool,
    /// When it began.
    #[serde(default)]
    pub began: Micros,
}

/// What a service's run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// ExecCondition=
    Condition,
    /// ExecStartPre=
    StartPre,
    /// ExecStart=, not up yet.
    Start,
    /// ExecStartPost=
    StartPost,
    /// Up, with a main process.
    Running,
    /// Up, without one.
    Exited,
    /// ExecReload=
    Reload,
    /// Type=notify-reload: the signal went out at this time, no RELOADING=1 yet.
    ReloadSignal {
        /// When.
        sent: Micros,
    },
    /// It said RELOADING=1 and not yet READY=1.
    ReloadNotify,
    /// ExecReloadPost=
    ReloadPost,
    /// ExecStop=, or after STOPPING=1.
    Stop,
    /// The signals of stopping, before ExecStopPost=.
    StopKill(Round),
    /// ExecStopPost=
    StopPost,
    /// The signals that clean up, after ExecStopPost=.
    FinalKill(Round),
}

/// Which signal is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Round {
    /// WatchdogSignal=
    Watchdog,
    /// KillSignal=
    Term,
    /// FinalKillSignal=
    Kill,
}

/// The main process of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Main {
    /// Not started, or between two commands of a oneshot.
    None,
    /// There is one.
    Process(Process),
    /// It ended like this.
    Ended(ExitStatus),
}

/// A process that was asked for and whose end was not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its serial in the run.
    pub serial: u32,
    /// What it is there for.
    pub role: Role,
    /// Which command of its list.
    pub index: u16,
    /// How far it is.
    pub progress: Progress,
}

/// How far a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Progress {
    /// Asked for.
    Asked,
    /// It exists.
    Spawned,
    /// It runs the service's own program.
    Executed,
}

/// A run of a socket unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketRun {
    /// What it is doing.
    pub phase: SocketPhase,
    /// Since when.
    pub since: Micros,
    /// The command that runs now.
    pub control: Option<Process>,
    /// Serials of former control processes whose end was not reported yet.
    pub strays: Vec<u32>,
    /// The serial of the last process.
    pub last_serial: u32,
    /// The first thing that went wrong.
    pub result: UnitResult,
    /// When the phase has lasted too long.
    pub deadline: Option<Micros>,
    /// No process is left, as far as was reported since the last spawn.
    pub empty: bool,
}

/// What a socket unit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketPhase {
    /// ExecStartPre=
    StartPre,
    /// Its sockets are being opened.
    StartOpen,
    /// ExecStartPost=
    StartPost,
    /// Up, and watched for traffic.
    Listening,
    /// Up, and its traffic waits for units that its service would stop.
    Deferred,
    /// Up, and its service has the sockets.
    Running,
    /// ExecStopPre=
    StopPre,
    /// The signals that end ExecStopPre=.
    StopPreKill(Round),
    /// ExecStopPost=
    StopPost,
    /// The signals that clean up.
    FinalKill(Round),
}

/// The outer state, by which units depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActiveState {
    /// Up.
    Active,
    /// Up, reading its configuration.
    Reloading,
    /// Down.
    Inactive,
    /// Down, not as it should be.
    Failed,
    /// On the way up.
    Activating,
    /// On the way down.
    Deactivating,
    /// Down, while something is done to what it left.
    Maintenance,
}

impl State {
    /// The outer state.
    pub fn active(&self) -> ActiveState {
        match self {
            State::Dead => ActiveState::Inactive,
            State::Failed { .. } => ActiveState::Failed,
            State::Reached { .. } | State::Plugged { .. } => ActiveState::Active,
            State::Service(run) => run.active(),
            State::AutoRestart { .. } => ActiveState::Activating,
            State::Socket(run) => run.phase.active(),
            State::Timer(_) => ActiveState::Active,
            State::Path(run) => run.phase.active(),
            State::Automount(run) => run.phase.active(),
            State::Cleaning(_) => ActiveState::Maintenance,
        }
    }

    /// The inner state.
    pub fn sub(&self) -> SubState {
        match self {
            State::Dead => SubState::Dead,
            State::Failed { .. } => SubState::Failed,
            State::Reached { .. } => SubState::Active,
            State::Plugged { .. } => SubState::Plugged,
            State::Service(run) => run.sub(),
            State::AutoRestart { until: Some(_), .. } => SubState::AutoRestart,
            State::AutoRestart { until: None, .. } => SubState::AutoRestartQueued,
            State::Socket(run) => run.phase.sub(),
            State::Timer(run) => run.phase.sub(),
            State::Path(run) => run.phase.sub(),
            State::Automount(run) => run.phase.sub(),
            State::Cleaning(_) => SubState::Cleaning,
        }
    }

    /// The moment at which a service is ended at the latest.
    pub fn end(&self) -> Option<Micros> {
        match self {
            State::Service(run) => run.end(),
            state => state.deadline(),
        }
    }

    /// The next moment at which something is due in this state.
    pub fn deadline(&self) -> Option<Micros> {
        match self {
            State::Service(run) => {
                let probe = run.health.as_ref().and_then(|health| health.at);
                run.end().into_iter().chain(probe).min()
            }
            State::Socket(run) => run.deadline,
            State::Cleaning(cleaning) => cleaning.deadline,
            State::AutoRestart { until, .. } => *until,
            State::Dead
            | State::Failed { .. }
            | State::Reached { .. }
            | State::Plugged { .. }
            | State::Timer(_) => None,
            State::Path(run) => run.deadline,
            State::Automount(run) => run.deadline,
        }
    }
}

impl ServiceRun {
    /// What it replaces is up until it is up itself.
    fn active(&self) -> ActiveState {
        match self.phase {
            Phase::Running => ActiveState::Active,
            _ if self.replaces => ActiveState::Reloading,
            phase => phase.active(),
        }
    }

    fn end(&self) -> Option<Micros> {
        let ends = [self.deadline, self.runtime_end, self.watchdog_end];
        ends.into_iter().flatten().min()
    }
}

impl Phase {
    /// The outer state.
    pub fn active(self) -> ActiveState {
        match self {
            Phase::Condition | Phase::StartPre | Phase::Start | Phase::StartPost => {
                ActiveState::Activating
            }
            Phase::Running | Phase::Exited => ActiveState::Active,
            Phase::Reload
            | Phase::ReloadSignal { .. }
            | Phase::ReloadNotify
            | Phase::ReloadPost => ActiveState::Reloading,
            Phase::Stop | Phase::StopKill(_) | Phase::StopPost | Phase::FinalKill(_) => {
                ActiveState::Deactivating
            }
        }
    }

    /// The inner state.
    pub fn sub(self) -> SubState {
        match self {
            Phase::Condition => SubState::Condition,
            Phase::StartPre => SubState::StartPre,
            Phase::Start => SubState::Start,
            Phase::StartPost => SubState::StartPost,
            Phase::Running => SubState::Running,
            Phase::Exited => SubState::Exited,
            Phase::Reload => SubState::Reload,
            Phase::ReloadSignal { .. } => SubState::ReloadSignal,
            Phase::ReloadNotify => SubState::ReloadNotify,
            Phase::ReloadPost => SubState::ReloadPost,
            Phase::Stop => SubState::Stop,
            Phase::StopKill(Round::Watchdog) => SubState::StopWatchdog,
            Phase::StopKill(Round::Term) => SubState::StopSigterm,
            Phase::StopKill(Round::Kill) => SubState::StopSigkill,
            Phase::StopPost => SubState::StopPost,
            Phase::FinalKill(Round::Watchdog) => SubState::FinalWatchdog,
            Phase::FinalKill(Round::Term) => SubState::FinalSigterm,
            Phase::FinalKill(Round::Kill) => SubState::FinalSigkill,
        }
    }
}

impl SocketPhase {
    /// Are its sockets open, and it up?
    pub fn has_sockets(self) -> bool {
        matches!(
            self,
            SocketPhase::Listening | SocketPhase::Deferred | SocketPhase::Running
        )
    }

    /// The outer state.
    pub fn active(self) -> ActiveState {
        match self {
            SocketPhase::StartPre | SocketPhase::StartOpen | SocketPhase::StartPost => {
                ActiveState::Activating
            }
            SocketPhase::Listening | SocketPhase::Deferred | SocketPhase::Running => {
                ActiveState::Active
            }
            SocketPhase::StopPre | SocketPhase::StopPreKill(_) => ActiveState::Deactivating,
            SocketPhase::StopPost | SocketPhase::FinalKill(_) => ActiveState::Deactivating,
        }
    }

    /// The inner state.
    pub fn sub(self) -> SubState {
        match self {
            SocketPhase::StartPre => SubState::StartPre,
            SocketPhase::StartOpen => SubState::StartOpen,
            SocketPhase::StartPost => SubState::StartPost,
            SocketPhase::Listening => SubState::Listening,
            SocketPhase::Deferred => SubState::Deferred,
            SocketPhase::Running => SubState::Running,
            SocketPhase::StopPre => SubState::StopPre,
            SocketPhase::StopPreKill(Round::Kill) => SubState::StopPreSigkill,
            SocketPhase::StopPreKill(_) => SubState::StopPreSigterm,
            SocketPhase::StopPost => SubState::StopPost,
            SocketPhase::FinalKill(Round::Kill) => SubState::FinalSigkill,
            SocketPhase::FinalKill(_) => SubState::FinalSigterm,
        }
    }
}

impl ActiveState {
    /// The text that clients see.
    pub fn name(self) -> &'static str {
        match self {
            ActiveState::Active => "active",
            ActiveState::Reloading => "reloading",
            ActiveState::Inactive => "inactive",
            ActiveState::Failed => "failed",
            ActiveState::Activating => "activating",
            ActiveState::Deactivating => "deactivating",
            ActiveState::Maintenance => "maintenance",
        }
    }

    /// Active or reloading.
    pub fn is_up(self) -> bool {
        matches!(self, ActiveState::Active | ActiveState::Reloading)
    }

    /// Inactive or failed.
    pub fn is_down(self) -> bool {
        matches!(self, ActiveState::Inactive | ActiveState::Failed)
    }
}
