//! Unit-file text to assignments with spans, after systemd.syntax(7); knows bytes, lines and words, and no directive's meaning.
//!
//! [`parse`] never fails: it yields a [`Document`] whose items tile the source byte by byte, and diagnostics as values.
//! [`words`](mod@words) splits a value the way Exec lines, environments and lists are split.

mod diagnostic;
mod document;
mod escape;
mod excerpt;
mod lines;
mod logical;
mod nearest;
#[cfg(feature = "render")]
mod render;
pub mod words;

pub use diagnostic::{Diagnostic, Severity};
pub use document::{Assignment, Document, Item, Kind, parse};
pub use logical::{Logical, Span};
pub use nearest::nearest;
#[cfg(feature = "render")]
pub use render::{render, render_colored};

/// Longest logical line, 1 MiB: the reference's own limit (LONG_LINE_MAX), so no file that it reads is refused here.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Largest unit file, 4 MiB: four longest lines. The largest units in use are some tens of kilobytes; what is larger is an attack
/// on the manager's memory, which is promised to stay small.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// Most diagnostics for one file: what comes after is counted, not kept, so that a hostile file can't fill a terminal or a log.
pub const MAX_DIAGNOSTICS: usize = 64;
