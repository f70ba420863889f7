//! A logical value: the text after continuations are joined, with the way back to the bytes it came from.

use std::borrow::Cow;

/// A range of bytes of the source, `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The span `start..end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// Text from `at` on stands at `source` on, until the next piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    at: usize,
    source: usize,
}

/// Text that may have been joined from several lines, each stretch mapped to its source bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logical<'a> {
    text: Cow<'a, str>,
    first: Piece,
    further: Vec<Piece>,
}

impl<'a> Logical<'a> {
    /// Text that stands in one stretch at `source`.
    pub(crate) fn single(text: &'a str, source: usize) -> Self {
        Self {
            text: Cow::Borrowed(text),
            first: Piece { at: 0, source },
            further: Vec::new(),
        }
    }

    /// Joined stretches: (offset in `text`, offset in the source), ascending, the first at 0.
    pub(crate) fn joined(text: String, pieces: &[(usize, usize)]) -> Self {
        let mut pieces = pieces.iter().map(|&(at, source)| Piece { at, source });
        let first = pieces.next().unwrap_or(Piece { at: 0, source: 0 });
        Self {
            text: Cow::Owned(text),
            first,
            further: pieces.collect(),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The source span of a byte range of the text; it encloses what stands between joined lines.
    #[must_use]
    pub fn source(&self, range: std::ops::Range<usize>) -> Span {
        let start = self.source_of(range.start);
        let end = if range.is_empty() {
            start
        } else {
            self.source_of(range.end - 1) + 1
        };
        Span { start, end }
    }

    /// The source span of the whole text.
    #[must_use]
    pub fn span(&self) -> Span {
        self.source(0..self.text.len())
    }

    fn source_of(&self, offset: usize) -> usize {
        let piece = self
            .further
            .iter()
            .rev()
            .find(|piece| piece.at <= offset)
            .unwrap_or(&self.first);
        piece.source + (offset - piece.at)
    }

    /// The part `range` of the text, which must lie on character boundaries; empty where it does not.
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> Self {
        let first = Piece {
            at: 0,
            source: self.source_of(range.start),
        };
        let inside = self
            .further
            .iter()
            .filter(|piece| range.contains(&piece.at) && piece.at > range.start);
        let further = inside
            .map(|piece| Piece {
                at: piece.at - range.start,
                source: piece.source,
            })
            .collect();
        let text = match &self.text {
            Cow::Borrowed(text) => Cow::Borrowed(text.get(range).unwrap_or_default()),
            Cow::Owned(text) => Cow::Owned(text.get(range).unwrap_or_default().to_owned()),
        };
        Self {
            text,
            first,
            further,
        }
    }

    /// Without the reference's white space at both ends.
    pub(crate) fn trimmed(&self) -> Self {
        let left = self.text.len() - self.text.trim_start_matches(is_blank).len();
        let length = self.text.trim_matches(is_blank).len();
        self.part(left..left + length)
    }
}

/// The reference's WHITESPACE: Unicode's other spaces are ordinary characters.
pub(crate) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}
