//! Benches: Coracle and its peers alternate in one run; medians, minima and ratios are printed, nothing is judged.
//!
//! All that is measured runs at the highest priority, ours and theirs: what else happens on the machine then disturbs less, and
//! disturbs all alike. A start of ours passes through four processes, so on a busy machine it waits four times.

mod memory;
mod portable;
mod start;
mod timing;

use anyhow::{Context, Result, bail};

use crate::{dist, run};

/// One measured figure beside what was promised.
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// The value with its unit.
    pub(crate) value: String,
    /// What SPECIFICATION.md promises, or nothing.
    pub(crate) goal: &'static str,
}

impl Figure {
    fn new(what: impl Into<String>, value: String) -> Self {
        Self {
            what: what.into(),
            value,
            goal: "",
        }
    }

    fn promised(self, goal: &'static str) -> Self {
        Self { goal, ..self }
    }
}

/// A bench's name, and the work that yields its figures.
type Bench = (&'static str, fn() -> Result<Vec<Figure>>);

/// SPECIFICATION.md names these.
const BENCHES: &[Bench] = &[
    ("start-plain", start::plain),
    ("start-sandboxed", start::sandboxed),
    ("attach-start", portable::attach_and_start),
    ("memory-1000", memory::thousand_units),
    ("file-size", memory::file_size),
];

/// The nice value that leaves all others behind (setpriority(2)).
const HIGHEST_PRIORITY: i32 = -20;

/// Runs the named benches, or all.
pub(crate) fn run(names: &[String]) -> Result<()> {
    if let Some(unknown) = names
        .iter()
        .find(|name| BENCHES.iter().all(|(bench, _)| bench != name))
    {
        let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!(
            "there is no bench {unknown:?}; there are {}",
            known.join(", ")
        );
    }
    run::need_root("measuring starts")?;
    dist::run()?;
    rustix::process::setpriority_process(None, HIGHEST_PRIORITY)
        .context("cannot take the highest priority")?;
    println!(
        "{:<16}  {:<44}  {:>20}  goal",
        "bench", "what", "median (minimum)"
    );
    for (name, work) in BENCHES
        .iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name))
    {
        for figure in work()? {
            println!(
                "{name:<16}  {:<44}  {:>20}  {}",
                figure.what, figure.value, figure.goal
            );
        }
    }
    Ok(())
}
