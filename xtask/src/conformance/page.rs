//! `docs/conformance.md`: one section for each check, replaced when the check has run.

use std::fs;

use anyhow::{Context, Result};

use super::REFERENCE;
use super::report::{Report, Verdict};
use crate::peers::Tree;
use crate::run;

pub(crate) const PAGE: &str = "docs/conformance.md";

const HEAD: &str = "# Conformance\n\nWritten by `cargo xtask conformance`: the same cases for Coracle and for a real systemd, in a container or, for `machine`, a virtual machine that it has booted.\n";

/// Replaces the section of this check beside this tree's systemd.
pub(super) fn write(check: &str, tree: Tree, report: &Report) -> Result<()> {
    let check = match tree.name {
        REFERENCE => check.to_owned(),
        _ => format!("{check}, beside {}", tree.systemd),
    };
    let path = run::root().join(PAGE);
    let old = fs::read_to_string(&path).unwrap_or_default();
    let mut sections: Vec<(String, String)> = old
        .split("\n## ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .map(|(name, text)| (name.to_owned(), text.trim_end().to_owned()))
        .filter(|(name, _)| *name != check)
        .collect();
    sections.push((check, section(tree, report)));
    sections.sort();
    let mut page = HEAD.to_owned();
    for (name, text) in sections {
        page.push_str(&format!("\n## {name}\n{}\n", text.trim_end()));
    }
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn section(tree: Tree, report: &Report) -> String {
    let mut text = format!("\nBeside systemd {}. {}.\n", tree.systemd, report.counts());
    let is_reference = tree.name == REFERENCE;
    if !is_reference {
        text.push_str("What follows differs by version, and is no mistake: what Coracle does otherwise than 262, too, is left out.\n");
    }
    for line in &report.left_out {
        text.push_str(&format!("Left out: {line}.\n"));
    }
    let rows = report.rows.iter().filter(|row| match is_reference {
        true => report.is_shown_whole || row.verdict != Verdict::Pass,
        false => row.verdict != Verdict::Pass && !row.is_known,
    });
    let lines: Vec<String> = rows
        .map(|row| {
            let verdict = match row.verdict {
                Verdict::Pass => "pass",
                Verdict::NotRun => "not run",
                Verdict::Fail => "fail",
            };
            let cells = [&row.case].into_iter().chain(&row.cells);
            let cells: Vec<String> = cells.map(|cell| code(cell)).collect();
            format!(
                "| {} | {verdict} | {} |\n",
                cells.join(" | "),
                plain(&row.why)
            )
        })
        .collect();
    if !lines.is_empty() {
        text.push_str(&format!(
            "\n| {} | | why |\n|{}\n{}",
            report.headings.join(" | "),
            "---|".repeat(report.headings.len() + 2),
            lines.concat()
        ));
    }
    text
}

/// A cell as it is, in letters of one width.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let fence = if text.contains('`') { "``" } else { "`" };
    format!("{fence}{}{fence}", plain(text))
}

/// What would end a cell or a line does not.
fn plain(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
