//! Pages that are printed, never written: the reference of directives from the table.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::run;
use crate::tidy::{Finding, Tree};

/// Writes every printed page.
pub(crate) fn write() -> Result<()> {
    for (path, text) in pages() {
        let target = run::root().join(&path);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(target, text)?;
    }
    Ok(())
}

/// The rule of tidy: what is in the checkout equals what would be printed.
pub(crate) fn stale(tree: &Tree) -> Vec<Finding> {
    pages()
        .into_iter()
        .filter(|(path, text)| tree.text(path) != text)
        .map(|(path, _)| {
            Finding::new(
                path,
                "is not what the table prints: run `cargo xtask tidy --fix`",
            )
        })
        .collect()
}

/// Paths below the root of the checkout, with their texts.
fn pages() -> BTreeMap<String, String> {
    BTreeMap::new()
}
