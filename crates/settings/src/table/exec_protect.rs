//! Rows: what a service can do: privileges, namespaces, system calls.

use model::key;

use crate::row::{FromImage, Row, later};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "CapabilityBoundingSet",
        directive: key::CAPABILITY_BOUNDING_SET.directive(),
        value: &BOUNDING_SET,
        summary: "Bounds the capabilities that the service and its children can ever have.",
        weight: 14025,
        from_image: FromImage::Asks,
        bus: "t",
        ..Row::RESTRICTS
    },
    Row {
        name: "AmbientCapabilities",
        directive: key::AMBIENT_CAPABILITIES.directive(),
        value: &AMBIENT_SET,
        summary: "Gives capabilities to a service that doesn't run as root.",
        since: "229",
        weight: 500,
        bus: "t",
        ..Row::ASKS
    },
    Row {
        name: "DynamicUser",
        directive: key::DYNAMIC_USER.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Runs the service as a user that exists only while it runs.",
        since: "232",
        weight: 2000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "KeyringMode",
        directive: key::KEYRING_MODE.directive(),
        value: &KEYRING_MODE,
        default_text: "private",
        summary: "Says which kernel keyring the service's session has.",
        since: "235",
        weight: 1000,
        bus: "s",
        ..Row::RESTRICTS
    },
    Row {
        name: "LockPersonality",
        directive: key::LOCK_PERSONALITY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Keeps the service from changing its execution domain.",
        since: "235",
        weight: 100,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "MemoryDenyWriteExecute",
        directive: key::MEMORY_DENY_WRITE_EXECUTE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Forbids memory that is writable and executable.",
        since: "231",
        weight: 100,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "MountAPIVFS",
        directive: key::MOUNT_API_VFS.directive(),
        value: &TRISTATE,
        summary: "Mounts the kernel's own file systems into the service's root directory.",
        since: "233",
        bus: "b",
        ..Row::FREE
    },
    Row {
        name: "MountFlags",
        directive: key::MOUNT_FLAGS.directive(),
        value: &MOUNT_PROPAGATION,
        default_text: "shared",
        summary: "Says whether mounts travel between the host and the service.",
        bus: "t",
        ..Row::RESTRICTS
    },
    Row {
        name: "NoNewPrivileges",
        directive: key::NO_NEW_PRIVILEGES.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Keeps programs from gaining privileges when they are executed.",
        since: "187",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateBPF",
        directive: key::PRIVATE_BPF.directive(),
        value: &PRIVATE_BPF,
        default_text: "no",
        summary: "Gives the service a BPF file system of its own.",
        since: "258",
        bus: "s",
        status: later::SANDBOX,
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateDevices",
        directive: key::PRIVATE_DEVICES.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Gives the service a /dev with only the harmless devices.",
        since: "209",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateIPC",
        directive: key::PRIVATE_IPC.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Gives the service IPC objects of its own.",
        since: "248",
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateMounts",
        directive: key::PRIVATE_MOUNTS.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Keeps the service's mounts from reaching the host.",
        since: "239",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateNetwork",
        directive: key::PRIVATE_NETWORK.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Gives the service a network of its own with only a loopback interface.",
        weight: 2500,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivatePIDs",
        directive: key::PRIVATE_PIDS.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Shows the service only its own processes.",
        since: "257",
        bus: "s",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateTmp",
        directive: key::PRIVATE_TMP.directive(),
        value: &PRIVATE_TMP,
        default_text: "no",
        summary: "Gives the service its own /tmp and /var/tmp.",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "PrivateUsers",
        directive: key::PRIVATE_USERS.directive(),
        value: &PRIVATE_USERS,
        default_text: "no",
        summary: "Maps users into a namespace where the service has no power over the host.",
        since: "232",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProcSubset",
        directive: key::PROC_SUBSET.directive(),
        value: &PROC_SUBSET,
        default_text: "all",
        summary: "Leaves only processes in the service's /proc.",
        since: "247",
        weight: 10,
        may_reduce: true,
        bus: "s",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectClock",
        directive: key::PROTECT_CLOCK.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Keeps the service from setting the clock.",
        since: "245",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectControlGroups",
        directive: key::PROTECT_CONTROL_GROUPS.directive(),
        value: &PROTECT_CONTROL_GROUPS,
        default_text: "no",
        summary: "Keeps the service from changing control groups.",
        since: "232",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectHome",
        directive: key::PROTECT_HOME.directive(),
        value: &PROTECT_HOME,
        default_text: "no",
        summary: "Hides the users' home directories or makes them read-only.",
        since: "214",
        weight: 1000,
        bus: "s",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectHostname",
        directive: key::PROTECT_HOSTNAME.directive(),
        value: &PROTECT_HOSTNAME,
        default_text: "no",
        summary: "Keeps the service from changing the host's name.",
        since: "242",
        weight: 50,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKernelLogs",
        directive: key::PROTECT_KERNEL_LOGS.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Keeps the service from the kernel's log.",
        since: "244",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKernelModules",
        directive: key::PROTECT_KERNEL_MODULES.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Keeps the service from loading kernel modules.",
        since: "232",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectKernelTunables",
        directive: key::PROTECT_KERNEL_TUNABLES.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Makes the kernel's settings in /proc and /sys read-only.",
        since: "232",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectProc",
        directive: key::PROTECT_PROC.directive(),
        value: &PROTECT_PROC,
        default_text: "default",
        summary: "Hides the processes of other users in /proc.",
        since: "247",
        weight: 1000,
        may_reduce: true,
        bus: "s",
        ..Row::RESTRICTS
    },
    Row {
        name: "ProtectSystem",
        directive: key::PROTECT_SYSTEM.directive(),
        value: &PROTECT_SYSTEM,
        default_text: "no",
        summary: "Makes the directories of the system read-only.",
        since: "214",
        weight: 1000,
        bus: "s",
        ..Row::RESTRICTS
    },
    Row {
        name: "RemoveIPC",
        directive: key::REMOVE_IPC.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Removes the IPC objects of the service's user when the service has ended.",
        since: "232",
        weight: 100,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictAddressFamilies",
        directive: key::RESTRICT_ADDRESS_FAMILIES.directive(),
        value: &ADDRESS_FAMILIES,
        summary: "Allows sockets of the named address families only.",
        since: "211",
        weight: 3975,
        bus: "(bas)",
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictFileSystems",
        directive: key::RESTRICT_FILE_SYSTEMS.directive(),
        value: &WORDS,
        summary: "Allows files on the named kinds of file systems only.",
        since: "250",
        bus: "(bas)",
        status: later::BPF,
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictNamespaces",
        directive: key::RESTRICT_NAMESPACES.directive(),
        value: &NAMESPACE_SET,
        default_text: "no",
        summary: "Allows only the named kinds of namespaces to be made or entered.",
        since: "233",
        weight: 4100,
        bus: "t",
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictRealtime",
        directive: key::RESTRICT_REALTIME.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Keeps the service from realtime scheduling.",
        since: "231",
        weight: 500,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "RestrictSUIDSGID",
        directive: key::RESTRICT_SUID_SGID.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Keeps the service from making files with the set-user-id or set-group-id bit.",
        since: "242",
        weight: 1000,
        bus: "b",
        ..Row::RESTRICTS
    },
    Row {
        name: "SecureBits",
        directive: key::SECURE_BITS.directive(),
        value: &SECURE_BITS,
        summary: "Sets the bits that keep root from regaining capabilities.",
        bus: "i",
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallArchitectures",
        directive: key::SYSTEM_CALL_ARCHITECTURES.directive(),
        value: &ARCHITECTURES,
        summary: "Allows system calls of the named architectures only.",
        since: "209",
        weight: 1000,
        bus: "as",
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallErrorNumber",
        directive: key::SYSTEM_CALL_ERROR_NUMBER.directive(),
        value: &SYSCALL_ACTION,
        summary: "Says with which error a filtered system call fails instead of killing the process.",
        since: "209",
        bus: "i",
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallFilter",
        directive: key::SYSTEM_CALL_FILTER.directive(),
        value: &CALL_FILTER,
        summary: "Allows or denies system calls by name or group.",
        since: "187",
        weight: 8900,
        bus: "(bas)",
        ..Row::RESTRICTS
    },
    Row {
        name: "SystemCallLog",
        directive: key::SYSTEM_CALL_LOG.directive(),
        value: &SYSCALL_FILTER,
        summary: "Logs the named system calls.",
        since: "247",
        bus: "(bas)",
        ..Row::FREE
    },
    Row {
        name: "DelegateNamespaces",
        directive: key::DELEGATE_NAMESPACES.directive(),
        value: &DELEGATED_NAMESPACES,
        default_text: "no",
        summary: "Says which namespaces belong to the service's own user namespace.",
        since: "258",
        from_image: FromImage::Never,
        bus: "t",
        status: later::SANDBOX,
        ..Row::RESTRICTS
    },
    Row {
        name: "BPFDelegateAttachments",
        directive: key::BPF_DELEGATE_ATTACHMENTS.directive(),
        value: &DELEGATED_NAMES,
        summary: "Hands BPF attachment types over by a token.",
        since: "258",
        bus: "s",
        status: later::BPF,
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegateCommands",
        directive: key::BPF_DELEGATE_COMMANDS.directive(),
        value: &DELEGATED_NAMES,
        summary: "Hands BPF commands over by a token.",
        since: "258",
        bus: "s",
        status: later::BPF,
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegateMaps",
        directive: key::BPF_DELEGATE_MAPS.directive(),
        value: &DELEGATED_NAMES,
        summary: "Hands BPF map types over by a token.",
        since: "258",
        bus: "s",
        status: later::BPF,
        ..Row::NEVER
    },
    Row {
        name: "BPFDelegatePrograms",
        directive: key::BPF_DELEGATE_PROGRAMS.directive(),
        value: &DELEGATED_NAMES,
        summary: "Hands BPF program types over by a token.",
        since: "258",
        bus: "s",
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
        bus: "(bs)",
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
        bus: "(bs)",
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
        bus: "(bs)",
        status: later::SECURITY_MODULES,
        ..Row::RESTRICTS
    },
];
