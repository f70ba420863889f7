//! Rows: [Mount], [Automount], [Swap], [Slice] and [Scope].

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "DirectoryMode",
        directive: key::AUTOMOUNT_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: said("Sets the permissions of directories made for the mount point."),
        bus: said("u"),
        ..Row::NEVER
    },
    Row {
        name: "ExtraOptions",
        directive: key::EXTRA_OPTIONS.directive(),
        value: &TEXT,
        summary: said("Adds options to the automount file system."),
        since: said("250"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "TimeoutIdleSec",
        directive: key::TIMEOUT_IDLE_SEC.directive(),
        value: &TIMEOUT,
        summary: said("Unmounts after this long without use."),
        since: said("220"),
        bus: said("t"),
        ..Row::NEVER
    },
    Row {
        name: "Where",
        directive: key::AUTOMOUNT_WHERE.directive(),
        value: &PLAIN_PATH,
        summary: said("Names the mount point."),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "DirectoryMode",
        directive: key::MOUNT_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: said("Sets the permissions of directories made for the mount point."),
        bus: said("u"),
        ..Row::NEVER
    },
    Row {
        name: "ForceUnmount",
        directive: key::FORCE_UNMOUNT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Unmounts even when the file system doesn't answer."),
        since: said("232"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "LazyUnmount",
        directive: key::LAZY_UNMOUNT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Unmounts at once and cleans up later."),
        since: said("232"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "Options",
        directive: key::MOUNT_OPTIONS.directive(),
        value: &TEXT,
        summary: said("Sets the mount options."),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "ReadWriteOnly",
        directive: key::READ_WRITE_ONLY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Fails where a file system can't be mounted writable."),
        since: said("246"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "SloppyOptions",
        directive: key::SLOPPY_OPTIONS.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Ignores unknown mount options."),
        since: said("215"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "TimeoutSec",
        directive: key::MOUNT_TIMEOUT_SEC.directive(),
        value: &TIMEOUT,
        summary: said("Bounds how long mounting takes."),
        bus: said("t"),
        ..Row::NEVER
    },
    Row {
        name: "Type",
        directive: key::MOUNT_TYPE.directive(),
        value: &TEXT,
        summary: said("Names the kind of file system."),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "What",
        directive: key::MOUNT_WHAT.directive(),
        value: &TEXT,
        summary: said("Names what is mounted."),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "Where",
        directive: key::MOUNT_WHERE.directive(),
        value: &PLAIN_PATH,
        summary: said("Names the mount point."),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "Options",
        directive: key::SWAP_OPTIONS.directive(),
        value: &TEXT,
        summary: said("Sets the options of the swap area."),
        since: said("217"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "Priority",
        directive: key::SWAP_PRIORITY.directive(),
        value: &SIGNED,
        default_text: "-1",
        summary: said("Sets the priority of the swap area."),
        bus: said("i"),
        ..Row::NEVER
    },
    Row {
        name: "TimeoutSec",
        directive: key::SWAP_TIMEOUT_SEC.directive(),
        value: &TIMEOUT,
        summary: said("Bounds how long adding the swap area takes."),
        bus: said("t"),
        ..Row::NEVER
    },
    Row {
        name: "What",
        directive: key::SWAP_WHAT.directive(),
        value: &TEXT,
        summary: said("Names the swap area."),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "ActivatingConcurrencyMax",
        directive: key::ACTIVATING_CONCURRENCY_MAX.directive(),
        value: &COUNT,
        summary: said("Bounds how many units of the slice are starting at once."),
        since: said("262"),
        bus: said("u"),
        ..Row::NEVER
    },
    Row {
        name: "ConcurrencyHardMax",
        directive: key::CONCURRENCY_HARD_MAX.directive(),
        value: &COUNT,
        summary: said("Bounds how many units of the slice are active at once."),
        since: said("258"),
        bus: said("u"),
        ..Row::NEVER
    },
    Row {
        name: "ConcurrencySoftMax",
        directive: key::CONCURRENCY_SOFT_MAX.directive(),
        value: &COUNT,
        summary: said("Holds starts back above this many active units in the slice."),
        since: said("258"),
        bus: said("u"),
        ..Row::NEVER
    },
    Row {
        name: "OOMPolicy",
        directive: key::SCOPE_OOM_POLICY.directive(),
        value: &OOM_POLICY,
        default_text: "stop",
        summary: said("Says what follows when the kernel kills for lack of memory."),
        since: said("253"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "RuntimeMaxSec",
        directive: key::SCOPE_RUNTIME_MAX_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "infinity",
        summary: said("Bounds how long the scope lives."),
        since: said("244"),
        bus: said("t"),
        ..Row::NEVER
    },
    Row {
        name: "RuntimeRandomizedExtraSec",
        directive: key::SCOPE_RUNTIME_RANDOMIZED_EXTRA_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Adds a random time to RuntimeMaxSec=."),
        since: said("250"),
        bus: said("t"),
        ..Row::NEVER
    },
    Row {
        name: "TimeoutStopSec",
        directive: key::SCOPE_TIMEOUT_STOP_SEC.directive(),
        value: &TIMEOUT,
        default_text: "1min 30s",
        summary: said("Bounds how long the scope takes to stop."),
        since: said("188"),
        bus: said("t"),
        ..Row::NEVER
    },
];
