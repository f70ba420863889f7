//! `is-active`, `is-failed`: a word for people, an exit status for scripts.

use anyhow::Result;
use clap::Args;
use wire::{ListUnitsRequest, methods::ListUnits};

use crate::context::Context;
use crate::terminal::say;
use crate::verbs::Run;

/// The exit status of systemctl for "no unit is in that state" (LSB: program is not running).
const NOT_SO: u8 = 3;
/// … for a failed check of `is-failed`.
const NOT_FAILED: u8 = 1;

/// Options of `is-active`.
#[derive(Args, Debug)]
pub(crate) struct IsActive {
    /// Units or patterns
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
}

/// Options of `is-failed`.
#[derive(Args, Debug)]
pub(crate) struct IsFailed {
    /// Units or patterns
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
}

impl Run for IsActive {
    fn run(self, context: &Context) -> Result<u8> {
        check(context, &self.names, &["active", "reloading"], NOT_SO)
    }
}

impl Run for IsFailed {
    fn run(self, context: &Context) -> Result<u8> {
        check(context, &self.names, &["failed"], NOT_FAILED)
    }
}

/// Prints each unit's state; succeeds when one of them is in one of `wanted`. Where no manager runs, everything is inactive.
fn check(context: &Context, names: &[String], wanted: &[&str], otherwise: u8) -> Result<u8> {
    let mut states = Vec::new();
    for name in names {
        states.push(state(context, name)?);
    }
    if !context.globals.quiet {
        states.iter().for_each(|state| say(state));
    }
    Ok(
        if states.iter().any(|state| wanted.contains(&state.as_str())) {
            0
        } else {
            otherwise
        },
    )
}

fn state(context: &Context, name: &str) -> Result<String> {
    let Some(mut client) = context.connect_if_running()? else {
        return Ok("inactive".to_owned());
    };
    let request = ListUnitsRequest {
        names: vec![name.to_owned()],
        all: true,
        ..ListUnitsRequest::default()
    };
    let reply = client.call(ListUnits, &request)?;
    Ok(reply
        .units
        .first()
        .map_or_else(|| "inactive".to_owned(), |unit| unit.active.clone()))
}
