//! Words of a value: quotes, escapes and separators, as the reference's word splitter has them.

use std::ops::Range;

use crate::escape::{Escaped, one};

/// White space, which separates words where nothing else is said.
pub const BLANKS: &str = " \t\n\r";

/// How a value is split; each directive has its own. The constants are the combinations in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Characters between words.
    pub separators: &'static str,
    /// Quotes group and are removed; otherwise they are ordinary characters.
    pub quotes: bool,
    /// What a backslash does.
    pub backslash: Backslash,
    /// An unknown escape, or a backslash at the end, stands for itself instead of being an error.
    pub keep_unknown: bool,
    /// A quote may stay open, and a backslash at the end vanishes.
    pub relaxed: bool,
    /// Each separator ends a word, so that words can be empty; otherwise a run of them counts as one.
    pub each_separator: bool,
}

/// What a backslash does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backslash {
    /// It is an ordinary character (`RETAIN_ESCAPE`).
    Literal,
    /// It takes the next character's meaning away.
    Plain,
    /// It begins a C escape.
    C,
    /// It begins a C escape, or takes a separator's or its own meaning away.
    Separators,
}

impl Mode {
    /// Environment=, PassEnvironment= and their kin: an unknown escape or an open quote is an error.
    pub const STRICT: Mode = Mode {
        separators: BLANKS,
        quotes: true,
        backslash: Backslash::C,
        keep_unknown: false,
        relaxed: false,
        each_separator: false,
    };
    /// Exec lines: an unknown escape stands for itself (a warning in the reference), an open quote is an error.
    pub const EXEC: Mode = Mode {
        keep_unknown: true,
        ..Mode::STRICT
    };
    /// Lists of names: quotes, backslashes as they are (unit names may hold `\x2d`).
    pub const NAMES: Mode = Mode {
        backslash: Backslash::Literal,
        ..Mode::STRICT
    };
    /// Kernel-command-line-like text: nothing is an error.
    pub const RELAXED: Mode = Mode {
        keep_unknown: true,
        relaxed: true,
        ..Mode::STRICT
    };
    /// The parts of one word between colons, each of which may be empty; `\:` is a colon.
    pub const COLONS: Mode = Mode {
        separators: ":",
        backslash: Backslash::Separators,
        each_separator: true,
        ..Mode::STRICT
    };
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What it says; bytes, as `\xff` is a byte and not a character.
    pub value: Vec<u8>,
    /// Where it stands in the text, quotes included.
    pub span: Range<usize>,
}

impl Word {
    /// The value as text, if it is.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }
}

/// What is wrong with a value's quoting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// A quote has no partner.
    #[error("the quote at byte {at} is never closed")]
    OpenQuote {
        /// Byte offset of the quote.
        at: usize,
    },
    /// A backslash is followed by nothing that it could escape.
    #[error("the escape at byte {at} is not known")]
    UnknownEscape {
        /// Byte offset of the backslash.
        at: usize,
    },
}

impl WordError {
    /// Byte offset of what is wrong.
    #[must_use]
    pub fn at(&self) -> usize {
        match *self {
            WordError::OpenQuote { at } | WordError::UnknownEscape { at } => at,
        }
    }
}

/// Splits a whole value.
pub fn split(text: &str, mode: Mode) -> Result<Vec<Word>, WordError> {
    words(text, mode).collect()
}

/// Splits a value word by word; after an error there are no more words.
#[must_use]
pub fn words(text: &str, mode: Mode) -> Words<'_> {
    Words {
        text: text.as_bytes(),
        at: 0,
        mode,
        pending_empty: mode.each_separator,
    }
}

/// Writes a word so that [`split`] with [`Mode::STRICT`] or [`Mode::EXEC`] reads it back.
#[must_use]
pub fn quote(value: &[u8]) -> String {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,^~*[]{}()<>|&!?#$".contains(byte);
    if !value.is_empty() && value.iter().all(plain) {
        return String::from_utf8_lossy(value).into_owned();
    }
    let mut quoted = String::from("\"");
    for chunk in value.utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|character| quote_char(&mut quoted, character));
        chunk
            .invalid()
            .iter()
            .for_each(|byte| quoted.push_str(&format!("\\x{byte:02x}")));
    }
    quoted.push('"');
    quoted
}

fn quote_char(quoted: &mut String, character: char) {
    match character {
        '"' | '\\' => quoted.extend(['\\', character]),
        '\n' => quoted.push_str("\\n"),
        '\t' => quoted.push_str("\\t"),
        _ if character.is_ascii_control() => {
            quoted.push_str(&format!("\\x{:02x}", u32::from(character)))
        }
        _ => quoted.push(character),
    }
}

/// The words of a text, in order.
#[derive(Debug, Clone)]
pub struct Words<'a> {
    text: &'a [u8],
    at: usize,
    mode: Mode,
    /// A separator that counts was the last byte taken, so an empty word may follow it.
    pending_empty: bool,
}

impl Iterator for Words<'_> {
    type Item = Result<Word, WordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let taken = self.take()?;
        if taken.is_err() {
            self.at = self.text.len();
            self.pending_empty = false;
        }
        Some(taken)
    }
}

impl Words<'_> {
    /// The text from here on, whole: the rest of a value of which only the first words are words.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn is_separator(&self, byte: u8) -> bool {
        self.mode.separators.as_bytes().contains(&byte)
    }

    fn take(&mut self) -> Option<Result<Word, WordError>> {
        if !self.mode.each_separator {
            self.skip_separators();
        }
        if self.peek().is_none() && !std::mem::take(&mut self.pending_empty) {
            return None;
        }
        Some(self.take_word())
    }

    fn skip_separators(&mut self) {
        while self.peek().is_some_and(|byte| self.is_separator(byte)) {
            self.at += 1;
        }
    }

    fn take_word(&mut self) -> Result<Word, WordError> {
        let start = self.at;
        let mut value = Vec::new();
        let mut open: Option<(u8, usize)> = None;
        self.pending_empty = false;
        while let Some(byte) = self.peek() {
            match (byte, open) {
                (b'\\', _) if self.mode.backslash != Backslash::Literal => {
                    self.take_escape(&mut value, open)?;
                    continue;
                }
                (_, Some((quote, _))) if byte == quote => open = None,
                (b'"' | b'\'', None) if self.mode.quotes => open = Some((byte, self.at)),
                (_, None) if self.is_separator(byte) => {
                    let span = start..self.at;
                    self.at += 1;
                    self.pending_empty = self.mode.each_separator;
                    return Ok(Word { value, span });
                }
                _ => value.push(byte),
            }
            self.at += 1;
        }
        match open {
            Some((_, at)) if !self.mode.relaxed => Err(WordError::OpenQuote { at }),
            _ => Ok(Word {
                value,
                span: start..self.at,
            }),
        }
    }

    /// Takes a backslash and what it escapes.
    fn take_escape(
        &mut self,
        value: &mut Vec<u8>,
        open: Option<(u8, usize)>,
    ) -> Result<(), WordError> {
        let at = self.at;
        self.at += 1;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(&next) = rest.first() else {
            return self.backslash_at_end(value, at, open);
        };
        if self.mode.backslash == Backslash::Plain {
            value.push(next);
        } else if let Some((escaped, length)) = one(rest) {
            push_escaped(value, escaped);
            self.at += length - 1;
        } else if self.mode.backslash == Backslash::Separators
            && (self.is_separator(next) || next == b'\\')
        {
            value.push(next);
        } else if self.mode.keep_unknown {
            value.extend([b'\\', next]);
        } else {
            return Err(WordError::UnknownEscape { at });
        }
        self.at += 1;
        Ok(())
    }

    fn backslash_at_end(
        &self,
        value: &mut Vec<u8>,
        at: usize,
        open: Option<(u8, usize)>,
    ) -> Result<(), WordError> {
        if self.mode.keep_unknown && (open.is_none() || self.mode.relaxed) {
            value.push(b'\\');
            return Ok(());
        }
        match open {
            _ if self.mode.relaxed => Ok(()),
            Some((_, quote_at)) => Err(WordError::OpenQuote { at: quote_at }),
            None => Err(WordError::UnknownEscape { at }),
        }
    }
}

fn push_escaped(value: &mut Vec<u8>, escaped: Escaped) {
    match escaped {
        Escaped::Byte(byte) => value.push(byte),
        Escaped::Char(character) => value.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}
