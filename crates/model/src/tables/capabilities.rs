//! Capabilities by the kernel's numbers (linux/capability.h).

/// The names; the place is the number.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// CAP_CHOWN.
pub const CHOWN: u32 = 0;
/// CAP_DAC_OVERRIDE.
pub const DAC_OVERRIDE: u32 = 1;
/// CAP_DAC_READ_SEARCH.
pub const DAC_READ_SEARCH: u32 = 2;
/// CAP_FOWNER.
pub const FOWNER: u32 = 3;
/// CAP_FSETID.
pub const FSETID: u32 = 4;
/// CAP_KILL.
pub const KILL: u32 = 5;
/// CAP_SETGID.
pub const SETGID: u32 = 6;
/// CAP_SETUID.
pub const SETUID: u32 = 7;
/// CAP_SETPCAP.
pub const SETPCAP: u32 = 8;
/// CAP_LINUX_IMMUTABLE.
pub const LINUX_IMMUTABLE: u32 = 9;
/// CAP_NET_BIND_SERVICE.
pub const NET_BIND_SERVICE: u32 = 10;
/// CAP_NET_BROADCAST.
pub const NET_BROADCAST: u32 = 11;
/// CAP_NET_ADMIN.
pub const NET_ADMIN: u32 = 12;
/// CAP_NET_RAW.
pub const NET_RAW: u32 = 13;
/// CAP_IPC_LOCK.
pub const IPC_LOCK: u32 = 14;
/// CAP_IPC_OWNER.
pub const IPC_OWNER: u32 = 15;
/// CAP_SYS_MODULE.
pub const SYS_MODULE: u32 = 16;
/// CAP_SYS_RAWIO.
pub const SYS_RAWIO: u32 = 17;
/// CAP_SYS_CHROOT.
pub const SYS_CHROOT: u32 = 18;
/// CAP_SYS_PTRACE.
pub const SYS_PTRACE: u32 = 19;
/// CAP_SYS_PACCT.
pub const SYS_PACCT: u32 = 20;
/// CAP_SYS_ADMIN.
pub const SYS_ADMIN: u32 = 21;
/// CAP_SYS_BOOT.
pub const SYS_BOOT: u32 = 22;
/// CAP_SYS_NICE.
pub const SYS_NICE: u32 = 23;
/// CAP_SYS_RESOURCE.
pub const SYS_RESOURCE: u32 = 24;
/// CAP_SYS_TIME.
pub const SYS_TIME: u32 = 25;
/// CAP_SYS_TTY_CONFIG.
pub const SYS_TTY_CONFIG: u32 = 26;
/// CAP_MKNOD.
pub const MKNOD: u32 = 27;
/// CAP_LEASE.
pub const LEASE: u32 = 28;
/// CAP_AUDIT_WRITE.
pub const AUDIT_WRITE: u32 = 29;
/// CAP_AUDIT_CONTROL.
pub const AUDIT_CONTROL: u32 = 30;
/// CAP_SETFCAP.
pub const SETFCAP: u32 = 31;
/// CAP_MAC_OVERRIDE.
pub const MAC_OVERRIDE: u32 = 32;
/// CAP_MAC_ADMIN.
pub const MAC_ADMIN: u32 = 33;
/// CAP_SYSLOG.
pub const SYSLOG: u32 = 34;
/// CAP_WAKE_ALARM.
pub const WAKE_ALARM: u32 = 35;
/// CAP_BLOCK_SUSPEND.
pub const BLOCK_SUSPEND: u32 = 36;
/// CAP_AUDIT_READ.
pub const AUDIT_READ: u32 = 37;
/// CAP_PERFMON.
pub const PERFMON: u32 = 38;
/// CAP_BPF.
pub const BPF: u32 = 39;
/// CAP_CHECKPOINT_RESTORE.
pub const CHECKPOINT_RESTORE: u32 = 40;
