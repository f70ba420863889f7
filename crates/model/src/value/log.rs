//! What becomes of a service's log lines: patterns that they must or must not match, and the namespace that takes them.

use super::words::{Item, list, unescape_all};
use crate::text::{Expand, Form, ParseError, TextForm};

/// Patterns of a unit that count; further ones are an error.
pub const MAX_LOG_PATTERNS: usize = 16;
/// Bytes of one compiled pattern: what a line costs grows with it, and an image may have patterns.
const PATTERN_BYTES_MAX: usize = 4 << 10;
/// Bytes of the smallest of the sizes that compiled patterns are told apart by.
const PATTERN_BYTES_MIN: usize = 512;
/// Longest name of a log namespace, in bytes: it is a directory's.
pub const MAX_LOG_NAMESPACE_BYTES: usize = 222;

/// A regular expression that lines are kept or dropped by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogPattern {
    /// What matches is dropped; else only what matches is kept.
    pub is_denied: bool,
    /// The expression.
    pub expression: String,
}

/// Compiles an expression, and tells its size in bytes, rounded up to a power of two: what a byte of a line costs grows with it.
///
/// # Errors
/// When it is none, or too large.
pub fn sized_log_expression(expression: &str) -> Result<(regex_lite::Regex, usize), ParseError> {
    let mut builder = regex_lite::RegexBuilder::new(expression);
    let mut bytes = PATTERN_BYTES_MIN;
    while bytes < PATTERN_BYTES_MAX {
        if let Ok(compiled) = builder.size_limit(bytes).build() {
            return Ok((compiled, bytes));
        }
        bytes *= 2;
    }
    let built = builder.size_limit(PATTERN_BYTES_MAX).build();
    built
        .map(|compiled| (compiled, PATTERN_BYTES_MAX))
        .map_err(|_| {
            ParseError::not_a(
                expression,
                "a regular expression, or is too large for one that every line is held against",
            )
        })
}

impl Item for LogPattern {
    fn parse_item(text: &str, _: &dyn Expand) -> Result<LogPattern, ParseError> {
        let denied = text.strip_prefix('~');
        let expression = unescape_all(denied.unwrap_or(text))?;
        if expression.contains('\0') {
            return Err(ParseError::not_a(text, "a regular expression"));
        }
        sized_log_expression(&expression)?;
        Ok(LogPattern {
            is_denied: denied.is_some(),
            expression,
        })
    }

    fn print_item(&self, _: Form) -> String {
        let mark = if self.is_denied { "~" } else { "" };
        // Blanks at the ends of a line are lost, and so would be what begins like a mark.
        let mut text = String::from(mark);
        let last = self.expression.chars().count().saturating_sub(1);
        for (place, character) in self.expression.chars().enumerate() {
            match character {
                '\\' => text.push_str("\\\\"),
                '~' if place == 0 => text.push_str("\\x7e"),
                c if c.is_control() || (c.is_whitespace() && (place == 0 || place == last)) => {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                c => text.push(c),
            }
        }
        text
    }
}

list! {
    /// Expressions that lines are kept or dropped by, one per line.
    LogPatterns of LogPattern, lines
}

/// The name of a set of logs of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LogNamespace(pub String);

impl LogNamespace {
    /// Whether a text can be one: a plain file's name.
    pub fn is_name(text: &str) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@".contains(c);
        !text.is_empty()
            && text.len() <= MAX_LOG_NAMESPACE_BYTES
            && !text.starts_with('.')
            && text.chars().all(is_plain)
    }
}

impl TextForm for LogNamespace {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<LogNamespace, ParseError> {
        let name = expand.expand(text)?;
        if LogNamespace::is_name(&name) {
            Ok(LogNamespace(name))
        } else {
            Err(ParseError::not_a(&name, "the name of a log namespace"))
        }
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        vec![form.part(&self.0).into_owned()]
    }
}
