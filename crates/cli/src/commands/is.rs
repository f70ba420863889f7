//! `is-active`, `is-failed`: a word for people, an exit status for scripts.

use anyhow::Result;
use clap::Args;
use wire::{ShowRequest, methods::Show};

use crate::context::Context;
use crate::terminal::say;
use crate::verbs::Run;

/// The exit status of systemctl for "no unit is in that state" (LSB: program is not running).
const NOT_SO: u8 = 3;
/// … for a failed check of `is-failed`.
const NOT_FAILED: u8 = 1;
/// … for units that are not there at all.
const NO_SUCH_UNIT: u8 = 4;

/// Options of `is-active`.
#[derive(Args, Debug)]
pub(crate) struct IsActive {
    /// Units, patterns or portables
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
}

/// Options of `is-failed`.
#[derive(Args, Debug)]
pub(crate) struct IsFailed {
    /// Units, patterns or portables
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
        let units = crate::portable::units_of(context, std::slice::from_ref(name))?;
        // A word of each of several units would not say whose it is.
        let several = units.len() > 1;
        for unit in units {
            let found = states_of(context, unit.clone())?;
            let label = if several {
                format!(" {unit}")
            } else {
                String::new()
            };
            if !context.globals.quiet {
                found
                    .iter()
                    .for_each(|(_, state)| say(&format!("{state}{label}")));
            }
            states.extend(found);
        }
    }
    let is_there = states.iter().any(|(load, _)| load != "not-found");
    let is_so = states
        .iter()
        .any(|(_, state)| wanted.contains(&state.as_str()));
    Ok(match (is_so, is_there) {
        (true, _) => 0,
        (false, true) => otherwise,
        (false, false) => NO_SUCH_UNIT,
    })
}

/// Load and active state of each unit that the name means.
fn states_of(context: &Context, name: String) -> Result<Vec<(String, String)>> {
    let Some(mut client) = context.connect_if_running()? else {
        return Ok(vec![("stub".to_owned(), "inactive".to_owned())]);
    };
    let missing = || vec![("not-found".to_owned(), "inactive".to_owned())];
    let request = ShowRequest {
        names: vec![name],
        properties: vec!["LoadState".to_owned(), "ActiveState".to_owned()],
    };
    let units = match client.call(Show, &request) {
        Ok(reply) => reply.units,
        // Who is not root is told of units in memory alone.
        Err(wire::ClientError::Failure(wire::Failure::NoSuchUnit { .. })) => return Ok(missing()),
        Err(error) => return Err(error.into()),
    };
    let property = |unit: &wire::UnitProperties, name: &str| {
        unit.properties.get(name).cloned().unwrap_or_default()
    };
    let states: Vec<_> = units
        .iter()
        .map(|unit| (property(unit, "LoadState"), property(unit, "ActiveState")))
        .collect();
    Ok(if states.is_empty() { missing() } else { states })
}
