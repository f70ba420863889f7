//! Credentials: secrets and other data handed to a service as files.

use super::words::{Item, list, unescape_all};
use crate::text::{Expand, Form, ParseError};

/// Longest credential name, in bytes: it is a file's name.
pub const MAX_CREDENTIAL_NAME_BYTES: usize = 255;

fn check_name(name: String) -> Result<String, ParseError> {
    let fits =
        !name.is_empty() && name.len() <= MAX_CREDENTIAL_NAME_BYTES && name != "." && name != "..";
    let plain = |c: char| !c.is_control() && c != '/' && c != ':';
    if fits && name.chars().all(plain) {
        Ok(name)
    } else {
        Err(ParseError::not_a(&name, "a credential's name"))
    }
}

/// A credential read from a file, a socket or the manager's own credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoadCredential {
    /// Its name.
    pub name: String,
    /// An absolute path, or the name of a credential of the manager.
    pub source: String,
}

impl Item for LoadCredential {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<LoadCredential, ParseError> {
        let (name, source) = text.split_once(':').unwrap_or((text, ""));
        let name = check_name(expand.expand(name)?)?;
        let source = match Some(source).filter(|source| !source.is_empty()) {
            Some(source) => expand.expand(source)?,
            None => name.clone(),
        };
        let source = if source.starts_with('/') {
            super::normalize_path(&source)?
        } else {
            check_name(source)?
        };
        Ok(LoadCredential { name, source })
    }

    fn print_item(&self, form: Form) -> String {
        if self.name == self.source {
            return form.part(&self.name).into_owned();
        }
        format!("{}:{}", form.part(&self.name), form.part(&self.source))
    }
}

list! {
    /// Credentials to read, one per line.
    LoadCredentials of LoadCredential, lines
}

/// A credential written into the unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SetCredential {
    /// Its name.
    pub name: String,
    /// Its content.
    pub data: String,
}

impl Item for SetCredential {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<SetCredential, ParseError> {
        let (name, data) = text
            .split_once(':')
            .ok_or_else(|| ParseError::not_a(text, "name:data"))?;
        Ok(SetCredential {
            name: check_name(expand.expand(name)?)?,
            data: unescape_all(data)?,
        })
    }

    fn print_item(&self, form: Form) -> String {
        format!("{}:{}", form.part(&self.name), escape_data(&self.data))
    }
}

/// Escapes what a line can't hold; blanks at the ends would be trimmed.
fn escape_data(data: &str) -> String {
    let mut text = String::with_capacity(data.len());
    let last = data.char_indices().next_back().map_or(0, |(at, _)| at);
    for (at, c) in data.char_indices() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            ' ' if at == 0 || at == last => text.push_str("\\s"),
            c if c.is_control() || c.is_whitespace() && c != ' ' => c
                .encode_utf8(&mut [0; 4])
                .bytes()
                .for_each(|b| text.push_str(&format!("\\x{b:02x}"))),
            c => text.push(c),
        }
    }
    text
}

list! {
    /// Credentials with their content, one per line.
    SetCredentials of SetCredential, lines
}

/// Credentials of the manager to pass on, by pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImportCredential {
    /// The pattern.
    pub pattern: String,
    /// What takes the place of the pattern's fixed beginning.
    pub rename: Option<String>,
}

impl ImportCredential {
    /// The name under which the unit gets a credential that the pattern fits.
    pub fn name_of(&self, found: &str) -> String {
        let beginning = self.pattern.strip_suffix('*');
        match (
            &self.rename,
            beginning.and_then(|beginning| found.strip_prefix(beginning)),
        ) {
            (Some(rename), Some(rest)) => format!("{rename}{rest}"),
            (Some(rename), None) => rename.clone(),
            (None, _) => found.to_owned(),
        }
    }
}

impl Item for ImportCredential {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<ImportCredential, ParseError> {
        let (pattern, rename) = text.split_once(':').unwrap_or((text, ""));
        let pattern = check_name(expand.expand(pattern)?)?;
        let fixed = pattern.strip_suffix('*').unwrap_or(&pattern);
        if fixed.contains(['*', '?', '[']) {
            return Err(ParseError::not_a(
                &pattern,
                "a credential's name, or the beginning of some with one * at the end",
            ));
        }
        let rename = Some(rename)
            .filter(|rename| !rename.is_empty())
            .map(|rename| expand.expand(rename).and_then(check_name));
        Ok(ImportCredential {
            pattern,
            rename: rename.transpose()?,
        })
    }

    fn print_item(&self, form: Form) -> String {
        let pattern = form.part(&self.pattern).into_owned();
        match &self.rename {
            Some(rename) => format!("{pattern}:{}", form.part(rename)),
            None => pattern,
        }
    }
}

list! {
    /// Patterns of credentials, one per line.
    ImportCredentials of ImportCredential, lines
}
