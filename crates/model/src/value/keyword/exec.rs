//! The words of the execution environment.

use super::{Keyword, wrong_word};
use crate::text::{Expand, Form, ParseError, TextForm};

keywords! {
    /// How much of the system is read-only.
    ProtectSystem, "no, yes, full or strict", booleans No Yes {
        /// Nothing.
        #[default]
        No = "no",
        /// `/usr`, `/boot` and `/efi`.
        Yes = "yes",
        /// The same and `/etc`.
        Full = "full",
        /// Everything but `/dev`, `/proc` and `/sys`.
        Strict = "strict",
    }
}

keywords! {
    /// What is seen of `/home`, `/root` and `/run/user`.
    ProtectHome, "no, yes, read-only or tmpfs", booleans No Yes {
        /// All.
        #[default]
        No = "no",
        /// Nothing.
        Yes = "yes",
        /// All, read-only.
        ReadOnly = "read-only",
        /// An empty file system of its own.
        Tmpfs = "tmpfs",
    }
}

keywords! {
    /// What is seen of the control group tree.
    ProtectControlGroups, "no, yes, private or strict", booleans No Yes {
        /// All, writable.
        #[default]
        No = "no",
        /// All, read-only.
        Yes = "yes",
        /// Its own part, by a control group namespace.
        Private = "private",
        /// Its own part, read-only.
        Strict = "strict",
    }
}

keywords! {
    /// Which processes of others `/proc` shows.
    ProtectProc, "default, noaccess, invisible or ptraceable" {
        /// All.
        #[default]
        Default = "default",
        /// All, but their files can't be read (`hidepid=1`).
        NoAccess = "noaccess",
        /// None of other users (`hidepid=2`).
        Invisible = "invisible",
        /// Only what may be traced (`hidepid=4`).
        Ptraceable = "ptraceable",
    }
}

keywords! {
    /// Which part of `/proc` there is.
    ProcSubset, "all or pid" {
        /// All.
        #[default]
        All = "all",
        /// Only processes.
        Pid = "pid",
    }
}

keywords! {
    /// Whether `/tmp` and `/var/tmp` are the unit's own.
    PrivateTmp, "no, yes or disconnected", booleans No Connected {
        /// Shared with the host.
        #[default]
        No = "no",
        /// Directories below the host's.
        Connected = "yes" | "connected",
        /// A file system of their own.
        Disconnected = "disconnected",
    }
}

keywords! {
    /// Whether users are mapped into a namespace.
    PrivateUsers, "no, self, identity, full or managed", booleans No SelfOnly {
        /// The host's users.
        #[default]
        No = "no",
        /// Root and the unit's own user; all else is nobody.
        SelfOnly = "self" | "yes",
        /// The first 65536 users to themselves.
        Identity = "identity",
        /// Every user to itself.
        Full = "full",
        /// A range that is handed out at start.
        Managed = "managed",
    }
}

keywords! {
    /// Whether the BPF file system is the unit's own.
    PrivateBpf, "no or yes", booleans No Yes {
        /// The host's.
        #[default]
        No = "no",
        /// Its own.
        Yes = "yes",
    }
}

keywords! {
    /// Which kernel keyring the session gets.
    KeyringMode, "inherit, private or shared" {
        /// A new session keyring.
        #[default]
        Private = "private",
        /// That of the manager.
        Inherit = "inherit",
        /// A new one with the user's keyring linked in.
        Shared = "shared",
    }
}

keywords! {
    /// Whether runtime directories outlive a stop.
    DirectoryPreserve, "no, yes or restart", booleans No Yes {
        /// They are removed.
        #[default]
        No = "no",
        /// They stay.
        Yes = "yes",
        /// They stay over a restart only.
        Restart = "restart",
    }
}

keywords! {
    /// Whether huge pages are used.
    MemoryThp, "inherit, disable, madvise or system" {
        /// As the manager.
        #[default]
        Inherit = "inherit",
        /// Never.
        Disable = "disable",
        /// Where the program asks.
        Madvise = "madvise",
        /// As the kernel is set.
        System = "system",
    }
}

keywords! {
    /// Whether mounts travel between the host and the unit.
    MountPropagation, "shared, slave or private" {
        /// Both ways.
        #[default]
        Shared = "shared",
        /// From the host to the unit.
        Slave = "slave",
        /// Not at all.
        Private = "private",
    }
}

keywords! {
    /// On which memory nodes pages are placed.
    NumaPolicy, "default, preferred, bind, interleave or local" {
        /// Close to where they are used first.
        #[default]
        Default = "default",
        /// On the first node of the mask, if possible.
        Preferred = "preferred",
        /// Only on the mask.
        Bind = "bind",
        /// Round the mask.
        Interleave = "interleave",
        /// On the node of the running processor.
        Local = "local",
    }
}

keywords! {
    /// The scheduler's class.
    SchedulingPolicy, "other, batch, idle, fifo, rr or ext" {
        /// Time sharing.
        #[default]
        Other = "other",
        /// Time sharing for work that no one waits for.
        Batch = "batch",
        /// Only when nothing else runs.
        Idle = "idle",
        /// Realtime, first in, first out.
        Fifo = "fifo",
        /// Realtime, in turns.
        RoundRobin = "rr",
        /// A loaded BPF scheduler.
        Ext = "ext",
    }
}

keywords! {
    /// The class of disk access.
    IoSchedulingClass, "none, realtime, best-effort or idle" {
        /// What follows from the processor priority.
        #[default]
        None = "none" | "0",
        /// Before all others.
        Realtime = "realtime" | "1",
        /// Shared.
        BestEffort = "best-effort" | "2",
        /// Only when nobody else asks.
        Idle = "idle" | "3",
    }
}

keywords! {
    /// What is recorded in utmp.
    UtmpMode, "init, login or user" {
        /// An entry as by init.
        #[default]
        Init = "init",
        /// An entry as by getty.
        Login = "login",
        /// An entry as by login.
        User = "user",
    }
}

keywords! {
    /// Severity of a log line, most severe first.
    LogLevel, "emerg, alert, crit, err, warning, notice, info or debug" {
        /// The system is unusable.
        Emerg = "emerg" | "0",
        /// Act at once.
        Alert = "alert" | "1",
        /// Critical.
        Crit = "crit" | "2",
        /// An error.
        Err = "err" | "3",
        /// A warning.
        Warning = "warning" | "4",
        /// Normal, but worth a notice.
        Notice = "notice" | "5",
        /// Information.
        #[default]
        Info = "info" | "6",
        /// For developers.
        Debug = "debug" | "7",
    }
}

keywords! {
    /// The origin that syslog files a line under.
    LogFacility, "a syslog facility such as daemon or local0" {
        /// The kernel.
        Kern = "kern" | "0",
        /// A user's program.
        User = "user" | "1",
        /// Mail.
        Mail = "mail" | "2",
        /// A service.
        #[default]
        Daemon = "daemon" | "3",
        /// Authorisation.
        Auth = "auth" | "4",
        /// Syslog itself.
        Syslog = "syslog" | "5",
        /// Printing.
        Lpr = "lpr" | "6",
        /// News.
        News = "news" | "7",
        /// UUCP.
        Uucp = "uucp" | "8",
        /// The clock daemon.
        Cron = "cron" | "9",
        /// Authorisation, private.
        AuthPriv = "authpriv" | "10",
        /// FTP.
        Ftp = "ftp" | "11",
        /// Local use 0.
        Local0 = "local0" | "16",
        /// Local use 1.
        Local1 = "local1" | "17",
        /// Local use 2.
        Local2 = "local2" | "18",
        /// Local use 3.
        Local3 = "local3" | "19",
        /// Local use 4.
        Local4 = "local4" | "20",
        /// Local use 5.
        Local5 = "local5" | "21",
        /// Local use 6.
        Local6 = "local6" | "22",
        /// Local use 7.
        Local7 = "local7" | "23",
    }
}
