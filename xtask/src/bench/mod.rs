//! Benches: Coracle and its peers alternate in one run; medians, minima and ratios are printed, nothing is judged.
//!
//! All that is measured runs at the highest priority, ours and theirs: what else happens on the machine then disturbs less, and
//! disturbs all alike. A start of ours passes through four processes, so on a busy machine it waits four times.

mod memory;
mod portable;
mod start;
mod systemd;
mod timing;

use anyhow::{Context, Result, bail};

use crate::peers::{Container, Tree};
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

/// Where a bench runs.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// On this machine.
    Here,
    /// In a container that a peer's systemd has booted, once for each tree.
    Peer,
}

/// A bench's name, where it runs, and the work that yields its figures.
type Bench = (&'static str, Place, fn() -> Result<Vec<Figure>>);

/// SPECIFICATION.md names these.
const BENCHES: &[Bench] = &[
    ("start-plain", Place::Here, start::plain),
    ("start-sandboxed", Place::Here, start::sandboxed),
    ("attach-start", Place::Here, portable::attach_and_start),
    ("memory-1000", Place::Here, memory::thousand_units),
    ("file-size", Place::Here, memory::file_size),
    ("run", Place::Peer, systemd::run),
    ("oneshots", Place::Peer, systemd::oneshots),
    ("services", Place::Peer, systemd::services),
    ("loaded", Place::Peer, systemd::loaded),
];

/// The nice value that leaves all others behind (setpriority(2)).
const HIGHEST_PRIORITY: i32 = -20;

/// Runs the named benches; without a name, those that need no tree of a peer's.
pub(crate) fn run(names: &[String]) -> Result<()> {
    if let Some(unknown) = names
        .iter()
        .find(|name| BENCHES.iter().all(|(bench, ..)| bench != name))
    {
        let known: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).collect();
        bail!(
            "there is no bench {unknown:?}; there are {}",
            known.join(", ")
        );
    }
    run::need_root("measuring starts")?;
    dist::run()?;
    println!(
        "{:<16}  {:<44}  {:>20}  goal",
        "bench", "what", "median (minimum)"
    );
    let chosen = BENCHES.iter().filter(|(name, place, _)| {
        (names.is_empty() && *place == Place::Here) || names.iter().any(|wanted| wanted == name)
    });
    for (name, place, _) in chosen {
        match place {
            Place::Here => inside(name)?,
            Place::Peer => {
                for tree in Tree::named(&[])? {
                    println!("{name:<16}  beside systemd {}", tree.systemd);
                    in_container(tree, name)?;
                }
            }
        }
    }
    Ok(())
}

/// Runs one bench where this process is.
pub(crate) fn inside(wanted: &str) -> Result<()> {
    let (name, _, work) = BENCHES
        .iter()
        .find(|(name, ..)| *name == wanted)
        .with_context(|| format!("there is no bench {wanted:?}"))?;
    rustix::process::setpriority_process(None, HIGHEST_PRIORITY)
        .context("cannot take the highest priority")?;
    for figure in work()? {
        println!(
            "{name:<16}  {:<44}  {:>20}  {}",
            figure.what, figure.value, figure.goal
        );
    }
    Ok(())
}

/// Runs one bench in a tree's container: this program is static, and so goes along.
fn in_container(tree: Tree, name: &str) -> Result<()> {
    let program = std::env::current_exe()?;
    let folder = program.parent().context("this program is in no folder")?;
    let file = program.file_name().context("this program has no name")?;
    let finished = Container::of(tree)?
        .bind(folder, "/xtask")
        .bind(&run::root().join("dist"), "/dist")
        .run(&format!(
            "{}=/dist exec '/xtask/{}' bench-inside {name}\n",
            testkit::DIST,
            file.display()
        ))?;
    print!("{}", finished.output);
    if finished.status != 0 {
        bail!("the bench ended with status {}", finished.status);
    }
    Ok(())
}
