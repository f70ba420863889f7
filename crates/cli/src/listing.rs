//! Listings: columns for people, JSON for programs, from the same rows.

use serde::Serialize;

use crate::context::Globals;
use crate::terminal::{Paint, one_line, say_all, say_json};

/// A column: its title, and the text of a row in it.
pub(crate) type Column<T> = (&'static str, fn(&T) -> String);

/// Prints rows as columns with a title line, without one where `--quiet` was given, or as one JSON array.
///
/// # Errors
/// When a row can't be turned into JSON.
pub(crate) fn print<T: Serialize>(
    rows: &[T],
    columns: &[Column<T>],
    globals: &Globals,
) -> anyhow::Result<()> {
    if globals.json {
        say_json(rows)?;
        return Ok(());
    }
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|(_, text)| one_line(&text(row)))
                .collect()
        })
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, (title, _))| {
            table
                .iter()
                .filter_map(|row| row.get(index))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(title.len())
        })
        .collect();
    let titles: Vec<String> = columns
        .iter()
        .map(|(title, _)| (*title).to_owned())
        .collect();
    let title = (!globals.quiet).then(|| Paint::Bold.on(&line(&titles, &widths)));
    let rows = table.iter().map(|row| line(row, &widths));
    say_all(title.into_iter().chain(rows));
    Ok(())
}

/// The text of a field of a JSON row; words of a list are joined by commas.
pub(crate) fn text(row: &serde_json::Value, field: &str) -> String {
    match row.get(field) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Array(words)) => words
            .iter()
            .filter_map(serde_json::Value::as_str)
            .collect::<Vec<_>>()
            .join(","),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let padded: Vec<String> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    padded.join("  ").trim_end().to_owned()
}
