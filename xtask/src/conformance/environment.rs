//! EnvironmentFile= and Environment=: what services of both sides find in their environment of the same texts.

use std::fs;

use anyhow::Result;

use super::ours::Ours;
use super::report::{Report, Row};
use super::systemd::ask;

/// What files say.
const FILES: &[&str] = &[
    "T=a",
    "T=a b",
    " T = a ",
    "T=\"a b\"",
    "T='a b'",
    "T=a\"b\"c",
    "T=\"a\"b\"c\"",
    "T='a'\"b\"",
    "T=\"a\\\"b\"",
    "T='a\\'b'",
    "T=\"a\\nb\"",
    "T=a\\nb",
    "T=a\\\nb",
    "T=\"a\\\nb\"",
    "T='a\\\nb'",
    "T=\"a\nb\"",
    "T='a\nb'",
    "T=a # b",
    "T=a#b",
    "# T=x\nT=a",
    "; T=x\nT=a",
    "T=a ; b",
    "T=\"a\" # b",
    "T=",
    "T=\"\"",
    "T= \"a\" ",
    "T=\"a",
    "T='a",
    "T=$HOME",
    "T=\"$HOME\"",
    "T=\"\\$HOME\"",
    "T=%n",
    "T=\"a\\`b\"",
    "T=\"a\\tb\"",
    "T=a\\\\b",
    "T=\"a\\\\b\"",
    "T=a\\",
    "T=a\nT=b",
    "1T=a\nT=b",
    "T-X=a\nT=b",
    "T",
    "=a\nT=b",
    "export T=a",
    "T=a\r\nT_2=b\r\n",
    "T=a\n\n\nT_2=b",
    "T=\u{e4}\u{f6}",
    "# a \\\nT=b\nT_2=c",
    "T=a\tb",
    "T=\ta",
    "T=a \\\n b",
    "T=\"a\"'b'c",
    "T=a'b c'd",
    "T=a=b",
    "T==a",
    "T=\"a\" \"b\"",
    "T=a \"b\" c",
    "T='a' 'b'",
    "T=\"a\" b",
];

/// What lines of units say.
const LINES: &[&str] = &[
    "T=a T_2=b",
    "\"T=a b\" T_2=c",
    "'T=a b'",
    "T=\"a b\"",
    "T='a b'",
    "T=a\\sb",
    "\"T=a\\nb\"",
    "T=%%n",
    "T=$HOME",
    "T=a;b",
    "T",
    "1T=a T_2=b",
    "T= T_2=b",
    "T=a\\x20b",
    "T=a\"b\"c",
    "T=a=b",
];

/// A side's directory of answers, and where it takes its words from.
const SIDES: [&str; 2] = ["/tmp/theirs", "/tmp/ours"];

pub(super) fn run() -> Result<Report> {
    let ours = Ours::new();
    for (number, text) in FILES.iter().enumerate() {
        fs::write(format!("/tmp/environment-{number}"), format!("{text}\n"))?;
    }
    let mut names = Vec::new();
    for number in 0..FILES.len() {
        names.push(unit(
            &format!("f{number}"),
            &format!("EnvironmentFile=/tmp/environment-{number}"),
        )?);
    }
    for (number, line) in LINES.iter().enumerate() {
        names.push(unit(&format!("l{number}"), &format!("Environment={line}"))?);
    }
    let start: Vec<&str> = std::iter::once("start")
        .chain(names.iter().map(String::as_str))
        .collect();
    for side in SIDES {
        fs::create_dir_all(side)?;
        fs::write("/tmp/side", side)?;
        if side == SIDES[0] {
            ask("systemctl", &["daemon-reload"])?;
            ask("systemctl", &start)?;
        } else {
            ours.ask(&start)?;
        }
    }
    let mut rows = Vec::new();
    let texts = FILES.iter().map(|text| format!("file: {text:?}"));
    let texts = texts.chain(LINES.iter().map(|line| format!("line: {line:?}")));
    for (case, name) in texts.zip(&names) {
        let found = |side: &str| found(&format!("{side}/{name}"));
        rows.push(Row::compared(case, found(SIDES[0]), found(SIDES[1])));
        fs::remove_file(format!("{}/{name}", super::UNITS))?;
    }
    // Where nothing runs, both sides say the same.
    let first = rows.first().and_then(|row| row.cells.first());
    anyhow::ensure!(
        first.is_some_and(|found| found == "[\"T=a\"]"),
        "systemd's service says {first:?}"
    );
    Ok(Report {
        headings: ["text", "systemd", "Coracle"].map(str::to_owned).to_vec(),
        rows,
        is_shown_whole: false,
        left_out: Vec::new(),
    })
}

fn unit(name: &str, line: &str) -> Result<String> {
    let name = format!("environment-{name}.service");
    let text = format!(
        "[Service]\nType=oneshot\n{line}\nExecStart=/bin/sh -c 'env -0 > $(cat /tmp/side)/%n'\n"
    );
    fs::write(format!("{}/{name}", super::UNITS), text)?;
    Ok(name)
}

/// The variables of the test, sorted; or that the service did not run.
fn found(path: &str) -> String {
    let Ok(bytes) = fs::read(path) else {
        return "did not run".into();
    };
    let mut variables: Vec<String> = bytes
        .split(|byte| *byte == 0)
        .map(|one| String::from_utf8_lossy(one).into_owned())
        .filter(|one| one.starts_with('T') || one.starts_with("1T"))
        .collect();
    variables.sort();
    format!("{variables:?}")
}
