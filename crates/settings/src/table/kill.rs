//! Rows: how processes are killed.

use model::key;

use crate::row::Row;
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "FinalKillSignal",
        directive: key::FINAL_KILL_SIGNAL.directive(),
        value: &SIGNAL,
        default_text: "SIGKILL",
        summary: "Names the last signal of a stop.",
        since: "240",
        bus: "i",
        ..Row::FREE
    },
    Row {
        name: "KillMode",
        directive: key::KILL_MODE.directive(),
        value: &KILL_MODE,
        default_text: "control-group",
        summary: "Says which processes a stop signals.",
        since: "187",
        bus: "s",
        ..Row::ASKS
    },
    Row {
        name: "KillSignal",
        directive: key::KILL_SIGNAL.directive(),
        value: &SIGNAL,
        default_text: "SIGTERM",
        summary: "Names the first signal of a stop.",
        since: "187",
        bus: "i",
        ..Row::FREE
    },
    Row {
        name: "RestartKillSignal",
        directive: key::RESTART_KILL_SIGNAL.directive(),
        value: &SIGNAL,
        summary: "Names the first signal of a stop for a restart.",
        since: "244",
        bus: "i",
        ..Row::FREE
    },
    Row {
        name: "SendSIGHUP",
        directive: key::SEND_SIGHUP.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Sends SIGHUP after the first signal, for shells.",
        since: "207",
        bus: "b",
        ..Row::FREE
    },
    Row {
        name: "SendSIGKILL",
        directive: key::SEND_SIGKILL.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: "Says whether what is left after the timeout is killed.",
        since: "187",
        bus: "b",
        ..Row::ASKS
    },
    Row {
        name: "WatchdogSignal",
        directive: key::WATCHDOG_SIGNAL.directive(),
        value: &SIGNAL,
        default_text: "SIGABRT",
        summary: "Names the signal for a service that missed its watchdog.",
        since: "240",
        bus: "i",
        ..Row::FREE
    },
];
