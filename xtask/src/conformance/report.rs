//! What a check found: a row for each case.

use serde::{Deserialize, Serialize};

use super::known::KNOWN;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    Pass,
    /// Neither side does what the case expects: the container lacks something.
    NotRun,
    Fail,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    /// What the case is called; the first column.
    pub(super) case: String,
    /// What was expected or found, one for each further heading.
    pub(super) cells: Vec<String>,
    pub(super) verdict: Verdict,
    /// Why it did not pass.
    pub(super) why: String,
    /// Whether `known.rs` says why.
    #[serde(skip)]
    pub(super) is_known: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) headings: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// Whether the page shows those that passed, too.
    pub(super) is_shown_whole: bool,
    /// What the check leaves out, and why.
    pub(super) left_out: Vec<String>,
}

impl Report {
    /// Gives the known differences from the reference their reasons. A reason for a case that passes there is itself a failure.
    pub(super) fn explained(mut self, check: &str, is_reference: bool) -> Report {
        for row in &mut self.rows {
            let known = KNOWN
                .iter()
                .find(|(of, case, _)| *of == check && *case == row.case);
            match (known, row.verdict) {
                (Some((.., why)), Verdict::Fail | Verdict::NotRun) => {
                    row.is_known = true;
                    row.why = (*why).to_owned();
                }
                (Some(_), Verdict::Pass) if is_reference => {
                    row.verdict = Verdict::Fail;
                    row.why = "passes, and known.rs says that it does not".to_owned();
                }
                _ => {}
            }
        }
        self
    }

    /// How many rows there are of each verdict.
    pub(super) fn counts(&self) -> String {
        let count = |verdict| {
            self.rows
                .iter()
                .filter(|row| row.verdict == verdict)
                .count()
        };
        format!(
            "{} cases: {} pass, {} fail, {} can't be run in the container",
            self.rows.len(),
            count(Verdict::Pass),
            count(Verdict::Fail),
            count(Verdict::NotRun)
        )
    }

    pub(super) fn unexplained(&self) -> impl Iterator<Item = &Row> {
        let failed = |row: &&Row| row.verdict != Verdict::Pass && !row.is_known;
        self.rows.iter().filter(failed)
    }
}

impl Row {
    /// A case on which both sides have a word: it passes where they say the same.
    pub(super) fn compared(case: impl Into<String>, theirs: String, ours: String) -> Row {
        Row {
            case: case.into(),
            verdict: if theirs == ours {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
            cells: vec![theirs, ours],
            why: String::new(),
            is_known: false,
        }
    }

    pub(super) fn line(&self) -> String {
        format!("{} · {} · {}", self.case, self.cells.join(" · "), self.why)
    }
}
