//! What tests read values with: a unit, and the specifiers `%%` and `%n`.

#![allow(clippy::expect_used)] // What tests share fails as tests do.

use model::{Expand, ParseError, Unit};

/// Expands `%%` and `%n` as loading does, and nothing else.
pub(crate) struct Percent;

impl Expand for Percent {
    fn expand(&self, part: &str) -> Result<String, ParseError> {
        Ok(part.replace("%n", "web").replace("%%", "%"))
    }
}

pub(crate) fn unit() -> Unit {
    Unit::new("web.service".parse().expect("a valid name"))
}
