//! Which judge a directive has. What stands here depends on the value; for every other directive the table's row speaks.

use model::{Directive, UnitKind};

use crate::portable::judge::{Scope, Verdict};
use crate::portable::{amounts, kernel, listen, paths, relations};

/// How a directive is judged.
pub(crate) enum Rule {
    /// Any value is free.
    Free,
    /// Any value is asked for by the directive's name.
    Asks,
    /// No value is good; the reason.
    Never(&'static str),
    /// Some values are free, any other needs one grant.
    Dial(Dial),
    /// Each right-hand side by itself.
    Line(Judge),
    /// Each word by itself.
    Words(Judge),
}

/// Judges a right-hand side or a word of it.
pub(crate) type Judge = fn(Scope, &str) -> Verdict;

/// A sandbox directive that can be turned away from the default.
#[derive(Clone, Copy)]
pub(crate) struct Dial {
    /// Values at least as strict as the default profile's, as the table prints them.
    pub(crate) free: &'static [&'static str],
    /// The grant for every other.
    pub(crate) grant: &'static str,
    /// What it means, after “asks to”.
    pub(crate) words: &'static str,
}

const fn dial(free: &'static [&'static str], grant: &'static str, words: &'static str) -> Rule {
    Rule::Dial(Dial { free, grant, words })
}

/// The rule of a directive in a unit of this kind.
pub(crate) fn rule(directive: Directive, kind: UnitKind) -> Rule {
    let name = directive.name();
    let is_command = name.starts_with("Exec") || matches!(name, "HealthCommand" | "BackupCommand");
    let by_value = if is_command {
        commands(name, kind)
    } else {
        None
    };
    by_value
        .or_else(|| tests(directive))
        .or_else(|| sandbox(name))
        .or_else(|| kernel_surface(name))
        .or_else(|| host_paths(name))
        .or_else(|| addresses(name))
        .or_else(|| units(name))
        .or_else(|| resources(name))
        .or_else(|| behaviour(name))
        .unwrap_or_else(|| row(directive))
}

/// What the table's row says for every value.
fn row(directive: Directive) -> Rule {
    match settings::from_image(directive) {
        settings::FromImage::Free => Rule::Free,
        settings::FromImage::Asks => Rule::Asks,
        settings::FromImage::Never => Rule::Never("an image's unit may not set it"),
    }
}

/// Conditions and assertions that look at files: whether a unit starts tells whoever wrote it what was found.
fn tests(directive: Directive) -> Option<Rule> {
    let family = settings::family_of_test(directive)?;
    Some(match directive.name().strip_prefix(family)? {
        // A pattern may lead anywhere by links and by `..` that it only makes up when it is matched.
        "PathExistsGlob" => Rule::Asks,
        "NeedsUpdate" => Rule::Line(paths::brought_up_to_date),
        "PathExists" | "PathIsDirectory" | "PathIsSymbolicLink" | "PathIsMountPoint"
        | "PathIsReadWrite" | "PathIsEncrypted" | "PathIsSocket" | "DirectoryNotEmpty"
        | "FileNotEmpty" | "FileIsExecutable" => Rule::Line(paths::tested),
        _ => return None,
    })
}

fn commands(name: &str, kind: UnitKind) -> Option<Rule> {
    match name {
        "ExecSearchPath" | "ExecPaths" => Some(Rule::Free),
        _ if kind == UnitKind::Socket => Some(Rule::Never(
            "a socket's commands would run outside the sandbox",
        )),
        _ => Some(Rule::Line(kernel::command)),
    }
}

/// The dials of the default profile.
fn sandbox(name: &str) -> Option<Rule> {
    let yes = &["yes"];
    Some(match name {
        "DynamicUser" => dial(yes, "fixed-user", "run as a user that stays"),
        "ProtectSystem" => dial(
            &["strict"],
            "system-files",
            "write to the host's system directories",
        ),
        "ProtectHome" => dial(&["yes", "tmpfs"], "home", "see the host's home directories"),
        "PrivateTmp" => dial(&["yes", "disconnected"], "tmp", "share the host's /tmp"),
        "PrivateDevices" => dial(yes, "devices", "use the host's devices"),
        "DevicePolicy" => dial(
            &["auto", "strict", "closed"],
            "devices",
            "use the host's devices",
        ),
        "PrivateUsers" => dial(&["yes", "self"], "users", "see the host's users"),
        "PrivatePIDs" => dial(yes, "processes", "see the host's processes"),
        "ProtectProc" => dial(&["invisible"], "processes", "see the host's processes"),
        "ProcSubset" => dial(&["pid"], "proc-files", "read all of /proc"),
        "PrivateIPC" => dial(yes, "ipc", "share the host's IPC objects"),
        "RemoveIPC" => dial(yes, "ipc", "leave IPC objects behind"),
        "PrivateNetwork" => dial(yes, "network", "use the network"),
        "IPAddressAllow" => dial(
            &["localhost", "127.0.0.0/8 ::1/128"],
            "network",
            "use the network",
        ),
        "BindNetworkInterface" | "BindToDevice" => dial(&[], "network", "use the network"),
        "PrivateMounts" => dial(yes, "mounts", "mount file systems on the host"),
        "MountFlags" => dial(
            &["private", "slave"],
            "mounts",
            "mount file systems on the host",
        ),
        "BindLogSockets" => dial(&["no"], "log-sockets", "talk to the host's log"),
        "NotifyAccess" | "MountAPIVFS" | "UMask" | "IPAddressDeny" | "SocketBindDeny"
        | "IPAccounting" => Rule::Free,
        _ => return None,
    })
}

fn kernel_surface(name: &str) -> Option<Rule> {
    let yes = &["yes"];
    Some(match name {
        "ProtectKernelTunables" => dial(yes, "kernel-tunables", "change the kernel's settings"),
        "ProtectKernelModules" => dial(yes, "kernel-modules", "load kernel modules"),
        "ProtectKernelLogs" => dial(yes, "kernel-logs", "read the kernel's log"),
        "ProtectControlGroups" => dial(
            &["yes", "strict", "private"],
            "control-groups",
            "change control groups",
        ),
        "ProtectClock" => dial(yes, "clock", "set the clock"),
        "ProtectHostname" => dial(&["yes", "private"], "hostname", "change the host's name"),
        "RestrictRealtime" => dial(yes, "realtime", "use realtime scheduling"),
        "CPUSchedulingPolicy" => dial(
            &["other", "batch", "idle"],
            "realtime",
            "use realtime scheduling",
        ),
        "IOSchedulingClass" => dial(
            &["best-effort", "idle", "none"],
            "realtime",
            "use realtime scheduling",
        ),
        "RestrictSUIDSGID" => dial(yes, "suid", "make set-user-id files"),
        "LockPersonality" => dial(yes, "personality", "change its personality"),
        "MemoryDenyWriteExecute" => dial(yes, "jit", "make executable memory"),
        "NoNewPrivileges" => dial(yes, "new-privileges", "gain privileges"),
        "KeyringMode" => dial(&["private"], "keyring", "share the host's keyring"),
        "RestrictNamespaces" => Rule::Line(kernel::namespaces),
        "RestrictAddressFamilies" => Rule::Words(kernel::address_family),
        "SystemCallFilter" => Rule::Words(kernel::system_call),
        "SystemCallArchitectures" => Rule::Words(kernel::architecture),
        "CapabilityBoundingSet" | "AmbientCapabilities" => Rule::Words(kernel::capability),
        "SystemCallErrorNumber" | "CPUSchedulingPriority" | "CPUSchedulingResetOnFork" => {
            Rule::Free
        }
        _ => return None,
    })
}

fn host_paths(name: &str) -> Option<Rule> {
    Some(match name {
        "ReadWritePaths" | "ReadWriteDirectories" => Rule::Words(paths::read_write),
        "BindPaths" => Rule::Words(paths::bind),
        "BindReadOnlyPaths" => Rule::Words(paths::bind_read_only),
        "RuntimeDirectory" => Rule::Words(paths::runtime_directory),
        "StateDirectory" => Rule::Words(paths::state_directory),
        "CacheDirectory" => Rule::Words(paths::cache_directory),
        "LogsDirectory" => Rule::Words(paths::logs_directory),
        "ConfigurationDirectory" => Rule::Words(paths::configuration_directory),
        "PathExistsGlob" => Rule::Asks,
        "PathExists" | "PathChanged" | "PathModified" | "DirectoryNotEmpty" => {
            Rule::Line(paths::watch)
        }
        "MakeDirectory" => Rule::Line(paths::no_making),
        "PIDFile" => Rule::Line(paths::pid_file),
        "Symlinks" => Rule::Words(paths::symlink),
        "XAttrEntryPoint" => Rule::Words(paths::attribute),
        "RequiresMountsFor" | "WantsMountsFor" => Rule::Words(paths::mounts_for),
        "LoadCredential" | "LoadCredentialEncrypted" => Rule::Line(paths::credential),
        "ImportCredential" => Rule::Line(paths::import_credential),
        "SetCredentialEncrypted" => Rule::Line(paths::sealed_credential),
        "StandardInput" | "StandardOutput" | "StandardError" => Rule::Line(paths::standard_stream),
        "DeviceAllow" => Rule::Line(paths::device),
        "EnvironmentFile" => Rule::Never("a file of the host would be read as root"),
        "OpenFile" => Rule::Never("a file of the host would be opened as root"),
        "RootDirectory" | "RootImage" | "RootMStack" => Rule::Never("the image itself is the root"),
        "MountImages" | "ExtensionImages" | "ExtensionDirectories" => {
            Rule::Never("an image can't bring in other images")
        }
        "NetworkNamespacePath" | "UserNamespacePath" | "IPCNamespacePath" => {
            Rule::Never("an image can't join the host's namespaces")
        }
        "BPFProgram" | "IPIngressFilterPath" | "IPEgressFilterPath" => {
            Rule::Never("an image can't load programs into the kernel")
        }
        "NFTSet" => Rule::Never("an image can't change the host's firewall"),
        _ => return None,
    })
}

fn addresses(name: &str) -> Option<Rule> {
    Some(match name {
        "ListenStream" | "ListenSequentialPacket" => Rule::Line(listen::stream),
        "ListenDatagram" => Rule::Line(listen::datagram),
        "ListenFIFO" => Rule::Line(listen::fifo),
        "ListenNetlink" => Rule::Line(listen::netlink),
        "ListenMessageQueue" => Rule::Asks,
        "ListenSpecial" | "ListenUSBFunction" => {
            Rule::Never("a device of the host would be opened as root")
        }
        "SocketBindAllow" => Rule::Line(listen::bind_allow),
        "ReusePort" => Rule::Line(kernel::no_reuse),
        "Transparent" => Rule::Line(kernel::no_transparent),
        _ => return None,
    })
}

fn units(name: &str) -> Option<Rule> {
    Some(match name {
        "After" => Rule::Words(relations::after),
        "Wants" => Rule::Words(relations::wants),
        "Before" | "Requires" | "Requisite" | "BindsTo" | "PartOf" | "Upholds" | "Conflicts"
        | "OnFailure" | "OnSuccess" => Rule::Words(relations::own),
        "PropagatesReloadTo"
        | "ReloadPropagatedFrom"
        | "PropagatesStopTo"
        | "StopPropagatedFrom"
        | "JoinsNamespaceOf" => Rule::Words(relations::own),
        "Unit" | "Service" | "Sockets" | "Also" | "Alias" | "RequiredBy" | "UpheldBy" => {
            Rule::Words(relations::own)
        }
        "WantedBy" => Rule::Words(relations::wanted_by),
        "BusName" => Rule::Line(relations::bus_name),
        "User" | "SocketUser" => Rule::Line(relations::user),
        "Group" | "SocketGroup" => Rule::Line(relations::group),
        "SupplementaryGroups" => Rule::Words(relations::group),
        _ => return None,
    })
}

fn resources(name: &str) -> Option<Rule> {
    Some(match name {
        "TasksMax" => Rule::Line(amounts::tasks_max),
        "MemoryMax" => Rule::Line(amounts::memory_max),
        "LimitNOFILE" => Rule::Line(amounts::open_files),
        "CPUWeight" | "StartupCPUWeight" | "IOWeight" | "StartupIOWeight" => {
            Rule::Line(amounts::weight)
        }
        "MemoryMin" | "MemoryLow" | "StartupMemoryLow" => Rule::Line(amounts::protected_memory),
        "Nice" | "OOMScoreAdjust" => Rule::Line(amounts::not_negative),
        "Slice" => Rule::Never("an image can't choose its place in the resource tree"),
        "Delegate" => Rule::Line(kernel::no_delegate),
        _ => return None,
    })
}

fn behaviour(name: &str) -> Option<Rule> {
    Some(match name {
        "DefaultDependencies" => Rule::Line(kernel::default_dependencies),
        "FailureAction" | "SuccessAction" | "StartLimitAction" | "JobTimeoutAction" => {
            Rule::Line(kernel::no_action)
        }
        "RebootArgument" | "JobTimeoutRebootArgument" => {
            Rule::Never("an image can't reboot the host")
        }
        "KillMode" => dial(
            &["control-group", "mixed"],
            "survive-stop",
            "leave processes behind when it is stopped",
        ),
        "FinalKillSignal" => dial(
            &["SIGKILL"],
            "survive-stop",
            "leave processes behind when it is stopped",
        ),
        "TimeoutStopSec" | "TimeoutAbortSec" => Rule::Line(amounts::stop_timeout),
        "DrainTimeoutSec" => Rule::Line(amounts::drain_timeout),
        "StartLimitIntervalSec" => Rule::Line(amounts::restart_interval),
        "StartLimitBurst" => Rule::Line(amounts::restart_burst),
        "LogRateLimitIntervalSec" => Rule::Line(amounts::log_interval),
        "LogRateLimitBurst" => Rule::Line(amounts::log_burst),
        "SendSIGKILL" => dial(
            &["yes"],
            "survive-stop",
            "leave processes behind when it is stopped",
        ),
        "SurviveFinalKillSignal" => dial(
            &["no"],
            "survive-stop",
            "leave processes behind when the host stops",
        ),
        "WakeSystem" => dial(&["no"], "wake", "wake the host from suspend"),
        "RefuseManualStop" => dial(&["no"], "survive-stop", "refuse to be stopped"),
        _ => return None,
    })
}
