//! A diagnostic: what is wrong, where, and what to do; a value that can travel, with the excerpt it points into.

use std::fmt;
use std::sync::Arc;

use crate::excerpt::excerpt;
use crate::logical::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The line is ignored or read otherwise than it looks; the rest stands.
    Warning,
    /// The file, or what follows in it, can't be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One finding about one place of one file. Printed, it is a single line: `FILE:LINE:COLUMN: SEVERITY: MESSAGE (HINT)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A whole sentence that names the object.
    pub message: String,
    /// What to do, such as the nearest known name.
    pub hint: Option<String>,
    /// The file, as the tree of units names it.
    pub file: Arc<str>,
    /// Line, counted from 1; 0 where the finding is about the whole file.
    pub line: u32,
    /// Column in characters, counted from 1; 0 where the finding is about the whole line or file.
    pub column: u32,
    /// The line (or the part of a long one around the mark), control characters made visible.
    pub excerpt: String,
    /// The byte range of `excerpt` that is meant.
    pub mark: std::ops::Range<usize>,
}

impl Diagnostic {
    /// A finding about `span` of `source`.
    #[must_use]
    pub fn at(
        severity: Severity,
        file: &Arc<str>,
        source: &[u8],
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        let place = excerpt(source, span);
        Self {
            severity,
            message: message.into(),
            hint: None,
            file: Arc::clone(file),
            line: place.line,
            column: place.column,
            excerpt: place.text,
            mark: place.mark,
        }
    }

    /// A finding about a whole file, or about a path that has no lines.
    #[must_use]
    pub fn of_file(severity: Severity, file: &Arc<str>, message: impl Into<String>) -> Self {
        Self {
            severity,
            message: message.into(),
            hint: None,
            file: Arc::clone(file),
            line: 0,
            column: 0,
            excerpt: String::new(),
            mark: 0..0,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}: {}", self.severity, self.message)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}
