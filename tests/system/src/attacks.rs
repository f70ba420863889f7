//! What a sandbox must stop: each act, and the error that refuses it.

use crate::attack::Proof::{After, Controlled, Seen};
use crate::attack::{Attack, attack};

/// A root that is not the host's, with the host's programs.
const ROOTED: &[&str] = &[
    "RootDirectory=$ROOM/root",
    "BindReadOnlyPaths=/usr $ROOM/attacker",
    "MountAPIVFS=no",
];
const WITH_PROGRAMS: &[&str] = &["BindReadOnlyPaths=/usr $ROOM/attacker"];
const NO_MOUNTS: &[&str] = &["CapabilityBoundingSet=~CAP_SYS_ADMIN"];
const AS_GAMES: &[&str] = &["User=games"];
const AS_USER: &[&str] = &["User=daemon"];

/// What stops each act, by directive, and the error that refuses it.
pub const ATTACKS: &[Attack] = &[
    // Files and mounts.
    attack("BindPaths", "read $ROOM/covered/secret", "ENOENT").with("$ROOM/open:$ROOM/covered"),
    attack("BindReadOnlyPaths", "create $ROOM/open/new", "EROFS").with("$ROOM/open"),
    attack(
        "InaccessibleDirectories",
        "read $ROOM/covered/secret",
        "ENOENT",
    )
    .under_profile("EACCES")
    .with("$ROOM/covered"),
    attack("InaccessiblePaths", "read $ROOM/covered/secret", "ENOENT")
        .under_profile("EACCES")
        .with("$ROOM/covered"),
    attack("TemporaryFileSystem", "read $ROOM/covered/secret", "ENOENT").with("$ROOM/covered"),
    attack("MountAPIVFS", "find /proc/planted", "ENOENT").on(ROOTED),
    attack("MountFlags", "mount-for $ROOM/empty $PEER", "nothing")
        .under_profile("EPERM")
        .with("private"),
    attack("NoExecPaths", "execute-copy $ROOM/open/run", "EACCES")
        .under_profile("EROFS")
        .with("$ROOM/open"),
    attack("PrivateMounts", "mount-for $ROOM/empty $PEER", "nothing").under_profile("EPERM"),
    attack("PrivateTmp", "read $SECRET_TMP/secret", "ENOENT"),
    attack("PrivateTmp", "read $SECRET_VAR_TMP/secret", "ENOENT"),
    attack("ProtectControlGroups", "make-folder $GROUP/attack", "EROFS"),
    attack("ProtectControlGroups", "make-group $ROOM/empty", "EPERM").on(NO_MOUNTS),
    attack("ProtectControlGroups", "make-group $ROOM/empty", "EPERM")
        .with("strict")
        .on(NO_MOUNTS),
    attack("ProtectControlGroups", "make-group $ROOM/empty", "EPERM").on(&["PrivateUsers=self"]),
    attack("ProtectHome", "read $SECRET_HOME/secret", "ENOENT").under_profile("EACCES"),
    attack("ProtectSystem", "create $ROOM/open/new", "EROFS"),
    attack("ProtectSystem", "write /etc/hostname", "EROFS").under_profile("EACCES"),
    attack("ReadOnlyDirectories", "create $ROOM/open/new", "EROFS").with("$ROOM/open"),
    attack("ReadOnlyPaths", "create $ROOM/open/new", "EROFS").with("$ROOM/open"),
    attack("RootEphemeral", "leave /etc/$NAME", "ENOENT")
        .with("yes")
        .on(&[
            "RootDirectory=$ROOM/root",
            "BindReadOnlyPaths=/usr $ROOM/attacker",
        ])
        .proven(Seen("remove $ROOM/root/etc/$NAME")),
    attack("RootDirectory", "read $ROOM/secret", "ENOENT")
        .with("$ROOM/root")
        .on(WITH_PROGRAMS),
    attack("RootDirectory", "escape-up $ROOM/secret", "ENOENT")
        .with("$ROOM/root")
        .on(WITH_PROGRAMS),
    attack("RootDirectory", "escape-chroot $ROOM/secret", "ENOENT")
        .under_profile("EPERM")
        .with("$ROOM/root")
        .on(WITH_PROGRAMS),
    attack("RootDirectory", "escape-descriptor $ROOM/secret", "ENOENT")
        .with("$ROOM/root")
        .on(WITH_PROGRAMS),
    attack("RootMStack", "read $ROOM/secret", "ENOENT")
        .with("$ROOM/root.mstack")
        .on(WITH_PROGRAMS),
    attack("RootMStack", "escape-up $ROOM/secret", "ENOENT")
        .with("$ROOM/root.mstack")
        .on(WITH_PROGRAMS),
    attack("UMask", "create-open $ROOM/open/mine", "nothing").under_profile("EROFS"),
    // Devices and the kernel's own files.
    attack("PrivateDevices", "read $DISK", "ENOENT"),
    attack("PrivateDevices", "write $DISK", "ENOENT"),
    attack("PrivateDevices", "make-device $ROOM/open/disk", "EPERM").under_profile("EROFS"),
    attack("DeviceAllow", "read $DISK", "EPERM")
        .under_profile("ENOENT")
        .with("/dev/full r"),
    attack("DevicePolicy", "read $DISK", "EPERM")
        .under_profile("ENOENT")
        .with("closed"),
    attack("DevicePolicy", "read /dev/full", "EPERM")
        .with("strict")
        .on(&["StandardInput=data"]),
    attack("DevicePolicy", "make-device $ROOM/open/disk", "EPERM")
        .under_profile("EROFS")
        .with("closed"),
    attack("ProtectClock", "read $DISK", "EPERM").under_profile("ENOENT"),
    attack("PrivateBPF", "find /sys/fs/bpf/silence", "ENOENT")
        .with("yes")
        .on(&["BindPaths=$ROOM/fs:/sys/fs"]),
    attack("ProcSubset", "read /proc/meminfo", "ENOENT"),
    attack("ProtectKernelLogs", "read-kernel-log", "EPERM"),
    attack("ProtectKernelLogs", "read /dev/kmsg", "nothing").under_profile("ENOENT"),
    attack("ProtectKernelTunables", "read /proc/kallsyms", "nothing").under_profile("ENOENT"),
    attack(
        "ProtectKernelTunables",
        "rewrite /proc/sys/vm/swappiness",
        "EROFS",
    )
    .under_profile("ENOENT"),
    attack(
        "ProtectKernelTunables",
        "rewrite /proc/sys/kernel/core_pattern",
        "EROFS",
    )
    .under_profile("ENOENT"),
    attack(
        "ProtectKernelTunables",
        "write /sys/kernel/mm/transparent_hugepage/enabled",
        "EROFS",
    )
    .under_profile("EACCES"),
    attack("ProtectKernelModules", "init-module", "EPERM"),
    attack("ProtectKernelModules", "finit-module", "EPERM"),
    attack("ProtectKernelModules", "delete-module", "EPERM"),
    // What all of the machine shares.
    attack("ProtectClock", "adjust-clock", "EPERM"),
    attack("ProtectClock", "set-clock", "EPERM"),
    attack("ProtectClock", "set-time-of-day", "EPERM"),
    attack("ProtectHostname", "set-host-name", "EPERM"),
    attack("ProtectHostname", "set-domain-name", "EPERM"),
    attack(
        "ProtectHostname",
        "rewrite /proc/sys/kernel/hostname",
        "EROFS",
    )
    .under_profile("ENOENT"),
    attack("PrivateNetwork", "connect 127.0.0.1:$PORT", "ECONNREFUSED"),
    attack("PrivateNetwork", "connect-abstract $NAME", "ECONNREFUSED"),
    attack("BindNetworkInterface", "free-socket", "nothing").with("lo"),
    attack("BPFProgram", "send 127.0.0.1:9", "EPERM").with("egress:$PINNED"),
    attack("IPAddressDeny", "send 127.0.0.1:9", "EPERM").with("any"),
    attack("IPAddressDeny", "send [::1]:9", "EPERM").with("localhost"),
    attack("IPAddressDeny", "send 127.0.0.1:9", "EPERM")
        .with("any")
        .on(&["IPAddressAllow=127.0.0.2 10.0.0.0/8 ::1"]),
    attack("IPEgressFilterPath", "send 127.0.0.1:9", "EPERM").with("$PINNED"),
    // With a second command, which finds the program there.
    attack("IPEgressFilterPath", "send 127.0.0.1:9", "EPERM")
        .with("$PINNED")
        .on(&["ExecStartPre=/bin/true"]),
    attack("IPAddressDeny", "send 127.0.0.1:9", "EPERM")
        .with("any")
        .on(&["ExecStartPre=/bin/true"]),
    attack("IPIngressFilterPath", "hear 127.0.0.1:0", "nothing").with("$PINNED"),
    attack("RestrictNetworkInterfaces", "send 127.0.0.1:9", "EPERM").with("~lo"),
    attack("RestrictNetworkInterfaces", "send 127.0.0.1:9", "EPERM").with("absent0"),
    attack("SocketBindDeny", "bind 127.0.0.1:0", "EPERM").with("any"),
    attack("SocketBindDeny", "bind [::1]:0", "EPERM").with("tcp"),
    attack("RestrictAddressFamilies", "packet-socket", "EAFNOSUPPORT"),
    attack("RestrictAddressFamilies", "io-uring", "EPERM"),
    attack(
        "RestrictAddressFamilies",
        "bind 127.0.0.1:0",
        "EAFNOSUPPORT",
    )
    .with("~AF_INET"),
    attack(
        "RestrictAddressFamilies",
        "connect 127.0.0.1:$PORT",
        "EAFNOSUPPORT",
    )
    .with("~AF_INET"),
    // Other processes and their objects.
    attack("PrivatePIDs", "signal $PEER", "ESRCH"),
    attack("PrivatePIDs", "see $PEER", "nothing"),
    attack("PrivatePIDs", "trace $PEER", "ESRCH").under_profile("EPERM"),
    attack("PrivatePIDs", "take-descriptor $PEER", "ESRCH"),
    attack("PrivatePIDs", "read /proc/$PEER/root$ROOM/secret", "ENOENT"),
    attack("ProtectProc", "see $PEER", "nothing").on(AS_USER),
    attack("PrivateIPC", "attach $SEGMENT", "ENOENT"),
    attack("PrivateIPC", "find-queue $QUEUE", "ENOENT"),
    attack("KeyringMode", "find-key", "ENOKEY")
        .on(&["KeyringMode=inherit"])
        .proven(After("plant-key")),
    attack("RemoveIPC", "keep-segment $KEY", "ENOENT")
        .on(AS_GAMES)
        .proven(Seen("find-segment $KEY")),
    attack("RemoveIPC", "keep-messages $KEY", "ENOENT")
        .on(AS_GAMES)
        .proven(Seen("find-messages $KEY")),
    attack("RemoveIPC", "keep-semaphores $KEY", "ENOENT")
        .on(AS_GAMES)
        .proven(Seen("find-semaphores $KEY")),
    attack("RemoveIPC", "keep-queue $NAME", "ENOENT")
        .on(AS_GAMES)
        .proven(Seen("find-queue $NAME")),
    attack("RemoveIPC", "leave /dev/shm/$NAME", "ENOENT")
        .on(AS_GAMES)
        .proven(Seen("find /dev/shm/$NAME")),
    attack("DynamicUser", "leave /tmp/$NAME", "ENOENT").proven(Seen("remove /tmp/$NAME")),
    attack("DynamicUser", "leave /var/tmp/$NAME", "ENOENT").proven(Seen("remove /var/tmp/$NAME")),
    attack("DynamicUser", "leave $ROOM/open/left", "ENOENT").proven(Seen("remove $ROOM/open/left")),
    // Privileges.
    attack("DynamicUser", "read /etc/shadow", "EACCES"),
    attack("CapabilityBoundingSet", "change-owner $ROOM/open", "EPERM").under_profile("EROFS"),
    attack("CapabilityBoundingSet", "change-root", "EPERM"),
    attack("CapabilityBoundingSet", "raw-socket", "EPERM"),
    attack("CapabilityBoundingSet", "mount $ROOM/empty", "EPERM"),
    attack("CapabilityBoundingSet", "unmount $ROOM/empty", "EPERM"),
    attack("CapabilityBoundingSet", "enter net", "EPERM"),
    attack("CapabilityBoundingSet", "trace $PEER", "EPERM"),
    attack("CapabilityBoundingSet", "set-clock", "EPERM"),
    attack("CapabilityBoundingSet", "set-host-name", "EPERM"),
    attack("CapabilityBoundingSet", "bind 127.0.0.1:81", "EACCES"),
    attack("CapabilityBoundingSet", "hang-up", "EPERM"),
    attack(
        "CapabilityBoundingSet",
        "open-by-handle $ROOM/secret",
        "EPERM",
    ),
    attack("CapabilityBoundingSet", "raise-ambient", "EPERM"),
    // Another error where the kernel has given up this call for those without the privilege.
    attack("CapabilityBoundingSet", "push-input", "EPERM|EIO"),
    attack(
        "CapabilityBoundingSet",
        "make-device $ROOM/open/disk",
        "EPERM",
    )
    .under_profile("EROFS"),
    attack("CapabilityBoundingSet", "reboot", "EPERM"),
    attack("CapabilityBoundingSet", "swap-on", "EPERM"),
    attack("CapabilityBoundingSet", "perf-events", "EACCES").under_profile("EPERM"),
    attack("CapabilityBoundingSet", "bpf", "EPERM"),
    attack("CapabilityBoundingSet", "set-scheduler", "EPERM"),
    attack("PrivateUsers", "change-owner $ROOM/open", "EINVAL").under_profile("EROFS"),
    attack("PrivateUsers", "set-host-name", "EPERM"),
    attack("PrivateUsers", "mount $ROOM/empty", "EPERM"),
    attack("PrivateUsers", "reboot", "EPERM"),
    attack("NoNewPrivileges", "execute $ROOM/set-id am-root", "nothing").on(AS_USER),
    attack("SecureBits", "change-owner $ROOM/open", "EPERM")
        .under_profile("EROFS")
        .with("noroot noroot-locked"),
    attack("RestrictSUIDSGID", "set-id chmod $ROOM/open/set", "EPERM").under_profile("EROFS"),
    attack("RestrictSUIDSGID", "set-id creat $ROOM/open/set", "EPERM"),
    attack("RestrictSUIDSGID", "set-id fchmod $ROOM/open/set", "EPERM").under_profile("EROFS"),
    attack(
        "RestrictSUIDSGID",
        "set-id fchmodat $ROOM/open/set",
        "EPERM",
    )
    .under_profile("EROFS"),
    attack(
        "RestrictSUIDSGID",
        "set-id fchmodat2 $ROOM/open/set",
        "EPERM",
    )
    .under_profile("EROFS"),
    attack("RestrictSUIDSGID", "set-id mknod $ROOM/open/set", "EPERM"),
    attack("RestrictSUIDSGID", "set-id mknodat $ROOM/open/set", "EPERM"),
    attack("RestrictSUIDSGID", "set-id open $ROOM/open/set", "EPERM"),
    attack("RestrictSUIDSGID", "set-id openat $ROOM/open/set", "EPERM"),
    attack(
        "RestrictSUIDSGID",
        "set-id openat2 $ROOM/open/set",
        "ENOSYS",
    ),
    // Doors of the kernel.
    attack("ProtectKeyRing", "plant-key", "EPERM").with("yes"),
    attack("ProtectKeyRing", "find-key", "EPERM")
        .with("yes")
        .on(&["KeyringMode=inherit"])
        .proven(After("plant-key")),
    attack("ProtectMount", "mount $ROOM/empty", "EPERM").with("yes"),
    attack("ProtectMount", "unmount $ROOM/empty", "EPERM").with("yes"),
    attack("ProtectMount", "fsopen", "EPERM").with("yes"),
    attack("ProtectMount", "move-mount", "EPERM").with("yes"),
    attack("ProtectMount", "pivot-root", "EPERM").with("yes"),
    attack("ProtectTracing", "trace $PEER", "EPERM").with("yes"),
    attack("ProtectTracing", "take-descriptor $PEER", "EPERM")
        .under_profile("ESRCH")
        .with("yes"),
    attack("ProtectTracing", "perf-events", "EPERM").with("yes"),
    attack("ProtectTracing", "read-memory $PEER", "EPERM").with("yes"),
    attack("LockPersonality", "personality 262144", "EPERM"),
    attack("MemoryDenyWriteExecute", "map-write-execute", "EPERM"),
    attack("MemoryDenyWriteExecute", "protect-execute", "EPERM"),
    attack("MemoryDenyWriteExecute", "pkey-protect-execute", "EPERM"),
    attack("MemoryDenyWriteExecute", "attach-execute $SEGMENT", "EPERM").under_profile("ENOENT"),
    attack("RestrictNamespaces", "unshare cgroup", "EPERM"),
    attack("RestrictNamespaces", "clone cgroup", "EPERM"),
    attack("RestrictNamespaces", "clone3 cgroup", "ENOSYS"),
    attack("RestrictNamespaces", "enter cgroup", "EPERM"),
    attack("RestrictNamespaces", "unshare ipc", "EPERM"),
    attack("RestrictNamespaces", "clone ipc", "EPERM"),
    attack("RestrictNamespaces", "clone3 ipc", "ENOSYS"),
    attack("RestrictNamespaces", "enter ipc", "EPERM"),
    attack("RestrictNamespaces", "unshare mnt", "EPERM"),
    attack("RestrictNamespaces", "clone mnt", "EPERM"),
    attack("RestrictNamespaces", "clone3 mnt", "ENOSYS"),
    attack("RestrictNamespaces", "enter mnt", "EPERM"),
    attack("RestrictNamespaces", "unshare net", "EPERM"),
    attack("RestrictNamespaces", "clone net", "EPERM"),
    attack("RestrictNamespaces", "clone3 net", "ENOSYS"),
    attack("RestrictNamespaces", "enter net", "EPERM"),
    attack("RestrictNamespaces", "unshare pid", "EPERM"),
    attack("RestrictNamespaces", "clone pid", "EPERM"),
    attack("RestrictNamespaces", "clone3 pid", "ENOSYS"),
    attack("RestrictNamespaces", "enter pid", "EPERM"),
    attack("RestrictNamespaces", "unshare time", "EPERM"),
    attack("RestrictNamespaces", "clone3 time", "ENOSYS"),
    attack("RestrictNamespaces", "enter time", "EPERM"),
    attack("RestrictNamespaces", "unshare user", "EPERM"),
    attack("RestrictNamespaces", "clone user", "EPERM"),
    attack("RestrictNamespaces", "clone3 user", "ENOSYS"),
    attack("RestrictNamespaces", "unshare uts", "EPERM"),
    attack("RestrictNamespaces", "clone uts", "EPERM"),
    attack("RestrictNamespaces", "clone3 uts", "ENOSYS"),
    attack("RestrictNamespaces", "enter uts", "EPERM"),
    attack("RestrictNamespaces", "unshare user", "EPERM").on(AS_USER),
    attack("RestrictRealtime", "set-scheduler", "EPERM"),
    attack("RestrictRealtime", "set-scheduling", "EPERM"),
    attack("SystemCallArchitectures", "i386-call", "SIGSYS"),
    attack("SystemCallArchitectures", "x32-call", "SIGSYS"),
    attack("SystemCallFilter", "mount $ROOM/empty", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "unmount $ROOM/empty", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "fsopen", "SIGSYS").under_profile("EPERM"),
    attack("CapabilityBoundingSet", "open-tree", "EPERM"),
    attack("SystemCallFilter", "move-mount", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "pivot-root", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "trace $PEER", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "take-descriptor $PEER", "SIGSYS").under_profile("ESRCH"),
    attack("SystemCallFilter", "kexec", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "reboot", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "swap-on", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "swap-off", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "quota", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "init-module", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "bpf", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "perf-events", "SIGSYS").under_profile("EPERM"),
    attack("CapabilityBoundingSet", "user-faults", "EPERM"),
    attack("SystemCallFilter", "open-by-handle $ROOM/secret", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "set-clock", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "read-kernel-log", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "hang-up", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "change-root", "SIGSYS").under_profile("EPERM"),
    attack("SystemCallFilter", "execute-memory", "SIGSYS")
        .under_profile("EPERM")
        .with("~memfd_create"),
    // Without it a refused call is the end of who makes it.
    attack(
        "SystemCallErrorNumber",
        "fsopen; test $? = 159 && echo reached",
        "EPERM",
    )
    .on(&["SystemCallFilter=@system-service"]),
    // What is bounded.
    attack("MemoryMax", "exhaust-memory 200", "SIGKILL")
        .with("64M")
        .proven(Controlled("memory")),
    attack("TasksMax", "exhaust-processes 30", "EAGAIN")
        .with("20")
        .proven(Controlled("pids")),
];
