//! Pages that are printed, never written: the reference of directives from the table.

use std::collections::BTreeMap;

use anyhow::Result;

use settings::{Status, TABLE};

use crate::run;
use crate::tidy::source::unsafe_places;
use crate::tidy::{Finding, Tree};

/// Writes every printed page.
pub(crate) fn write() -> Result<()> {
    for (path, text) in pages(&Tree::read()?) {
        let target = run::root().join(&path);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(target, text)?;
    }
    Ok(())
}

/// The rule of tidy: what is in the checkout equals what would be printed.
pub(crate) fn stale(tree: &Tree) -> Vec<Finding> {
    pages(tree)
        .into_iter()
        .filter(|(path, text)| tree.text(path) != text)
        .map(|(path, _)| {
            Finding::new(
                path,
                "is not what the table prints: run `cargo xtask tidy --fix`",
            )
        })
        .collect()
}

/// Paths below the root of the checkout, with their texts.
fn pages(tree: &Tree) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("docs/reference/directives.md".to_owned(), directives()),
        ("docs/internals/unsafe.md".to_owned(), unsafe_ledger(tree)),
    ])
}

/// How much unsafe code there is and what for: a change of a number shows in review.
fn unsafe_ledger(tree: &Tree) -> String {
    let mut page = String::from(
        "# Unsafe code\n\nPrinted by `cargo xtask docs`. Each place names, beside it, what the callee requires and the line that meets it.\n\n| file | places | what for |\n|---|---|---|\n",
    );
    for (path, text) in tree.rust().filter(|(path, _)| path.starts_with("crates/")) {
        let places = unsafe_places(text);
        if places > 0 {
            let purpose = text.lines().next().unwrap_or("").trim_start_matches("//! ");
            page.push_str(&format!("| `{path}` | {places} | {purpose} |\n"));
        }
    }
    page
}

/// Every directive with its sections, what an image may do with it, and whether it is enforced.
fn directives() -> String {
    let works = TABLE.iter().filter(|row| row.works()).count();
    let mut page = format!(
        "# Directives\n\nPrinted from the table by `cargo xtask docs`. {} directives, {works} of them enforced. \
         `coracle explain NAME` prints more of each.\n\n| directive | sections | state | from an image | what it does |\n|---|---|---|---|---|\n",
        TABLE.len()
    );
    for row in TABLE {
        let state = match row.status {
            Status::Works => "enforced".to_owned(),
            Status::ParsedOnly(reason) => format!("read only: {reason}"),
            Status::Rejected(reason) => format!("not supported: {reason}"),
        };
        page.push_str(&format!(
            "| `{}=` | {} | {state} | {} | {} |\n",
            row.name,
            row.sections().join(", "),
            row.from_image.words(),
            row.summary.text().replace('|', "\\|")
        ));
    }
    page
}
