//! Points in time: what each comes to in several zones, to the microsecond.

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::report::Row;
use super::{REFUSED, ours, texts, theirs};

const ZONES: &[&str] = &["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"];

/// Both sides look at the clock, one after the other: what they say of now may be apart by so much.
const APART_US: u64 = 30_000_000;

pub(super) fn compare() -> Result<Vec<Row>> {
    let mut all: Vec<String> = texts::MOMENTS
        .iter()
        .map(|text| (*text).to_owned())
        .collect();
    all.extend(texts::moments());
    let mut told: Vec<(Vec<String>, Vec<String>)> = vec![Default::default(); all.len()];
    for zone in ZONES {
        let theirs = theirs(zone, &["timestamp"], &all)?;
        let ours = ours(zone, &["timestamp"], &all)?;
        for ((text, answer), (of_them, of_us)) in all.iter().zip(&ours).zip(&mut told) {
            let block = theirs.get(text).map_or(REFUSED, String::as_str);
            let (theirs, ours) = (
                seconds(block)?,
                answer.get("realtime_us").and_then(Value::as_u64),
            );
            let is_near = theirs
                .zip(ours)
                .is_some_and(|(theirs, ours)| theirs.abs_diff(ours) < APART_US);
            let ours = if is_near && is_from_now(text) {
                theirs
            } else {
                ours
            };
            of_them.push(shown(zone, theirs));
            of_us.push(shown(zone, ours));
        }
    }
    let one = |(text, (theirs, ours)): (&String, (Vec<String>, Vec<String>))| {
        Row::compared(
            format!("moment: {}", text.escape_debug()),
            theirs.join(", "),
            ours.join(", "),
        )
    };
    Ok(all.iter().zip(told).map(one).collect())
}

fn shown(zone: &str, moment: Option<u64>) -> String {
    let moment = moment.map_or_else(|| REFUSED.to_owned(), |us| format!("@{us} μs"));
    format!("{zone} {moment}")
}

fn is_from_now(text: &str) -> bool {
    text == "now"
        || text.trim_start().starts_with(['+', '-'])
        || text.ends_with(" ago")
        || text.ends_with(" left")
}

/// The microseconds since 1970, from a field such as `UNIX seconds: @1353665533.5`; none where the text was refused.
fn seconds(block: &str) -> Result<Option<u64>> {
    if block == REFUSED {
        return Ok(None);
    }
    let line = block
        .lines()
        .find_map(|line| line.trim().strip_prefix("UNIX seconds: @"));
    let line = line.with_context(|| format!("no seconds are in {block:?}"))?;
    let (seconds, micros) = line.split_once('.').unwrap_or((line, "0"));
    Ok(Some(
        seconds.parse::<u64>()? * 1_000_000 + micros.parse::<u64>()?,
    ))
}
