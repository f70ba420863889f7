//! Spans of time.

use std::fmt;

use super::{
    number::scale,
    words::{Item, list},
};
use crate::calendar::Calendar;
use crate::text::{Expand, Form, ParseError, TextForm};

/// A span of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeSpan(pub u64);

impl TimeSpan {
    /// Never ends.
    pub const INFINITY: TimeSpan = TimeSpan(u64::MAX);
    /// No time at all.
    pub const ZERO: TimeSpan = TimeSpan(0);

    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> TimeSpan {
        TimeSpan(seconds.saturating_mul(SECOND))
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> TimeSpan {
        TimeSpan(milliseconds.saturating_mul(1_000))
    }

    /// The microseconds.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whether it never ends.
    pub const fn is_infinite(self) -> bool {
        self.0 == u64::MAX
    }

    /// Reads a span whose bare numbers count a unit of that many microseconds.
    pub fn parse_in(text: &str, bare_us: u64) -> Result<TimeSpan, ParseError> {
        parse_span(text, bare_us, US)
            .map(TimeSpan)
            .ok_or_else(|| ParseError::not_a(text, "a span of time such as 5s, 2min or infinity"))
    }
}

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// A year of 365.25 days, a month of a twelfth of it.
const YEAR: u64 = 31_557_600 * SECOND;
const MONTH: u64 = YEAR / 12;

/// Unit names with their microseconds; the first name of a length is the printed one.
const UNITS: &[(&[&str], u64)] = &[
    (&["y", "year", "years"], YEAR),
    (&["month", "months", "M"], MONTH),
    (&["w", "week", "weeks"], 7 * DAY),
    (&["d", "day", "days"], DAY),
    (&["h", "hr", "hour", "hours"], HOUR),
    (&["min", "m", "minute", "minutes"], MINUTE),
    (&["s", "sec", "second", "seconds"], SECOND),
    (&["ms", "msec"], 1_000),
    (&["us", "usec", "µs", "μs"], 1),
];

/// One microsecond in the unit that is counted.
const US: u64 = 1;
const NS_PER_US: u64 = 1_000;

/// Reads "1h 30min", "5", "1.5s" or "infinity"; `resolution` is how many counted parts a microsecond has.
fn parse_span(text: &str, bare: u64, resolution: u64) -> Option<u64> {
    let mut rest = text.trim();
    if rest == "infinity" {
        return Some(u64::MAX);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        // A point without digits after it is no number here, though it is one in a size.
        let (number, after) = rest
            .split_at_checked(end)
            .filter(|(number, _)| !number.ends_with('.'))?;
        let after = after.trim_start();
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.' || c.is_whitespace())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let factor = match unit {
            "" => bare,
            "ns" | "nsec" if resolution == NS_PER_US => 1,
            unit => UNITS
                .iter()
                .find(|(names, _)| names.contains(&unit))?
                .1
                .checked_mul(resolution)?,
        };
        total = total.checked_add(scale(number, factor)?)?;
        rest = after.trim_start();
    }
    (total < u64::MAX).then_some(total)
}

fn write_span(f: &mut fmt::Formatter<'_>, mut left: u64) -> fmt::Result {
    if left == u64::MAX {
        return f.write_str("infinity");
    }
    if left == 0 {
        return f.write_str("0");
    }
    let mut gap = "";
    for (names, length) in UNITS {
        let (count, rest, name) = (left / length, left % length, names.first().unwrap_or(&""));
        // What is left of less than a minute follows the point, with all of its digits, as scripts know it from the reference.
        if count > 0 && left < MINUTE && rest > 0 {
            let digits = length.ilog10() as usize;
            return write!(f, "{gap}{count}.{rest:0digits$}{name}");
        }
        if count > 0 {
            write!(f, "{gap}{count}{name}")?;
            (left, gap) = (rest, " ");
        }
    }
    Ok(())
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_span(f, self.0)
    }
}

impl TextForm for TimeSpan {
    const EMPTY_RESETS: bool = false;

    fn parse_with(text: &str, _: &dyn Expand) -> Result<TimeSpan, ParseError> {
        TimeSpan::parse_in(text, SECOND)
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.to_string()]
    }
}

/// A span of time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanoseconds(pub u64);

impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("infinity"),
            nanoseconds => write!(f, "{nanoseconds}ns"),
        }
    }
}

impl TextForm for Nanoseconds {
    const EMPTY_RESETS: bool = false;

    fn parse_with(text: &str, _: &dyn Expand) -> Result<Nanoseconds, ParseError> {
        let span = parse_span(text, 1, NS_PER_US).map(Nanoseconds);
        span.ok_or_else(|| {
            ParseError::not_a(text, "a span of time such as 50us or 200 (nanoseconds)")
        })
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.to_string()]
    }
}

impl Item for TimeSpan {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<TimeSpan, ParseError> {
        TimeSpan::parse(&expand.expand(text)?)
    }

    fn print_item(&self, _: Form) -> String {
        self.to_string()
    }
}

list! {
    /// Spans after which a timer elapses, one per line.
    TimerSpans of TimeSpan, lines
}

list! {
    /// Calendar expressions, one per line.
    CalendarList of Calendar, lines
}
