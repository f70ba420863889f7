//! Rows: [Timer] and [Path].

use model::key;

use crate::row::{Row, later};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "AccuracySec",
        directive: key::ACCURACY_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "1min",
        summary: "Says how late the timer may elapse.",
        since: "209",
        bus: "t",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "DeferReactivation",
        directive: key::DEFER_REACTIVATION.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Skips the times at which the unit still runs.",
        since: "257",
        bus: "b",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "FixedRandomDelay",
        directive: key::FIXED_RANDOM_DELAY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Makes the random delay the same every time.",
        since: "247",
        bus: "b",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "OnActiveSec",
        directive: key::ON_ACTIVE_SEC.directive(),
        value: &TIMER_SPANS,
        summary: "Elapses a time after the timer was started.",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "OnBootSec",
        directive: key::ON_BOOT_SEC.directive(),
        value: &TIMER_SPANS,
        summary: "Elapses a time after the machine was booted.",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "OnCalendar",
        directive: key::ON_CALENDAR.directive(),
        value: &CALENDAR_LIST,
        summary: "Elapses at times of the calendar.",
        since: "197",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "OnClockChange",
        directive: key::ON_CLOCK_CHANGE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Elapses when the clock is set.",
        since: "242",
        bus: "b",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "OnStartupSec",
        directive: key::ON_STARTUP_SEC.directive(),
        value: &TIMER_SPANS,
        summary: "Elapses a time after the manager was started.",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "OnTimezoneChange",
        directive: key::ON_TIMEZONE_CHANGE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Elapses when the time zone is changed.",
        since: "242",
        bus: "b",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "OnUnitActiveSec",
        directive: key::ON_UNIT_ACTIVE_SEC.directive(),
        value: &TIMER_SPANS,
        summary: "Elapses a time after the unit was last active.",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "OnUnitInactiveSec",
        directive: key::ON_UNIT_INACTIVE_SEC.directive(),
        value: &TIMER_SPANS,
        summary: "Elapses a time after the unit was last inactive.",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "Persistent",
        directive: key::PERSISTENT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Makes up for times that passed while the machine was off.",
        since: "212",
        bus: "b",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "RandomizedDelaySec",
        directive: key::RANDOMIZED_DELAY_SEC.directive(),
        value: &TIME_SPAN,
        summary: "Adds a random delay.",
        since: "229",
        bus: "t",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "RandomizedOffsetSec",
        directive: key::RANDOMIZED_OFFSET_SEC.directive(),
        value: &TIME_SPAN,
        summary: "Adds a random delay that stays.",
        since: "258",
        bus: "t",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "RemainAfterElapse",
        directive: key::REMAIN_AFTER_ELAPSE.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: "Leaves a timer loaded that won't elapse again.",
        since: "229",
        bus: "b",
        status: later::TIMERS,
        ..Row::FREE
    },
    Row {
        name: "Unit",
        directive: key::TIMER_UNIT.directive(),
        value: &UNIT_REFERENCE,
        summary: "Names the unit that the timer starts.",
        bus: "s",
        status: later::TIMERS,
        ..Row::ASKS
    },
    Row {
        name: "WakeSystem",
        directive: key::WAKE_SYSTEM.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Wakes the machine from suspend.",
        since: "212",
        bus: "b",
        status: later::TIMERS,
        ..Row::ASKS
    },
    Row {
        name: "DirectoryMode",
        directive: key::PATH_DIRECTORY_MODE.directive(),
        value: &FILE_MODE,
        default_text: "0755",
        summary: "Sets the permissions of directories made for paths.",
        bus: "u",
        status: later::PATHS,
        ..Row::FREE
    },
    Row {
        name: "DirectoryNotEmpty",
        directive: key::DIRECTORY_NOT_EMPTY.directive(),
        value: &WATCHED_PATH,
        summary: "Starts the unit when a directory is not empty.",
        status: later::PATHS,
        ..Row::ASKS
    },
    Row {
        name: "MakeDirectory",
        directive: key::MAKE_DIRECTORY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Makes the watched directory.",
        bus: "b",
        status: later::PATHS,
        ..Row::ASKS
    },
    Row {
        name: "PathChanged",
        directive: key::PATH_CHANGED.directive(),
        value: &WATCHED_PATH,
        summary: "Starts the unit when a file was changed and closed.",
        status: later::PATHS,
        ..Row::ASKS
    },
    Row {
        name: "PathExists",
        directive: key::PATH_EXISTS.directive(),
        value: &WATCHED_PATH,
        summary: "Starts the unit when a file is there.",
        status: later::PATHS,
        ..Row::ASKS
    },
    Row {
        name: "PathExistsGlob",
        directive: key::PATH_EXISTS_GLOB.directive(),
        value: &WATCHED_PATH,
        summary: "Starts the unit when a file that matches is there.",
        status: later::PATHS,
        ..Row::ASKS
    },
    Row {
        name: "PathModified",
        directive: key::PATH_MODIFIED.directive(),
        value: &WATCHED_PATH,
        summary: "Starts the unit when a file is written to.",
        status: later::PATHS,
        ..Row::ASKS
    },
    Row {
        name: "TriggerLimitBurst",
        directive: key::PATH_TRIGGER_LIMIT_BURST.directive(),
        value: &COUNT,
        default_text: "200",
        summary: "Says how many starts are tried in one interval.",
        since: "250",
        bus: "u",
        status: later::PATHS,
        ..Row::FREE
    },
    Row {
        name: "TriggerLimitIntervalSec",
        directive: key::PATH_TRIGGER_LIMIT_INTERVAL_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "2s",
        summary: "Sets the interval of the start limit.",
        since: "250",
        bus: "t",
        status: later::PATHS,
        ..Row::FREE
    },
    Row {
        name: "Unit",
        directive: key::PATH_UNIT.directive(),
        value: &UNIT_REFERENCE,
        summary: "Names the unit that the path starts.",
        bus: "s",
        status: later::PATHS,
        ..Row::ASKS
    },
];
