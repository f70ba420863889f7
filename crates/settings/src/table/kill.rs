//! Rows: how processes are killed.

use model::key;

use crate::row::Row;
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "FinalKillSignal",
        directive: key::FINAL_KILL_SIGNAL.directive(),
        value: &SIGNAL,
        summary: "Names the last signal of a stop.",
        since: "240",
        bus: "readonly",
        ..Row::FREE
    },
    Row {
        name: "KillMode",
        directive: key::KILL_MODE.directive(),
        value: &KILL_MODE,
        summary: "Says which processes a stop signals.",
        since: "187",
        bus: "readonly",
        ..Row::ASKS
    },
    Row {
        name: "KillSignal",
        directive: key::KILL_SIGNAL.directive(),
        value: &SIGNAL,
        summary: "Names the first signal of a stop.",
        since: "187",
        bus: "readonly",
        ..Row::FREE
    },
    Row {
        name: "RestartKillSignal",
        directive: key::RESTART_KILL_SIGNAL.directive(),
        value: &SIGNAL,
        summary: "Names the first signal of a stop for a restart.",
        since: "244",
        bus: "readonly",
        ..Row::FREE
    },
    Row {
        name: "SendSIGHUP",
        directive: key::SEND_SIGHUP.directive(),
        value: &BOOL,
        summary: "Sends SIGHUP after the first signal, for shells.",
        since: "207",
        bus: "readonly",
        ..Row::FREE
    },
    Row {
        name: "SendSIGKILL",
        directive: key::SEND_SIGKILL.directive(),
        value: &BOOL,
        summary: "Says whether what is left after the timeout is killed.",
        since: "187",
        bus: "readonly",
        ..Row::ASKS
    },
    Row {
        name: "WatchdogSignal",
        directive: key::WATCHDOG_SIGNAL.directive(),
        value: &SIGNAL,
        summary: "Names the signal for a service that missed its watchdog.",
        since: "240",
        bus: "readonly",
        ..Row::FREE
    },
];
