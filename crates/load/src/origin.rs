//! Where each value of a unit comes from.

use std::fmt;
use std::sync::Arc;

use model::Directive;

/// A file and a line of it; line 0 where a link in a `.wants` directory (or its kin) is what says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, as the tree names it.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// The origins of all values, in the order in which they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<(Directive, Origin)>);

impl Origins {
    pub(crate) fn push(&mut self, directive: Directive, file: &Arc<str>, line: u32) {
        self.0.push((
            directive,
            Origin {
                file: Arc::clone(file),
                line,
            },
        ));
    }

    /// Every place that had a say in a directive's value, the last one last.
    pub fn of(&self, directive: Directive) -> impl Iterator<Item = &Origin> {
        self.0
            .iter()
            .filter(move |(known, _)| *known == directive)
            .map(|(_, origin)| origin)
    }

    /// Every directive with a place.
    pub fn iter(&self) -> impl Iterator<Item = (Directive, &Origin)> {
        self.0
            .iter()
            .map(|(directive, origin)| (*directive, origin))
    }
}
