//! Capability sets and secure bits.

use std::fmt;

use crate::{
    tables::capabilities::CAPABILITIES,
    text::{Expand, Form, ParseError, TextForm, split_words},
};

/// A set of capabilities, one bit each by the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// None.
    pub const EMPTY: CapabilitySet = CapabilitySet(0);
    /// Every capability with a name here.
    pub const FULL: CapabilitySet = CapabilitySet((1 << CAPABILITIES.len()) - 1);

    /// Whether a capability, by number, is in the set.
    pub const fn contains(self, capability: u32) -> bool {
        capability < 64 && self.0 & (1 << capability) != 0
    }

    /// The set with one more.
    pub const fn with(self, capability: u32) -> CapabilitySet {
        CapabilitySet(self.0 | (1 << capability))
    }

    /// The set with one less.
    pub const fn without(self, capability: u32) -> CapabilitySet {
        CapabilitySet(self.0 & !(1 << capability))
    }

    /// What is in either.
    pub const fn union(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 | other.0)
    }

    /// What is in both.
    pub const fn intersection(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 & other.0)
    }

    /// What is here and not in the other.
    pub const fn difference(self, other: CapabilitySet) -> CapabilitySet {
        CapabilitySet(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the members, by number.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CAPABILITIES
            .iter()
            .zip(0u32..)
            .filter(move |(_, number)| self.contains(*number))
            .map(|(name, _)| *name)
    }

    fn read(text: &str, expand: &dyn Expand) -> Result<(bool, CapabilitySet), ParseError> {
        let (inverted, names) = text
            .strip_prefix('~')
            .map_or((false, text), |names| (true, names));
        let mut set = CapabilitySet::EMPTY;
        for name in split_words(names)? {
            match number(&name) {
                Some(capability) => set = set.with(capability),
                None => expand.wrong_item(ParseError::not_a(&name, "a capability"))?,
            }
        }
        Ok((inverted, set))
    }
}

/// The number of a capability by its name, with or without `CAP_`.
pub fn number(name: &str) -> Option<u32> {
    let known = |known: &&str| {
        known.eq_ignore_ascii_case(name)
            || known.get(4..).is_some_and(|k| k.eq_ignore_ascii_case(name))
    };
    CAPABILITIES
        .iter()
        .position(known)
        .and_then(|at| u32::try_from(at).ok())
}

impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" "))
    }
}

/// The empty assignment is the empty set; lists add up, lists with `~` take away. The first `~` counts from the full set.
impl TextForm for CapabilitySet {
    const EMPTY_RESETS: bool = false;
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<CapabilitySet, ParseError> {
        let (inverted, set) = CapabilitySet::read(text, expand)?;
        Ok(if inverted {
            CapabilitySet::FULL.difference(set)
        } else {
            set
        })
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.to_string()]
    }

    fn assign(value: &mut Option<Self>, text: &str, expand: &dyn Expand) -> Result<(), ParseError> {
        let (inverted, set) = CapabilitySet::read(text, expand)?;
        *value = Some(match (*value, inverted) {
            (Some(earlier), false) if !set.is_empty() => earlier.union(set),
            (Some(earlier), true) if !set.is_empty() => earlier.difference(set),
            (_, false) => set,
            (_, true) => CapabilitySet::FULL.difference(set),
        });
        Ok(())
    }
}

/// Bits that keep root from regaining capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SecureBits(pub u32);

const SECURE_BITS: [(&str, u32); 6] = [
    ("keep-caps", 1 << 4),
    ("keep-caps-locked", 1 << 5),
    ("no-setuid-fixup", 1 << 2),
    ("no-setuid-fixup-locked", 1 << 3),
    ("noroot", 1 << 0),
    ("noroot-locked", 1 << 1),
];

impl TextForm for SecureBits {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<SecureBits, ParseError> {
        let mut bits = 0;
        for word in split_words(text)? {
            match SECURE_BITS.iter().find(|(name, _)| *name == word) {
                Some((_, bit)) => bits |= bit,
                None => expand.wrong_item(ParseError::not_a(&word, "a secure bit"))?,
            }
        }
        Ok(SecureBits(bits))
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        let names: Vec<&str> = SECURE_BITS
            .iter()
            .filter(|(_, bit)| self.0 & bit != 0)
            .map(|(name, _)| *name)
            .collect();
        vec![names.join(" ")]
    }

    fn is_unset(&self) -> bool {
        self.0 == 0
    }

    fn append(&mut self, later: SecureBits) {
        self.0 |= later.0;
    }
}
