//! Rows: [Timer] and [Path].

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "AccuracySec",
        directive: key::ACCURACY_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "1min",
        summary: said("Says how late the timer may elapse."),
        since: said("209"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "DeferReactivation",
        directive: key::DEFER_REACTIVATION.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Skips the times at which the unit still runs."),
        since: said("257"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "FixedRandomDelay",
        directive: key::FIXED_RANDOM_DELAY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Makes the random delay the same every time."),
        since: said("247"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "OnActiveSec",
        directive: key::ON_ACTIVE_SEC.directive(),
        value: &TIMER_SPANS,
        summary: said("Elapses a time after the timer was started."),
        ..Row::FREE
    },
    Row {
        name: "OnBootSec",
        directive: key::ON_BOOT_SEC.directive(),
        value: &TIMER_SPANS,
        summary: said("Elapses a time after the machine was booted."),
        ..Row::FREE
    },
    Row {
        name: "OnCalendar",
        directive: key::ON_CALENDAR.directive(),
        value: &CALENDAR_LIST,
        summary: said("Elapses at times of the calendar."),
        since: said("197"),
        ..Row::FREE
    },
    Row {
        name: "OnClockChange",
        directive: key::ON_CLOCK_CHANGE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Elapses when the clock is set."),
        since: said("242"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "OnStartupSec",
        directive: key::ON_STARTUP_SEC.directive(),
        value: &TIMER_SPANS,
        summary: said("Elapses a time after the manager was started."),
        ..Row::FREE
    },
    Row {
        name: "OnTimezoneChange",
        directive: key::ON_TIMEZONE_CHANGE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Elapses when the time zone is changed."),
        since: said("242"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "OnUnitActiveSec",
        directive: key::ON_UNIT_ACTIVE_SEC.directive(),
        value: &TIMER_SPANS,
        summary: said("Elapses a time after the unit was last active."),
        ..Row::FREE
    },
    Row {
        name: "OnUnitInactiveSec",
        directive: key::ON_UNIT_INACTIVE_SEC.directive(),
        value: &TIMER_SPANS,
        summary: said("Elapses a time after the unit was last inactive."),
        ..Row::FREE
    },
    Row {
        name: "Persistent",
        directive: key::PERSISTENT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Makes up for times that passed while the machine was off."),
        since: said("212"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "RandomizedDelaySec",
        directive: key::RANDOMIZED_DELAY_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Adds a random delay."),
        since: said("229"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "RandomizedOffsetSec",
        directive: key::RANDOMIZED_OFFSET_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Adds a random delay that stays."),
        since: said("258"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "RemainAfterElapse",
        directive: key::REMAIN_AFTER_ELAPSE.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Leaves a timer loaded that won't elapse again."),
        since: said("229"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "Unit",
        directive: key::TIMER_UNIT.directive(),
        value: &UNIT_REFERENCE,
        summary: said("Names the unit that the timer starts."),
        bus: said("s"),
        ..Row::ASKS
    },
    Row {
        name: "WakeSystem",
        directive: key::WAKE_SYSTEM.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Wakes the machine from suspend."),
        since: said("212"),
        bus: said("b"),
        ..Row::ASKS
    },
    Row {
        name: "DirectoryMode",
        directive: key::PATH_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: said("Sets the permissions of directories made for paths."),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "DirectoryNotEmpty",
        directive: key::DIRECTORY_NOT_EMPTY.directive(),
        value: &WATCHED_PATH,
        summary: said("Starts the unit when a directory is not empty."),
        ..Row::ASKS
    },
    Row {
        name: "MakeDirectory",
        directive: key::MAKE_DIRECTORY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Makes the watched directory."),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "PathChanged",
        directive: key::PATH_CHANGED.directive(),
        value: &WATCHED_PATH,
        summary: said("Starts the unit when a file was changed and closed."),
        ..Row::ASKS
    },
    Row {
        name: "PathExists",
        directive: key::PATH_EXISTS.directive(),
        value: &WATCHED_PATH,
        summary: said("Starts the unit when a file is there."),
        ..Row::ASKS
    },
    Row {
        name: "PathExistsGlob",
        directive: key::PATH_EXISTS_GLOB.directive(),
        value: &WATCHED_PATH,
        summary: said("Starts the unit when a file that matches is there."),
        ..Row::ASKS
    },
    Row {
        name: "PathModified",
        directive: key::PATH_MODIFIED.directive(),
        value: &WATCHED_PATH,
        summary: said("Starts the unit when a file is written to."),
        ..Row::ASKS
    },
    Row {
        name: "TriggerLimitBurst",
        directive: key::PATH_TRIGGER_LIMIT_BURST.directive(),
        value: &COUNT,
        default_text: "200",
        summary: said("Says how many starts are tried in one interval."),
        since: said("250"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "TriggerLimitIntervalSec",
        directive: key::PATH_TRIGGER_LIMIT_INTERVAL_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "2s",
        summary: said("Sets the interval of the start limit."),
        since: said("250"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "Unit",
        directive: key::PATH_UNIT.directive(),
        value: &UNIT_REFERENCE,
        summary: said("Names the unit that the path starts."),
        bus: said("s"),
        ..Row::ASKS
    },
];
