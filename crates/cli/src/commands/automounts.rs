//! `list-automounts`.

use anyhow::Result;
use clap::Args;
use std::borrow::Cow;
use wire::UnitStatus;

use super::of_kind::Meant;
use crate::clock;
use crate::context::Context;
use crate::listing;
use crate::verbs::Run;

/// Options of `list-automounts`.
#[derive(Args, Debug)]
pub(crate) struct ListAutomounts {
    #[command(flatten)]
    meant: Meant,
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
        let columns: &[listing::Column<Row>] = &[
            ("WHAT", |row| row.what.as_deref().unwrap_or("-").into()),
            ("WHERE", |row| Cow::Borrowed(&row.r#where)),
            ("MOUNTED", |row| {
                Cow::Borrowed(if row.mounted { "yes" } else { "no" })
            }),
            ("IDLE TIMEOUT", |row| idle(row.idle_timeout_us)),
            ("UNIT", |row| Cow::Borrowed(&row.unit)),
        ];
        let by = |row: &Row| row.r#where.clone();
        self.meant.list(context, "automount", row, by, columns)
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
