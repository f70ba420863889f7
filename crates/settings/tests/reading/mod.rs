//! What tests read values with: a unit, and the specifiers `%%` and `%n`.

#![allow(clippy::expect_used)] // What tests share fails as tests do.

use coracle_settings::{apply_to, print};
use model::{Directive, Expand, ParseError, Unit};

/// Expands `%%` and `%n` as loading does, and nothing else; a wrong item is an error.
pub(crate) struct Percent;

impl Expand for Percent {
    fn expand(&self, part: &str) -> Result<String, ParseError> {
        Ok(part.replace("%n", "web").replace("%%", "%"))
    }
}

pub(crate) fn unit() -> Unit {
    Unit::new("web.service".parse().expect("a valid name"))
}

/// Applies right-hand sides to an empty unit and prints the directive, its lines joined by ` | `.
#[allow(dead_code)] // Each test file uses its part.
pub(crate) fn check(directive: Directive, lines: &[&str]) -> String {
    check_with(&Percent, directive, lines)
}

pub(crate) fn check_with(expand: &dyn Expand, directive: Directive, lines: &[&str]) -> String {
    let mut unit = unit();
    for line in lines {
        if let Err(error) = apply_to(&mut unit, directive, line, expand) {
            return format!("error: {error}");
        }
    }
    print(&unit, directive).join(" | ")
}
