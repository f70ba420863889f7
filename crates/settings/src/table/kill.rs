//! Rows: how processes are killed.

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "FinalKillSignal",
        directive: key::FINAL_KILL_SIGNAL.directive(),
        value: &SIGNAL,
        default_text: "SIGKILL",
        summary: said("Names the last signal of a stop."),
        since: said("240"),
        bus: said("i"),
        ..Row::FREE
    },
    Row {
        name: "KillMode",
        directive: key::KILL_MODE.directive(),
        value: &KILL_MODE,
        default_text: "control-group",
        summary: said("Says which processes a stop signals."),
        since: said("187"),
        bus: said("s"),
        ..Row::ASKS
    },
    Row {
        name: "KillSignal",
        directive: key::KILL_SIGNAL.directive(),
        value: &SIGNAL,
        default_text: "SIGTERM",
        summary: said("Names the first signal of a stop."),
        since: said("187"),
        bus: said("i"),
        ..Row::FREE
    },
    Row {
        name: "RestartKillSignal",
        directive: key::RESTART_KILL_SIGNAL.directive(),
        value: &SIGNAL,
        summary: said("Names the first signal of a stop for a restart."),
        since: said("244"),
        bus: said("i"),
        ..Row::FREE
    },
    Row {
        name: "SendSIGHUP",
        directive: key::SEND_SIGHUP.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Sends SIGHUP after the first signal, for shells."),
        since: said("207"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "SendSIGKILL",
        directive: key::SEND_SIGKILL.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Says whether what is left after the timeout is killed."),
        since: said("187"),
        bus: said("b"),
        ..Row::ASKS
    },
    Row {
        name: "WatchdogSignal",
        directive: key::WATCHDOG_SIGNAL.directive(),
        value: &SIGNAL,
        default_text: "SIGABRT",
        summary: said("Names the signal for a service that missed its watchdog."),
        since: said("240"),
        bus: said("i"),
        ..Row::FREE
    },
];
