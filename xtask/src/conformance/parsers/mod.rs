//! Texts of unit files and command lines, read by ours and by systemd's offline tools.

mod generated;
mod names;
mod tables;
mod times;
mod units;

use anyhow::Result;

use super::report::{Report, Row};

/// What stands for a text that is not taken.
const REFUSED: &str = "refused";

pub(super) fn run() -> Result<Report> {
    let mut rows: Vec<Row> = Vec::new();
    for check in [
        times::spans,
        names::escapes,
        names::unit_names,
        tables::exit_statuses,
        tables::capabilities,
        tables::syscall_groups,
        units::specifiers,
        units::conditions,
    ] {
        rows.extend(check()?);
    }
    Ok(Report {
        headings: ["text", "systemd", "Coracle"].map(str::to_owned).to_vec(),
        rows,
        is_shown_whole: false,
        left_out: vec!["the specifiers %c, %r and %R, which are obsolete".to_owned()],
    })
}

/// How a case is called: what reads it, and the text.
fn case(kind: &str, text: &str) -> String {
    format!("{kind}: {}", text.escape_debug())
}
