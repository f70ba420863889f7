//! What is a portable's own: names of units, directories and paths below its name.

use model::{UnitKind, UnitName};

/// Longest portable name in bytes: with a suffix and an instance it must fit into a unit's name.
const MAX_NAME_BYTES: usize = 128;

/// A portable's name: small letters, digits, `_`, `.`, inner dashes; it starts with a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortableName(String);

/// A text that is no portable's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "“{0}” is no name for a portable: it takes letters, digits, “_”, “.” and inner dashes, at most 128"
)]
pub struct InvalidName(String);

impl PortableName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins = name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins
            || name.len() > MAX_NAME_BYTES
            || name.ends_with(['-', '.'])
            || !name.bytes().all(allowed)
        {
            return Err(InvalidName(
                name.chars()
                    .take(MAX_NAME_BYTES)
                    .filter(|character| !character.is_control())
                    .collect(),
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a word is the name, or the name with a dash and more.
    pub(crate) fn owns_word(&self, word: &str) -> bool {
        word.strip_prefix(self.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Whether a unit is the portable's: `NAME.KIND`, `NAME-*.KIND`, `NAME@*.KIND`, of a kind that an image may have.
    #[must_use]
    pub fn owns_unit(&self, unit: &UnitName) -> bool {
        self.owns_word(unit.prefix()) && allowed_kind(unit.kind())
    }
}

impl std::fmt::Display for PortableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// Mounts, swaps, slices, scopes and devices are the host's.
pub(crate) fn allowed_kind(kind: UnitKind) -> bool {
    matches!(
        kind,
        UnitKind::Service | UnitKind::Socket | UnitKind::Timer | UnitKind::Path | UnitKind::Target
    )
}
