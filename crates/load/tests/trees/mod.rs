//! Trees of texts, and what is loaded from them as text.
#![allow(dead_code)] // Each test file uses its part of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

use std::fmt::Write as _;
use std::path::PathBuf;

use coracle_load as load;
use load::{Loaded, Loader, MemoryTree, SearchPath};
use model::UnitName;

/// A tree from one text: `== PATH` starts a file, `== PATH -> TARGET` makes a link.
pub(crate) fn tree(text: &str) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for part in text.split("== ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        match head.split_once(" -> ") {
            Some((path, target)) => tree.symlink(path, target),
            None => tree.write(head, body),
        };
    }
    tree
}

pub(crate) fn loader(text: &str) -> Loader<MemoryTree> {
    Loader::new(
        SearchPath::new(["/etc/u", "/run/u", "/usr/u"].map(PathBuf::from)),
        tree(text),
    )
}

pub(crate) fn name(text: &str) -> UnitName {
    text.parse().unwrap()
}

/// The unit as text: its names, state, files, values with their last origin, diagnostics.
pub(crate) fn show(loaded: &Loaded) -> String {
    let names: Vec<_> = loaded.names.iter().map(UnitName::as_str).collect();
    let mut shown = format!(
        "{}: {} ({})\n",
        loaded.unit.name(),
        loaded.state,
        names.join(" ")
    );
    loaded
        .fragment
        .iter()
        .for_each(|path| writeln!(shown, "fragment {}", path.display()).unwrap());
    loaded
        .drop_ins
        .iter()
        .for_each(|path| writeln!(shown, "drop-in {}", path.display()).unwrap());
    for (directive, _) in loaded.unit.iter() {
        let origin = loaded
            .origins
            .of(directive)
            .last()
            .map(ToString::to_string)
            .unwrap_or_default();
        let lines = settings::print(&loaded.unit, directive).join(" | ");
        writeln!(shown, "{directive}{lines}  <- {origin}").unwrap();
    }
    loaded
        .diagnostics
        .iter()
        .for_each(|finding| writeln!(shown, "{finding}").unwrap());
    shown
}

#[track_caller]
pub(crate) fn check(text: &str, unit: &str, expected: &str) {
    assert_eq!(
        show(&loader(text).load(&name(unit))).trim_end(),
        expected.trim()
    );
}
