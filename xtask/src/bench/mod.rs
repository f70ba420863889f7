//! Benches: Coracle and its peers alternate in one run; medians and ratios are printed, nothing is judged.

mod memory;
mod portable;
mod start;
mod timing;

use anyhow::{Result, bail};

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
    println!("{:<16}  {:<58}  {:>18}  goal", "bench", "what", "median");
    for (name, work) in BENCHES
        .iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name))
    {
        for figure in work()? {
            println!(
                "{name:<16}  {:<58}  {:>18}  {}",
                figure.what, figure.value, figure.goal
            );
        }
    }
    Ok(())
}
