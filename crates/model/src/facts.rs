//! What this host and its kernel can do: probed once, then a plain value. Nothing here looks at the host.

use crate::value::{CapabilitySet, CpuSet};

/// What the planner needs to know of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's version.
    pub kernel: KernelVersion,
    /// The machine's architecture, by the name that unit files use: `x86-64`, `arm64`, …
    pub architecture: &'static str,
    /// The manager's user.
    pub uid: u32,
    /// The manager's group.
    pub gid: u32,
    /// The manager's effective capabilities.
    pub capabilities: CapabilitySet,
    /// The manager's bounding set; what is not in it no service can have.
    pub bounding: CapabilitySet,
    /// The number of the last capability that the kernel knows.
    pub last_capability: u32,
    /// The control group hierarchy.
    pub cgroup: Cgroup,
    /// The kinds of namespaces that the manager can make.
    pub namespaces: Namespaces,
    /// The calls of the mount interface.
    pub mounts: Mounts,
    /// System call filters.
    pub seccomp: Seccomp,
    /// The version of Landlock's interface, 0 without.
    pub landlock_abi: u32,
    /// `clone3` places a child in a control group.
    pub clone_into_cgroup: bool,
    /// Descriptors for processes, with `waitid(P_PIDFD)`.
    pub pidfd: bool,
    /// `close_range` with its CLOEXEC flag.
    pub close_range: bool,
    /// Session keyrings can be made.
    pub keyring: bool,
    /// No call that reaches a keyring gets through, ours or a service's: what contains us refuses them all.
    pub keyring_closed: bool,
    /// Ambient capabilities.
    pub ambient_capabilities: bool,
    /// `prctl(PR_SET_MDWE)`.
    pub mdwe: bool,
    /// `prctl(PR_SET_MEMORY_MERGE)`.
    pub memory_merge: bool,
    /// Memory policies: `set_mempolicy`.
    pub memory_nodes: bool,
    /// Memory nodes by number, with their processors.
    pub node_processors: Vec<(u16, CpuSet)>,
    /// AppArmor is on.
    pub apparmor: bool,
    /// SELinux is on.
    pub selinux: bool,
    /// SMACK is active.
    pub smack: bool,
    /// IPv6 sockets can be made.
    pub ipv6: bool,
    /// The manager's own resource limits, soft and hard, by the kernel's number; without CAP_SYS_RESOURCE the hard ones are a ceiling.
    pub limits: [(u64, u64); LIMITS],
    /// Physical memory in bytes: what a share of memory is a share of.
    pub memory_bytes: u64,
    /// Tasks that the kernel lets live at once: what a share of tasks is a share of.
    pub tasks_max: u64,
    /// How what contains us keeps us from files of the kernel: that holds in new instances of /proc and /sys, too.
    pub kernel_masks: KernelMasks,
}

/// Mounts below /proc and /sys, sorted paths; none is in another of the same list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelMasks {
    /// What is mounted there is not the kernel's file of that name.
    pub hidden: Vec<String>,
    /// It is, and read-only.
    pub read_only: Vec<String>,
}

/// How many resource limits the kernel has.
pub const LIMITS: usize = 16;

/// A kernel version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
}

impl KernelVersion {
    /// Makes a version.
    pub const fn new(major: u16, minor: u16) -> KernelVersion {
        KernelVersion { major, minor }
    }

    /// Reads the start of what `uname -r` says.
    pub fn parse(release: &str) -> Option<KernelVersion> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some(KernelVersion {
            major: numbers.next()?.ok()?,
            minor: numbers.next()?.ok()?,
        })
    }
}

impl std::fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Which hierarchy the host mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CgroupKind {
    /// Version 2 alone, with controllers.
    V2,
    /// Version 2 beside version 1, which holds the controllers.
    Hybrid,
    /// No version 2.
    None,
}

/// The control group hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Which one.
    pub kind: CgroupKind,
    /// Where version 2 is mounted; empty without.
    pub mount: String,
    /// The controllers that can be used in version 2.
    pub controllers: Vec<String>,
    /// The hierarchy can be written to.
    pub writable: bool,
    /// `cgroup.kill` is there.
    pub kill: bool,
    /// `cgroup.freeze` is there.
    pub freeze: bool,
    /// Programs of the eBPF machine can be loaded for groups.
    pub programs: bool,
}

impl Cgroup {
    /// Whether a controller can be used.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|known| known == controller)
    }
}

/// Kinds of namespaces that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Namespaces {
    /// Mounts.
    pub mount: bool,
    /// Host names.
    pub uts: bool,
    /// System V IPC and POSIX message queues.
    pub ipc: bool,
    /// Processes.
    pub pid: bool,
    /// Networks.
    pub net: bool,
    /// Users, by root or the owner.
    pub user: bool,
    /// Control groups.
    pub cgroup: bool,
    /// Clocks.
    pub time: bool,
}

/// The calls of the mount interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mounts {
    /// `fsopen`, `fsconfig`, `fsmount`, `open_tree`, `move_mount`.
    pub new_api: bool,
    /// `mount_setattr`, recursive included.
    pub setattr: bool,
    /// `open_tree_attr`.
    pub open_tree_attr: bool,
    /// Id-mapped mounts.
    pub id_mapped: bool,
    /// procfs takes `hidepid=` per mount.
    pub proc_hidepid: bool,
    /// procfs takes `subset=pid`.
    pub proc_subset: bool,
    /// A new procfs can be mounted in a new pid namespace; not under some container managers.
    pub proc_mountable: bool,
    /// A new sysfs can be mounted in a new network namespace.
    pub sysfs_mountable: bool,
    /// overlayfs.
    pub overlay: bool,
    /// squashfs.
    pub squashfs: bool,
    /// erofs.
    pub erofs: bool,
    /// erofs from a file without a loop device.
    pub erofs_file_backed: bool,
    /// Loop devices.
    pub loop_devices: bool,
    /// `mqueue` file systems.
    pub mqueue: bool,
    /// `devpts` with instances of its own.
    pub devpts: bool,
    /// `nosymfollow`.
    pub nosymfollow: bool,
}

/// System call filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seccomp {
    /// Filters can be set.
    pub filter: bool,
    /// `SECCOMP_RET_KILL_PROCESS`.
    pub kill_process: bool,
    /// `SECCOMP_RET_LOG`.
    pub log: bool,
}

/// A modern machine with everything, for tests and for `coracle explain` away from the target.
impl Default for Facts {
    fn default() -> Facts {
        Facts {
            kernel: KernelVersion::new(6, 12),
            architecture: native(),
            uid: 0,
            gid: 0,
            capabilities: CapabilitySet::FULL,
            bounding: CapabilitySet::FULL,
            last_capability: 40,
            cgroup: Cgroup::modern(),
            namespaces: Namespaces {
                mount: true,
                uts: true,
                ipc: true,
                pid: true,
                net: true,
                user: true,
                cgroup: true,
                time: true,
            },
            mounts: Mounts::modern(),
            seccomp: Seccomp {
                filter: true,
                kill_process: true,
                log: true,
            },
            landlock_abi: 6,
            clone_into_cgroup: true,
            pidfd: true,
            close_range: true,
            keyring: true,
            keyring_closed: false,
            ambient_capabilities: true,
            mdwe: true,
            memory_merge: true,
            memory_nodes: true,
            node_processors: vec![(0, CpuSet(vec![0, 1])), (1, CpuSet(vec![2, 3]))],
            apparmor: false,
            selinux: false,
            smack: false,
            ipv6: true,
            limits: [(u64::MAX, u64::MAX); LIMITS],
            memory_bytes: 8 << 30,
            tasks_max: 32_768,
            kernel_masks: KernelMasks::default(),
        }
    }
}

impl Cgroup {
    fn modern() -> Cgroup {
        Cgroup {
            kind: CgroupKind::V2,
            mount: "/sys/fs/cgroup".to_owned(),
            controllers: ["cpu", "cpuset", "io", "memory", "pids"]
                .map(str::to_owned)
                .to_vec(),
            writable: true,
            kill: true,
            freeze: true,
            programs: true,
        }
    }
}

impl Mounts {
    fn modern() -> Mounts {
        Mounts {
            new_api: true,
            setattr: true,
            open_tree_attr: false,
            id_mapped: true,
            proc_hidepid: true,
            proc_subset: true,
            proc_mountable: true,
            sysfs_mountable: true,
            overlay: true,
            squashfs: true,
            erofs: true,
            erofs_file_backed: true,
            loop_devices: true,
            mqueue: true,
            devpts: true,
            nosymfollow: true,
        }
    }
}

/// The name of the architecture that this is built for.
pub const fn native() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "x86-64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else if cfg!(target_arch = "riscv64") {
        "riscv64"
    } else if cfg!(target_arch = "s390x") {
        "s390x"
    } else {
        "unknown"
    }
}
