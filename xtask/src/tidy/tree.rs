//! The checkout as the rules see it: every file that git tracks or would track, with its text.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Result;

use crate::run;

/// Paths below the root of the checkout, each with its text; files that are not UTF-8 are left out.
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, String>,
}

impl Tree {
    pub(crate) fn read() -> Result<Tree> {
        let listed = run::output(
            Command::new("git")
                .args(["ls-files", "--cached", "--others", "--exclude-standard"])
                .current_dir(run::root()),
        )?;
        let mut files = BTreeMap::new();
        for path in listed.lines() {
            if let Ok(text) = std::fs::read_to_string(run::root().join(path)) {
                files.insert(path.to_owned(), text);
            }
        }
        Ok(Tree { files })
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    /// The Rust files, tests included.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with_ending(".rs")
    }

    /// The Markdown files.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with_ending(".md")
    }

    /// The names of the folders in `crates/`.
    pub(crate) fn crates(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"))
            .collect();
        names.dedup();
        names
    }

    fn with_ending(&self, ending: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

/// The part of a Rust file before its test module.
pub(crate) fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// Whether a path holds tests, fixtures or fuzz targets only.
pub(crate) fn is_test(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.contains("_tests.rs")
        || path.starts_with("crates/testkit/")
}
