//! An entry as a line.

use crate::format::Entry;

/// How entries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Time, host, identifier, pid, message.
    Short,
    /// One JSON object a line, with the journal's names.
    #[cfg(feature = "query")]
    Json,
    /// The message alone.
    Cat,
}

/// Prints one entry as a line without its newline; `clock` gives the local time of microseconds since the epoch.
/// Control bytes and what is no UTF-8 are escaped, but for `Cat` where `terminal` is not set.
#[must_use]
pub fn print(
    entry: &Entry,
    style: Style,
    terminal: bool,
    clock: &dyn Fn(u64) -> String,
) -> Vec<u8> {
    match style {
        Style::Short => short(entry, clock),
        #[cfg(feature = "query")]
        Style::Json => json(entry).into_bytes(),
        Style::Cat => shown(entry.message(), terminal),
    }
}

fn short(entry: &Entry, clock: &dyn Fn(u64) -> String) -> Vec<u8> {
    let field = |name| shown(entry.field(name).unwrap_or_default(), true);
    let mut line = clock(entry.realtime_us).into_bytes();
    let host = field("_HOSTNAME");
    let name = ["SYSLOG_IDENTIFIER", "_COMM", "_SYSTEMD_UNIT"]
        .map(field)
        .into_iter()
        .find(|name| !name.is_empty());
    for word in [host, name.unwrap_or_else(|| b"unknown".into())] {
        if !word.is_empty() {
            line.push(b' ');
            line.extend(word);
        }
    }
    let pid = field("_PID");
    if !pid.is_empty() {
        line.extend([b"[".as_slice(), &pid, b"]"].concat());
    }
    line.extend_from_slice(b": ");
    // What is piped often ends on a terminal all the same; who wants the bytes asks for them with `Cat` or `Json`.
    line.extend(shown(entry.message(), true));
    line
}

/// Bytes as they are, or with everything escaped that a terminal could act upon. Tabs stay.
fn shown(bytes: &[u8], escape: bool) -> Vec<u8> {
    if !escape {
        return bytes.to_vec();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if (c.is_control() && c != '\t') || is_direction(c) {
                text.extend(c.escape_unicode())
            } else {
                text.push(c)
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text.into_bytes()
}

/// Characters that reorder the line around them, or pretend to be none.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// As `journalctl -o json`: all values are text, but bytes that are no UTF-8 a list of numbers; a name that comes
/// more than once has a list of its values.
#[cfg(feature = "query")]
fn json(entry: &Entry) -> String {
    use serde_json::{Map, Value};
    let mut object = Map::new();
    let stamps = [
        ("__REALTIME_TIMESTAMP", entry.realtime_us),
        ("__MONOTONIC_TIMESTAMP", entry.monotonic_us),
        ("__SEQNUM", entry.seqnum),
    ];
    object.extend(stamps.map(|(name, number)| (name.to_owned(), Value::from(number.to_string()))));
    for (name, value) in &entry.fields {
        let value = match std::str::from_utf8(value) {
            Ok(text) => Value::from(text),
            Err(_) => Value::from(value.clone()),
        };
        add(&mut object, name, value);
    }
    harmless(&Value::Object(object).to_string())
}

/// JSON escapes the first 32 control characters itself; the others, and what reorders a line, are said by their numbers, too.
#[cfg(feature = "query")]
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_direction(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(feature = "query")]
fn add(
    object: &mut serde_json::Map<String, serde_json::Value>,
    name: &str,
    value: serde_json::Value,
) {
    use serde_json::Value;
    match object.get_mut(name) {
        None => drop(object.insert(name.to_owned(), value)),
        Some(Value::Array(values)) if values.iter().all(|it| !it.is_number()) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(message: &[u8]) -> Entry {
        let fields = [
            ("_HOSTNAME", "here"),
            ("SYSLOG_IDENTIFIER", "web"),
            ("_PID", "12"),
            ("PRIORITY", "6"),
        ];
        let mut fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        fields.push(("MESSAGE".into(), message.to_vec()));
        Entry {
            seqnum: 3,
            realtime_us: 5,
            monotonic_us: 4,
            fields,
        }
    }

    fn check(message: &[u8], style: Style, terminal: bool, expected: &str) {
        let line = print(&entry(message), style, terminal, &|us| format!("T{us}"));
        assert_eq!(String::from_utf8_lossy(&line), expected);
    }

    #[test]
    fn a_line_says_when_who_and_what() {
        check(b"hello", Style::Short, true, "T5 here web[12]: hello");
        check(b"hello", Style::Cat, true, "hello");
    }

    #[test]
    fn nothing_in_a_message_reaches_a_terminal_raw() {
        check(
            b"a\x1b[2Jb\x07\tc\xff\xc2\x9b",
            Style::Cat,
            true,
            "a\\u{1b}[2Jb\\u{7}\tc\\xff\\u{9b}",
        );
        check(
            "x\u{202e}y".as_bytes(),
            Style::Short,
            true,
            "T5 here web[12]: x\\u{202e}y",
        );
        check(b"a\x1bb", Style::Cat, false, "a\x1bb");
        check(b"a\x1bb", Style::Short, false, "T5 here web[12]: a\\u{1b}b");
    }

    #[cfg(feature = "query")]
    #[test]
    fn json_has_the_journals_names() {
        let plain = r#"{"MESSAGE":"hi","PRIORITY":"6","SYSLOG_IDENTIFIER":"web","_HOSTNAME":"here","_PID":"12","__MONOTONIC_TIMESTAMP":"4","__REALTIME_TIMESTAMP":"5","__SEQNUM":"3"}"#;
        check(b"hi", Style::Json, true, plain);
        check(
            b"\xff",
            Style::Json,
            true,
            &plain.replace("\"hi\"", "[255]"),
        );
        check(
            "\u{9b}2J\u{61c}".as_bytes(),
            Style::Json,
            false,
            &plain.replace("hi", "\\u009b2J\\u061c"),
        );
    }
}
