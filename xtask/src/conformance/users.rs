//! Dynamic users, as the C library of the container finds them through libnss-systemd: those of systemd and those of ours.

use std::fs;

use anyhow::{Context, Result};

use super::ours::Ours;
use super::report::{Report, Row};
use super::systemd::ask;

/// The user that each side's service has; the names are as long.
const NAMES: [&str; 2] = ["ctest-theirs", "ctest-ourone"];
const UNIT: &str = "[Service]\nDynamicUser=yes\nExecStart=/bin/sleep infinity\n";

pub(super) fn run() -> Result<Report> {
    let ours = Ours::new();
    for name in NAMES {
        let unit = format!("{UNIT}User={name}\n");
        fs::write(format!("{}/{name}.service", super::UNITS), unit)?;
    }
    let [theirs_name, our_name] = NAMES;
    ask("systemctl", &["daemon-reload"])?;
    ask("systemctl", &["start", &format!("{theirs_name}.service")])?;
    let started = ours.ask(&["start", &format!("{our_name}.service")])?;
    anyhow::ensure!(
        started.is_success,
        "ours does not start: {}",
        started.stderr
    );
    let mut rows = Vec::new();
    for database in ["passwd", "group"] {
        let mut found = Vec::new();
        for name in NAMES {
            found.push(both_ways(database, name)?);
        }
        let mut found = found.into_iter();
        let (theirs, own) = (
            found.next().unwrap_or_default(),
            found.next().unwrap_or_default(),
        );
        rows.push(Row::compared(database, theirs, own));
    }
    ours.ask(&["stop", &format!("{our_name}.service")])?;
    ask("systemctl", &["stop", &format!("{theirs_name}.service")])?;
    for name in NAMES {
        fs::remove_file(format!("{}/{name}.service", super::UNITS))?;
    }
    let gone = |name| Ok::<String, anyhow::Error>(ask("getent", &["passwd", name])?.stdout);
    rows.push(Row::compared(
        "after the stop",
        gone(theirs_name)?,
        gone(our_name)?,
    ));
    Ok(Report {
        headings: ["database", "systemd", "Coracle"]
            .map(str::to_owned)
            .to_vec(),
        rows,
        is_shown_whole: false,
        left_out: Vec::new(),
    })
}

/// The entry by its name, which the one by its number must be, too; name and number are left out.
fn both_ways(database: &str, name: &str) -> Result<String> {
    let by_name = ask("getent", &[database, name])?.stdout;
    let number = by_name.split(':').nth(2).unwrap_or_default().to_owned();
    if number.is_empty() {
        return Ok("not found by its name".into());
    }
    let by_number = ask("getent", &[database, &number])?.stdout;
    if by_number != by_name {
        return Ok(format!("by its number: {by_number}"));
    }
    let is_dynamic = number.parse::<u32>().context("a number")? >= 61_184;
    let entry = by_name
        .trim()
        .replace(&number, "NUMBER")
        .replace(name, "NAME");
    Ok(format!("{entry}, dynamic: {is_dynamic}"))
}
