//! Rules about what comes from outside: its source, its licence, and no crate twice. What `deny.toml` allows is allowed here.

use std::process::Command;

use super::Finding;
use super::tree::Tree;
use crate::run;

/// The one source of packages that are not ours.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Crates that are locked in several versions, because others ask for different ones. This list may only shrink.
const TWICE: &[&str] = &["getrandom", "syn", "windows-sys"];

/// The platform whose packages are looked at: what is shipped.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The value of `key = "…"` in a part of a lock file.
fn value<'a>(package: &'a str, key: &str) -> Option<&'a str> {
    let line = package
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
    line.strip_suffix('"')
}

pub(super) fn sources(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let packages: Vec<&str> = tree
        .text("Cargo.lock")
        .split("[[package]]")
        .skip(1)
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for package in packages {
        let name = value(package, "name").unwrap_or_default();
        if names.contains(&name) && !TWICE.contains(&name) {
            findings.push(Finding::new(
                "Cargo.lock",
                format!("{name} is locked twice: find one version for all who use it"),
            ));
        }
        names.push(name);
        let fine = match value(package, "source") {
            None => tree.crates().iter().any(|own| name.ends_with(own)) || OURS.contains(&name),
            Some(source) => source == REGISTRY && value(package, "checksum").is_some(),
        };
        if !fine {
            findings.push(Finding::new(
                "Cargo.lock",
                format!("{name} comes from elsewhere than the registry, or without a checksum"),
            ));
        }
    }
    for unused in TWICE
        .iter()
        .filter(|name| names.iter().filter(|one| one == name).count() < 2)
    {
        findings.push(Finding::new(
            "xtask/src/tidy/dependencies.rs",
            format!("{unused} is locked once only: take it off the list"),
        ));
    }
    findings
}

/// Our packages outside `crates/`.
const OURS: &[&str] = &["xtask", "hello", "coracle-system-tests", "coracle-vm-init"];

pub(super) fn licences(tree: &Tree) -> Vec<Finding> {
    let allowed = allowed(tree.text("deny.toml"));
    if allowed.is_empty() {
        return vec![Finding::new("deny.toml", "it allows no licence")];
    }
    let asked = run::output(
        Command::new("cargo")
            .args([
                "metadata",
                "--format-version=1",
                "--locked",
                "--filter-platform",
            ])
            .arg(PLATFORM)
            .current_dir(run::root()),
    );
    let metadata = asked.and_then(|text| Ok(serde_json::from_str::<serde_json::Value>(&text)?));
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => {
            return vec![Finding::new(
                "Cargo.toml",
                format!("cargo metadata: {error:#}"),
            )];
        }
    };
    let packages = metadata.get("packages").and_then(|list| list.as_array());
    let packages = packages.map(Vec::as_slice).unwrap_or_default();
    let text = |package: &serde_json::Value, field: &str| {
        let value = package.get(field).and_then(|value| value.as_str());
        value.unwrap_or_default().to_owned()
    };
    packages
        .iter()
        .map(|package| (text(package, "name"), text(package, "license")))
        .filter(|(_, licence)| !is_allowed(licence, &allowed))
        .map(|(name, licence)| {
            Finding::new(
                "Cargo.lock",
                format!("{name} has the licence {licence:?}, which deny.toml does not allow"),
            )
        })
        .collect()
}

/// The names in `allow = […]` of the licences.
fn allowed(deny: &str) -> Vec<&str> {
    let section = deny.split("[licenses]").nth(1).unwrap_or_default();
    let list = section.split("allow = [").nth(1).unwrap_or_default();
    let list = list.split(']').next().unwrap_or_default();
    list.split(',')
        .map(|word| word.trim().trim_matches('"'))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether an SPDX expression can be met: `OR` (and the old `/`) lets choose, `AND` wants all, `WITH` belongs to the name before it.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = any_of(words, allowed);
        return words.next_if_eq(&")").is_some() && met;
    }
    let Some(mut name) = words.next().map(str::to_owned) else {
        return false;
    };
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::{allowed, is_allowed, value};

    #[test]
    fn a_licence_is_met_as_its_expression_says() {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/Apache-2.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("(MIT OR GPL-3.0) AND GPL-2.0", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
            ("Apache-2.0", false),
            ("MIT MIT", false),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn lists_and_values_are_read() {
        let deny = "[graph]\n[licenses]\nallow = [\"MIT\", \"0BSD\"]\n[bans]\n";
        assert_eq!(allowed(deny), ["MIT", "0BSD"]);
        assert_eq!(
            value("\nname = \"a\"\nsource = \"b\"\n", "source"),
            Some("b")
        );
        assert_eq!(value("\nname = \"a\"\n", "source"), None);
    }
}
