//! Rows: what a service can do: privileges, namespaces, system calls.

use model::key;

use crate::row::{FromImage, Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "CapabilityBoundingSet",
        directive: key::CAPABILITY_BOUNDING_SET.directive(),
        value: &BOUNDING_SET,
        summary: said("Bounds the capabilities that the service and its children can ever have."),
        weight: 14025,
        from_image: FromImage::Asks,
        bus: said("t"),
        ..Row::RESTRICTS
    },
    Row {
        name: "AmbientCapabilities",
        directive: key::AMBIENT_CAPABILITIES.directive(),
        value: &AMBIENT_SET,
        summary: said("Gives capabilities to a service that doesn't run as root."),
        since: said("229"),
        weight: 500,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "DynamicUser",
        directive: key::DYNAMIC_USER.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Runs the service as a user that exists only while it runs."),
        since: said("232"),
        weight: 2000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "KeyringMode",
        directive: key::KEYRING_MODE.directive(),
        value: &KEYRING_MODE,
        default_text: "private",
        summary: said("Says which kernel keyring the service's session has."),
        since: said("235"),
        weight: 1000,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "LockPersonality",
        directive: key::LOCK_PERSONALITY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service from changing its execution domain."),
        since: said("235"),
        weight: 100,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "MemoryDenyWriteExecute",
        directive: key::MEMORY_DENY_WRITE_EXECUTE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Forbids memory that is writable and executable."),
        since: said("231"),
        weight: 100,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "MountAPIVFS",
        directive: key::MOUNT_API_VFS.directive(),
        value: &TRISTATE,
        summary: said("Mounts the kernel's own file systems into the service's root directory."),
        since: said("233"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "MountFlags",
        directive: key::MOUNT_FLAGS.directive(),
        value: &MOUNT_PROPAGATION,
        default_text: "shared",
        summary: said("Says whether mounts travel between the host and the service."),
        bus: said("t"),
        ..Row::RESTRICTS
    },
    Row {
        name: "NoNewPrivileges",
        directive: key::NO_NEW_PRIVILEGES.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps programs from gaining privileges when they are executed."),
        since: said("187"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateBPF",
        directive: key::PRIVATE_BPF.directive(),
        value: &PRIVATE_BPF,
        default_text: "no",
        summary: said("Gives the service a BPF file system of its own."),
        since: said("258"),
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateDevices",
        directive: key::PRIVATE_DEVICES.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Gives the service a /dev with only the harmless devices."),
        since: said("209"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateIPC",
        directive: key::PRIVATE_IPC.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Gives the service IPC objects of its own."),
        since: said("248"),
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateMounts",
        directive: key::PRIVATE_MOUNTS.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service's mounts from reaching the host."),
        since: said("239"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateNetwork",
        directive: key::PRIVATE_NETWORK.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Gives the service a network of its own with only a loopback interface."),
        weight: 2500,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivatePIDs",
        directive: key::PRIVATE_PIDS.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Shows the service only its own processes."),
        since: said("257"),
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateTmp",
        directive: key::PRIVATE_TMP.directive(),
        value: &PRIVATE_TMP,
        default_text: "no",
        summary: said("Gives the service its own /tmp and /var/tmp."),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateUsers",
        directive: key::PRIVATE_USERS.directive(),
        value: &PRIVATE_USERS,
        default_text: "no",
        summary: said("Maps users into a namespace where the service has no power over the host."),
        since: said("232"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProcSubset",
        directive: key::PROC_SUBSET.directive(),
        value: &PROC_SUBSET,
        default_text: "all",
        summary: said("Leaves only processes in the service's /proc."),
        since: said("247"),
        weight: 10,
        may_reduce: true,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectClock",
        directive: key::PROTECT_CLOCK.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service from setting the clock."),
        since: said("245"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectControlGroups",
        directive: key::PROTECT_CONTROL_GROUPS.directive(),
        value: &PROTECT_CONTROL_GROUPS,
        default_text: "no",
        summary: said("Keeps the service from changing control groups."),
        since: said("232"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectHome",
        directive: key::PROTECT_HOME.directive(),
        value: &PROTECT_HOME,
        default_text: "no",
        summary: said("Hides the users' home directories or makes them read-only."),
        since: said("214"),
        weight: 1000,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectHostname",
        directive: key::PROTECT_HOSTNAME.directive(),
        value: &PROTECT_HOSTNAME,
        default_text: "no",
        summary: said("Keeps the service from changing the host's name."),
        since: said("242"),
        weight: 50,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKernelLogs",
        directive: key::PROTECT_KERNEL_LOGS.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service from the kernel's log."),
        since: said("244"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKernelModules",
        directive: key::PROTECT_KERNEL_MODULES.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service from loading kernel modules."),
        since: said("232"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKernelTunables",
        directive: key::PROTECT_KERNEL_TUNABLES.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Makes the kernel's settings in /proc and /sys read-only."),
        since: said("232"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKeyRing",
        directive: key::PROTECT_KEY_RING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service from the kernel's keyrings."),
        ..Row::EXTENDS
    },
    Row {
        name: "ProtectMount",
        directive: key::PROTECT_MOUNT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service from changing what is mounted."),
        ..Row::EXTENDS
    },
    Row {
        name: "ProtectProc",
        directive: key::PROTECT_PROC.directive(),
        value: &PROTECT_PROC,
        default_text: "default",
        summary: said("Hides the processes of other users in /proc."),
        since: said("247"),
        weight: 1000,
        may_reduce: true,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectSystem",
        directive: key::PROTECT_SYSTEM.directive(),
        value: &PROTECT_SYSTEM,
        default_text: "no",
        summary: said("Makes the directories of the system read-only."),
        since: said("214"),
        weight: 1000,
        bus: said("s"),
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectTracing",
        directive: key::PROTECT_TRACING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service from looking into other processes and steering them."),
        ..Row::EXTENDS
    },
    Row {
        name: "RemoveIPC",
        directive: key::REMOVE_IPC.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Removes the IPC objects of the service's user when the service has ended."),
        since: said("232"),
        weight: 100,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictAddressFamilies",
        directive: key::RESTRICT_ADDRESS_FAMILIES.directive(),
        value: &ADDRESS_FAMILIES,
        summary: said("Allows sockets of the named address families only."),
        since: said("211"),
        weight: 3975,
        bus: said("(bas)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictFileSystems",
        directive: key::RESTRICT_FILE_SYSTEMS.directive(),
        value: &FILE_SYSTEMS,
        summary: said("Allows files on the named kinds of file systems only."),
        since: said("250"),
        bus: said("(bas)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictNamespaces",
        directive: key::RESTRICT_NAMESPACES.directive(),
        value: &NAMESPACE_SET,
        default_text: "no",
        summary: said("Allows only the named kinds of namespaces to be made or entered."),
        since: said("233"),
        weight: 4100,
        bus: said("t"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictRealtime",
        directive: key::RESTRICT_REALTIME.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service from realtime scheduling."),
        since: said("231"),
        weight: 500,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictSUIDSGID",
        directive: key::RESTRICT_SUID_SGID.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Keeps the service from making set-user-id and set-group-id files."),
        since: said("242"),
        weight: 1000,
        bus: said("b"),
        ..Row::RESTRICTS
    },
    Row {
        name: "SecureBits",
        directive: key::SECURE_BITS.directive(),
        value: &SECURE_BITS,
        summary: said("Sets the bits that keep root from regaining capabilities."),
        bus: said("i"),
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallArchitectures",
        directive: key::SYSTEM_CALL_ARCHITECTURES.directive(),
        value: &ARCHITECTURES,
        summary: said("Allows system calls of the named architectures only."),
        since: said("209"),
        weight: 1000,
        bus: said("as"),
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallErrorNumber",
        directive: key::SYSTEM_CALL_ERROR_NUMBER.directive(),
        value: &SYSCALL_ACTION,
        summary: said(
            "Says with which error a filtered system call fails instead of killing the process.",
        ),
        since: said("209"),
        bus: said("i"),
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallFilter",
        directive: key::SYSTEM_CALL_FILTER.directive(),
        value: &CALL_FILTER,
        summary: said("Allows or denies system calls by name or group."),
        since: said("187"),
        weight: 8900,
        bus: said("(bas)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallLog",
        directive: key::SYSTEM_CALL_LOG.directive(),
        value: &SYSCALL_FILTER,
        summary: said("Logs the named system calls."),
        since: said("247"),
        bus: said("(bas)"),
        ..Row::FREE
    },
    Row {
        name: "DelegateNamespaces",
        directive: key::DELEGATE_NAMESPACES.directive(),
        value: &DELEGATED_NAMESPACES,
        default_text: "no",
        summary: said("Says which namespaces belong to the service's own user namespace."),
        since: said("258"),
        bus: said("t"),
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegateAttachments",
        directive: key::BPF_DELEGATE_ATTACHMENTS.directive(),
        value: &DELEGATED_NAMES,
        summary: said("Hands BPF attachment types over by a token."),
        since: said("258"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegateCommands",
        directive: key::BPF_DELEGATE_COMMANDS.directive(),
        value: &DELEGATED_NAMES,
        summary: said("Hands BPF commands over by a token."),
        since: said("258"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegateMaps",
        directive: key::BPF_DELEGATE_MAPS.directive(),
        value: &DELEGATED_NAMES,
        summary: said("Hands BPF map types over by a token."),
        since: said("258"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegatePrograms",
        directive: key::BPF_DELEGATE_PROGRAMS.directive(),
        value: &DELEGATED_NAMES,
        summary: said("Hands BPF program types over by a token."),
        since: said("258"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "AppArmorProfile",
        directive: key::APPARMOR_PROFILE.directive(),
        value: &TEXT,
        summary: said("Runs the service under an AppArmor profile."),
        since: said("210"),
        from_image: FromImage::Never,
        bus: said("(bs)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "SELinuxContext",
        directive: key::SELINUX_CONTEXT.directive(),
        value: &TEXT,
        summary: said("Runs the service in an SELinux context."),
        since: said("209"),
        from_image: FromImage::Never,
        bus: said("(bs)"),
        ..Row::RESTRICTS
    },
    Row {
        name: "SmackProcessLabel",
        directive: key::SMACK_PROCESS_LABEL.directive(),
        value: &TEXT,
        summary: said("Runs the service with a SMACK label."),
        since: said("218"),
        from_image: FromImage::Never,
        bus: said("(bs)"),
        ..Row::RESTRICTS
    },
];
