//! Rows: what a service can do: privileges, namespaces, system calls.

use model::key;

use crate::row::{FromImage, Row, later};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "CapabilityBoundingSet",
        directive: key::CAPABILITY_BOUNDING_SET.directive(),
        value: &CAPABILITY_SET,
        summary: "Bounds the capabilities that the service and its children can ever have.",
        weight: 14025,
        from_image: FromImage::Asks,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "AmbientCapabilities",
        directive: key::AMBIENT_CAPABILITIES.directive(),
        value: &CAPABILITY_SET,
        summary: "Gives capabilities to a service that doesn't run as root.",
        since: "229",
        weight: 500,
        bus: "readonly",
        ..Row::ASKS
    },
    Row {
        name: "DynamicUser",
        directive: key::DYNAMIC_USER.directive(),
        value: &BOOL,
        summary: "Runs the service as a user that exists only while it runs.",
        since: "232",
        weight: 2000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "KeyringMode",
        directive: key::KEYRING_MODE.directive(),
        value: &KEYRING_MODE,
        summary: "Says which kernel keyring the service's session has.",
        since: "235",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "LockPersonality",
        directive: key::LOCK_PERSONALITY.directive(),
        value: &BOOL,
        summary: "Keeps the service from changing its execution domain.",
        since: "235",
        weight: 100,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "MemoryDenyWriteExecute",
        directive: key::MEMORY_DENY_WRITE_EXECUTE.directive(),
        value: &BOOL,
        summary: "Forbids memory that is writable and executable.",
        since: "231",
        weight: 100,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "MountAPIVFS",
        directive: key::MOUNT_API_VFS.directive(),
        value: &BOOL,
        summary: "Mounts the kernel's own file systems into the service's root directory.",
        since: "233",
        bus: "readonly",
        ..Row::FREE
    },
    Row {
        name: "MountFlags",
        directive: key::MOUNT_FLAGS.directive(),
        value: &MOUNT_PROPAGATION,
        summary: "Says whether mounts travel between the host and the service.",
        bus: "readonly",
        status: later::SANDBOX,
        ..Row::RESTRICTS
    },
    Row {
        name: "NoNewPrivileges",
        directive: key::NO_NEW_PRIVILEGES.directive(),
        value: &BOOL,
        summary: "Keeps programs from gaining privileges when they are executed.",
        since: "187",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateBPF",
        directive: key::PRIVATE_BPF.directive(),
        value: &PRIVATE_BPF,
        summary: "Gives the service a BPF file system of its own.",
        since: "258",
        bus: "readonly",
        status: later::SANDBOX,
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateDevices",
        directive: key::PRIVATE_DEVICES.directive(),
        value: &BOOL,
        summary: "Gives the service a /dev with only the harmless devices.",
        since: "209",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateIPC",
        directive: key::PRIVATE_IPC.directive(),
        value: &BOOL,
        summary: "Gives the service IPC objects of its own.",
        since: "248",
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateMounts",
        directive: key::PRIVATE_MOUNTS.directive(),
        value: &BOOL,
        summary: "Keeps the service's mounts from reaching the host.",
        since: "239",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateNetwork",
        directive: key::PRIVATE_NETWORK.directive(),
        value: &BOOL,
        summary: "Gives the service a network of its own with only a loopback interface.",
        weight: 2500,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivatePIDs",
        directive: key::PRIVATE_PIDS.directive(),
        value: &BOOL,
        summary: "Shows the service only its own processes.",
        since: "257",
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateTmp",
        directive: key::PRIVATE_TMP.directive(),
        value: &PRIVATE_TMP,
        summary: "Gives the service its own /tmp and /var/tmp.",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateUsers",
        directive: key::PRIVATE_USERS.directive(),
        value: &PRIVATE_USERS,
        summary: "Maps users into a namespace where the service has no power over the host.",
        since: "232",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProcSubset",
        directive: key::PROC_SUBSET.directive(),
        value: &PROC_SUBSET,
        summary: "Leaves only processes in the service's /proc.",
        since: "247",
        weight: 10,
        may_reduce: true,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectClock",
        directive: key::PROTECT_CLOCK.directive(),
        value: &BOOL,
        summary: "Keeps the service from setting the clock.",
        since: "245",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectControlGroups",
        directive: key::PROTECT_CONTROL_GROUPS.directive(),
        value: &PROTECT_CONTROL_GROUPS,
        summary: "Keeps the service from changing control groups.",
        since: "232",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectHome",
        directive: key::PROTECT_HOME.directive(),
        value: &PROTECT_HOME,
        summary: "Hides the users' home directories or makes them read-only.",
        since: "214",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectHostname",
        directive: key::PROTECT_HOSTNAME.directive(),
        value: &PROTECT_HOSTNAME,
        summary: "Keeps the service from changing the host's name.",
        since: "242",
        weight: 50,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKernelLogs",
        directive: key::PROTECT_KERNEL_LOGS.directive(),
        value: &BOOL,
        summary: "Keeps the service from the kernel's log.",
        since: "244",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKernelModules",
        directive: key::PROTECT_KERNEL_MODULES.directive(),
        value: &BOOL,
        summary: "Keeps the service from loading kernel modules.",
        since: "232",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKernelTunables",
        directive: key::PROTECT_KERNEL_TUNABLES.directive(),
        value: &BOOL,
        summary: "Makes the kernel's settings in /proc and /sys read-only.",
        since: "232",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectProc",
        directive: key::PROTECT_PROC.directive(),
        value: &PROTECT_PROC,
        summary: "Hides the processes of other users in /proc.",
        since: "247",
        weight: 1000,
        may_reduce: true,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectSystem",
        directive: key::PROTECT_SYSTEM.directive(),
        value: &PROTECT_SYSTEM,
        summary: "Makes the directories of the system read-only.",
        since: "214",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "RemoveIPC",
        directive: key::REMOVE_IPC.directive(),
        value: &BOOL,
        summary: "Removes the IPC objects of the service's user when the service has ended.",
        since: "232",
        weight: 100,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictAddressFamilies",
        directive: key::RESTRICT_ADDRESS_FAMILIES.directive(),
        value: &ADDRESS_FAMILIES,
        summary: "Allows sockets of the named address families only.",
        since: "211",
        weight: 3975,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictFileSystems",
        directive: key::RESTRICT_FILE_SYSTEMS.directive(),
        value: &WORDS,
        summary: "Allows files on the named kinds of file systems only.",
        since: "250",
        bus: "readonly",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictNamespaces",
        directive: key::RESTRICT_NAMESPACES.directive(),
        value: &NAMESPACE_SET,
        summary: "Allows only the named kinds of namespaces to be made or entered.",
        since: "233",
        weight: 4100,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictRealtime",
        directive: key::RESTRICT_REALTIME.directive(),
        value: &BOOL,
        summary: "Keeps the service from realtime scheduling.",
        since: "231",
        weight: 500,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictSUIDSGID",
        directive: key::RESTRICT_SUID_SGID.directive(),
        value: &BOOL,
        summary: "Keeps the service from making files with the set-user-id or set-group-id bit.",
        since: "242",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "SecureBits",
        directive: key::SECURE_BITS.directive(),
        value: &SECURE_BITS,
        summary: "Sets the bits that keep root from regaining capabilities.",
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallArchitectures",
        directive: key::SYSTEM_CALL_ARCHITECTURES.directive(),
        value: &ARCHITECTURES,
        summary: "Allows system calls of the named architectures only.",
        since: "209",
        weight: 1000,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallErrorNumber",
        directive: key::SYSTEM_CALL_ERROR_NUMBER.directive(),
        value: &SYSCALL_ACTION,
        summary: "Says with which error a filtered system call fails instead of killing the process.",
        since: "209",
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallFilter",
        directive: key::SYSTEM_CALL_FILTER.directive(),
        value: &SYSCALL_FILTER,
        summary: "Allows or denies system calls by name or group.",
        since: "187",
        weight: 8900,
        bus: "readonly",
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallLog",
        directive: key::SYSTEM_CALL_LOG.directive(),
        value: &SYSCALL_FILTER,
        summary: "Logs the named system calls.",
        since: "247",
        bus: "readonly",
        status: later::SANDBOX,
        ..Row::FREE
    },
    Row {
        name: "DelegateNamespaces",
        directive: key::DELEGATE_NAMESPACES.directive(),
        value: &DELEGATED_NAMESPACES,
        summary: "Says which namespaces belong to the service's own user namespace.",
        since: "258",
        from_image: FromImage::Never,
        bus: "readonly",
        status: later::SANDBOX,
        ..Row::RESTRICTS
    },
    Row {
        name: "BPFDelegateAttachments",
        directive: key::BPF_DELEGATE_ATTACHMENTS.directive(),
        value: &DELEGATED_NAMES,
        summary: "Hands BPF attachment types over by a token.",
        since: "258",
        bus: "readonly",
        status: later::BPF,
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegateCommands",
        directive: key::BPF_DELEGATE_COMMANDS.directive(),
        value: &DELEGATED_NAMES,
        summary: "Hands BPF commands over by a token.",
        since: "258",
        bus: "readonly",
        status: later::BPF,
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegateMaps",
        directive: key::BPF_DELEGATE_MAPS.directive(),
        value: &DELEGATED_NAMES,
        summary: "Hands BPF map types over by a token.",
        since: "258",
        bus: "readonly",
        status: later::BPF,
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegatePrograms",
        directive: key::BPF_DELEGATE_PROGRAMS.directive(),
        value: &DELEGATED_NAMES,
        summary: "Hands BPF program types over by a token.",
        since: "258",
        bus: "readonly",
        status: later::BPF,
        ..Row::NEVER
    },
    Row {
        name: "AppArmorProfile",
        directive: key::APPARMOR_PROFILE.directive(),
        value: &TEXT,
        summary: "Runs the service under an AppArmor profile.",
        since: "210",
        from_image: FromImage::Never,
        bus: "readonly",
        status: later::SECURITY_MODULES,
        ..Row::RESTRICTS
    },
    Row {
        name: "SELinuxContext",
        directive: key::SELINUX_CONTEXT.directive(),
        value: &TEXT,
        summary: "Runs the service in an SELinux context.",
        since: "209",
        from_image: FromImage::Never,
        bus: "readonly",
        status: later::SECURITY_MODULES,
        ..Row::RESTRICTS
    },
    Row {
        name: "SmackProcessLabel",
        directive: key::SMACK_PROCESS_LABEL.directive(),
        value: &TEXT,
        summary: "Runs the service with a SMACK label.",
        since: "218",
        from_image: FromImage::Never,
        bus: "readonly",
        status: later::SECURITY_MODULES,
        ..Row::RESTRICTS
    },
];
