//! What is expected of each unit: `tests/conformance/test-execute.tsv`.

use anyhow::{Context, Result};

const TABLE: &str = include_str!("../../../../tests/conformance/test-execute.tsv");

/// One run of one unit.
pub(in super::super) struct Case {
    /// The name by which it is started, and the file that has it.
    pub(in super::super) unit: String,
    pub(in super::super) file: String,
    /// The function of systemd's test program that runs it: cases of one function belong together.
    pub(in super::super) test: String,
    /// An exit status, a signal's name, or `result=` with a unit's result.
    pub(in super::super) expected: String,
    /// What the case needs of the machine.
    pub(in super::super) guards: String,
    pub(in super::super) directives: String,
}

/// All cases, in the order in which they are run.
pub(super) fn cases() -> Result<Vec<Case>> {
    TABLE.lines().skip(1).map(case).collect()
}

fn case(line: &str) -> Result<Case> {
    let cells: Vec<&str> = line.split('\t').collect();
    let [name, test, _, _, expected, _, _, guards, _, directives, ..] = cells.as_slice() else {
        anyhow::bail!("a row of test-execute.tsv has too few columns: {line}");
    };
    let unit = on_debian(name);
    let file = match unit.split_once('@') {
        Some((prefix, _)) => format!("{prefix}@.service"),
        None => unit.clone(),
    };
    let expected = expected.split('(').next().context("an expected end")?;
    Ok(Case {
        unit,
        file,
        test: (*test).to_owned(),
        expected: expected.to_owned(),
        guards: (*guards).to_owned(),
        directives: (*directives).to_owned(),
    })
}

/// Where a unit's name depends on what the distribution calls the group of nobody, the table has both.
fn on_debian(name: &str) -> String {
    name.replace("nobody|nogroup", "nogroup")
}
