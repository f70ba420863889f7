//! What the administrator consented to: names of grants, recorded per portable, signer and value.
//!
//! A grant is `name` or `name:value`; names are small letters, digits and `-`. Lists on a command line
//! separate grants by commas (`\,` is a comma within a value); a grants file has one grant a line, with
//! empty lines and `#` comments.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Longest grant in bytes: a value is at most a path.
pub const GRANT_MAX_BYTES: usize = 4200;
/// Most grants in one list or file: no unit has more directives than that.
pub const GRANTS_MAX: usize = 1024;

/// One grant: a name and, where the name takes one, a value: `network`, `listen:8080`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    name: String,
    value: Option<String>,
}

/// Text that is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no grant: {reason}")]
pub struct GrantError {
    /// The text, cut to a readable length.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A set of grants.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Grants(BTreeSet<Grant>);

impl Grant {
    /// The name before the colon.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value after the colon.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Grant, GrantError> {
        let wrong = |reason| GrantError {
            text: text.chars().take(100).collect(),
            reason,
        };
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.len() > GRANT_MAX_BYTES {
            return Err(wrong("it is longer than 4200 bytes"));
        }
        if name.is_empty() || !name.bytes().all(of_name) {
            return Err(wrong("its name must be small letters, digits and '-'"));
        }
        if value.is_some_and(|value| value.is_empty() || value.chars().any(char::is_control)) {
            return Err(wrong("its value is empty or has control characters"));
        }
        Ok(Grant {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.value {
            Some(value) => write!(f, ":{value}"),
            None => Ok(()),
        }
    }
}

impl Grants {
    /// Reads a list from a command line: `network,listen:8080`.
    ///
    /// # Errors
    /// When a part is no grant, or there are too many.
    pub fn from_list(list: &str) -> Result<Grants, GrantError> {
        let mut grants = Grants::default();
        let mut part = String::new();
        let mut characters = list.chars();
        while let Some(c) = characters.next() {
            match c {
                '\\' => part.extend(characters.next()),
                ',' => grants.take(&std::mem::take(&mut part))?,
                _ => part.push(c),
            }
        }
        grants.take(&part)?;
        Ok(grants)
    }

    /// Reads a grants file.
    ///
    /// # Errors
    /// When a line is no grant, or there are too many.
    pub fn from_file(text: &str) -> Result<Grants, GrantError> {
        let mut grants = Grants::default();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
        {
            grants.take(line)?;
        }
        Ok(grants)
    }

    /// Empty text is no grant and no error: `--grant=` grants nothing.
    fn take(&mut self, text: &str) -> Result<(), GrantError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        if self.0.len() >= GRANTS_MAX {
            return Err(GrantError {
                text: text.chars().take(100).collect(),
                reason: "there are more than 1024 grants",
            });
        }
        self.0.insert(text.parse()?);
        Ok(())
    }

    /// Adds one.
    pub fn insert(&mut self, grant: Grant) {
        self.0.insert(grant);
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Grants) {
        self.0.extend(other.0.iter().cloned());
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Grants {
        Grants(grants.into_iter().collect())
    }
}

impl From<Grants> for Vec<String> {
    fn from(grants: Grants) -> Vec<String> {
        grants.0.iter().map(Grant::to_string).collect()
    }
}

impl TryFrom<Vec<String>> for Grants {
    type Error = GrantError;

    fn try_from(texts: Vec<String>) -> Result<Grants, GrantError> {
        texts.iter().map(|text| text.parse()).collect()
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, grant) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(
                f,
                "{comma}{}",
                grant.to_string().replace('\\', "\\\\").replace(',', "\\,")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str, printed: &str) {
        let got = match Grants::from_list(list) {
            Ok(grants) => grants.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, printed);
    }

    #[test]
    fn a_list_is_read_sorted_and_printed_back() {
        check("network,listen:8080", "listen:8080,network");
        check("network, network ,,", "network");
        check("", "");
        check("listen:[::1]:80,bind:/a\\,b", "bind:/a\\,b,listen:[::1]:80");
    }

    #[test]
    fn what_is_no_grant_is_named() {
        check(
            "Network",
            "\"Network\" is no grant: its name must be small letters, digits and '-'",
        );
        check(
            "listen:",
            "\"listen:\" is no grant: its value is empty or has control characters",
        );
        check(
            ":80",
            "\":80\" is no grant: its name must be small letters, digits and '-'",
        );
        check(
            "a:\u{1b}[2J",
            "\"a:\\u{1b}[2J\" is no grant: its value is empty or has control characters",
        );
    }

    #[test]
    fn a_file_has_comments() {
        let grants = Grants::from_file("# for foobar\nnetwork\n\n  listen:80\n").unwrap();
        assert_eq!(grants.to_string(), "listen:80,network");
    }

    #[test]
    fn grants_survive_the_record() {
        let grants = Grants::from_list("network,listen:80").unwrap();
        let json = serde_json::to_string(&grants).unwrap();
        assert_eq!(json, r#"["listen:80","network"]"#);
        assert_eq!(serde_json::from_str::<Grants>(&json).unwrap(), grants);
        assert!(serde_json::from_str::<Grants>(r#"["BAD"]"#).is_err());
    }
}
