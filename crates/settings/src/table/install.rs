//! Rows: [Install].

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "Alias",
        directive: key::ALIAS.directive(),
        value: &INSTALL_NAMES,
        summary: said("Gives the unit other names when it is enabled."),
        since: said("201"),
        ..Row::NEVER
    },
    Row {
        name: "Also",
        directive: key::ALSO.directive(),
        value: &INSTALL_NAMES,
        summary: said("Enables other units with this one."),
        since: said("201"),
        ..Row::NEVER
    },
    Row {
        name: "DefaultInstance",
        directive: key::DEFAULT_INSTANCE.directive(),
        value: &TEXT,
        summary: said("Names the instance of a template that is enabled without one."),
        since: said("215"),
        ..Row::FREE
    },
    Row {
        name: "RequiredBy",
        directive: key::REQUIRED_BY.directive(),
        value: &INSTALL_NAMES,
        summary: said("Makes other units require this one when it is enabled."),
        since: said("201"),
        ..Row::NEVER
    },
    Row {
        name: "UpheldBy",
        directive: key::UPHELD_BY.directive(),
        value: &INSTALL_NAMES,
        summary: said("Makes other units uphold this one when it is enabled."),
        since: said("201"),
        ..Row::NEVER
    },
    Row {
        name: "WantedBy",
        directive: key::WANTED_BY.directive(),
        value: &INSTALL_NAMES,
        summary: said("Makes other units want this one when it is enabled."),
        since: said("201"),
        ..Row::ASKS
    },
];
