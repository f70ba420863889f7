//! Variables and the files that hold them.

use super::words::{Item, list};
use crate::text::{Expand, Form, ParseError};

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    /// Letters, digits and `_`, no digit first.
    pub name: String,
    /// Anything without a NUL.
    pub value: String,
}

/// Whether a text can be the name of a variable (environ(7)).
pub fn is_variable_name(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

impl Item for Variable {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<Variable, ParseError> {
        let wrong = || ParseError::not_a(text, "a variable of the form NAME=VALUE");
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        if !is_variable_name(name) {
            return Err(wrong());
        }
        Ok(Variable { name: name.to_owned(), value: expand.expand(value)? })
    }

    fn print_item(&self, form: Form) -> String {
        format!("{}={}", self.name, form.part(&self.value))
    }
}

list! {
    /// Variables; of two with one name the later counts.
    EnvironmentList of Variable, words
}

/// A file with variables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EnvironmentFile {
    /// An absolute path, perhaps with wildcards.
    pub path: String,
    /// It may be missing: `-`.
    pub optional: bool,
}

impl Item for EnvironmentFile {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<EnvironmentFile, ParseError> {
        let (optional, path) = text.strip_prefix('-').map_or((false, text), |path| (true, path));
        let path = expand.expand(path)?;
        if !path.starts_with('/') {
            return Err(ParseError::not_a(&path, "an absolute path"));
        }
        Ok(EnvironmentFile { path, optional })
    }

    fn print_item(&self, form: Form) -> String {
        format!("{}{}", if self.optional { "-" } else { "" }, form.part(&self.path))
    }
}

list! {
    /// Files with variables, read when a command starts.
    EnvironmentFiles of EnvironmentFile, lines
}
