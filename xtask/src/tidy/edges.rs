//! Rules about crates: who may use whom, and what may come from outside.

use super::Finding;
use super::tree::Tree;

/// What each crate may use from the workspace, outside its tests. ARCHITECTURE.md says why.
const WALLS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("syntax", &[]),
    ("settings", &["model"]),
    ("load", &["syntax", "settings", "model"]),
    ("enabling", &["load", "syntax", "model"]),
    ("engine", &["model"]),
    ("plan", &["model"]),
    ("kernel", &["model"]),
    ("executor", &["plan", "kernel"]),
    ("keeper", &["kernel"]),
    ("init", &["model", "kernel"]),
    ("image", &["model", "kernel"]),
    ("delivery", &["model", "kernel"]),
    ("journal", &["model", "kernel"]),
    ("credential", &[]),
    ("bus", &[]),
    ("wire", &["kernel"]),
    (
        "manager",
        &[
            "wire",
            "load",
            "engine",
            "plan",
            "kernel",
            "keeper",
            "model",
            "settings",
            "credential",
            "bus",
        ],
    ),
    (
        "daemon",
        &["keeper", "manager", "journal", "init", "kernel"],
    ),
    (
        "cli",
        &[
            "wire",
            "load",
            "enabling",
            "plan",
            "settings",
            "model",
            "image",
            "delivery",
            "journal",
            "kernel",
            "credential",
        ],
    ),
    ("testkit", &["wire", "kernel"]),
];

/// Crates with lints of their own: unsafe code is kernel's job, and test code may panic.
const OWN_LINTS: &[&str] = &["kernel", "executor", "testkit"];

/// Packages in Cargo.lock, ours included: a new one needs a reason that is worth raising this.
const LOCKED_PACKAGES_MAX: usize = 260;

/// What the pure crates' own clippy.toml must ban.
const BANNED_IN_PURE: &[&str] = &[
    "std::time::Instant",
    "std::time::SystemTime",
    "std::fs",
    "std::process",
    "HashMap",
];

pub(super) fn walls(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let names: Vec<&str> = WALLS.iter().map(|(name, _)| *name).collect();
    for name in tree.crates() {
        let manifest = format!("crates/{name}/Cargo.toml");
        let Some((_, allowed)) = WALLS.iter().find(|(wall, _)| *wall == name) else {
            findings.push(Finding::new(
                manifest,
                "a crate without walls: give it a line in xtask/src/tidy/edges.rs",
            ));
            continue;
        };
        for used in dependencies(tree.text(&manifest)) {
            if names.contains(&used) && !allowed.contains(&used) {
                findings.push(Finding::new(
                    &manifest,
                    format!("{name} must not use {used}"),
                ));
            }
        }
    }
    findings
}

/// The names in `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or("");
    let section = section.split("\n[").next().unwrap_or(section);
    section
        .lines()
        .filter_map(|line| line.split([' ', '.', '=']).next())
        .filter(|name| !name.is_empty())
        .collect()
}

pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in tree
        .crates()
        .into_iter()
        .filter(|name| !OWN_LINTS.contains(name))
    {
        let manifest = format!("crates/{name}/Cargo.toml");
        if !tree.text(&manifest).contains("[lints]\nworkspace = true") {
            findings.push(Finding::new(manifest, "take the workspace's lints"));
        }
    }
    findings
}

pub(super) fn pure_crates(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in ["engine", "plan"] {
        let path = format!("crates/{name}/clippy.toml");
        for banned in BANNED_IN_PURE
            .iter()
            .filter(|banned| !tree.text(&path).contains(**banned))
        {
            findings.push(Finding::new(&path, format!("{banned} is not banned here")));
        }
    }
    findings
}

pub(super) fn budget(tree: &Tree) -> Vec<Finding> {
    let packages = tree.text("Cargo.lock").matches("[[package]]").count();
    if packages > LOCKED_PACKAGES_MAX {
        return vec![Finding::new(
            "Cargo.lock",
            format!("{packages} packages, more than the {LOCKED_PACKAGES_MAX} agreed"),
        )];
    }
    Vec::new()
}
