//! `list-automounts`.

use anyhow::Result;
use clap::Args;
use std::borrow::Cow;
use wire::methods::Status as StatusMethod;
use wire::{NamesRequest, UnitStatus};

use crate::clock;
use crate::context::Context;
use crate::listing;
use crate::verbs::Run;

/// Options of `list-automounts`.
#[derive(Args, Debug)]
pub(crate) struct ListAutomounts {
    /// Names or patterns
    #[arg(value_name = "PATTERN")]
    names: Vec<String>,
    /// Inactive ones too
    #[arg(short, long)]
    all: bool,
}

/// An automount as a program reads it.
#[derive(Debug, serde::Serialize)]
struct Row {
    what: Option<String>,
    r#where: String,
    mounted: bool,
    idle_timeout_us: u64,
    unit: String,
}

impl Run for ListAutomounts {
    fn run(self, context: &Context) -> Result<u8> {
        let names = match self.names.is_empty() {
            true => vec!["*.automount".to_owned()],
            false => self.names,
        };
        let reply = context
            .connect()?
            .call(StatusMethod, &NamesRequest { names })?;
        let units = reply.units.into_iter();
        let mut rows: Vec<Row> = units
            .filter(|unit| self.all || unit.active == "active")
            .filter_map(row)
            .collect();
        rows.sort_by(|one, other| one.r#where.cmp(&other.r#where));
        let columns: &[listing::Column<Row>] = &[
            ("WHAT", |row| row.what.as_deref().unwrap_or("-").into()),
            ("WHERE", |row| Cow::Borrowed(&row.r#where)),
            ("MOUNTED", |row| {
                Cow::Borrowed(if row.mounted { "yes" } else { "no" })
            }),
            ("IDLE TIMEOUT", |row| idle(row.idle_timeout_us)),
            ("UNIT", |row| Cow::Borrowed(&row.unit)),
        ];
        listing::print(&rows, columns, &context.globals)?;
        if !context.globals.json {
            context.narrate(&match rows.len() {
                1 => "1 automount".to_owned(),
                count => format!("{count} automounts"),
            });
        }
        Ok(0)
    }
}

fn row(unit: UnitStatus) -> Option<Row> {
    let automount = unit.automount?;
    Some(Row {
        what: automount.what,
        r#where: automount.place,
        mounted: automount.mounted,
        idle_timeout_us: automount.idle_us,
        unit: unit.name,
    })
}

/// 0: it stays.
fn idle(us: u64) -> Cow<'static, str> {
    match us {
        0 => Cow::Borrowed("-"),
        us => clock::span(us).into(),
    }
}
