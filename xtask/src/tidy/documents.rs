//! Rules about documents.

use super::Finding;
use super::tree::Tree;

/// A document and its greatest length in lines.
const LENGTHS: &[(&str, usize)] = &[("README.md", 120), ("ARCHITECTURE.md", 300)];

/// Documents that a reader may expect.
const EXPECTED: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "SPECIFICATION.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    crate::conformance::PAGE,
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// The project speaks of itself alone.
const FOREIGN_WORDS: &[&str] = &[
    "/work/",
    "farm-",
    "subagent",
    "shared/facts",
    "DESIGN.md",
    "STYLE.md",
    "CRATES.md",
    "START-PATH",
];

pub(super) fn lengths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in EXPECTED
        .iter()
        .filter(|path| !tree.files.contains_key(**path))
    {
        findings.push(Finding::new(*path, "is missing"));
    }
    for (path, most) in LENGTHS {
        let lines = tree.text(path).lines().count();
        if lines > *most {
            findings.push(Finding::new(
                *path,
                format!("{lines} lines, more than {most}"),
            ));
        }
    }
    for name in tree.crates() {
        if !tree.text("ARCHITECTURE.md").contains(&format!("`{name}`")) {
            findings.push(Finding::new(
                "ARCHITECTURE.md",
                format!("does not say what `{name}` is for"),
            ));
        }
    }
    findings
}

/// Each row of a promise table ends with the names of benchmarks or of tests that are there, or with `[pending]`.
pub(super) fn promises(tree: &Tree) -> Vec<Finding> {
    let texts_below = |folder: &str| -> String {
        let files = tree.files.iter();
        files
            .filter(|(path, _)| path.starts_with(folder))
            .map(|(_, text)| text.as_str())
            .collect()
    };
    let (benches, tests) = (texts_below("xtask/src/"), texts_below("tests/"));
    let exists = |name: &str| {
        benches.contains(&format!("\"{name}\"")) || tests.contains(&format!("fn {name}()"))
    };
    let mut findings = Vec::new();
    for (index, line) in tree
        .text("SPECIFICATION.md")
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("| "))
    {
        let Some(last) = line.trim_end_matches(" |").rsplit("| ").next() else {
            continue;
        };
        let heading = last == "measured by" || last.starts_with("--");
        let mut names = last.split('`').skip(1).step_by(2).peekable();
        let named = names.peek().is_some() && names.all(exists);
        if !heading && !named && !last.contains("[pending]") {
            findings.push(Finding::new(
                format!("SPECIFICATION.md:{}", index + 1),
                "name a benchmark or a test that is there, or say [pending]",
            ));
        }
    }
    findings
}

pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.pages() {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or(target);
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            if !crate::run::root().join(folder).join(file).exists() {
                findings.push(Finding::new(
                    path,
                    format!("the link to {file} leads nowhere"),
                ));
            }
        }
    }
    findings
}

pub(super) fn words(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree
        .files
        .iter()
        .filter(|(path, _)| !path.starts_with("xtask/src/tidy/"))
    {
        for word in FOREIGN_WORDS.iter().filter(|word| text.contains(**word)) {
            findings.push(Finding::new(
                path,
                format!("says {word:?}: the project speaks of itself alone"),
            ));
        }
    }
    findings
}
