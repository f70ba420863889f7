//! Rules about Rust files.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::{Tree, is_test, without_tests};

const FILE_MAX_LINES: usize = 600;
const FILE_MEDIAN_MAX_LINES: usize = 200;

pub(super) fn headers(tree: &Tree) -> Vec<Finding> {
    let bare = tree.rust().filter(|(_, text)| !text.starts_with("//! "));
    bare.map(|(path, _)| Finding::new(path, "begin the file with a `//!` sentence"))
        .collect()
}

pub(super) fn sizes(tree: &Tree) -> Vec<Finding> {
    let mut lengths: Vec<usize> = Vec::new();
    let mut findings = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| !is_test(path)) {
        let lines = without_tests(text).lines().count();
        lengths.push(lines);
        if lines > FILE_MAX_LINES {
            findings.push(Finding::new(
                path,
                format!("{lines} lines: it is two ideas; give each a file"),
            ));
        }
    }
    lengths.sort_unstable();
    if let Some(median) = lengths
        .get(lengths.len() / 2)
        .filter(|median| **median >= FILE_MEDIAN_MAX_LINES)
    {
        findings.push(Finding::new(
            "the checkout",
            format!("the median file has {median} lines"),
        ));
    }
    findings
}

/// Unsafe code outside kernel; how much there is inside stands in the printed ledger.
pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let foreign = tree.rust().filter(|(path, text)| {
        !path.starts_with("crates/kernel/")
            && !path.starts_with("xtask/")
            && unsafe_places(text) > allowed(path)
    });
    foreign
        .map(|(path, _)| Finding::new(path, "unsafe code outside kernel"))
        .collect()
}

/// The executor's entry has no C library before it: its two lines say so themselves. The attacker, which is not shipped, makes the calls
/// that no library offers, in one place, and one by the door for 32-bit programs.
fn allowed(path: &str) -> usize {
    match path {
        "crates/executor/src/main.rs" | "tests/system/src/bin/attacker/call.rs" => 2,
        _ => 0,
    }
}

/// How often a file steps outside what the compiler checks.
pub(crate) fn unsafe_places(text: &str) -> usize {
    text.lines().filter(|line| has_unsafe(line)).count()
}

fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    code.contains("unsafe {")
        || code.contains("unsafe fn ")
        || code.contains("unsafe impl ")
        || code.contains("unsafe extern")
}

/// A Rust file is alive when a `mod` line, a target's path or cargo's own folders name it.
pub(super) fn dead_files(tree: &Tree) -> Vec<Finding> {
    let mut named: BTreeSet<String> = BTreeSet::new();
    for (path, text) in tree.rust() {
        let folder = folder_of_modules(path);
        for line in text.lines() {
            if let Some(module) = module_name(line) {
                named.insert(format!("{folder}/{module}.rs"));
                named.insert(format!("{folder}/{module}/mod.rs"));
            }
            if let Some(file) = line
                .trim()
                .strip_prefix("#[path = \"")
                .and_then(|rest| rest.strip_suffix("\"]"))
            {
                named.insert(format!("{}/{file}", parent(path)));
            }
        }
    }
    let mut findings = Vec::new();
    for (path, _) in tree.rust() {
        if !named.contains(path) && !is_target(tree, path) {
            findings.push(Finding::new(
                path,
                "nothing names this file: remove it or declare its module",
            ));
        }
    }
    findings
}

fn module_name(line: &str) -> Option<&str> {
    let rest = line.trim().strip_suffix(';')?;
    let (visibility, name) = rest.split_once("mod ")?;
    let visible = visibility.is_empty() || visibility.starts_with("pub");
    (visible
        && name
            .chars()
            .all(|letter| letter.is_alphanumeric() || letter == '_'))
    .then_some(name)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Where the modules that a file declares are looked for.
fn folder_of_modules(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    let root = stem.ends_with("/mod")
        || stem.ends_with("/lib")
        || stem.ends_with("/main")
        || is_cargo_folder(path);
    if root {
        parent(path).to_owned()
    } else {
        stem.to_owned()
    }
}

fn is_cargo_folder(path: &str) -> bool {
    ["tests", "examples", "benches", "bin", "fuzz_targets"]
        .iter()
        .any(|folder| parent(path).ends_with(&format!("/{folder}")))
}

fn is_target(tree: &Tree, path: &str) -> bool {
    let test_with_files = path.contains("/tests/") && path.ends_with("/main.rs");
    if is_cargo_folder(path) || test_with_files || path.ends_with("/build.rs") {
        return true;
    }
    let Some((package, inside)) = path.split_once("/src/") else {
        return tree.files.iter().any(|(manifest, text)| {
            manifest.ends_with("Cargo.toml") && names_path(manifest, text, path)
        });
    };
    matches!(inside, "lib.rs" | "main.rs")
        || names_path(
            &format!("{package}/Cargo.toml"),
            tree.text(&format!("{package}/Cargo.toml")),
            path,
        )
}

fn names_path(manifest: &str, text: &str, path: &str) -> bool {
    let inside = path
        .strip_prefix(parent(manifest))
        .unwrap_or(path)
        .trim_start_matches('/');
    text.contains(&format!("path = \"{inside}\""))
}

pub(super) fn reasons(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| !is_test(path)) {
        for (index, line) in without_tests(text).lines().enumerate() {
            let line = line.trim();
            let silences = ["#[allow(", "#![allow(", "#[expect(", "#![expect("]
                .iter()
                .any(|start| line.starts_with(start));
            if silences
                && line.ends_with(']')
                && !line.contains("reason = ")
                && !line.contains("clippy::unwrap_used")
            {
                findings.push(Finding::new(
                    format!("{path}:{}", index + 1),
                    "give the lint's exception a `reason = \"…\"`",
                ));
            }
        }
    }
    findings
}
