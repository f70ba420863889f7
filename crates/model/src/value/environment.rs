//! Variables and the files that hold them.

use super::{
    normalize_path,
    words::{Item, list, parse_words},
};
use crate::text::{Expand, Form, ParseError, TextForm};

/// Whether a text can be the name of a variable (environ(7)).
pub fn is_variable_name(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Most variables of one unit: finding a name among them is linear, and no program needs more.
pub const MAX_VARIABLES: usize = 8_192;

/// One variable with its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable {
    /// Letters, digits and `_`, no digit first.
    pub name: String,
    /// Anything without a NUL.
    pub value: String,
}

impl Item for Variable {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<Variable, ParseError> {
        let text = expand.expand(text)?;
        let parts = text
            .split_once('=')
            .filter(|(name, value)| is_variable_name(name) && !value.contains('\0'));
        let (name, value) =
            parts.ok_or_else(|| ParseError::not_a(&text, "a variable of the form NAME=VALUE"))?;
        Ok(Variable {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }

    fn print_item(&self, form: Form) -> String {
        format!("{}={}", self.name, form.part(&self.value))
    }
}

/// Variables; a later one of the same name replaces the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvironmentList(pub Vec<Variable>);

impl EnvironmentList {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|variable| variable.name == name)
            .map(|variable| variable.value.as_str())
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.push(Variable {
            name: name.to_owned(),
            value: value.to_owned(),
        });
    }

    fn push(&mut self, variable: Variable) {
        match self.0.iter_mut().find(|known| known.name == variable.name) {
            Some(known) => known.value = variable.value,
            None => self.0.push(variable),
        }
    }
}

impl std::ops::Deref for EnvironmentList {
    type Target = [Variable];

    fn deref(&self) -> &[Variable] {
        &self.0
    }
}

impl FromIterator<Variable> for EnvironmentList {
    fn from_iter<I: IntoIterator<Item = Variable>>(variables: I) -> EnvironmentList {
        let mut list = EnvironmentList::default();
        variables
            .into_iter()
            .for_each(|variable| list.push(variable));
        list
    }
}

impl<'a> IntoIterator for &'a EnvironmentList {
    type Item = &'a Variable;
    type IntoIter = std::slice::Iter<'a, Variable>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

fn too_many() -> ParseError {
    ParseError::new(format!("a unit has at most {MAX_VARIABLES} variables"))
}

impl TextForm for EnvironmentList {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<EnvironmentList, ParseError> {
        let variables = parse_words::<Variable>(text, expand)?;
        if variables.len() > MAX_VARIABLES {
            return Err(too_many());
        }
        Ok(variables.into_iter().collect())
    }

    fn assign(value: &mut Option<Self>, text: &str, expand: &dyn Expand) -> Result<(), ParseError> {
        let later = Self::parse_with(text, expand)?;
        match value {
            _ if text.is_empty() => *value = None,
            Some(earlier) if earlier.len() + later.len() > MAX_VARIABLES => return Err(too_many()),
            Some(earlier) => earlier.append(later),
            None => *value = Some(later).filter(|list| !list.is_empty()),
        }
        Ok(())
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        self.0
            .iter()
            .map(|variable| crate::text::quote(&variable.print_item(form)).into_owned())
            .collect()
    }

    fn append(&mut self, later: EnvironmentList) {
        later.0.into_iter().for_each(|variable| self.push(variable));
    }

    fn is_unset(&self) -> bool {
        self.0.is_empty()
    }
}

/// A file with variables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentFile {
    /// An absolute path, perhaps with wildcards.
    pub path: String,
    /// It may be missing: `-`.
    pub optional: bool,
}

impl Item for EnvironmentFile {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<EnvironmentFile, ParseError> {
        let (optional, path) = text
            .strip_prefix('-')
            .map_or((false, text), |path| (true, path));
        Ok(EnvironmentFile {
            path: normalize_path(&expand.expand(path)?)?,
            optional,
        })
    }

    fn print_item(&self, form: Form) -> String {
        format!(
            "{}{}",
            if self.optional { "-" } else { "" },
            form.part(&self.path)
        )
    }
}

list! {
    /// Files with variables, read when a command starts, one per line.
    EnvironmentFiles of EnvironmentFile, lines
}
