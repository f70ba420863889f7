//! The words of services, sockets, killing, resources and jobs.

use super::{Keyword, wrong_word};
use crate::text::{Expand, Form, ParseError, TextForm};

keywords! {
    /// When a service counts as started.
    ServiceType, "simple, exec, forking, oneshot, dbus, notify, notify-reload or idle" {
        /// Once its process exists.
        #[default]
        Simple = "simple",
        /// Once its program was executed.
        Exec = "exec",
        /// Once the first process has exited and left a child.
        Forking = "forking",
        /// Once its processes have exited.
        Oneshot = "oneshot",
        /// Once its bus name is taken.
        Dbus = "dbus",
        /// Once it says so.
        Notify = "notify",
        /// Once it says so; reloads are told by signal and answered.
        NotifyReload = "notify-reload",
        /// As simple, after other jobs are done.
        Idle = "idle",
    }
}

keywords! {
    /// Whose exit ends a service.
    ExitType, "main or cgroup" {
        /// The main process's.
        #[default]
        Main = "main",
        /// The last process's.
        Cgroup = "cgroup",
    }
}

keywords! {
    /// After which ends a service is started again.
    Restart, "no, always, on-success, on-failure, on-abnormal, on-abort or on-watchdog" {
        /// None.
        #[default]
        No = "no",
        /// Every one but a requested stop.
        Always = "always",
        /// Clean ones.
        OnSuccess = "on-success",
        /// All but clean ones.
        OnFailure = "on-failure",
        /// Signals, timeouts and the watchdog.
        OnAbnormal = "on-abnormal",
        /// Unclean signals.
        OnAbort = "on-abort",
        /// The watchdog.
        OnWatchdog = "on-watchdog",
    }
}

keywords! {
    /// What others see of an automatic restart.
    RestartMode, "normal, direct or debug" {
        /// The failed and dead states are passed through.
        #[default]
        Normal = "normal",
        /// They are not.
        Direct = "direct",
        /// As normal, and the next run is told to debug.
        Debug = "debug",
    }
}

keywords! {
    /// Whose notifications are taken.
    NotifyAccess, "none, main, exec or all" {
        /// Nobody's.
        #[default]
        None = "none",
        /// The main process's.
        Main = "main",
        /// Those of the processes that the Exec directives start.
        Exec = "exec",
        /// Everybody's in the unit.
        All = "all",
    }
}

keywords! {
    /// What follows when the kernel kills for lack of memory.
    OomPolicy, "continue, stop or kill" {
        /// It is logged.
        Continue = "continue",
        /// The unit is stopped.
        #[default]
        Stop = "stop",
        /// The rest of the unit is killed at once.
        Kill = "kill",
    }
}

keywords! {
    /// What is done with a service whose probes fail.
    HealthOnFailure, "none, kill, restart or stop" {
        /// It is said.
        #[default]
        None = "none",
        /// It is killed.
        Kill = "kill",
        /// It is stopped and started again.
        Restart = "restart",
        /// It is stopped.
        Stop = "stop",
    }
}

keywords! {
    /// Whether two runs of a service may be up while one replaces the other.
    ReplaceMode, "auto, share or hand-over" {
        /// Where nothing is seen that both could write.
        #[default]
        Auto = "auto",
        /// They may, and share what they have.
        Share = "share",
        /// The former one ends first, and leaves what it had to the next one.
        HandOver = "hand-over",
    }
}

keywords! {
    /// What a service does while its state is copied.
    BackupMode, "freeze, stop or live" {
        /// Its processes are frozen.
        #[default]
        Freeze = "freeze",
        /// It is stopped.
        Stop = "stop",
        /// It goes on: what it stores is whole at any moment, or made so by its command.
        Live = "live",
    }
}

keywords! {
    /// How a unit that took too long is ended.
    TimeoutFailureMode, "terminate, abort or kill" {
        /// With the stop signal.
        #[default]
        Terminate = "terminate",
        /// With the watchdog signal.
        Abort = "abort",
        /// With SIGKILL.
        Kill = "kill",
    }
}

keywords! {
    /// Which processes a stop signals.
    KillMode, "control-group, mixed, process or none" {
        /// All.
        #[default]
        ControlGroup = "control-group",
        /// The main process first, then all.
        Mixed = "mixed",
        /// The main process.
        Process = "process",
        /// None.
        None = "none",
    }
}

keywords! {
    /// What happens to the machine because of a unit.
    EmergencyAction, "an action such as none, reboot, poweroff-force or exit" {
        /// Nothing.
        #[default]
        None = "none",
        /// The manager ends in order.
        Exit = "exit",
        /// The manager ends at once.
        ExitForce = "exit-force",
        /// A restart in order.
        Reboot = "reboot",
        /// A restart after killing everything.
        RebootForce = "reboot-force",
        /// A restart at once.
        RebootImmediate = "reboot-immediate",
        /// Power off in order.
        Poweroff = "poweroff",
        /// Power off after killing everything.
        PoweroffForce = "poweroff-force",
        /// Power off at once.
        PoweroffImmediate = "poweroff-immediate",
        /// A restart of user space in order.
        SoftReboot = "soft-reboot",
        /// A restart of user space after killing everything.
        SoftRebootForce = "soft-reboot-force",
        /// A restart into a loaded kernel in order.
        Kexec = "kexec",
        /// A restart into a loaded kernel after killing everything.
        KexecForce = "kexec-force",
        /// Halt in order.
        Halt = "halt",
        /// Halt after killing everything.
        HaltForce = "halt-force",
        /// Halt at once.
        HaltImmediate = "halt-immediate",
    }
}

keywords! {
    /// How a job treats the jobs that are there.
    JobMode, "fail, replace, replace-irreversibly, isolate, flush, ignore-dependencies, ignore-requirements, triggering, restart-dependencies or lenient" {
        /// Conflicts are refused.
        Fail = "fail",
        /// Lenient towards jobs in the way: they are an error.
        Lenient = "lenient",
        /// Conflicting jobs are replaced.
        #[default]
        Replace = "replace",
        /// The same, and the new job cannot be replaced.
        ReplaceIrreversibly = "replace-irreversibly",
        /// Everything else is stopped.
        Isolate = "isolate",
        /// All other jobs are dropped.
        Flush = "flush",
        /// No dependency is followed.
        IgnoreDependencies = "ignore-dependencies",
        /// Only ordering is followed.
        IgnoreRequirements = "ignore-requirements",
        /// What triggers the unit is stopped too.
        Triggering = "triggering",
        /// What depends on the unit is started again.
        RestartDependencies = "restart-dependencies",
    }
}

keywords! {
    /// When an idle unit is forgotten.
    CollectMode, "inactive or inactive-or-failed" {
        /// When it has not failed.
        #[default]
        Inactive = "inactive",
        /// Failed or not.
        InactiveOrFailed = "inactive-or-failed",
    }
}

keywords! {
    /// Whether kept descriptors outlive a stop.
    DescriptorPreserve, "no, yes or restart", booleans No Yes {
        /// They are closed.
        No = "no",
        /// They stay while the unit is loaded.
        Yes = "yes",
        /// They stay over a restart.
        #[default]
        Restart = "restart",
    }
}

keywords! {
    /// Which devices are allowed by themselves.
    DevicePolicy, "auto, closed or strict" {
        /// All, unless DeviceAllow= names some.
        #[default]
        Auto = "auto",
        /// The harmless standard ones.
        Closed = "closed",
        /// None.
        Strict = "strict",
    }
}

keywords! {
    /// Whether the memory killer of user space watches the unit.
    ManagedOom, "auto or kill" {
        /// If an ancestor asks for it.
        #[default]
        Auto = "auto",
        /// Yes.
        Kill = "kill",
    }
}

keywords! {
    /// How gladly the memory killer of user space takes the unit.
    ManagedOomPreference, "none, avoid or omit" {
        /// Like any other.
        #[default]
        None = "none",
        /// As a last one.
        Avoid = "avoid",
        /// Never.
        Omit = "omit",
    }
}

keywords! {
    /// Whether the service is told of pressure.
    PressureWatch, "auto, no, yes or skip", booleans No Yes {
        /// If accounting is on.
        #[default]
        Auto = "auto",
        /// It is told not to watch.
        No = "no" | "off",
        /// Yes.
        Yes = "yes" | "on",
        /// Nothing is said.
        Skip = "skip",
    }
}

keywords! {
    /// Whether a trigger waits for a conflicting job.
    DeferTrigger, "no, yes or patient", booleans No Yes {
        /// The socket fails.
        #[default]
        No = "no",
        /// It waits while the conflict can be left.
        Yes = "yes",
        /// It waits until the job queue is empty.
        Patient = "patient",
    }
}

keywords! {
    /// Whether an IPv6 socket takes IPv4 too.
    BindIpv6Only, "default, both or ipv6-only" {
        /// As the kernel is set.
        #[default]
        Default = "default",
        /// Yes.
        Both = "both",
        /// No.
        Ipv6Only = "ipv6-only",
    }
}

keywords! {
    /// The transport of a socket, beyond what its type says.
    SocketProtocol, "udplite, sctp or mptcp" {
        /// The usual one of the type.
        #[default]
        Default = "",
        /// UDP-Lite.
        UdpLite = "udplite",
        /// SCTP.
        Sctp = "sctp",
        /// Multipath TCP.
        Mptcp = "mptcp",
    }
}

keywords! {
    /// The resolution of receive timestamps.
    SocketTimestamping, "off, us or ns", booleans Off Off {
        /// None.
        #[default]
        Off = "off",
        /// Microseconds.
        Microseconds = "us" | "usec" | "µs" | "μs",
        /// Nanoseconds.
        Nanoseconds = "ns" | "nsec",
    }
}
