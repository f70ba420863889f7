//! `list-paths`.

use anyhow::Result;
use clap::Args;
use std::borrow::Cow;
use wire::UnitStatus;

use super::of_kind::Meant;
use crate::context::Context;
use crate::listing;
use crate::verbs::Run;

/// Options of `list-paths`.
#[derive(Args, Debug)]
pub(crate) struct ListPaths {
    #[command(flatten)]
    meant: Meant,
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
        let columns: &[listing::Column<Row>] = &[
            ("PATH", |row| Cow::Borrowed(&row.path)),
            ("CONDITION", |row| Cow::Borrowed(&row.condition)),
            ("UNIT", |row| Cow::Borrowed(&row.unit)),
            ("ACTIVATES", |row| row.activates.join(" ").into()),
        ];
        let by = |row: &Row| (row.path.clone(), row.unit.clone());
        self.meant.list(context, "path", rows, by, columns)
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
