//! A parsed unit file: items that tile the source, and what was found wrong on the way.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::lines::{Line, lines};
use crate::logical::{Logical, Span};
use crate::{MAX_DIAGNOSTICS, MAX_FILE_BYTES, MAX_LINE_BYTES};

/// A unit file as it was written.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// The name that diagnostics carry.
    pub file: Arc<str>,
    /// The bytes.
    pub source: &'a [u8],
    /// Every byte of the source belongs to exactly one item; in order.
    pub items: Vec<Item<'a>>,
    /// What is wrong with the form; what names and values mean is the loader's to say.
    pub diagnostics: Vec<Diagnostic>,
}

/// A stretch of the source: a logical line with the line ends, and comments, inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its bytes, line end included.
    pub span: Span,
    /// Its first line, counted from 1.
    pub line: u32,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a logical line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// White space alone (or a byte order mark).
    Blank,
    /// A line whose first visible character is `#` or `;`.
    Comment,
    /// `[name]`.
    Section(Logical<'a>),
    /// `name=value`.
    Assignment(Assignment<'a>),
    /// A malformed line, diagnosed, without effect.
    Ignored,
    /// What follows an error after which the reference reads no further.
    Unread,
}

/// `name=value` inside a section, white space around both removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// Index of the section's item.
    pub section: usize,
    /// Before the first `=`.
    pub name: Logical<'a>,
    /// After it, continuations joined with one space each.
    pub value: Logical<'a>,
}

impl<'a> Document<'a> {
    /// Every assignment: its section's name, its line and itself.
    pub fn assignments(&self) -> impl Iterator<Item = (&str, u32, &Assignment<'a>)> {
        self.items.iter().filter_map(|item| match &item.kind {
            Kind::Assignment(assignment) => {
                Some((self.section_name(assignment.section), item.line, assignment))
            }
            _ => None,
        })
    }

    /// Every section header: its name and its line.
    pub fn sections(&self) -> impl Iterator<Item = (&Logical<'a>, u32)> {
        self.items.iter().filter_map(|item| match &item.kind {
            Kind::Section(name) => Some((name, item.line)),
            _ => None,
        })
    }

    /// Whether reading stopped before the end.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.items
            .last()
            .is_some_and(|item| item.kind == Kind::Unread)
    }

    /// The source again, put together from the items.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        self.items
            .iter()
            .flat_map(|item| {
                self.source
                    .get(item.span.start..item.span.end)
                    .unwrap_or_default()
            })
            .copied()
            .collect()
    }

    /// A finding about a span of this file.
    #[must_use]
    pub fn diagnose(
        &self,
        severity: Severity,
        span: Span,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic::at(severity, &self.file, self.source, span, message)
    }

    fn section_name(&self, index: usize) -> &str {
        match self.items.get(index).map(|item| &item.kind) {
            Some(Kind::Section(name)) => name.as_str(),
            _ => "",
        }
    }
}

/// Reads a unit file. It never fails: what can't be read is an item that says so, and a diagnostic.
#[must_use]
pub fn parse<'a>(file: &str, source: &'a [u8]) -> Document<'a> {
    let document = Document {
        file: file.into(),
        source,
        items: Vec::new(),
        diagnostics: Vec::new(),
    };
    let mut parser = Parser {
        document,
        at: 0,
        line: 1,
        section: None,
        suppressed: 0,
    };
    if let Err(refused) = parser.check_whole() {
        parser.refuse(refused);
        return parser.finish();
    }
    parser.skip_byte_order_mark();
    while parser.at < source.len() {
        if let Err(refused) = parser.take_item() {
            parser.refuse(refused);
        }
    }
    parser.finish()
}

/// Why the rest of a file is not read.
struct Refused {
    span: Span,
    message: String,
}

struct Parser<'a> {
    document: Document<'a>,
    at: usize,
    line: u32,
    section: Option<usize>,
    suppressed: usize,
}

impl<'a> Parser<'a> {
    fn check_whole(&self) -> Result<(), Refused> {
        let source = self.document.source;
        if source.len() > MAX_FILE_BYTES {
            let message = format!(
                "the file has {} bytes, more than the {MAX_FILE_BYTES} that are read",
                source.len()
            );
            return Err(Refused {
                span: Span::default(),
                message,
            });
        }
        match source.iter().position(|byte| *byte == 0) {
            Some(at) => Err(Refused {
                span: Span::new(at, at + 1),
                message: "the file contains a NUL byte, so it is no unit file".into(),
            }),
            None => Ok(()),
        }
    }

    fn skip_byte_order_mark(&mut self) {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        if self.document.source.starts_with(MARK) {
            self.push(MARK.len(), 0, Kind::Blank);
        }
    }

    fn refuse(&mut self, refused: Refused) {
        self.report(Severity::Error, refused.span, refused.message);
        self.push(self.document.source.len(), 0, Kind::Unread);
    }

    fn report(&mut self, severity: Severity, span: Span, message: impl Into<String>) {
        if self.document.diagnostics.len() >= MAX_DIAGNOSTICS && severity == Severity::Warning {
            self.suppressed += 1;
        } else {
            let finding = self.document.diagnose(severity, span, message);
            self.document.diagnostics.push(finding);
        }
    }

    fn finish(mut self) -> Document<'a> {
        if self.suppressed > 0 {
            let message = format!(
                "{} further problems of this file are not shown",
                self.suppressed
            );
            self.document.diagnostics.push(Diagnostic::of_file(
                Severity::Warning,
                &self.document.file,
                message,
            ));
        }
        self.document
    }

    fn push(&mut self, end: usize, line_count: u32, kind: Kind<'a>) {
        let item = Item {
            span: Span::new(self.at, end),
            line: self.line,
            kind,
        };
        self.document.items.push(item);
        self.at = end;
        self.line = self.line.saturating_add(line_count);
    }

    /// Takes one comment or one logical line.
    fn take_item(&mut self) -> Result<(), Refused> {
        let taken = Taken::from(self.document.source, self.at)?;
        let kind = if taken.is_comment {
            Kind::Comment
        } else {
            self.classify(&taken)?
        };
        if matches!(kind, Kind::Section(_)) {
            self.section = Some(self.document.items.len());
        }
        self.push(taken.end, taken.line_count, kind);
        Ok(())
    }

    fn classify(&mut self, taken: &Taken) -> Result<Kind<'a>, Refused> {
        let Some(logical) = taken.logical(self.document.source) else {
            let message = "this line is not valid UTF-8 and is ignored";
            return Ok(self.ignored(taken.first_invalid(self.document.source), message));
        };
        let text = logical.trimmed();
        match text.as_str().chars().next() {
            None => Ok(Kind::Blank),
            Some('[') => section(&text),
            Some(_) => Ok(self.assignment(&text)),
        }
    }

    fn assignment(&mut self, text: &Logical<'a>) -> Kind<'a> {
        let Some(section) = self.section else {
            return self.ignored(
                text.span(),
                "this line stands before any section and is ignored",
            );
        };
        let Some((before, after)) = text.as_str().split_once('=') else {
            return self.ignored(text.span(), "this line has no “=” and is ignored");
        };
        let (before, after) = (before.len(), after.len());
        let name = text.part(0..before).trimmed();
        if name.as_str().is_empty() {
            return self.ignored(
                text.span(),
                "there is no name before the “=”, so the line is ignored",
            );
        }
        let value = text.part(before + 1..before + 1 + after).trimmed();
        Kind::Assignment(Assignment {
            section,
            name,
            value,
        })
    }

    fn ignored(&mut self, span: Span, message: &str) -> Kind<'a> {
        self.report(Severity::Warning, span, message);
        Kind::Ignored
    }
}

/// The reference reads no further than a malformed section header, as everything below could belong elsewhere.
fn section<'a>(text: &Logical<'a>) -> Result<Kind<'a>, Refused> {
    let whole = text.as_str();
    let refused = |message: &str| Refused {
        span: text.span(),
        message: message.to_owned(),
    };
    if whole.len() < 2 || !whole.ends_with(']') {
        return Err(refused(
            "the section header has no “]” at its end; the rest of the file is not read",
        ));
    }
    let name = text.part(1..whole.len() - 1);
    if name
        .as_str()
        .chars()
        .any(|character| character.is_ascii_control() || matches!(character, '"' | '\'' | '\\'))
    {
        return Err(refused(
            "the section header has characters that no section name has; the rest of the file is not read",
        ));
    }
    Ok(Kind::Section(name))
}

/// The physical lines of one item.
struct Taken {
    /// Content of each line that counts, without the backslash that continues it.
    pieces: Vec<Range<usize>>,
    end: usize,
    line_count: u32,
    is_comment: bool,
}

impl Taken {
    fn from(source: &[u8], at: usize) -> Result<Self, Refused> {
        let mut taken = Taken {
            pieces: Vec::new(),
            end: at,
            line_count: 0,
            is_comment: false,
        };
        let mut length = 0;
        for line in lines(source, at) {
            let content = source.get(line.start..line.content).unwrap_or_default();
            let is_comment = is_comment(content);
            taken.add(&line);
            if is_comment && taken.pieces.is_empty() {
                taken.is_comment = true;
                break;
            }
            length += content.len();
            if length > MAX_LINE_BYTES {
                let message = format!(
                    "the line is longer than {MAX_LINE_BYTES} bytes; the rest of the file is not read"
                );
                return Err(Refused {
                    span: Span::new(at, at),
                    message,
                });
            }
            if is_comment {
                continue;
            }
            let continues = ends_in_backslash(content);
            taken
                .pieces
                .push(line.start..line.content - usize::from(continues));
            if !continues {
                break;
            }
        }
        Ok(taken)
    }

    fn add(&mut self, line: &Line) {
        self.end = line.end;
        self.line_count = self.line_count.saturating_add(1);
    }

    /// The joined text, none if a piece is not UTF-8. The backslash of a continuation counts as the space it stands for.
    fn logical<'a>(&self, source: &'a [u8]) -> Option<Logical<'a>> {
        let text = |range: &Range<usize>| std::str::from_utf8(source.get(range.clone())?).ok();
        if let [only] = self.pieces.as_slice() {
            return Some(Logical::single(text(only)?, only.start));
        }
        let mut joined = String::new();
        let mut starts = Vec::with_capacity(self.pieces.len());
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 {
                joined.push(' ');
            }
            starts.push((joined.len(), piece.start));
            joined.push_str(text(piece)?);
        }
        Some(Logical::joined(joined, &starts))
    }

    fn first_invalid(&self, source: &[u8]) -> Span {
        let invalid = self.pieces.iter().find_map(|piece| {
            let error = std::str::from_utf8(source.get(piece.clone())?).err()?;
            Some(piece.start + error.valid_up_to())
        });
        invalid.map_or_else(Span::default, |at| Span::new(at, at + 1))
    }
}

fn is_comment(content: &[u8]) -> bool {
    matches!(content.trim_ascii_start().first(), Some(b'#' | b';'))
}

/// An odd number of backslashes at the end: the last one is not itself escaped.
fn ends_in_backslash(content: &[u8]) -> bool {
    content
        .iter()
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count()
        % 2
        == 1
}
