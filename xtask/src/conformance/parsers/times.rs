//! Spans of time.

use anyhow::Result;
use model::value::TimeSpan;

use super::super::report::Row;
use super::super::systemd::ask;
use super::{REFUSED, case, generated};

/// A bare number counts them.
const SECOND_US: u64 = 1_000_000;

const SPANS: &[&str] = &[
    "0",
    "1",
    "5s",
    "5 s",
    "1.5",
    "1.5s",
    ".5s",
    "1.",
    "1.5.5s",
    "0.000001",
    "0.0000001",
    "1e3",
    "-1",
    "+1",
    "- 1",
    "infinity",
    "Infinity",
    "infinite",
    " 5 ",
    "5\t6",
    "1h30min",
    "1h 30min",
    "1 h 30 min",
    "30min 1h",
    "1h 1h",
    "55s500ms",
    "300ms20s 5day",
    "2 h",
    "2hours",
    "48hr",
    "1y 12month",
    "1year",
    "1years",
    "3M",
    "3m",
    "3 m",
    "3 M",
    "1w",
    "1week",
    "2weeks",
    "1d",
    "1day",
    "2days",
    "1us",
    "1usec",
    "1µs",
    "1μs",
    "1ms",
    "1msec",
    "1s",
    "1sec",
    "1second",
    "1seconds",
    "1min",
    "1minute",
    "1minutes",
    "1hour",
    "1month",
    "1months",
    "1ns",
    "1nsec",
    "1 foo",
    "1sfoo",
    "s",
    "s5",
    "5ss",
    "5s6",
    "5s 6",
    "12,5s",
    "1_000",
    "0x10",
    "010",
    "1:30",
    "12:30:15",
    "18446744073709551615us",
    "18446744073709551614us",
    "18446744073709551616us",
    "584542y",
    "584543y",
    "9999999999999999999999s",
    "1h infinity",
    "infinity 1h",
    "0s",
    "0 0",
    "1.0000000000000000000000001s",
    "0.9999999s",
    "3.14159265358979h",
    "1.5M",
    "1S",
    "1Min",
    "1H",
];

pub(super) fn spans() -> Result<Vec<Row>> {
    let pieces = [
        "1", "15", "0", ".5", "2.25", " ", " ", "s", "ms", "us", "min", "m", "h", "d", "w", "M",
        "month", "y", "sec", "-", "ns",
    ];
    let fixed = SPANS.iter().map(|text| (*text).to_owned());
    fixed
        .chain(generated::texts(&pieces, 8))
        .map(|text| {
            Ok(Row::compared(
                case("span", &text),
                theirs(&text)?,
                ours(&text),
            ))
        })
        .collect()
}

/// The microseconds, and how they are printed.
fn theirs(text: &str) -> Result<String> {
    let said = ask("systemd-analyze", &["timespan", "--", text])?;
    let field = |name: &str| {
        let mut lines = said.stdout.lines();
        lines.find_map(|line| Some(line.trim().strip_prefix(name)?.trim().to_owned()))
    };
    let span = field("μs:").zip(field("Human:"));
    Ok(span.filter(|_| said.is_success).map_or_else(
        || REFUSED.to_owned(),
        |(number, human)| shown(&number, &human),
    ))
}

fn ours(text: &str) -> String {
    TimeSpan::parse_in(text, SECOND_US).map_or_else(
        |_| REFUSED.to_owned(),
        |span| shown(&span.micros().to_string(), &span.to_string()),
    )
}

fn shown(number: &str, human: &str) -> String {
    format!("{number} ({human})")
}
