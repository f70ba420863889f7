//! `list-timers`.

use std::borrow::Cow;

use anyhow::Result;
use clap::Args;
use wire::methods::Status as StatusMethod;
use wire::{NamesRequest, UnitStatus};

use crate::clock;
use crate::context::Context;
use crate::listing;
use crate::verbs::Run;

/// Options of `list-timers`.
#[derive(Args, Debug)]
pub(crate) struct ListTimers {
    /// Names or patterns
    #[arg(value_name = "PATTERN")]
    names: Vec<String>,
    /// Inactive ones too
    #[arg(short, long)]
    all: bool,
}

/// A timer as a program reads it.
#[derive(Debug, serde::Serialize)]
struct Row {
    timer: String,
    next_us: Option<u64>,
    last_us: Option<u64>,
    activates: Vec<String>,
}

impl Run for ListTimers {
    fn run(self, context: &Context) -> Result<u8> {
        let names = match self.names.is_empty() {
            true => vec!["*.timer".to_owned()],
            false => self.names,
        };
        let reply = context
            .connect()?
            .call(StatusMethod, &NamesRequest { names })?;
        let mut rows: Vec<Row> = reply
            .units
            .into_iter()
            .filter(|unit| self.all || unit.active == "active")
            .filter_map(row)
            .collect();
        // What never elapses comes last.
        rows.sort_by_key(|row| (row.next_us.unwrap_or(u64::MAX), row.timer.clone()));
        let columns: &[listing::Column<Row>] = &[
            ("NEXT", |row| told(row.next_us, clock::with_weekday)),
            ("LEFT", |row| told(row.next_us, clock::from_now)),
            ("LAST", |row| told(row.last_us, clock::with_weekday)),
            ("PASSED", |row| told(row.last_us, clock::from_now)),
            ("UNIT", |row| Cow::Borrowed(&row.timer)),
            ("ACTIVATES", |row| row.activates.join(" ").into()),
        ];
        listing::print(&rows, columns, &context.globals)?;
        if !context.globals.json {
            context.narrate(&match rows.len() {
                1 => "1 timer".to_owned(),
                count => format!("{count} timers"),
            });
        }
        Ok(0)
    }
}

fn row(unit: UnitStatus) -> Option<Row> {
    let timer = unit.timer?;
    Some(Row {
        timer: unit.name,
        next_us: timer.next_us,
        last_us: timer.last_realtime_us,
        activates: unit.triggers,
    })
}

fn told(moment: Option<u64>, words: fn(u64) -> String) -> Cow<'static, str> {
    moment.map_or(Cow::Borrowed("-"), |us| words(us).into())
}
