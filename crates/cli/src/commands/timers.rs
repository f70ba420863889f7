//! `list-timers`.

use std::borrow::Cow;

use anyhow::Result;
use clap::Args;
use wire::UnitStatus;

use super::of_kind::Meant;
use crate::clock;
use crate::context::Context;
use crate::listing;
use crate::verbs::Run;

/// Options of `list-timers`.
#[derive(Args, Debug)]
pub(crate) struct ListTimers {
    #[command(flatten)]
    meant: Meant,
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
        let columns: &[listing::Column<Row>] = &[
            ("NEXT", |row| told(row.next_us, clock::with_weekday)),
            ("LEFT", |row| told(row.next_us, clock::from_now)),
            ("LAST", |row| told(row.last_us, clock::with_weekday)),
            ("PASSED", |row| told(row.last_us, clock::from_now)),
            ("UNIT", |row| Cow::Borrowed(&row.timer)),
            ("ACTIVATES", |row| row.activates.join(" ").into()),
        ];
        // What never elapses comes last.
        let by = |row: &Row| (row.next_us.unwrap_or(u64::MAX), row.timer.clone());
        self.meant.list(context, "timer", row, by, columns)
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
