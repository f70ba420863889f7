//! Rows: limits, standard streams and logs.

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "LimitAS",
        directive: key::LIMIT_AS.directive(),
        value: &LIMIT_BYTES,
        summary: said("Bounds the size of the address space."),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "LimitCORE",
        directive: key::LIMIT_CORE.directive(),
        value: &LIMIT_BYTES,
        summary: said("Bounds the size of core dumps."),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "LimitCPU",
        directive: key::LIMIT_CPU.directive(),
        value: &LIMIT_SECONDS,
        summary: said("Bounds the processor time of each process."),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "LimitDATA",
        directive: key::LIMIT_DATA.directive(),
        value: &LIMIT_BYTES,
        summary: said("Bounds the size of data segments."),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "LimitFSIZE",
        directive: key::LIMIT_FSIZE.directive(),
        value: &LIMIT_BYTES,
        summary: said("Bounds the size of files that are written."),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "LimitLOCKS",
        directive: key::LIMIT_LOCKS.directive(),
        value: &RESOURCE_LIMIT,
        summary: said("Bounds the number of file locks, on kernels that have this."),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "LimitMEMLOCK",
        directive: key::LIMIT_MEMLOCK.directive(),
        value: &LIMIT_BYTES,
        summary: said("Bounds the memory that is kept from swapping."),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "LimitMSGQUEUE",
        directive: key::LIMIT_MSGQUEUE.directive(),
        value: &LIMIT_BYTES,
        summary: said("Bounds the bytes in POSIX message queues."),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "LimitNICE",
        directive: key::LIMIT_NICE.directive(),
        value: &LIMIT_NICE,
        summary: said("Bounds how far the nice level can be raised."),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "LimitNOFILE",
        directive: key::LIMIT_NOFILE.directive(),
        value: &RESOURCE_LIMIT,
        summary: said("Bounds the number of open descriptors."),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "LimitNPROC",
        directive: key::LIMIT_NPROC.directive(),
        value: &RESOURCE_LIMIT,
        summary: said("Bounds the number of processes of the user."),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "LimitRSS",
        directive: key::LIMIT_RSS.directive(),
        value: &LIMIT_BYTES,
        summary: said("Bounds the resident memory, on kernels that have this."),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "LimitRTPRIO",
        directive: key::LIMIT_RTPRIO.directive(),
        value: &RESOURCE_LIMIT,
        summary: said("Bounds the realtime priority."),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "LimitRTTIME",
        directive: key::LIMIT_RTTIME.directive(),
        value: &LIMIT_MICROS,
        summary: said("Bounds realtime processor time without a pause."),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "LimitSIGPENDING",
        directive: key::LIMIT_SIGPENDING.directive(),
        value: &RESOURCE_LIMIT,
        summary: said("Bounds the number of queued signals."),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "LimitSTACK",
        directive: key::LIMIT_STACK.directive(),
        value: &LIMIT_BYTES,
        summary: said("Bounds the size of the stack."),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "LogExtraFields",
        directive: key::LOG_EXTRA_FIELDS.directive(),
        value: &WORDS,
        summary: said("Adds fields to each of the service's log entries."),
        since: said("236"),
        bus: said("aay"),
        ..Row::FREE
    },
    Row {
        name: "LogFilterPatterns",
        directive: key::LOG_FILTER_PATTERNS.directive(),
        value: &LOG_PATTERNS,
        summary: said("Keeps log lines that match, or don't match, a pattern."),
        since: said("253"),
        bus: said("a(bs)"),
        ..Row::FREE
    },
    Row {
        name: "LogLevelMax",
        directive: key::LOG_LEVEL_MAX.directive(),
        value: &LOG_LEVEL,
        default_text: "debug",
        summary: said("Drops log lines that are less severe."),
        since: said("236"),
        bus: said("i"),
        ..Row::FREE
    },
    Row {
        name: "LogNamespace",
        directive: key::LOG_NAMESPACE.directive(),
        value: &LOG_NAMESPACE,
        summary: said("Sends the log to another journal."),
        since: said("245"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "LogRateLimitBurst",
        directive: key::LOG_RATE_LIMIT_BURST.directive(),
        value: &COUNT,
        default_text: "10000",
        summary: said("Says how many log lines are taken in one interval."),
        since: said("240"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "LogRateLimitIntervalSec",
        directive: key::LOG_RATE_LIMIT_INTERVAL_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "30s",
        summary: said("Sets the interval of the log's rate limit."),
        since: said("240"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "StandardError",
        directive: key::STANDARD_ERROR.directive(),
        value: &STANDARD_OUTPUT,
        default_text: "inherit",
        summary: said("Says where standard error goes."),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "StandardInput",
        directive: key::STANDARD_INPUT.directive(),
        value: &STANDARD_INPUT,
        default_text: "null",
        summary: said("Says where standard input comes from."),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "StandardInputData",
        directive: key::STANDARD_INPUT_DATA.directive(),
        value: &BYTES,
        summary: said("Gives bytes, in Base64, for standard input."),
        since: said("236"),
        bus: said("ay"),
        ..Row::FREE
    },
    Row {
        name: "StandardInputText",
        directive: key::STANDARD_INPUT_TEXT.directive(),
        value: &INPUT_TEXT,
        summary: said("Gives a line of text for standard input."),
        since: said("236"),
        stands_for: &(&[key::STANDARD_INPUT_DATA.directive()] as &[_]),
        ..Row::FREE
    },
    Row {
        name: "StandardOutput",
        directive: key::STANDARD_OUTPUT.directive(),
        value: &STANDARD_OUTPUT,
        default_text: "journal",
        summary: said("Says where standard output goes."),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "SyslogFacility",
        directive: key::SYSLOG_FACILITY.directive(),
        value: &LOG_FACILITY,
        default_text: "daemon",
        summary: said("Sets the facility of log lines."),
        bus: said("i"),
        ..Row::FREE
    },
    Row {
        name: "SyslogIdentifier",
        directive: key::SYSLOG_IDENTIFIER.directive(),
        value: &TEXT,
        summary: said("Sets the name before log lines."),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "SyslogLevel",
        directive: key::SYSLOG_LEVEL.directive(),
        value: &LOG_LEVEL,
        default_text: "info",
        summary: said("Sets the severity of log lines that don't say their own."),
        bus: said("i"),
        ..Row::FREE
    },
    Row {
        name: "SyslogLevelPrefix",
        directive: key::SYSLOG_LEVEL_PREFIX.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said(
            "Says whether a number in angle brackets at the start of a line is its severity.",
        ),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "TTYColumns",
        directive: key::TTY_COLUMNS.directive(),
        value: &COUNT,
        summary: said("Sets the width of the terminal."),
        since: said("250"),
        bus: said("q"),
        ..Row::NEVER
    },
    Row {
        name: "TTYPath",
        directive: key::TTY_PATH.directive(),
        value: &TEXT,
        summary: said("Names the terminal."),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "TTYReset",
        directive: key::TTY_RESET.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Resets the terminal before and after."),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "TTYRows",
        directive: key::TTY_ROWS.directive(),
        value: &COUNT,
        summary: said("Sets the height of the terminal."),
        since: said("250"),
        bus: said("q"),
        ..Row::NEVER
    },
    Row {
        name: "TTYVHangup",
        directive: key::TTY_VHANGUP.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Hangs up everyone on the terminal before and after."),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "TTYVTDisallocate",
        directive: key::TTY_VT_DISALLOCATE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Clears the virtual terminal before and after."),
        bus: said("b"),
        ..Row::NEVER
    },
];
