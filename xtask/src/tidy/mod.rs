//! The house rules as a test: each rule is a function from the checkout to findings.

mod dependencies;
mod documents;
mod edges;
pub(crate) mod source;
mod tree;

use anyhow::{Result, bail};

use crate::docs;
pub(crate) use tree::Tree;

/// A broken rule: where, and what to do about it.
pub(crate) struct Finding {
    place: String,
    what: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding {
            place: place.into(),
            what: what.into(),
        }
    }
}

/// A rule of the house.
type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[(&str, Rule)] = &[
    (
        "every Rust file opens with a sentence that says what it is for",
        source::headers,
    ),
    (
        "files have at most 600 lines without tests, the median file under 200",
        source::sizes,
    ),
    ("unsafe code lives in kernel", source::unsafe_code),
    ("no file is dead", source::dead_files),
    (
        "lints are not switched off without a reason",
        source::reasons,
    ),
    ("crates use only what the walls allow", edges::walls),
    ("every crate takes the workspace's lints", edges::lints),
    (
        "the engine and the planner ban clocks, files and processes",
        edges::pure_crates,
    ),
    ("dependencies stay within the budget", edges::budget),
    (
        "dependencies come from the registry, and none twice",
        dependencies::sources,
    ),
    (
        "dependencies have licences that are allowed",
        dependencies::licences,
    ),
    (
        "documents keep their length and name every crate",
        documents::lengths,
    ),
    (
        "the specification names a benchmark for each number",
        documents::promises,
    ),
    ("links between documents lead somewhere", documents::links),
    ("no word of workplaces or machines", documents::words),
    ("printed pages are current", docs::stale),
];

/// Checks all rules; with `fix`, writes the printed pages first.
pub(crate) fn run(fix: bool) -> Result<()> {
    if fix {
        docs::write()?;
    }
    let tree = Tree::read()?;
    let mut broken = 0;
    for (name, rule) in RULES {
        for finding in rule(&tree) {
            broken += 1;
            eprintln!("tidy: {}: {} ({name})", finding.place, finding.what);
        }
    }
    if broken > 0 {
        bail!("{broken} findings; each line names the file and the rule");
    }
    eprintln!(
        "tidy: {} rules hold over {} files",
        RULES.len(),
        tree.files.len()
    );
    Ok(())
}
