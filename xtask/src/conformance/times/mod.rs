//! Calendar expressions and points in time, read by ours and by systemd-analyze: what they come to, in zones whose clocks are set.

mod expressions;
mod moments;
mod texts;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Wish;
use super::report::Report;
use super::systemd::said;

/// What stands for a text that is not taken.
const REFUSED: &str = "refused";

/// What stands for an expression whose next moment systemd looks for until it gives up.
const GIVEN_UP: &str = "given up";

pub(super) fn run(wish: &Wish) -> Result<Report> {
    let mut compared = expressions::compare(wish.cases)?;
    compared.rows.extend(moments::compare()?);
    let left_out = [
        (
            compared.given_up,
            "of which systemd says that it would search without end, where clocks skip midnight",
        ),
        (
            compared.run_over,
            "whose steps systemd lets run over the end of a day or month; with an end for them it agrees",
        ),
    ];
    let mut left_out: Vec<String> = left_out
        .iter()
        .map(|(count, why)| format!("{count} expressions {why}"))
        .collect();
    left_out.push(
        "times of day with a zone and no date: systemd takes the day of the host's zone".to_owned(),
    );
    left_out.push("made expressions in Ireland and Morocco: systemd loses the rest of the day that skips an hour".to_owned());
    Ok(Report {
        headings: ["text", "systemd", "Coracle"].map(str::to_owned).to_vec(),
        rows: compared.rows,
        is_shown_whole: false,
        left_out,
    })
}

/// What `systemd-analyze` tells of each of the texts: refused ones are named on standard error, the others have a block of lines.
fn theirs(zone: &str, words: &[&str], texts: &[String]) -> Result<BTreeMap<String, String>> {
    let mut command = Command::new("systemd-analyze");
    command.env("TZ", zone).args(words).arg("--").args(texts);
    let said = said(&mut command)?;
    let is_said = |what: &str, text: &str| {
        let quoted = [format!("{what}'{text}':"), format!("{what}\"{text}\":")];
        let mut lines = said.stderr.lines();
        lines.any(|line| quoted.iter().any(|quoted| line.starts_with(quoted)))
    };
    let silent = |text: &str| {
        let refusals = [
            "Failed to parse calendar specification ",
            "Failed to parse ",
        ];
        if refusals.into_iter().any(|what| is_said(what, text)) {
            return Some(REFUSED);
        }
        is_said("Failed to determine next elapse for ", text).then_some(GIVEN_UP)
    };
    let mut blocks = said
        .stdout
        .split("\n\n")
        .filter(|block| !block.trim().is_empty());
    let mut found = BTreeMap::new();
    for text in texts {
        let told = match silent(text) {
            Some(silent) => silent.to_owned(),
            None => blocks
                .next()
                .with_context(|| {
                    format!("systemd-analyze says nothing of {text:?}: {}", said.stderr)
                })?
                .to_owned(),
        };
        found.insert(text.clone(), told);
    }
    Ok(found)
}

/// What a verb of `coracle` tells of each of the texts.
fn ours(zone: &str, words: &[&str], texts: &[String]) -> Result<Vec<Value>> {
    let folder = std::env::var_os(testkit::DIST).context("no folder of release files is named")?;
    let mut command = Command::new(Path::new(&folder).join("coracle"));
    command
        .env("TZ", zone)
        .arg("--json")
        .args(words)
        .arg("--")
        .args(texts);
    let said = said(&mut command)?;
    let answers: Vec<Value> = serde_json::from_str(&said.stdout).with_context(|| {
        format!(
            "coracle {} printed {}{}",
            words.join(" "),
            said.stdout,
            said.stderr
        )
    })?;
    anyhow::ensure!(
        answers.len() == texts.len(),
        "coracle answers {} of {} texts",
        answers.len(),
        texts.len()
    );
    Ok(answers)
}
