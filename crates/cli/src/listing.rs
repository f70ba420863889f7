//! Listings: columns for people, JSON for programs, from the same rows.

use std::borrow::Cow;

use serde::Serialize;

use crate::context::{Context, Globals};
use crate::terminal::{Paint, is_harmless, one_line, say_all, say_json, say_text};

/// A column: its title, and the text of a row in it.
pub(crate) type Column<T> = (&'static str, for<'a> fn(&'a T) -> Cow<'a, str>);

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
    let (title, lines) = lines(rows, columns);
    say_all((!globals.quiet).then_some(title));
    let mut text = String::new();
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    say_text(&text);
    Ok(())
}

/// The same, and tells people how many `thing`s there are.
///
/// # Errors
/// See [`print`].
pub(crate) fn print_counted<T: Serialize>(
    rows: &[T],
    columns: &[Column<T>],
    context: &Context,
    thing: &str,
) -> anyhow::Result<()> {
    print(rows, columns, &context.globals)?;
    if !context.globals.json {
        context.narrate(&match rows.len() {
            1 => format!("1 {thing}"),
            count => format!("{count} {thing}s"),
        });
    }
    Ok(())
}

/// The title line and one for each row.
pub(crate) fn lines<T>(rows: &[T], columns: &[Column<T>]) -> (String, Vec<String>) {
    let titles: Vec<Cow<'_, str>> = columns
        .iter()
        .map(|(title, _)| Cow::Borrowed(*title))
        .collect();
    let table: Vec<Cow<'_, str>> = rows
        .iter()
        .flat_map(|row| columns.iter().map(|(_, text)| shown(text(row))))
        .collect();
    let mut widths: Vec<usize> = titles.iter().map(|title| title.len()).collect();
    for row in table.chunks(columns.len()) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(width_of(cell));
        }
    }
    let line = |cells: &[Cow<'_, str>]| {
        let mut line = String::new();
        write_line(&mut line, cells, &widths);
        line
    };
    let lines = table.chunks(columns.len()).map(line).collect();
    (Paint::Bold.on(&line(&titles)), lines)
}

/// A cell, on one line and harmless.
fn shown(cell: Cow<'_, str>) -> Cow<'_, str> {
    if is_harmless(&cell) {
        cell
    } else {
        one_line(&cell).into()
    }
}

fn width_of(cell: &str) -> usize {
    if cell.is_ascii() {
        cell.len()
    } else {
        cell.chars().count()
    }
}

/// The text of a field of a JSON row; words of a list are joined by commas.
pub(crate) fn text<'a>(row: &'a serde_json::Value, field: &str) -> Cow<'a, str> {
    match row.get(field) {
        Some(serde_json::Value::String(text)) => text.into(),
        Some(serde_json::Value::Array(words)) => {
            let words = words.iter().filter_map(serde_json::Value::as_str);
            words.collect::<Vec<_>>().join(",").into()
        }
        Some(other) => other.to_string().into(),
        None => Cow::Borrowed(""),
    }
}

/// Appends the cells, each as wide as its column, without blanks at the end.
fn write_line(to: &mut String, cells: &[Cow<'_, str>], widths: &[usize]) {
    for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if place > 0 {
            to.push_str("  ");
        }
        to.push_str(cell);
        to.extend(std::iter::repeat_n(
            ' ',
            width.saturating_sub(width_of(cell)),
        ));
    }
    to.truncate(to.trim_end_matches(' ').len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other_whatever_they_are_made_of() {
        let cells = |cells: [&'static str; 2]| cells.map(Cow::Borrowed);
        let mut text = String::new();
        for row in [cells(["é", "a\u{1b}b"]), cells(["ab", ""])] {
            let row = row.map(shown);
            write_line(&mut text, &row, &[3, 4]);
            text.push('\n');
        }
        assert_eq!(text, "é    a\\u{1b}b\nab\n");
    }
}
