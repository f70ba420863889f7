//! The exposure scores of loaded services, as both sides count them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::ours::Ours;
use super::report::Row;
use super::systemd::ask;

/// A unit's score: the whole, and each line's part of it, empty where it has none and `-` where the line says nothing.
struct Scored {
    total: String,
    lines: BTreeMap<String, String>,
}

/// Both scores of a unit.
pub(super) struct Exposure {
    theirs: Scored,
    ours: Scored,
}

impl Exposure {
    /// Asks both sides.
    ///
    /// # Errors
    /// When one of them does not say a score.
    pub(super) fn of(ours: &Ours, unit: &str) -> Result<Exposure> {
        Ok(Exposure {
            theirs: theirs_exposed(unit)?,
            ours: ours_exposed(ours, unit)?,
        })
    }

    /// The whole, with its word.
    pub(super) fn total(&self, case: String) -> Row {
        Row::compared(case, self.theirs.total.clone(), self.ours.total.clone())
    }

    /// The lines that differ.
    pub(super) fn lines(&self, case: String) -> Row {
        let names: BTreeSet<&String> = [&self.theirs, &self.ours]
            .into_iter()
            .flat_map(|side| side.lines.keys())
            .collect();
        let of = |side: &Scored, name: &String| {
            let part = side.lines.get(name).map_or("no line", String::as_str);
            format!("{name}={part}")
        };
        let differing = names.into_iter().filter_map(|name| {
            let sides = (of(&self.theirs, name), of(&self.ours, name));
            (sides.0 != sides.1).then_some(sides)
        });
        let (theirs, ours): (Vec<String>, Vec<String>) = differing.unzip();
        Row::compared(case, theirs.join(" "), ours.join(" "))
    }
}

/// What systemd's manager has loaded, judged. Only the table for people ends with the whole.
fn theirs_exposed(unit: &str) -> Result<Scored> {
    let table = ask("systemd-analyze", &["security", "--no-pager", unit])?;
    let total = table.stdout.lines().find_map(|line| {
        let (_, said) = line.split_once("Overall exposure level for ")?;
        let (_, said) = said.split_once(": ")?;
        let words: Vec<&str> = said.split(' ').take(2).collect();
        Some(words.join(" ").to_lowercase())
    });
    let said = ask("systemd-analyze", &["security", "--json=short", unit])?;
    let lines: Vec<Value> = serde_json::from_str(&said.stdout)
        .with_context(|| format!("security of {unit} printed {}{}", said.stdout, said.stderr))?;
    let line = |line: &Value| {
        // One name has a parenthesis too many.
        let name = line.get("json_field")?.as_str()?.trim_end_matches(')');
        let part = match line.get("set")? {
            Value::Null => "-",
            _ => line.get("exposure").and_then(Value::as_str).unwrap_or(""),
        };
        Some((name.to_owned(), part.to_owned()))
    };
    Ok(Scored {
        total: total.unwrap_or_default(),
        lines: lines.iter().filter_map(line).collect(),
    })
}

fn ours_exposed(ours: &Ours, unit: &str) -> Result<Scored> {
    let said = ours.ask(&["--json", "security", "--offline", unit])?;
    let scores: Vec<Value> = serde_json::from_str(&said.stdout)
        .with_context(|| format!("security of {unit} printed {}{}", said.stdout, said.stderr))?;
    let score = scores.first().context("no score was printed")?;
    let tenths = |number: &Value| number.as_u64().map(|n| format!("{}.{}", n / 10, n % 10));
    let line = |line: &Value| {
        let name = line.get("json_field")?.as_str()?;
        let part = match line.get("badness")?.as_u64() {
            None => "-".to_owned(),
            Some(0) => String::new(),
            Some(_) => tenths(line.get("exposure")?)?,
        };
        Some((name.to_owned(), part))
    };
    let rating = score.get("rating").and_then(Value::as_str);
    Ok(Scored {
        total: format!(
            "{} {}",
            score.get("exposure").and_then(tenths).unwrap_or_default(),
            rating.unwrap_or_default()
        ),
        lines: score
            .get("lines")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(line)
            .collect(),
    })
}
