//! Probes: what asks a service whether it works. Extensions, which others ignore.

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "HealthCommand",
        directive: key::HEALTH_COMMAND.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands that tell whether the service works."),
        ..Row::OURS
    },
    Row {
        name: "HealthHTTP",
        directive: key::HEALTH_HTTP.directive(),
        value: &HEALTH_URL,
        summary: said("Asks the service by HTTP whether it works."),
        ..Row::OURS
    },
    Row {
        name: "HealthIntervalSec",
        directive: key::HEALTH_INTERVAL_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "30s",
        summary: said("Says how often the service is asked whether it works."),
        ..Row::OURS
    },
    Row {
        name: "HealthOnFailure",
        directive: key::HEALTH_ON_FAILURE.directive(),
        value: &HEALTH_ON_FAILURE,
        default_text: "none",
        summary: said("Says what is done with a service that does not work."),
        ..Row::OURS
    },
    Row {
        name: "HealthReady",
        directive: key::HEALTH_READY.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Says whether the service counts as started only once a probe succeeded."),
        ..Row::OURS
    },
    Row {
        name: "HealthRetries",
        directive: key::HEALTH_RETRIES.directive(),
        value: &COUNT,
        default_text: "3",
        summary: said("Says how many failures in a row make the service unhealthy."),
        ..Row::OURS
    },
    Row {
        name: "HealthStartPeriodSec",
        directive: key::HEALTH_START_PERIOD_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "0",
        summary: said("Says how long failures do not count after the start."),
        ..Row::OURS
    },
    Row {
        name: "HealthTCP",
        directive: key::HEALTH_TCP.directive(),
        value: &HEALTH_ADDRESS,
        summary: said("Asks whether the service takes connections at a port."),
        ..Row::OURS
    },
    Row {
        name: "HealthTimeoutSec",
        directive: key::HEALTH_TIMEOUT_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "30s",
        summary: said("Says how long the answer of a probe may take."),
        ..Row::OURS
    },
];
