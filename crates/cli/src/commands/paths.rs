//! `list-paths`.

use anyhow::Result;
use clap::Args;
use std::borrow::Cow;
use wire::methods::Status as StatusMethod;
use wire::{NamesRequest, UnitStatus};

use crate::context::Context;
use crate::listing;
use crate::verbs::Run;

/// Options of `list-paths`.
#[derive(Args, Debug)]
pub(crate) struct ListPaths {
    /// Names or patterns
    #[arg(value_name = "PATTERN")]
    names: Vec<String>,
    /// Inactive ones too
    #[arg(short, long)]
    all: bool,
}

/// A watched path as a program reads it.
#[derive(Debug, serde::Serialize)]
struct Row {
    path: String,
    condition: String,
    unit: String,
    activates: Vec<String>,
}

impl Run for ListPaths {
    fn run(self, context: &Context) -> Result<u8> {
        let names = match self.names.is_empty() {
            true => vec!["*.path".to_owned()],
            false => self.names,
        };
        let reply = context
            .connect()?
            .call(StatusMethod, &NamesRequest { names })?;
        let units = reply.units.into_iter();
        let mut rows: Vec<Row> = units
            .filter(|unit| self.all || unit.active == "active")
            .flat_map(rows)
            .collect();
        rows.sort_by(|one, other| (&one.path, &one.unit).cmp(&(&other.path, &other.unit)));
        let columns: &[listing::Column<Row>] = &[
            ("PATH", |row| Cow::Borrowed(&row.path)),
            ("CONDITION", |row| Cow::Borrowed(&row.condition)),
            ("UNIT", |row| Cow::Borrowed(&row.unit)),
            ("ACTIVATES", |row| row.activates.join(" ").into()),
        ];
        listing::print(&rows, columns, &context.globals)?;
        if !context.globals.json {
            context.narrate(&match rows.len() {
                1 => "1 path".to_owned(),
                count => format!("{count} paths"),
            });
        }
        Ok(0)
    }
}

fn rows(unit: UnitStatus) -> Vec<Row> {
    let UnitStatus {
        name,
        path,
        triggers,
        ..
    } = unit;
    let watches = path.into_iter().flat_map(|path| path.watches);
    let row = |watched: wire::WatchedPath| Row {
        path: watched.path,
        condition: watched.condition,
        unit: name.clone(),
        activates: triggers.clone(),
    };
    watches.map(row).collect()
}
