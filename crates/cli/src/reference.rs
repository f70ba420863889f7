//! A row of the table as a page: for `coracle explain`, from the same row that enforces.

use serde_json::{Value, json};
use settings::{Row, Status};

use crate::terminal::Paint;

/// A row for people.
pub(crate) fn text(row: &Row) -> String {
    let mut page = format!(
        "{}  {}\n",
        Paint::Bold.on(&format!("{}=", row.name)),
        row.summary.text()
    );
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            page.push_str(&format!("{name:>12}: {value}\n"));
        }
    };
    field("Sections", &row.sections().join(", "));
    field("Default", row.default_text);
    field("Since", row.since.text());
    field("From image", row.from_image.words());
    field("Status", &status(row));
    if let Some(prose) = settings::prose(row) {
        page.push('\n');
        page.push_str(prose.trim_end());
        page.push('\n');
    }
    page
}

fn status(row: &Row) -> String {
    match row.status {
        Status::Works => "enforced".to_owned(),
        Status::ParsedOnly(reason) => format!("read, not enforced yet: {reason}"),
        Status::Rejected(reason) => format!("not supported: {reason}"),
    }
}

/// A row for programs.
pub(crate) fn json(row: &Row) -> Value {
    json!({
        "name": row.name,
        "sections": row.sections(),
        "summary": row.summary.text(),
        "default": row.default_text,
        "since": row.since.text(),
        "from_image": row.from_image.words(),
        "status": status(row),
    })
}
