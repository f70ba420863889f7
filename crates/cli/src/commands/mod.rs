//! The verbs, one file each; files that hold several hold verbs that differ in one word.

pub(crate) mod attach;
pub(crate) mod automounts;
pub(crate) mod backup;
pub(crate) mod build;
pub(crate) mod cat;
pub(crate) mod clean;
pub(crate) mod creds;
pub(crate) mod daemon;
pub(crate) mod edit;
pub(crate) mod enable;
pub(crate) mod environment;
pub(crate) mod escape;
pub(crate) mod explain;
pub(crate) mod freeze;
pub(crate) mod image;
pub(crate) mod image_policy;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod install;
pub(crate) mod is;
pub(crate) mod jobs;
pub(crate) mod kill;
pub(crate) mod list_units;
pub(crate) mod logs;
pub(crate) mod notify_about;
mod of_kind;
pub(crate) mod pages;
pub(crate) mod paths;
pub(crate) mod power;
pub(crate) mod publish;
pub(crate) mod relations;
pub(crate) mod restore;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod run_terminal;
pub(crate) mod run_trigger;
pub(crate) mod scrub;
pub(crate) mod security;
pub(crate) mod set_property;
pub(crate) mod shell;
pub(crate) mod show;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stdio;
pub(crate) mod timers;
pub(crate) mod times;
pub(crate) mod top;
pub(crate) mod trust;
pub(crate) mod unit_files;
pub(crate) mod upgrade;
pub(crate) mod verify;
pub(crate) mod versions;

use anyhow::Result;

use crate::context::Context;

/// What `coracle` without a verb does: the manager's own state.
pub(crate) fn overview(context: &Context) -> Result<u8> {
    status::overview(context)
}
