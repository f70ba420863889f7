//! `is-enabled`, `list-unit-files`, `get-default`: what links say of units.

use std::borrow::Cow;

use anyhow::Result;
use clap::Args;
use enabling::{Problem, State};
use serde::Serialize;
use wire::ShowRequest;
use wire::methods::Show;

use crate::context::Context;
use crate::failure::hint;
use crate::listing;
use crate::terminal::{say, say_json};
use crate::unit_files::{self, Root, UnitFiles, ending};
use crate::verbs::Run;

/// The exit status of systemctl where nothing is enabled.
const NOT_ENABLED: u8 = 1;
/// … and where one of the units is not there at all.
const NO_SUCH_UNIT: u8 = 4;

const NOT_FOUND: &str = "not-found";

/// Options of `is-enabled`.
#[derive(Args, Debug)]
pub(crate) struct IsEnabled {
    /// Units
    #[arg(required = true, value_name = "UNIT")]
    units: Vec<String>,
    #[command(flatten)]
    root: Root,
}

/// Options of `get-default`.
#[derive(Args, Debug)]
pub(crate) struct GetDefault {
    #[command(flatten)]
    root: Root,
}

/// Options of `list-unit-files`.
#[derive(Args, Debug)]
pub(crate) struct ListUnitFiles {
    /// Names or patterns
    #[arg(value_name = "PATTERN")]
    names: Vec<String>,
    /// Only unit files in one of these states, such as enabled or static
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only units of these kinds, such as service or socket
    #[arg(short = 't', long = "type", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<String>,
    #[command(flatten)]
    root: Root,
}

/// A unit file.
#[derive(Serialize)]
struct UnitFile {
    unit_file: String,
    state: &'static str,
    preset: Option<&'static str>,
}

impl Run for IsEnabled {
    fn run(self, context: &Context) -> Result<u8> {
        let files = UnitFiles::open(context, &self.root)?;
        let work = files.work();
        let mut states = Vec::new();
        for unit in unit_files::names(&self.units) {
            let state = match work.state(&unit) {
                Ok(state) => Some(state),
                Err(Problem::NoSuchUnit(_)) if is_transient(context, &files, &unit)? => {
                    Some(State::Transient)
                }
                Err(Problem::NoSuchUnit(_)) => None,
                Err(problem) => return Err(ending(problem)),
            };
            let word = state.map_or(NOT_FOUND, State::word);
            if !context.globals.json && !context.globals.quiet {
                say(word);
            }
            states.push((unit, state));
        }
        if context.globals.json {
            let rows = states.iter().map(|(unit, state)| {
                serde_json::json!({"unit": unit, "state": state.map_or(NOT_FOUND, State::word)})
            });
            say_json(&rows.collect::<Vec<_>>())?;
        }
        let is_enabled =
            |(_, state): &(String, Option<State>)| state.is_some_and(State::is_enabled);
        Ok(if states.iter().any(is_enabled) {
            0
        } else if states.iter().any(|(_, state)| state.is_none()) {
            NO_SUCH_UNIT
        } else {
            NOT_ENABLED
        })
    }
}

/// Whether a unit without a file is one that somebody runs.
fn is_transient(context: &Context, files: &UnitFiles, unit: &str) -> Result<bool> {
    if files.is_offline() {
        return Ok(false);
    }
    let Some(mut client) = context.connect_if_running()? else {
        return Ok(false);
    };
    let request = ShowRequest {
        names: vec![unit.to_owned()],
        properties: vec!["LoadState".to_owned(), "Transient".to_owned()],
    };
    let units = match client.call(Show, &request) {
        Ok(reply) => reply.units,
        Err(wire::ClientError::Failure(wire::Failure::NoSuchUnit { .. })) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let says = |unit: &wire::UnitProperties| unit.properties.get("Transient").cloned();
    Ok(units
        .iter()
        .any(|unit| says(unit).as_deref() == Some("yes")))
}

impl Run for GetDefault {
    fn run(self, context: &Context) -> Result<u8> {
        let files = UnitFiles::open(context, &self.root)?;
        let target = files.work().default_target().map_err(ending)?;
        match context.globals.json {
            true => say_json(&target)?,
            false => say(&target),
        }
        Ok(0)
    }
}

impl Run for ListUnitFiles {
    fn run(self, context: &Context) -> Result<u8> {
        if let Some(kind) = self
            .kinds
            .iter()
            .find(|kind| model::UnitKind::from_suffix(kind).is_none())
        {
            return Err(hint(
                format!("{kind:?} is no kind of unit"),
                "kinds are the suffixes of units, such as service, socket and target",
            ));
        }
        let files = UnitFiles::open(context, &self.root)?;
        let work = files.work();
        let presets = work.presets().map_err(ending)?;
        let patterns = unit_files::names(&self.names);
        let mut rows = Vec::new();
        let mut names = work.names().map_err(ending)?;
        names.sort_by(|one, other| {
            let key = |name: &model::UnitName| name.kind().suffix();
            key(one).cmp(key(other)).then_with(|| one.cmp(other))
        });
        for name in names {
            let is_meant = patterns.is_empty()
                || patterns
                    .iter()
                    .any(|pattern| model::pattern::matches(pattern, name.as_str()));
            let is_of_kind =
                self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == name.kind().suffix());
            if !is_meant || !is_of_kind {
                continue;
            }
            let state = work.state(name.as_str()).unwrap_or(State::Bad);
            if self.state.is_empty() || self.state.iter().any(|known| known == state.word()) {
                let preset = state.has_preset().then(|| presets.of(&name).word());
                rows.push(UnitFile {
                    unit_file: name.to_string(),
                    state: state.word(),
                    preset,
                });
            }
        }
        let columns: &[listing::Column<UnitFile>] = &[
            ("UNIT FILE", |row| Cow::Borrowed(&row.unit_file)),
            ("STATE", |row| Cow::Borrowed(row.state)),
            ("PRESET", |row| Cow::Borrowed(row.preset.unwrap_or("-"))),
        ];
        listing::print_counted(&rows, columns, context, "unit file")?;
        Ok(0)
    }
}
