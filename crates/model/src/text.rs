//! Text forms: how a value is written in a unit file, read from it, and how words are quoted.

use std::borrow::Cow;

/// Says why a text is not a value of the wanted type; a whole clause that names what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    message: Cow<'static, str>,
}

impl ParseError {
    /// Makes an error from a fixed or built clause.
    pub fn new(message: impl Into<Cow<'static, str>>) -> ParseError {
        ParseError {
            message: message.into(),
        }
    }

    /// Makes the usual error: the found text, shortened, is not the thing that was wanted.
    pub fn not_a(found: &str, wanted: &str) -> ParseError {
        ParseError::new(format!("\"{}\" is not {wanted}", shorten(found)))
    }
}

/// Longest piece of a rejected text that an error repeats, in characters: enough to recognise it.
const SHOWN_CHARS: usize = 60;

fn shorten(text: &str) -> String {
    let shown: String = text
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        format!("{shown}…")
    } else {
        shown
    }
}

/// Expands specifiers in one part of a value; which parts of a text expand is the value type's knowledge.
pub trait Expand {
    /// Returns the part with its specifiers replaced.
    fn expand(&self, part: &str) -> Result<String, ParseError>;

    /// Whether the host has a time zone of this name; who does not know the host's takes any.
    fn is_zone(&self, name: &str) -> bool {
        !name.is_empty()
    }

    /// Is told of a wrong item of a list; returning `Ok` drops the item and keeps the rest.
    fn wrong_item(&self, problem: ParseError) -> Result<(), ParseError> {
        Err(problem)
    }
}

/// Leaves every part as it is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Verbatim;

impl Expand for Verbatim {
    fn expand(&self, part: &str) -> Result<String, ParseError> {
        Ok(part.to_owned())
    }
}

/// How a value is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As people read it: specifiers are gone, `%` is a plain character.
    Plain,
    /// As a unit file holds it: `%` is doubled in the parts that would be expanded again.
    UnitFile,
}

impl Form {
    /// Prints a part that is expanded on reading.
    pub fn part(self, text: &str) -> Cow<'_, str> {
        match self {
            Form::UnitFile if text.contains('%') => Cow::Owned(text.replace('%', "%%")),
            _ => Cow::Borrowed(text),
        }
    }

    /// Prints a part that is expanded on reading, quoted where a word needs it.
    pub fn word(self, text: &str) -> String {
        quote(&self.part(text)).into_owned()
    }
}

/// A value type's text form: the one place where it is read and printed.
pub trait TextForm: Sized {
    /// Reads one assignment's right-hand side; `expand` is called on the parts that take specifiers.
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<Self, ParseError>;

    /// Prints the assignments' right-hand sides, in order; a scalar has one, an empty list none.
    fn print_lines(&self, form: Form) -> Vec<String>;

    /// Reads one right-hand side without specifiers.
    fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, &Verbatim)
    }

    /// Prints on one line, for people.
    fn print(&self) -> String {
        self.print_lines(Form::Plain).join(" ")
    }

    /// Whether an empty right-hand side takes earlier assignments back; otherwise it is a text like any other.
    const EMPTY_RESETS: bool = true;

    /// Whether later assignments add to earlier ones.
    const LIST: bool = false;

    /// Joins a later assignment to this value. A scalar is replaced.
    fn append(&mut self, later: Self) {
        *self = later;
    }

    /// Whether the value says nothing, as a list without items: then the directive is back at its default.
    fn is_unset(&self) -> bool {
        false
    }

    /// Takes one more assignment. `None` means that the directive has its default; after an error nothing has changed.
    fn assign(value: &mut Option<Self>, text: &str, expand: &dyn Expand) -> Result<(), ParseError> {
        if text.is_empty() && Self::EMPTY_RESETS {
            *value = None;
            return Ok(());
        }
        let later = Self::parse_with(text, expand)?;
        match value {
            Some(value) => value.append(later),
            None => *value = Some(later).filter(|value| !value.is_unset()),
        }
        Ok(())
    }
}

/// Most words in one assignment: bounds the memory that one hostile line can ask for.
pub const MAX_WORDS: usize = 65_536;

/// Splits a text into words at white space; quotes hold words together, backslashes escape as in C.
pub fn split_words(text: &str) -> Result<Vec<String>, ParseError> {
    split(text, Quoting::Unescape)
}

/// Splits a text into words at white space; quotes hold words together, backslashes stay, as names of units need it.
pub fn split_names(text: &str) -> Result<Vec<String>, ParseError> {
    split(text, Quoting::KeepBackslashes)
}

fn split(text: &str, quoting: Quoting) -> Result<Vec<String>, ParseError> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((word, after)) = next_word(rest, quoting)? {
        if words.len() == MAX_WORDS {
            return Err(ParseError::new(format!(
                "more than {MAX_WORDS} words in one assignment"
            )));
        }
        words.push(word);
        rest = after;
    }
    Ok(words)
}

/// What a word's quotes and backslashes become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// Quotes are taken off and escapes replaced.
    Unescape,
    /// Quotes are taken off, backslashes stay.
    KeepBackslashes,
}

/// Takes the first word off a text. Returns the word and what follows it, `None` at the end.
pub fn next_word(text: &str, quoting: Quoting) -> Result<Option<(String, &str)>, ParseError> {
    let text = text.trim_start();
    if text.is_empty() {
        return Ok(None);
    }
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_ascii_whitespace() => return Ok(Some((word, tail(text, at)))),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (_, '\\') if quoting == Quoting::Unescape => {
                // What is no escape stays as it is written, backslash included.
                let (found, length) =
                    unescape(tail(text, at + 1)).unwrap_or_else(|_| ("\\".to_owned(), 0));
                word.push_str(&found);
                chars = advance(text, at + 1 + length);
            }
            (_, c) => word.push(c),
        }
    }
    match quote {
        Some(_) => Err(ParseError::new("a quotation mark is not closed")),
        None => Ok(Some((word, ""))),
    }
}

fn tail(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or("")
}

/// The characters of `text` from a byte offset on, with offsets into the whole text.
fn advance(text: &str, from: usize) -> std::str::CharIndices<'_> {
    let mut chars = text.char_indices();
    while chars.offset() < from && chars.next().is_some() {}
    chars
}

/// Reads the escape that follows a backslash. Returns what it stands for and how many bytes it took.
/// The bytes of consecutive `\x` and octal escapes must together be UTF-8.
pub fn unescape(after: &str) -> Result<(String, usize), ParseError> {
    let Some(first) = after.chars().next() else {
        return Err(ParseError::new("a backslash at the end escapes nothing"));
    };
    let simple = match first {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        's' => ' ',
        '\\' | '"' | '\'' => first,
        'u' => return unicode(after, 4),
        'U' => return unicode(after, 8),
        'x' | '0'..='7' => return bytes(after),
        _ => {
            return Err(ParseError::new(format!(
                "\\{} is not an escape",
                first.escape_debug()
            )));
        }
    };
    Ok((simple.to_string(), first.len_utf8()))
}

fn unicode(after: &str, digits: usize) -> Result<(String, usize), ParseError> {
    let wrong = || ParseError::new("an escape is not a Unicode character");
    let text = after.get(1..=digits).ok_or_else(wrong)?;
    let c = hex(text)
        .and_then(char::from_u32)
        .filter(|c| *c != '\0')
        .ok_or_else(wrong)?;
    Ok((c.to_string(), 1 + digits))
}

fn hex(text: &str) -> Option<u32> {
    text.bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(text, 16).ok())?
}

fn bytes(after: &str) -> Result<(String, usize), ParseError> {
    let mut found = Vec::new();
    let mut length = 0;
    loop {
        let rest = tail(after, length);
        let (byte, used) = byte(rest)?;
        found.push(byte);
        length += used;
        let next = tail(after, length)
            .strip_prefix('\\')
            .filter(|r| r.starts_with(['x', '0', '1', '2', '3', '4', '5', '6', '7']));
        if std::str::from_utf8(&found).is_ok() || next.is_none() {
            break;
        }
        length += 1;
    }
    match String::from_utf8(found) {
        Ok(text) => Ok((text, length)),
        Err(_) => Err(ParseError::new("escaped bytes are not UTF-8")),
    }
}

fn byte(escape: &str) -> Result<(u8, usize), ParseError> {
    let wrong = || ParseError::new("a numeric escape is not a byte");
    let value = match escape.strip_prefix('x') {
        Some(_) => hex(escape.get(1..3).ok_or_else(wrong)?),
        None => escape
            .get(..3)
            .filter(|d| d.bytes().all(|b| (b'0'..=b'7').contains(&b)))
            .and_then(|d| u32::from_str_radix(d, 8).ok()),
    };
    let byte = value
        .and_then(|v| u8::try_from(v).ok())
        .filter(|b| *b != 0)
        .ok_or_else(wrong)?;
    Ok((byte, 3))
}

/// Quotes a word so that [`split_words`] gives it back; plain words stay as they are.
pub fn quote(word: &str) -> Cow<'_, str> {
    let plain =
        |c: char| !(c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\' | ';'));
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('"');
    for c in word.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    quoted.push_str(&format!("\\x{byte:02x}"));
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// Reads a boolean as unit files write it.
pub fn parse_bool(text: &str) -> Option<bool> {
    let yes = ["1", "yes", "y", "true", "t", "on"];
    let no = ["0", "no", "n", "false", "f", "off"];
    if yes.iter().any(|w| w.eq_ignore_ascii_case(text)) {
        Some(true)
    } else if no.iter().any(|w| w.eq_ignore_ascii_case(text)) {
        Some(false)
    } else {
        None
    }
}
