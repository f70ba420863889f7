//! Values that are one word out of a fixed few.

use crate::text::{ParseError, parse_bool};

/// A type whose values are words.
pub trait Keyword: Copy + PartialEq + 'static {
    /// What the type's values are called in messages.
    const WANTED: &'static str;
    /// The words with their values; the first word of a value is the one that is printed.
    const WORDS: &'static [(&'static str, Self)];
    /// What the booleans stand for, where the type takes them.
    const BOOLEANS: Option<(Self, Self)>;

    /// The value of a word.
    fn from_word(word: &str) -> Option<Self> {
        let known = Self::WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, value)| *value);
        known.or_else(|| {
            let (no, yes) = Self::BOOLEANS?;
            Some(if parse_bool(word)? { yes } else { no })
        })
    }

    /// The word of a value.
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(word, _)| word)
    }
}

macro_rules! keywords {
    ($(#[$about:meta])* $name:ident, $wanted:literal $(, booleans $no:ident $yes:ident)? {
        $($(#[$doc:meta])* $value:ident = $word:literal $(| $other:literal)*,)*
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum $name { $($(#[$doc])* $value),* }

        impl Keyword for $name {
            const WANTED: &'static str = $wanted;
            const WORDS: &'static [(&'static str, $name)] =
                &[$(($word, $name::$value), $(($other, $name::$value),)*)*];
            const BOOLEANS: Option<($name, $name)> = keywords!(@booleans $name $($no $yes)?);
        }

        impl TextForm for $name {
            const EMPTY_RESETS: bool = false;

            fn parse_with(text: &str, _: &dyn Expand) -> Result<$name, ParseError> {
                $name::from_word(text).ok_or_else(|| wrong_word(text, $wanted))
            }

            fn print_lines(&self, _: Form) -> Vec<String> {
                vec![self.word().to_owned()]
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
    (@booleans $name:ident $no:ident $yes:ident) => { Some(($name::$no, $name::$yes)) };
    (@booleans $name:ident) => { None };
}

pub(crate) fn wrong_word(text: &str, wanted: &'static str) -> ParseError {
    ParseError::not_a(text, wanted)
}

mod exec;
mod service;

pub use exec::*;
pub use service::*;
