//! The lines of the exposure score: names, weights and rules are those of `systemd-analyze security` of version 262.

use model::key;
use model::value::*;

use super::Subject;
use super::rules::*;

/// One line of the score.
#[derive(Debug)]
pub(crate) struct Assessor {
    /// The directive that closes what this line is about.
    pub(crate) name: &'static str,
    /// The line's name in JSON.
    pub(crate) field: &'static str,
    /// How much it counts.
    pub(crate) weight: u32,
    /// The worst value.
    pub(crate) range: u32,
    /// What the service can do where it is open.
    pub(crate) what: &'static str,
    /// 0 where it is closed, up to the range; `None` where it says nothing about this unit.
    pub(crate) assess: fn(&Subject) -> Option<u32>,
}

macro_rules! lines {
    ($($name:literal $field:literal $weight:literal / $range:literal $what:literal $assess:expr;)*) => {
        /// Every line, in the order in which the reference has them.
        #[rustfmt::skip]
        pub(crate) const ASSESSORS: &[Assessor] = &[$(Assessor {
            name: $name, field: $field, weight: $weight, range: $range, what: $what, assess: $assess,
        },)*];
    };
}

lines! {
    "User=/DynamicUser=" "UserOrDynamicUser" 2000 / 10 "run as root"
        user;
    "SupplementaryGroups=" "SupplementaryGroups" 200 / 1 "use further groups"
        groups;
    "PrivateDevices=" "PrivateDevices" 1000 / 1 "reach the machine's devices"
        |of| open(!of.on(&key::PRIVATE_DEVICES));
    "PrivateMounts=" "PrivateMounts" 1000 / 1 "mount in the host's view"
        |of| open(!of.has_own_mounts());
    "PrivateNetwork=" "PrivateNetwork" 2500 / 1 "use the host's network"
        |of| open(!of.on(&key::PRIVATE_NETWORK));
    "PrivateTmp=" "PrivateTmp" 1000 / 1 "see the temporary files of others"
        |of| of.with_dependencies(u32::from(of.value(&key::PRIVATE_TMP) == PrivateTmp::No));
    "PrivateUsers=" "PrivateUsers" 1000 / 1 "act as users of the host"
        |of| open(of.value(&key::PRIVATE_USERS) == PrivateUsers::No);
    "ProtectControlGroups=" "ProtectControlGroups" 1000 / 1 "change control groups"
        |of| open(of.value(&key::PROTECT_CONTROL_GROUPS) == ProtectControlGroups::No);
    "ProtectKernelModules=" "ProtectKernelModules" 1000 / 1 "load or read kernel modules"
        |of| open(!of.on(&key::PROTECT_KERNEL_MODULES));
    "ProtectKernelTunables=" "ProtectKernelTunables" 1000 / 1 "change settings of the kernel"
        |of| open(!of.on(&key::PROTECT_KERNEL_TUNABLES));
    "ProtectKernelLogs=" "ProtectKernelLogs" 1000 / 1 "read the kernel's log"
        |of| open(!of.on(&key::PROTECT_KERNEL_LOGS));
    "ProtectClock=" "ProtectClock" 1000 / 1 "set the clocks"
        |of| open(!of.on(&key::PROTECT_CLOCK));
    "ProtectHome=" "ProtectHome" 1000 / 10 "reach home directories"
        home;
    "ProtectHostname=" "ProtectHostname" 50 / 1 "change the host's name"
        |of| open(of.value(&key::PROTECT_HOSTNAME) == ProtectHostname::No);
    "ProtectSystem=" "ProtectSystem" 1000 / 10 "write to the operating system's files"
        system;
    "RootDirectory=/RootImage=" "RootDirectoryOrRootImage" 200 / 1 "see the host's files"
        root;
    "LockPersonality=" "LockPersonality" 100 / 1 "change its execution domain"
        |of| open(!of.on(&key::LOCK_PERSONALITY));
    "MemoryDenyWriteExecute=" "MemoryDenyWriteExecute" 100 / 1 "make memory both writable and executable"
        |of| open(!of.on(&key::MEMORY_DENY_WRITE_EXECUTE));
    "NoNewPrivileges=" "NoNewPrivileges" 1000 / 1 "gain privileges by executing programs"
        |of| open(!of.on(&key::NO_NEW_PRIVILEGES));
    "CapabilityBoundingSet=~CAP_SYS_ADMIN" "CapabilityBoundingSet_CAP_SYS_ADMIN" 1500 / 1 "administer the system"
        |of| of.keeps(&["CAP_SYS_ADMIN"]);
    "CapabilityBoundingSet=~CAP_SET(UID|GID|PCAP)" "CapabilityBoundingSet_CAP_SET_UID_GID_PCAP" 1500 / 1 "become other users or gain capabilities"
        |of| of.keeps(&["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]);
    "CapabilityBoundingSet=~CAP_SYS_PTRACE" "CapabilityBoundingSet_CAP_SYS_PTRACE" 1500 / 1 "look into other processes"
        |of| of.keeps(&["CAP_SYS_PTRACE"]);
    "CapabilityBoundingSet=~CAP_SYS_TIME" "CapabilityBoundingSet_CAP_SYS_TIME" 1000 / 1 "set the system's clock"
        |of| of.keeps(&["CAP_SYS_TIME"]);
    "CapabilityBoundingSet=~CAP_NET_ADMIN" "CapabilityBoundingSet_CAP_NET_ADMIN" 1000 / 1 "configure networks"
        |of| of.keeps(&["CAP_NET_ADMIN"]);
    "CapabilityBoundingSet=~CAP_SYS_RAWIO" "CapabilityBoundingSet_CAP_SYS_RAWIO" 1000 / 1 "reach ports and disks directly"
        |of| of.keeps(&["CAP_SYS_RAWIO"]);
    "CapabilityBoundingSet=~CAP_SYS_MODULE" "CapabilityBoundingSet_CAP_SYS_MODULE" 1000 / 1 "load modules into the kernel"
        |of| of.keeps(&["CAP_SYS_MODULE"]);
    "CapabilityBoundingSet=~CAP_AUDIT_*" "CapabilityBoundingSet_CAP_AUDIT" 500 / 1 "use the audit subsystem"
        |of| of.keeps(&["CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE"]);
    "CapabilityBoundingSet=~CAP_SYSLOG" "CapabilityBoundingSet_CAP_SYSLOG" 500 / 1 "use the kernel's log as a privileged process"
        |of| of.keeps(&["CAP_SYSLOG"]);
    "CapabilityBoundingSet=~CAP_SYS_(NICE|RESOURCE)" "CapabilityBoundingSet_CAP_SYS_NICE_RESOURCE" 500 / 1 "raise priorities and limits"
        |of| of.keeps(&["CAP_SYS_NICE", "CAP_SYS_RESOURCE"]);
    "CapabilityBoundingSet=~CAP_MKNOD" "CapabilityBoundingSet_CAP_MKNOD" 500 / 1 "make device nodes"
        |of| of.keeps(&["CAP_MKNOD"]);
    "CapabilityBoundingSet=~CAP_(CHOWN|FSETID|SETFCAP)" "CapabilityBoundingSet_CAP_CHOWN_FSETID_SETFCAP" 1000 / 1 "change owners and modes of any file"
        |of| of.keeps(&["CAP_CHOWN", "CAP_FSETID", "CAP_SETFCAP"]);
    "CapabilityBoundingSet=~CAP_(DAC_*|FOWNER|IPC_OWNER)" "CapabilityBoundingSet_CAP_DAC_FOWNER_IPC_OWNER" 1000 / 1 "pass over permissions of files and IPC objects"
        |of| of.keeps(&["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_IPC_OWNER"]);
    "CapabilityBoundingSet=~CAP_KILL" "CapabilityBoundingSet_CAP_KILL" 500 / 1 "signal any process"
        |of| of.keeps(&["CAP_KILL"]);
    "CapabilityBoundingSet=~CAP_NET_(BIND_SERVICE|BROADCAST|RAW)" "CapabilityBoundingSet_CAP_NET_BIND_SERVICE_BROADCAST_RAW" 500 / 1 "use low ports, broadcasts and raw sockets"
        |of| of.keeps(&["CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW"]);
    "CapabilityBoundingSet=~CAP_SYS_BOOT" "CapabilityBoundingSet_CAP_SYS_BOOT" 100 / 1 "reboot the machine"
        |of| of.keeps(&["CAP_SYS_BOOT"]);
    "CapabilityBoundingSet=~CAP_MAC_*" "CapabilityBoundingSet_CAP_MAC" 100 / 1 "change mandatory access control"
        |of| of.keeps(&["CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE"]);
    "CapabilityBoundingSet=~CAP_LINUX_IMMUTABLE" "CapabilityBoundingSet_CAP_LINUX_IMMUTABLE" 75 / 1 "make files immutable"
        |of| of.keeps(&["CAP_LINUX_IMMUTABLE"]);
    "CapabilityBoundingSet=~CAP_IPC_LOCK" "CapabilityBoundingSet_CAP_IPC_LOCK" 50 / 1 "lock memory"
        |of| of.keeps(&["CAP_IPC_LOCK"]);
    "CapabilityBoundingSet=~CAP_SYS_CHROOT" "CapabilityBoundingSet_CAP_SYS_CHROOT" 50 / 1 "change its root directory"
        |of| of.keeps(&["CAP_SYS_CHROOT"]);
    "CapabilityBoundingSet=~CAP_BLOCK_SUSPEND" "CapabilityBoundingSet_CAP_BLOCK_SUSPEND" 25 / 1 "keep the machine awake"
        |of| of.keeps(&["CAP_BLOCK_SUSPEND"]);
    "CapabilityBoundingSet=~CAP_WAKE_ALARM" "CapabilityBoundingSet_CAP_WAKE_ALARM" 25 / 1 "wake the machine up"
        |of| of.keeps(&["CAP_WAKE_ALARM"]);
    "CapabilityBoundingSet=~CAP_LEASE" "CapabilityBoundingSet_CAP_LEASE" 25 / 1 "take leases on files"
        |of| of.keeps(&["CAP_LEASE"]);
    "CapabilityBoundingSet=~CAP_SYS_TTY_CONFIG" "CapabilityBoundingSet_CAP_SYS_TTY_CONFIG" 25 / 1 "configure terminals"
        |of| of.keeps(&["CAP_SYS_TTY_CONFIG"]);
    "CapabilityBoundingSet=~CAP_SYS_PACCT" "CapabilityBoundingSet_CAP_SYS_PACCT" 25 / 1 "switch process accounting"
        |of| of.keeps(&["CAP_SYS_PACCT"]);
    "CapabilityBoundingSet=~CAP_BPF" "CapabilityBoundingSet_CAP_BPF" 25 / 1 "load BPF programs"
        |of| of.keeps(&["CAP_BPF"]);
    "UMask=" "UMask" 100 / 10 "make files that others may read or write"
        mask;
    "KeyringMode=" "KeyringMode" 1000 / 1 "share keys with other services"
        |of| open(of.value(&key::KEYRING_MODE) != KeyringMode::Private);
    "ProtectProc=" "ProtectProc" 1000 / 3 "see processes of others"
        processes;
    "ProcSubset=" "ProcSubset" 10 / 1 "read what /proc says of the system"
        |of| open(of.value(&key::PROC_SUBSET) != ProcSubset::Pid);
    "NotifyAccess=" "NotifyAccess" 1000 / 1 "have any of its processes speak to the manager"
        |of| open(of.value(&key::NOTIFY_ACCESS) == NotifyAccess::All);
    "RemoveIPC=" "RemoveIPC" 100 / 1 "leave IPC objects behind"
        ipc;
    "Delegate=" "Delegate" 100 / 1 "manage its own control groups"
        |of| open(of.value(&key::DELEGATE) != Delegate::No);
    "RestrictRealtime=" "RestrictRealtime" 500 / 1 "run with realtime priority"
        |of| open(!of.on(&key::RESTRICT_REALTIME));
    "RestrictSUIDSGID=" "RestrictSUIDSGID" 1000 / 1 "make setuid and setgid files"
        |of| open(!of.on(&key::RESTRICT_SUID_SGID));
    "RestrictNamespaces=~user" "RestrictNamespaces_user" 1500 / 1 "make user namespaces"
        |of| of.makes("user");
    "RestrictNamespaces=~mnt" "RestrictNamespaces_mnt" 500 / 1 "make mount namespaces"
        |of| of.makes("mnt");
    "RestrictNamespaces=~ipc" "RestrictNamespaces_ipc" 500 / 1 "make IPC namespaces"
        |of| of.makes("ipc");
    "RestrictNamespaces=~pid" "RestrictNamespaces_pid" 500 / 1 "make process namespaces"
        |of| of.makes("pid");
    "RestrictNamespaces=~cgroup" "RestrictNamespaces_cgroup" 500 / 1 "make control group namespaces"
        |of| of.makes("cgroup");
    "RestrictNamespaces=~net" "RestrictNamespaces_net" 500 / 1 "make network namespaces"
        |of| of.makes("net");
    "RestrictNamespaces=~uts" "RestrictNamespaces_uts" 100 / 1 "make namespaces of host names"
        |of| of.makes("uts");
    "RestrictAddressFamilies=~AF_(INET|INET6)" "RestrictAddressFamilies_AF_INET_INET6" 1500 / 1 "open IP sockets"
        |of| of.opens(&[2, 10]);
    "RestrictAddressFamilies=~AF_UNIX" "RestrictAddressFamilies_AF_UNIX" 25 / 1 "open local sockets"
        |of| of.opens(&[1]);
    "RestrictAddressFamilies=~AF_NETLINK" "RestrictAddressFamilies_AF_NETLINK" 200 / 1 "open netlink sockets"
        |of| of.opens(&[16]);
    "RestrictAddressFamilies=~AF_PACKET" "RestrictAddressFamilies_AF_PACKET" 1000 / 1 "open packet sockets"
        |of| of.opens(&[17]);
    "RestrictAddressFamilies=~…" "RestrictAddressFamilies_OTHER" 1250 / 1 "open sockets of rare kinds"
        Subject::opens_others;
    "SystemCallArchitectures=" "SystemCallArchitectures" 1000 / 10 "make system calls of other architectures"
        architectures;
    "SystemCallFilter=~@swap" "SystemCallFilter_swap" 1000 / 10 "switch swap"
        |of| of.calls("@swap");
    "SystemCallFilter=~@obsolete" "SystemCallFilter_obsolete" 250 / 10 "make obsolete calls"
        |of| of.calls("@obsolete");
    "SystemCallFilter=~@clock" "SystemCallFilter_clock" 1000 / 10 "make calls that set clocks"
        |of| of.calls("@clock");
    "SystemCallFilter=~@cpu-emulation" "SystemCallFilter_cpu_emulation" 250 / 10 "make calls that emulate processors"
        |of| of.calls("@cpu-emulation");
    "SystemCallFilter=~@debug" "SystemCallFilter_debug" 1000 / 10 "make calls that debug processes"
        |of| of.calls("@debug");
    "SystemCallFilter=~@mount" "SystemCallFilter_mount" 1000 / 10 "make calls that mount"
        |of| of.calls("@mount");
    "SystemCallFilter=~@module" "SystemCallFilter_module" 1000 / 10 "make calls that load modules"
        |of| of.calls("@module");
    "SystemCallFilter=~@raw-io" "SystemCallFilter_raw_io" 1000 / 10 "make calls that reach hardware"
        |of| of.calls("@raw-io");
    "SystemCallFilter=~@reboot" "SystemCallFilter_reboot" 1000 / 10 "make calls that reboot"
        |of| of.calls("@reboot");
    "SystemCallFilter=~@privileged" "SystemCallFilter_privileged" 700 / 10 "make calls that only the privileged need"
        |of| of.calls("@privileged");
    "SystemCallFilter=~@resources" "SystemCallFilter_resources" 700 / 10 "make calls that change priorities and limits"
        |of| of.calls("@resources");
    "IPAddressDeny=" "IPAddressDeny" 1000 / 10 "speak to any address"
        addresses;
    "DeviceAllow=" "DeviceAllow" 1000 / 10 "open any device"
        devices;
    "AmbientCapabilities=" "AmbientCapabilities" 500 / 1 "begin with capabilities"
        |of| open(!of.value(&key::AMBIENT_CAPABILITIES).is_empty());
}
