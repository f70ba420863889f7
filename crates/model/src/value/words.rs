//! Plain texts, lists of words, and the macro that makes list types.

use crate::text::{Expand, Form, ParseError, TextForm, split_words};

/// One item of a list.
pub trait Item: Sized {
    /// Reads an item; quotes are already taken off.
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<Self, ParseError>;
    /// Prints an item without quotes.
    fn print_item(&self, form: Form) -> String;
}

/// Reads the items of a list that is separated by white space; wrong items are reported one by one.
pub(crate) fn parse_words<I: Item>(text: &str, expand: &dyn Expand) -> Result<Vec<I>, ParseError> {
    parse_items(split_words(text)?, expand)
}

pub(crate) fn parse_items<I: Item>(
    words: Vec<String>,
    expand: &dyn Expand,
) -> Result<Vec<I>, ParseError> {
    let mut items = Vec::new();
    for word in words {
        match I::parse_item(&word, expand) {
            Ok(item) => items.push(item),
            Err(problem) => expand.wrong_item(problem)?,
        }
    }
    Ok(items)
}

pub(crate) fn print_words<I: Item>(items: &[I], form: Form) -> Vec<String> {
    if items.is_empty() {
        return Vec::new();
    }
    let words: Vec<String> = items
        .iter()
        .map(|item| crate::text::quote(&item.print_item(form)).into_owned())
        .collect();
    vec![words.join(" ")]
}

/// Makes a list type: `words` share a line, `names` too but keep their backslashes, each of `lines` has its own.
macro_rules! list {
    ($(#[$about:meta])* $name:ident of $item:ty, $layout:ident) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name(pub Vec<$item>);

        impl std::ops::Deref for $name {
            type Target = [$item];

            fn deref(&self) -> &[$item] {
                &self.0
            }
        }

        impl FromIterator<$item> for $name {
            fn from_iter<I: IntoIterator<Item = $item>>(items: I) -> $name {
                $name(items.into_iter().collect())
            }
        }

        impl<'a> IntoIterator for &'a $name {
            type Item = &'a $item;
            type IntoIter = std::slice::Iter<'a, $item>;

            fn into_iter(self) -> Self::IntoIter {
                self.0.iter()
            }
        }

        impl $crate::text::TextForm for $name {
            const LIST: bool = true;

            fn parse_with(text: &str, expand: &dyn $crate::text::Expand) -> Result<$name, $crate::text::ParseError> {
                $crate::value::list!(@parse $layout, $name, $item, text, expand)
            }

            fn print_lines(&self, form: $crate::text::Form) -> Vec<String> {
                $crate::value::list!(@print $layout, self, form)
            }

            fn append(&mut self, later: $name) {
                self.0.extend(later.0);
            }

            fn is_unset(&self) -> bool {
                self.0.is_empty()
            }
        }
    };
    (@parse words, $name:ident, $item:ty, $text:ident, $expand:ident) => {
        $crate::value::words::parse_words($text, $expand).map($name)
    };
    (@parse names, $name:ident, $item:ty, $text:ident, $expand:ident) => {
        $crate::value::words::parse_items($crate::text::split_names($text)?, $expand).map($name)
    };
    (@print names, $self:ident, $form:ident) => {{
        let names: Vec<String> = $self.0.iter().map(|item| $crate::value::Item::print_item(item, $form)).collect();
        if names.is_empty() { names } else { vec![names.join(" ")] }
    }};
    (@parse lines, $name:ident, $item:ty, $text:ident, $expand:ident) => {
        Ok($name(vec![<$item as $crate::value::Item>::parse_item($text, $expand)?]))
    };
    (@print words, $self:ident, $form:ident) => {
        $crate::value::words::print_words(&$self.0, $form)
    };
    (@print lines, $self:ident, $form:ident) => {
        $self.0.iter().map(|item| $crate::value::Item::print_item(item, $form)).collect()
    };
}
pub(crate) use list;

impl Item for String {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<String, ParseError> {
        expand.expand(text)
    }

    fn print_item(&self, form: Form) -> String {
        form.part(self).into_owned()
    }
}

impl TextForm for String {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<String, ParseError> {
        expand.expand(text)
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        vec![form.part(self).into_owned()]
    }
}

list! {
    /// Words in the order of writing.
    Words of String, words
}

/// Bytes that a unit file carries, as `StandardInputText=` and `StandardInputData=` collect them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// Reads a line of text: C escapes and specifiers are replaced, a line feed is added.
    pub fn parse_text(text: &str, expand: &dyn Expand) -> Result<Bytes, ParseError> {
        let mut bytes = expand.expand(&unescape_all(text)?)?.into_bytes();
        bytes.push(b'\n');
        Ok(Bytes(bytes))
    }

    /// Reads Base64; white space is skipped.
    pub fn parse_base64(text: &str) -> Result<Bytes, ParseError> {
        decode_base64(text).map(Bytes)
    }

    /// Prints as Base64, which any bytes can be.
    pub fn print_base64(&self) -> String {
        encode_base64(&self.0)
    }
}

/// The form of `StandardInputData=`; `StandardInputText=` is read by [`Bytes::parse_text`].
impl TextForm for Bytes {
    const LIST: bool = true;

    fn parse_with(text: &str, _: &dyn Expand) -> Result<Bytes, ParseError> {
        Bytes::parse_base64(text)
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.print_base64()]
    }

    fn is_unset(&self) -> bool {
        self.0.is_empty()
    }

    fn append(&mut self, later: Bytes) {
        self.0.extend(later.0);
    }
}

/// Replaces C escapes in a text that is not split into words.
pub(crate) fn unescape_all(text: &str) -> Result<String, ParseError> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let (found, length) = crate::text::unescape(after)?;
        plain.push_str(&found);
        rest = after.get(length..).unwrap_or("");
    }
    plain.push_str(rest);
    Ok(plain)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, byte| (group << 8) | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) & 63;
            let digit = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            text.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

fn decode_base64(text: &str) -> Result<Vec<u8>, ParseError> {
    let wrong = || ParseError::not_a(text, "Base64");
    let mut bytes = Vec::new();
    let (mut group, mut bits, mut digits, mut padding) = (0u32, 0, 0usize, 0usize);
    for byte in text.bytes().filter(|b| !b.is_ascii_whitespace()) {
        if byte == b'=' {
            padding += 1;
            continue;
        }
        let value = ALPHABET
            .iter()
            .position(|known| *known == byte)
            .filter(|_| padding == 0)
            .ok_or_else(wrong)?;
        group = (group << 6) | value as u32;
        bits += 6;
        digits += 1;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits) as u8);
            group &= (1 << bits) - 1;
        }
    }
    let whole = (digits + padding).is_multiple_of(4) || padding == 0;
    if whole && padding < 3 && digits % 4 != 1 && group == 0 {
        Ok(bytes)
    } else {
        Err(wrong())
    }
}

/// Takes the first colon-separated field off a text: `\:` is a colon, `\\` a backslash. Returns it and the rest.
pub(crate) fn colon_field(text: &str) -> (String, Option<&str>) {
    let mut field = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return (field, text.get(at + 1..)),
            '\\' => match text.get(at + 1..).and_then(|rest| rest.chars().next()) {
                Some(escaped @ (':' | '\\')) => {
                    field.push(escaped);
                    chars.next();
                }
                _ => field.push('\\'),
            },
            c => field.push(c),
        }
    }
    (field, None)
}

/// Splits at colons, at most `limit` fields; the last takes the rest as it is.
pub(crate) fn colon_fields(text: &str, limit: usize) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        if fields.len() + 1 == limit {
            fields.push(text.to_owned());
            break;
        }
        let (field, after) = colon_field(text);
        fields.push(field);
        rest = after;
    }
    fields
}

/// Escapes a field between colons.
pub(crate) fn escape_colons(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}
