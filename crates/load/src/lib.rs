//! Search path, drop-ins, templates and aliases to a typed unit; knows the files' names, the table and origins, and no running state.
//!
//! [`Loader::load`] never fails: a unit comes with a state, diagnostics, and for each value the line that said it. The file system is
//! a [`Tree`], so tests have theirs in memory. No host is looked at but through the tree and the [`SpecifierContext`].

mod assign;
pub mod built_in;
mod digest;
pub mod fstab;
pub use model::escape;
mod host;
mod host_tree;
mod index;
mod loader;
pub mod notify;
mod origin;
mod paths;
pub mod portable;
mod side;
mod specifier;
mod tree;
mod whole;
pub mod zones;

pub use assign::Ignored;
pub use host_tree::HostTree;
pub use loader::{LoadState, Loaded, Loader, Look, load_text};
pub use origin::{Origin, Origins};
pub use paths::SearchPath;
pub use specifier::{MAX_EXPANDED_BYTES, OsRelease, SpecifierContext, Specifiers, assigned};
#[cfg(feature = "render")]
pub use syntax::render;
pub use syntax::{Diagnostic, MAX_FILE_BYTES as UNIT_FILE_MAX_BYTES, Severity, nearest};

/// The directive whose name is nearest to a wrong one, if any is near.
#[must_use]
pub fn nearest_directive(name: &str) -> Option<&'static str> {
    nearest(name, settings::TABLE.iter().map(|row| row.name))
}
pub use tree::{Content, MemoryTree, Named, Stamp, Tree};
pub use whole::{complaint, defect};
