//! What is known of a stream before its first byte: the name under which the keeper holds it.
//!
//! The text is `unit|incarnation|invocation` and then any of `|key=value`:
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `id` | `SYSLOG_IDENTIFIER` | the unit's name without its kind |
//! | `priority` | priority of lines without a prefix, 0–7 | 6 |
//! | `facility` | `SYSLOG_FACILITY`, 0–23 | 3 |
//! | `max` | lines of a less severe priority are dropped | 7 |
//! | `extra` | the file of fields that each entry has ([`crate::process::Options::extra`]), 16 hexadecimal digits | none |
//! | `prefix` | `no`: a line's `<N>` prefix is text | yes |
//! | `namespace` | the namespace whose directory takes the entries | none |
//! | `portable` | the portable whose directory takes the entries | none: the system's |
//! | `burst`, `interval` | rate limit: entries per microseconds; `burst=0`: none | the process's |
//! | `line` | longest line in bytes | 48 KiB |
//! | `pid` | process id for lines that come without credentials | none |
//! | `n` | tells streams of one run apart: two of one name would be one stream | none |
//! | `fields` | `yes`: the manager's own stream, whose lines may carry fields (see [`crate::process`]) | no |
//!
//! `%`, `|` and control bytes in a value are written `%XX`.

use std::fmt;
use std::str::FromStr;

/// Longest name accepted, in bytes: unit names are at most 255.
pub const NAME_MAX_BYTES: usize = 1024;
/// Longest line kept whole, in bytes; more is cut into several entries (`LineMax=` of the reference).
pub const LINE_MAX_BYTES: usize = 48 * 1024;
/// Priority of a line that says none: informational.
pub const PRIORITY_DEFAULT: u8 = 6;
/// The least severe priority: debugging.
const PRIORITY_MAX: u8 = 7;
/// Facility of a service: daemon (syslog(3)).
pub const FACILITY_DEFAULT: u8 = 3;
/// The last facility: local7.
const FACILITY_MAX: u8 = 23;

/// A stream's origin and how its lines are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The unit whose output this is.
    pub unit: String,
    /// Which run of the unit.
    pub incarnation: u64,
    /// The invocation id, 32 hexadecimal digits, or empty.
    pub invocation: String,
    /// `SYSLOG_IDENTIFIER` of its lines.
    pub identifier: String,
    /// Priority of lines without a prefix.
    pub priority: u8,
    /// `SYSLOG_FACILITY` of its lines.
    pub facility: u8,
    /// Lines of a less severe priority are dropped.
    pub priority_max: u8,
    /// The file of fields that each entry has.
    pub extra: Option<String>,
    /// Whether `<N>` at the start of a line is its priority.
    pub level_prefix: bool,
    /// The portable whose directory takes the entries.
    pub portable: Option<String>,
    /// The namespace whose directory takes the entries.
    pub namespace: Option<String>,
    /// Rate limit of its own: entries per microseconds.
    pub rate: Option<Rate>,
    /// Longest line in bytes.
    pub line_max_bytes: usize,
    /// Process id for lines without credentials.
    pub pid: Option<u32>,
    /// Whether lines may carry fields: only the manager's own stream.
    pub fields: bool,
}

/// At most `burst` entries in `interval_us` microseconds; a burst of zero limits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Entries.
    pub burst: u32,
    /// Microseconds.
    pub interval_us: u64,
}

/// Why a name is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stream name {name:?} is not understood: {reason}")]
pub struct NameError {
    /// The name, cut to a readable length.
    pub name: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Stream {
    /// A stream of a unit with everything else at its default.
    #[must_use]
    pub fn new(unit: &str, incarnation: u64, invocation: &str) -> Stream {
        Stream {
            unit: unit.to_owned(),
            incarnation,
            invocation: invocation.to_owned(),
            identifier: default_identifier(unit).to_owned(),
            priority: PRIORITY_DEFAULT,
            facility: FACILITY_DEFAULT,
            priority_max: PRIORITY_MAX,
            extra: None,
            level_prefix: true,
            portable: None,
            namespace: None,
            rate: None,
            line_max_bytes: LINE_MAX_BYTES,
            pid: None,
            fields: false,
        }
    }
}

fn default_identifier(unit: &str) -> &str {
    unit.rsplit_once('.').map_or(unit, |(name, _)| name)
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}|{}|{}",
            escape(&self.unit),
            self.incarnation,
            escape(&self.invocation)
        )?;
        if self.identifier != default_identifier(&self.unit) {
            write!(f, "|id={}", escape(&self.identifier))?;
        }
        if self.priority != PRIORITY_DEFAULT {
            write!(f, "|priority={}", self.priority)?;
        }
        if self.facility != FACILITY_DEFAULT {
            write!(f, "|facility={}", self.facility)?;
        }
        if self.priority_max != PRIORITY_MAX {
            write!(f, "|max={}", self.priority_max)?;
        }
        if !self.level_prefix {
            f.write_str("|prefix=no")?;
        }
        if let Some(portable) = &self.portable {
            write!(f, "|portable={}", escape(portable))?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "|namespace={}", escape(namespace))?;
        }
        if let Some(rate) = self.rate {
            write!(f, "|burst={}|interval={}", rate.burst, rate.interval_us)?;
        }
        if self.line_max_bytes != LINE_MAX_BYTES {
            write!(f, "|line={}", self.line_max_bytes)?;
        }
        if let Some(pid) = self.pid {
            write!(f, "|pid={pid}")?;
        }
        if self.fields {
            f.write_str("|fields=yes")?;
        }
        if let Some(extra) = &self.extra {
            write!(f, "|extra={extra}")?;
        }
        Ok(())
    }
}

impl FromStr for Stream {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Stream, NameError> {
        let wrong = |reason| NameError {
            name: name.chars().take(80).collect(),
            reason,
        };
        if name.len() > NAME_MAX_BYTES {
            return Err(wrong("it is longer than 1024 bytes"));
        }
        let mut parts = name.split('|');
        let unit = parts
            .next()
            .map(unescape)
            .filter(|unit| !unit.is_empty())
            .ok_or_else(|| wrong("the unit is missing"))?;
        let incarnation = parts
            .next()
            .unwrap_or("0")
            .parse()
            .map_err(|_| wrong("the incarnation is no number"))?;
        let invocation = parts.next().map(unescape).unwrap_or_default();
        let mut stream = Stream::new(&unit, incarnation, &invocation);
        for part in parts {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| wrong("a part has no '='"))?;
            set(&mut stream, key, &unescape(value)).map_err(wrong)?;
        }
        Ok(stream)
    }
}

/// Keys that this version does not know are passed over: a newer manager may talk to an older log process.
fn set(stream: &mut Stream, key: &str, value: &str) -> Result<(), &'static str> {
    match key {
        "id" => value.clone_into(&mut stream.identifier),
        "priority" => {
            stream.priority = number(value)
                .filter(|n| *n <= 7)
                .ok_or("the priority is not 0–7")?
        }
        "facility" => {
            stream.facility = number(value)
                .filter(|n| *n <= FACILITY_MAX)
                .ok_or("the facility is not 0–23")?
        }
        "max" => {
            stream.priority_max = number(value)
                .filter(|n| *n <= PRIORITY_MAX)
                .ok_or("the least severe priority is not 0–7")?
        }
        "extra" => {
            let is_file = value.len() == 16 && value.bytes().all(|b| b.is_ascii_hexdigit());
            stream.extra = Some(value.to_owned())
                .filter(|_| is_file)
                .map(Some)
                .ok_or("the file of fields is not named by 16 digits")?
        }
        "prefix" => stream.level_prefix = value != "no",
        "portable" => stream.portable = Some(directory_name(value)?),
        "namespace" => stream.namespace = Some(directory_name(value)?),
        "burst" => rate(stream).burst = number(value).ok_or("the burst is no number")?,
        "interval" => {
            rate(stream).interval_us = number(value).ok_or("the interval is no number")?
        }
        "line" => {
            stream.line_max_bytes = number(value)
                .filter(|n| (1..=LINE_MAX_BYTES).contains(n))
                .ok_or("the line length is not 1–49152")?
        }
        "pid" => stream.pid = Some(number(value).ok_or("the pid is no number")?),
        "fields" => stream.fields = value == "yes",
        _ => {}
    }
    Ok(())
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn rate(stream: &mut Stream) -> &mut Rate {
    stream.rate.get_or_insert(Rate {
        burst: 0,
        interval_us: 0,
    })
}

/// A portable's name becomes a directory's: one plain component.
fn directory_name(value: &str) -> Result<String, &'static str> {
    let plain = !value.is_empty()
        && value.len() <= 255
        && !value.starts_with('.')
        && !value.bytes().any(|b| b == b'/' || b < 0x20);
    if plain {
        Ok(value.to_owned())
    } else {
        Err("the name of a portable or namespace is no plain file name")
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' | '|' | '\0'..='\x1f' | '\x7f' => out.push_str(&format!("%{:02X}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let byte = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(u8::is_ascii);
        match byte {
            Some(byte) => {
                out.push(char::from(byte));
                rest = after.get(2..).unwrap_or("");
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, printed: &str) {
        match name.parse::<Stream>() {
            Ok(stream) => {
                assert_eq!(stream.to_string(), printed);
                assert_eq!(printed.parse::<Stream>().unwrap(), stream);
            }
            Err(error) => assert_eq!(error.to_string(), printed),
        }
    }

    #[test]
    fn a_plain_name_has_the_defaults() {
        check("web.service|3|0011", "web.service|3|0011");
        assert_eq!(
            "web.service|3|0011".parse::<Stream>().unwrap().identifier,
            "web"
        );
    }

    #[test]
    fn every_key_is_read_and_printed_back() {
        let text = "a@b|c.service|7||id=x%7Cy|priority=3|facility=16|max=4|prefix=no|portable=foobar|namespace=web|burst=5|interval=9|line=100|pid=4|fields=yes|extra=0123456789abcdef";
        check(
            &text.replace("a@b|c", "a@b%7Cc"),
            &text.replace("a@b|c", "a@b%7Cc"),
        );
    }

    #[test]
    fn unknown_keys_are_passed_over() {
        check("a.service|1|x|colour=red", "a.service|1|x");
    }

    #[test]
    fn wrong_names_say_what_is_wrong() {
        check(
            "",
            "the stream name \"\" is not understood: the unit is missing",
        );
        check(
            "a|x|",
            "the stream name \"a|x|\" is not understood: the incarnation is no number",
        );
        check(
            "a|1||portable=../b",
            "the stream name \"a|1||portable=../b\" is not understood: the name of a portable or namespace is no plain file name",
        );
        check(
            "a|1||priority=8",
            "the stream name \"a|1||priority=8\" is not understood: the priority is not 0–7",
        );
    }
}
