//! How what a service stores is copied while it is whole. Extensions, which others ignore.

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "BackupCommand",
        directive: key::BACKUP_COMMAND.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands in the running service before its state is copied."),
        ..Row::OURS
    },
    Row {
        name: "BackupMode",
        directive: key::BACKUP_MODE.directive(),
        value: &BACKUP_MODE,
        default_text: "freeze",
        summary: said("Says what the service does while its state is copied."),
        ..Row::OURS
    },
];
