//! Rows: [Mount], [Automount], [Swap], [Slice] and [Scope].

use model::key;

use crate::row::{Row, later};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "DirectoryMode",
        directive: key::AUTOMOUNT_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: "Sets the permissions of directories made for the mount point.",
        bus: "u",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "ExtraOptions",
        directive: key::EXTRA_OPTIONS.directive(),
        value: &TEXT,
        summary: "Adds options to the automount file system.",
        since: "250",
        bus: "s",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "TimeoutIdleSec",
        directive: key::TIMEOUT_IDLE_SEC.directive(),
        value: &TIMEOUT,
        summary: "Unmounts after this long without use.",
        since: "220",
        bus: "t",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "Where",
        directive: key::AUTOMOUNT_WHERE.directive(),
        value: &PLAIN_PATH,
        summary: "Names the mount point.",
        bus: "s",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "DirectoryMode",
        directive: key::MOUNT_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: "Sets the permissions of directories made for the mount point.",
        bus: "u",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "ForceUnmount",
        directive: key::FORCE_UNMOUNT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Unmounts even when the file system doesn't answer.",
        since: "232",
        bus: "b",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "LazyUnmount",
        directive: key::LAZY_UNMOUNT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Unmounts at once and cleans up later.",
        since: "232",
        bus: "b",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "Options",
        directive: key::MOUNT_OPTIONS.directive(),
        value: &TEXT,
        summary: "Sets the mount options.",
        bus: "s",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "ReadWriteOnly",
        directive: key::READ_WRITE_ONLY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Fails where a file system can't be mounted writable.",
        since: "246",
        bus: "b",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "SloppyOptions",
        directive: key::SLOPPY_OPTIONS.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Ignores unknown mount options.",
        since: "215",
        bus: "b",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "TimeoutSec",
        directive: key::MOUNT_TIMEOUT_SEC.directive(),
        value: &TIMEOUT,
        summary: "Bounds how long mounting takes.",
        bus: "t",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "Type",
        directive: key::MOUNT_TYPE.directive(),
        value: &TEXT,
        summary: "Names the kind of file system.",
        bus: "s",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "What",
        directive: key::MOUNT_WHAT.directive(),
        value: &TEXT,
        summary: "Names what is mounted.",
        bus: "s",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "Where",
        directive: key::MOUNT_WHERE.directive(),
        value: &PLAIN_PATH,
        summary: "Names the mount point.",
        bus: "s",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "Options",
        directive: key::SWAP_OPTIONS.directive(),
        value: &TEXT,
        summary: "Sets the options of the swap area.",
        since: "217",
        bus: "s",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "Priority",
        directive: key::SWAP_PRIORITY.directive(),
        value: &SIGNED,
        default_text: "-1",
        summary: "Sets the priority of the swap area.",
        bus: "i",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "TimeoutSec",
        directive: key::SWAP_TIMEOUT_SEC.directive(),
        value: &TIMEOUT,
        summary: "Bounds how long adding the swap area takes.",
        bus: "t",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "What",
        directive: key::SWAP_WHAT.directive(),
        value: &TEXT,
        summary: "Names the swap area.",
        bus: "s",
        status: later::MOUNTS,
        ..Row::NEVER
    },
    Row {
        name: "ActivatingConcurrencyMax",
        directive: key::ACTIVATING_CONCURRENCY_MAX.directive(),
        value: &COUNT,
        summary: "Bounds how many units of the slice are starting at once.",
        since: "262",
        bus: "u",
        status: later::GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "ConcurrencyHardMax",
        directive: key::CONCURRENCY_HARD_MAX.directive(),
        value: &COUNT,
        summary: "Bounds how many units of the slice are active at once.",
        since: "258",
        bus: "u",
        status: later::GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "ConcurrencySoftMax",
        directive: key::CONCURRENCY_SOFT_MAX.directive(),
        value: &COUNT,
        summary: "Holds starts back above this many active units in the slice.",
        since: "258",
        bus: "u",
        status: later::GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "OOMPolicy",
        directive: key::SCOPE_OOM_POLICY.directive(),
        value: &OOM_POLICY,
        default_text: "stop",
        summary: "Says what follows when the kernel kills for lack of memory.",
        since: "253",
        bus: "s",
        status: later::GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "RuntimeMaxSec",
        directive: key::SCOPE_RUNTIME_MAX_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "infinity",
        summary: "Bounds how long the scope lives.",
        since: "244",
        bus: "t",
        status: later::GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "RuntimeRandomizedExtraSec",
        directive: key::SCOPE_RUNTIME_RANDOMIZED_EXTRA_SEC.directive(),
        value: &TIME_SPAN,
        summary: "Adds a random time to RuntimeMaxSec=.",
        since: "250",
        bus: "t",
        status: later::GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "TimeoutStopSec",
        directive: key::SCOPE_TIMEOUT_STOP_SEC.directive(),
        value: &TIMEOUT,
        default_text: "1min 30s",
        summary: "Bounds how long the scope takes to stop.",
        since: "188",
        bus: "t",
        status: later::GROUPS,
        ..Row::NEVER
    },
];
