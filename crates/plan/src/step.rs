//! The steps from a fresh process to the service, a closed enum in the order of execution.
//!
//! The order *is* the declaration order: a planner adds steps as it finds them and the plan sorts them by [`Step::rank`].
//! Why a step stands where it does is said at the head of its file in the executor.

mod exit_status;
mod listening;
mod quota;

use crate::code::{DecodeError, Field, List, Reader, Text, coded};
use crate::{DirectiveNumber, NO_DIRECTIVE};

#[cfg(feature = "encode")]
pub use listening::SettingsBuf;
pub use listening::{Address, QueueSize, Setting, Settings};
pub use quota::{DEPTH_MAX, Quota, TOO_DEEP};

coded! {
    /// One step.
    enum Step<'a> {
        /// Default dispositions and an empty mask, as if started from a login.
        Signals = 1 {
            /// Whether SIGPIPE stays ignored.
            ignore_sigpipe: bool,
        },
        /// A session of its own, so that no terminal or job control of the parent reaches it.
        Session = 2,
        /// `oom_score_adj` of the process.
        OomScore = 3 {
            /// From −1000 (never) to 1000 (first).
            adjust: i32,
        },
        /// Which mappings go into a core file, `coredump_filter` of proc(5).
        CoredumpFilter = 4 {
            /// Bits of proc(5).
            mask: u64,
        },
        /// Processor scheduling policy.
        Scheduling = 5 {
            /// A `SCHED_` number of sched(7).
            policy: u32,
            /// 0, or 1 to 99 for the real-time policies.
            priority: u32,
            /// Whether children fall back to the normal policy.
            reset_on_fork: bool,
        },
        /// `nice` value.
        Nice = 6 {
            /// −20 to 19.
            value: i32,
        },
        /// Processors that the process may run on.
        Affinity = 7 {
            /// A bit per processor, lowest first, a multiple of 8 bytes.
            mask: &'a [u8],
        },
        /// Input/output priority, ioprio_set(2).
        IoPriority = 8 {
            /// 1 real-time, 2 best-effort, 3 idle.
            class: u32,
            /// 0 (highest) to 7.
            level: u32,
        },
        /// Timer slack in nanoseconds.
        TimerSlack = 9 {
            /// Nanoseconds.
            nanoseconds: u64,
        },
        /// Execution domain, personality(2).
        Personality = 10 {
            /// A `PER_` number.
            domain: u32,
        },
        /// Whether the kernel merges equal pages.
        MemoryMerge = 11 {
            /// It does.
            merge: bool,
        },
        /// Huge pages, prctl(2) `PR_SET_THP_DISABLE`.
        HugePages = 12 {
            /// Not even those that are asked for by madvise(2), only those, or all.
            pages: HugePages,
        },
        /// On which memory nodes pages are placed, set_mempolicy(2).
        MemoryPolicy = 13 {
            /// An `MPOL_` number.
            mode: u32,
            /// A bit per node, lowest first, a multiple of 8 bytes.
            nodes: &'a [u8],
        },
        /// A directory of the service on the host (RuntimeDirectory= and its kin).
        Directory = 14 {
            /// What kind, which decides the exit status.
            class: DirectoryClass,
            /// Where it is.
            path: Text<'a>,
            /// Its mode.
            mode: u32,
            /// Whether it goes to the service's user; otherwise it is root's.
            owned: bool,
            /// Whether its parent is the `private` directory that only root enters.
            private: bool,
            /// Whether a directory that is there under the public name is moved to `private`, or out of it where the user is static now;
            /// otherwise it ends the start.
            takes_over: bool,
            /// Symbolic links to make to it.
            links: List<'a>,
            /// What it may hold.
            quota: Quota,
        },
        /// The service's terminal, opened and made ready.
        Terminal = 15 {
            /// Its path on the host.
            path: Text<'a>,
            /// Whether it controls the service's session; then it goes to the service's user.
            control: TerminalControl,
            /// Whether its settings become the usual ones.
            reset: bool,
            /// Whether everyone else on it is hung up before.
            hang_up: bool,
            /// Whether a virtual terminal is cleared before.
            clear: bool,
            /// Its height, 0 to leave it.
            rows: u32,
            /// Its width, 0 to leave it.
            columns: u32,
        },
        /// One of the three standard streams.
        Stream = 16 {
            /// 0, 1 or 2.
            target: u8,
            /// Where it goes.
            source: Source<'a>,
        },
        /// Opens a file for the service, or connects to the socket that it is. The service gets it after those that are handed over.
        OpenFile = 17 {
            /// Absolute, on the host.
            path: Text<'a>,
            /// `O_` flags; of a socket, the access mode says whether the service only reads.
            flags: u32,
            /// Whether the start goes on without it.
            optional: bool,
        },
        /// A session keyring of its own.
        Keyring = 18 {
            /// Whether the user keyring is linked into it.
            link_user: bool,
        },
        /// Clones an image's tree from the keeper's descriptor, while still in the keeper's mount namespace.
        CloneImage = 19 {
            /// Its place among the unit's images; the root has 0.
            index: u32,
        },
        /// Layers for a root that a run may change: the upper one is in the directory of this start that PrivateTmp= has, too. The first command of
        /// a run mounts them there, while still in the manager's mount namespace, and each takes a clone: laid twice over one upper layer, the
        /// kernel promises nothing.
        RootRoom = 20 {
            /// A world-writable directory of the host.
            parent: Text<'a>,
            /// The directory that is the lower layer; none: the image's tree.
            directory: Option<Text<'a>>,
        },
        /// A user namespace before all others: the place for the unprivileged.
        UserNamespaceFirst = 21 {
            /// Who is mapped.
            map: UserMap,
        },
        /// Opens the file of a user namespace that [`Step::UserNamespaceEnter`] joins.
        UserNamespaceOpen = 22 {
            /// Absolute, on the host.
            path: Text<'a>,
        },
        /// Makes the service's user namespace ahead, or takes the one that was opened, and joins namespaces that belong to it.
        Delegate = 23 {
            /// Who is mapped in a new one.
            map: UserMap,
            /// `CLONE_NEW` flags of what belongs to it; not those of mounts, which are made before and copied to it late.
            kinds: u32,
            /// Whether a file system of type bpf is begun in it, for [`What::BpfDelegation`].
            bpf: bool,
        },
        /// Joins a namespace that exists.
        Join = 24 {
            /// A single `CLONE_NEW` flag.
            kind: u32,
            /// The file to open; none: the descriptor that the manager passes.
            path: Option<Text<'a>>,
        },
        /// New namespaces.
        Unshare = 25 {
            /// `CLONE_NEW` flags.
            kinds: u32,
            /// Those of them that the manager gets, for the other processes that are to be in them.
            told: u32,
        },
        /// Brings the loopback interface of the new network namespace up.
        Loopback = 26,
        /// The host name of the new UTS namespace.
        Hostname = 27 {
            /// The name.
            name: Text<'a>,
        },
        /// A listening socket, sent back over the report socket.
        Listen = 28 {
            /// Its place in the socket unit, repeated in the report.
            index: u32,
            /// What to bind to.
            address: Address<'a>,
            /// A `SOCK_` type.
            kind: u32,
            /// Protocol number, 0 for the usual one.
            protocol: u32,
            /// Queue length.
            backlog: u32,
            /// What it is told before it is bound.
            settings: Settings<'a>,
            /// Mode of a socket file.
            mode: u32,
            /// Mode of the directories made for it.
            directory_mode: u32,
            /// Whether the socket file goes to the bound user and group.
            owned: bool,
            /// Symbolic links to make to it.
            links: List<'a>,
        },
        /// How mounts of the host propagate into the new mount namespace.
        Propagation = 29 {
            /// A `MS_` propagation flag.
            flag: u32,
        },
        /// The tree that becomes the root.
        Root = 30 {
            /// Which tree.
            from: RootSource<'a>,
            /// Mount attributes to set on all of it.
            set: u64,
        },
        /// One mount below the new root. Sorted by path: a parent comes before its children.
        Mount = 31 {
            /// Where, seen from inside.
            at: Text<'a>,
            /// What appears there.
            what: What<'a>,
            /// Mount attributes to set.
            set: u64,
            /// Mount attributes to clear.
            clear: u64,
            /// Whether a missing path is passed over.
            missing_ok: bool,
        },
        /// Enters the new root and lets go of the old one.
        EnterRoot = 32 {
            /// Whether what is mounted from now on is seen in copies of the tree, the namespaces that the service makes.
            shared: bool,
        },
        /// A resource limit.
        Limit = 33 {
            /// `RLIMIT_` number.
            resource: u32,
            /// Soft limit, `u64::MAX` for none.
            soft: u64,
            /// Hard limit, `u64::MAX` for none.
            hard: u64,
        },
        /// File mode creation mask.
        Umask = 34 {
            /// The bits to take away.
            mask: u32,
        },
        /// The label of the process for SMACK.
        SmackLabel = 35 {
            /// The label.
            label: Text<'a>,
            /// Whether the start goes on where it can't be set.
            optional: bool,
        },
        /// Joins the user namespace that was opened. Users and groups are from here on those of that namespace, and without any the process
        /// is its root.
        UserNamespaceEnter = 36,
        /// Group and supplementary groups of the bindings.
        Groups = 37,
        /// A user namespace after all others: the place for root.
        UserNamespaceLate = 38 {
            /// Who is mapped.
            map: UserMap,
        },
        /// New namespaces that belong to the user namespace.
        UnshareLate = 39 {
            /// `CLONE_NEW` flags.
            kinds: u32,
        },
        /// Drops every capability but these from the bounding set.
        BoundingSet = 40 {
            /// A bit per capability.
            keep: u64,
        },
        /// The user of the bindings.
        User = 41 {
            /// Whether permitted capabilities outlive the change, until exec.
            keep_capabilities: bool,
        },
        /// Inheritable and ambient capabilities.
        Capabilities = 42 {
            /// A bit per capability.
            ambient: u64,
        },
        /// prctl(2) `PR_SET_SECUREBITS`.
        SecureBits = 43 {
            /// `SECBIT_` bits.
            bits: u32,
        },
        /// Working directory.
        WorkingDirectory = 44 {
            /// Where.
            path: Text<'a>,
            /// Whether a missing one leaves it at the root directory.
            missing_ok: bool,
        },
        /// Puts the passed descriptors at 3, 4, … and closes what no one asked for.
        Descriptors = 45,
        /// Finds the program to execute, as long as a failure can still be told.
        Program = 46,
        /// Stays PID 1 of the namespace and lets a child go on.
        Stub = 47,
        /// What a security module makes of the process when it executes the program.
        ExecLabel = 48 {
            /// Which module.
            module: SecurityModule,
            /// A profile or context.
            label: Text<'a>,
            /// Whether the start goes on where it can't be set.
            optional: bool,
        },
        /// No gain of privileges through exec.
        NoNewPrivileges = 49,
        /// The unit's one system-call program.
        Seccomp = 50 {
            /// `SECCOMP_FILTER_FLAG_` bits.
            flags: u32,
            /// `sock_filter` records.
            program: &'a [u8],
        },
        /// Executes the service.
        Exec = 51,
        /// Ends with success: what was asked for has been sent.
        Finish = 52,
        /// Makes network namespaces and what else later starts take, each when it is asked for over the report socket, until that closes; then it ends.
        MakeNetworks = 53,
    }

    /// Security modules that change a process when it executes a program.
    enum SecurityModule {
        /// AppArmor, with a profile.
        AppArmor = 1,
        /// SELinux, with a context.
        SeLinux = 2,
    }

    /// Which huge pages a process has.
    enum HugePages {
        /// None.
        Never = 1,
        /// Those that it asks for.
        Advised = 2,
        /// As the kernel is set.
        Any = 3,
    }

    /// How a service gets a terminal that controls its session.
    enum TerminalControl {
        /// Not at all: it only writes there.
        None = 1,
        /// It waits until nobody else's session has it.
        Wait = 2,
        /// It takes it from whom it belongs to.
        Force = 3,
        /// It fails where somebody else's session has it.
        Fail = 4,
    }

    /// The kinds of a service's directories.
    enum DirectoryClass {
        /// Below /run.
        Runtime = 1,
        /// Below /var/lib.
        State = 2,
        /// Below /var/cache.
        Cache = 3,
        /// Below /var/log.
        Logs = 4,
        /// Below /etc.
        Configuration = 5,
    }

    /// Where a standard stream goes.
    enum Source<'a> {
        /// /dev/null.
        Null = 1,
        /// The descriptor that the manager passes for it.
        Passed = 2,
        /// The same as another stream, which has been set up already.
        Same = 3 {
            /// Its number.
            stream: u8,
        },
        /// A file.
        File = 4 {
            /// Its path on the host.
            path: Text<'a>,
            /// `O_` flags.
            flags: u32,
        },
        /// Bytes given in the unit.
        Data = 5 {
            /// They.
            bytes: &'a [u8],
        },
        /// Left as it came.
        Inherit = 6,
        /// The service's terminal.
        Terminal = 7,
    }

    /// Who exists in a new user namespace.
    enum UserMap {
        /// Root and the service's user, as themselves.
        SelfAndRoot = 1,
        /// The first 65536 ids, as themselves.
        Identity = 2,
        /// Only the caller, as itself: all that the unprivileged may write.
        CallerOnly = 3,
        /// Every id, as itself.
        Full = 4,
        /// The caller as root.
        CallerAsRoot = 5,
    }

    /// The tree that becomes the root.
    enum RootSource<'a> {
        /// The host's own.
        Host = 1,
        /// A directory of the host.
        Directory = 2 {
            /// Absolute.
            path: Text<'a>,
        },
        /// The tree that [`Step::CloneImage`] has made.
        Image = 3,
    }

    /// What appears at a mount.
    enum What<'a> {
        /// Nothing: an empty file or directory of mode 0.
        Inaccessible = 1,
        /// What is there, with other attributes.
        Again = 2 {
            /// As the steps before have made it; otherwise as the root's origin has it.
            made: bool,
        },
        /// A file or directory of the host.
        Bind = 3 {
            /// Absolute, on the host.
            source: Text<'a>,
            /// With all mounts below it.
            recursive: bool,
            /// A missing source is passed over.
            source_missing_ok: bool,
        },
        /// An empty file system in memory.
        Tmpfs = 4 {
            /// Mode of its root.
            mode: u32,
            /// `key=value` options of tmpfs(5).
            options: List<'a>,
        },
        /// The process file system.
        Proc = 5 {
            /// Value of `hidepid`.
            hide: Option<Text<'a>>,
            /// Without everything that is not about processes.
            only_pids: bool,
        },
        /// The system file system.
        Sysfs = 6,
        /// A small /dev.
        Devices = 7 {
            /// Whether nodes are bound from the host instead of made.
            bound: bool,
        },
        /// A directory of this start below a world-writable directory of the host.
        PrivateTmp = 8 {
            /// `/tmp` or `/var/tmp`.
            parent: Text<'a>,
        },
        /// Credentials: a file for each that the start has.
        Credentials = 9,
        /// POSIX message queues of the new ipc namespace.
        MessageQueues = 10,
        /// Pinned objects of the BPF subsystem: none.
        BpfObjects = 14,
        /// The same, of the service's user namespace, with what of BPF its tokens may do (bpf(2), `BPF_TOKEN_CREATE`, Linux 6.9).
        BpfDelegation = 15 {
            /// `key=value` options, numbers of one bit for each thing.
            options: List<'a>,
        },
        /// The control group file system as seen from the new cgroup namespace.
        Cgroups = 11,
        /// New pseudo-terminals.
        Terminals = 12,
        /// The bundle's passwd(5) with whom it lacks: root, nobody, the service's user.
        Users = 16 {
            /// The service's line; empty until the start is bound.
            own: &'a [u8],
        },
        /// The bundle's group(5), likewise.
        UserGroups = 17 {
            /// The service's line; empty until the start is bound.
            own: &'a [u8],
        },
        /// The tree of an image.
        Image = 18 {
            /// Its place among the unit's images.
            index: u32,
        },
        /// /usr, /opt and /etc with those of extensions over them.
        Extensions = 19 {
            /// Their places among the unit's images, the lowest first, a byte each.
            images: &'a [u8],
        },
        /// Nothing new: the mount that is there gets its attributes now that all below it is in place.
        Seal = 13,
    }
}

/// A step with the directive that asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// What is done.
    pub step: Step<'a>,
    /// For whom, [`NO_DIRECTIVE`] for the frame that every start has.
    pub directive: DirectiveNumber,
}

impl<'a> Field<'a> for Asked<'a> {
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            directive: reader.take()?,
            step: reader.take()?,
        })
    }

    #[cfg(feature = "encode")]
    fn put(&self, writer: &mut crate::code::Writer) {
        writer.put(&self.directive);
        writer.put(&self.step);
    }
}

impl<'a> From<Step<'a>> for Asked<'a> {
    fn from(step: Step<'a>) -> Self {
        Self {
            step,
            directive: NO_DIRECTIVE,
        }
    }
}
