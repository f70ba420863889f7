//! How one run of a service takes the place of another. Extensions, which others ignore.

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "DrainTimeoutSec",
        directive: key::DRAIN_TIMEOUT_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "30s",
        summary: said("Says how long a run that was replaced may finish what it is at."),
        ..Row::OURS
    },
    Row {
        name: "ReplaceMode",
        directive: key::REPLACE_MODE.directive(),
        value: &REPLACE_MODE,
        default_text: "auto",
        summary: said("Says whether two runs may be up while one replaces the other."),
        ..Row::OURS
    },
];
