//! The line around a span, safe to show: bounded, valid UTF-8, control characters made visible.

use std::ops::Range;

use crate::lines::lines;
use crate::logical::Span;

/// A place in a file and the text around it.
pub(crate) struct Excerpt {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) text: String,
    pub(crate) mark: Range<usize>,
}

/// Bytes kept before and after the start of the mark: about two terminal widths, so that a very long line stays readable.
const CONTEXT_BYTES: usize = 120;

/// Cuts out the physical line in which `span` starts.
pub(crate) fn excerpt(source: &[u8], span: Span) -> Excerpt {
    let last = source.len();
    let start = span.start.min(last);
    let mut number = 1_u32;
    let mut found = 0..0;
    for line in lines(source, 0) {
        found = line.start..line.content;
        if start < line.end || line.end == last {
            break;
        }
        number = number.saturating_add(1);
    }
    let start = start.min(found.end);
    let end = span.end.clamp(start, found.end);
    let from = found.start.max(start.saturating_sub(CONTEXT_BYTES));
    let to = found.end.min(start + CONTEXT_BYTES);
    let before = visible(source.get(from..start));
    let marked = visible(source.get(start..end.min(to)));
    let after = visible(source.get(end.min(to)..to));
    let column = String::from_utf8_lossy(source.get(found.start..start).unwrap_or_default())
        .chars()
        .count();
    let mark = before.len()..before.len() + marked.len();
    Excerpt {
        line: number,
        column: u32::try_from(column + 1).unwrap_or(u32::MAX),
        text: before + &marked + &after,
        mark,
    }
}

/// Text that a terminal can't be steered with.
fn visible(bytes: Option<&[u8]>) -> String {
    let text = String::from_utf8_lossy(bytes.unwrap_or_default());
    text.chars()
        .map(|character| {
            if character.is_control() && character != '\t' {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}
