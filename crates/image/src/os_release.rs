//! Reads os-release files: shell-like assignments, of which some name the portable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The largest os-release file that is read; real ones have some hundred bytes.
pub const LIMIT_BYTES: u64 = 64 * 1024;

/// What names the portable, and its version; the first that is there holds.
const NAME_KEYS: [&str; 3] = ["PORTABLE_ID", "IMAGE_ID", "ID"];
const VERSION_KEYS: [&str; 2] = ["IMAGE_VERSION", "VERSION_ID"];

/// The longest portable name or version: it becomes file names and unit names.
const NAME_LIMIT_BYTES: usize = 64;

/// Prefixes in one `PORTABLE_PREFIXES=`.
const PREFIXES_LIMIT: usize = 32;

/// The assignments of an os-release file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OsRelease(pub BTreeMap<String, String>);

/// Why an os-release file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OsReleaseError {
    /// A line that is no assignment.
    #[error("os-release line {line}: {what}")]
    Line {
        /// Counted from one.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A value that can't name a portable.
    #[error("os-release: {key}={value} can't name a portable: {what}")]
    Name {
        /// The assignment's key.
        key: &'static str,
        /// Its value, without control characters.
        value: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl OsRelease {
    /// Reads the text of an os-release file (os-release(5)): `KEY=value` lines, with shell quoting but without expansion. The
    /// values that name a portable are checked, so that what follows can use them as file names.
    ///
    /// # Errors
    /// See [`OsReleaseError`].
    pub fn parse(text: &str) -> Result<Self, OsReleaseError> {
        let release = Self::assignments(text)?;
        release.check()?;
        Ok(release)
    }

    /// The same for what names no portable: an extension's file, or a host's.
    ///
    /// # Errors
    /// See [`OsReleaseError`].
    pub fn assignments(text: &str) -> Result<Self, OsReleaseError> {
        let mut values = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line_error = |what| OsReleaseError::Line {
                line: index + 1,
                what,
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .ok_or(line_error("an assignment KEY=value was expected"))?;
            let key_is_sound = key
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if key.is_empty() || !key_is_sound {
                return Err(line_error(
                    "a key is of capital letters, digits and underscores",
                ));
            }
            values.insert(key.to_owned(), unquote(value).map_err(line_error)?);
        }
        Ok(Self(values))
    }

    /// The portable's name: `PORTABLE_ID=`, else `IMAGE_ID=`, else `ID=`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        NAME_KEYS.iter().find_map(|key| self.value(key))
    }

    /// The portable's version: `IMAGE_VERSION=`, else `VERSION_ID=`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        VERSION_KEYS.iter().find_map(|key| self.value(key))
    }

    /// What the image's unit names may begin with: `PORTABLE_PREFIXES=`, else the portable's name.
    #[must_use]
    pub fn prefixes(&self) -> Vec<String> {
        match self.value("PORTABLE_PREFIXES") {
            Some(list) => list.split_whitespace().map(str::to_owned).collect(),
            None => self.name().map(str::to_owned).into_iter().collect(),
        }
    }

    /// A value that is there and not empty.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    fn check(&self) -> Result<(), OsReleaseError> {
        for (keys, rule) in [(&NAME_KEYS[..], NAME), (&VERSION_KEYS[..], VERSION)] {
            for key in keys {
                self.value(key)
                    .map_or(Ok(()), |value| sound(key, value, rule))?;
            }
        }
        let prefixes = self.prefixes();
        if prefixes.len() > PREFIXES_LIMIT {
            let value = format!("{} prefixes", prefixes.len());
            return Err(OsReleaseError::Name {
                key: "PORTABLE_PREFIXES",
                value,
                what: "more than 32",
            });
        }
        prefixes
            .iter()
            .try_for_each(|prefix| sound("PORTABLE_PREFIXES", prefix, NAME))
    }
}

/// What a value may hold besides letters and digits, with one of which it begins: safe as file name and on a terminal.
#[derive(Clone, Copy)]
struct Rule {
    marks: &'static [u8],
    otherwise: &'static str,
    /// Unit names, directories and grants begin with it, so that it does not end in what would run into what follows.
    ends_plain: bool,
}

/// The same rule as `load::portable::PortableName` has: what is refused there later is refused here, with the key that says it.
const NAME: Rule = Rule {
    marks: b"._-",
    otherwise: "letters, digits and . _ - are allowed",
    ends_plain: true,
};

const VERSION: Rule = Rule {
    marks: b"._-+~",
    otherwise: "letters, digits and . _ - + ~ are allowed",
    ends_plain: false,
};

fn sound(key: &'static str, value: &str, rule: Rule) -> Result<(), OsReleaseError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || rule.marks.contains(&b);
    let what = match value.as_bytes() {
        bytes if bytes.len() > NAME_LIMIT_BYTES => "it is longer than 64 bytes",
        bytes if !bytes.iter().copied().all(allowed) => rule.otherwise,
        [first, ..] if !first.is_ascii_alphanumeric() => "it must begin with a letter or a digit",
        [.., b'-' | b'.'] if rule.ends_plain => "it must end with a letter, a digit or _",
        _ => return Ok(()),
    };
    let value = value
        .chars()
        .filter(|c| !c.is_control())
        .take(NAME_LIMIT_BYTES)
        .collect();
    Err(OsReleaseError::Name { key, value, what })
}

/// A value without its quotes: nothing, single quotes, or double quotes with backslashes.
fn unquote(raw: &str) -> Result<String, &'static str> {
    let inner = |quote| {
        raw.strip_prefix(quote)
            .and_then(|rest: &str| rest.strip_suffix(quote))
    };
    if let Some(text) = inner('\'') {
        return if text.contains('\'') {
            Err("a quote inside single quotes")
        } else {
            Ok(text.into())
        };
    }
    if let Some(text) = inner('"') {
        return unescape(text);
    }
    if raw.contains(['\'', '"', '`', '$', ' ', '\t']) {
        return Err("quotes do not match, or a value with such characters needs them");
    }
    unescape(raw)
}

fn unescape(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.push(characters.next().ok_or("a backslash at the end")?),
            '"' | '`' | '$' => return Err("a character that needs a backslash"),
            other => out.push(other),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Name, version and prefixes, or the refusal.
    fn check(text: &str, expected: &str) {
        let said = match OsRelease::parse(text) {
            Ok(release) => format!(
                "{} {} [{}]",
                release.name().unwrap_or("-"),
                release.version().unwrap_or("-"),
                release.prefixes().join(" ")
            ),
            Err(error) => format!("refused: {error}"),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn the_most_specific_name_and_version_win() {
        check("ID=hello\nVERSION_ID=1.0\n", "hello 1.0 [hello]");
        check(
            "ID=debian\nVERSION_ID=12\nIMAGE_ID=shop\nIMAGE_VERSION=3\n",
            "shop 3 [shop]",
        );
        check(
            "ID=debian\nIMAGE_ID=shop\nPORTABLE_ID=till\n",
            "till - [till]",
        );
        check(
            "ID=debian\nPORTABLE_PREFIXES='one two'\n",
            "debian - [one two]",
        );
        check("# nothing\n\nNAME=\"A \\\"B\\\" \\$C\"\n", "- - []");
    }

    #[test]
    fn quoting_is_that_of_the_shell_without_expansion() {
        let release = OsRelease::parse("A=\"x \\\" \\\\ y\"\nB='$HOME'\nC=plain\n").unwrap();
        assert_eq!(
            (release.value("A"), release.value("B"), release.value("C")),
            (Some("x \" \\ y"), Some("$HOME"), Some("plain"))
        );
        check(
            "A=$HOME",
            "refused: os-release line 1: quotes do not match, or a value with such characters needs them",
        );
        check(
            "A=\"$HOME\"",
            "refused: os-release line 1: a character that needs a backslash",
        );
        check(
            "ID=a\nnonsense",
            "refused: os-release line 2: an assignment KEY=value was expected",
        );
    }

    #[test]
    fn names_that_would_be_paths_or_escapes_are_refused() {
        check(
            "ID=../etc",
            "refused: os-release: ID=../etc can't name a portable: letters, digits and . _ - are allowed",
        );
        check(
            "ID=..",
            "refused: os-release: ID=.. can't name a portable: it must begin with a letter or a digit",
        );
        check(
            "ID=\"a\u{1b}b\"",
            "refused: os-release: ID=ab can't name a portable: letters, digits and . _ - are allowed",
        );
        check(
            "PORTABLE_ID=shop+1\nVERSION_ID=1+1~2",
            "refused: os-release: PORTABLE_ID=shop+1 can't name a portable: letters, digits and . _ - are allowed",
        );
        check(
            "ID=shop-",
            "refused: os-release: ID=shop- can't name a portable: it must end with a letter, a digit or _",
        );
        check("ID=shop\nVERSION_ID=1+1~2-", "shop 1+1~2- [shop]");
        check(
            "PORTABLE_PREFIXES=-x",
            "refused: os-release: PORTABLE_PREFIXES=-x can't name a portable: it must begin with a letter or a digit",
        );
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "\\PC{0,200}") {
            drop(OsRelease::parse(&text));
        }
    }
}
