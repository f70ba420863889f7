//! Times as people read and write them, in the host's time zone.

use anyhow::Result;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use model::value::TimeSpan;

use crate::failure::{WithHint, hint};

/// A time in microseconds since 1970 as `2026-11-24 08:00:00 UTC`.
pub(crate) fn local(realtime_us: u64) -> String {
    printed(realtime_us, "%Y-%m-%d %H:%M:%S %Z")
}

/// The same as systemctl prints it in properties: `Tue 2026-11-24 08:00:00 UTC`.
pub(crate) fn with_weekday(realtime_us: u64) -> String {
    printed(realtime_us, "%a %Y-%m-%d %H:%M:%S %Z")
}

fn printed(realtime_us: u64, format: &str) -> String {
    let time = i64::try_from(realtime_us)
        .ok()
        .and_then(|us| Timestamp::from_microsecond(us).ok());
    time.map_or_else(
        || "n/a".to_owned(),
        |time| {
            time.to_zoned_datetime(TimeZone::system())
                .strftime(format)
                .to_string()
        },
    )
}

/// ` since TIME; 3 min ago`.
pub(crate) fn since(realtime_us: u64) -> String {
    let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
    format!(
        " since {}; {} ago",
        local(realtime_us),
        span(now.saturating_sub(realtime_us))
    )
}

/// A span with its two largest units.
pub(crate) fn span(us: u64) -> String {
    const UNITS: &[(&str, u64)] = &[
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("min", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1000),
        ("µs", 1),
    ];
    let Some(first) = UNITS.iter().position(|(_, size)| us >= *size) else {
        return "0 s".to_owned();
    };
    let parts = UNITS.iter().skip(first).take(if first < 3 { 2 } else { 1 });
    let mut rest = us;
    let mut words = Vec::new();
    for (name, size) in parts {
        if rest >= *size {
            words.push(format!("{} {name}", rest / size));
        }
        rest %= size;
    }
    words.join(" ")
}

/// What a bare number counts in a span: seconds, in microseconds.
const SECOND_US: u64 = 1_000_000;

const HINT: &str = "times are `2026-11-24 08:00:00`, `2026-11-24`, `08:00`, `-1h 30min`, `10 min ago`, `@1795623476`, `today`, `yesterday` or `now`";

/// A point in time as systemd.time(7) writes it, in microseconds since 1970.
///
/// # Errors
/// When the text is none, or the weekday that it names is not the date's.
pub(crate) fn moment(text: &str) -> Result<u64> {
    moment_at(
        text,
        &Timestamp::now().to_zoned_datetime(TimeZone::system()),
    )
}

fn moment_at(text: &str, now: &ZonedDateTime) -> Result<u64> {
    let text = text.trim();
    let us = |time: &ZonedDateTime| u64::try_from(time.timestamp().as_microsecond()).unwrap_or(0);
    let day = |days: i64| -> Result<u64> { Ok(us(&now.checked_add(days.days())?.start_of_day()?)) };
    match text {
        "now" => return Ok(us(now)),
        "today" => return day(0),
        "yesterday" => return day(-1),
        "tomorrow" => return day(1),
        _ => {}
    }
    let shifted = relative(text).or_hint(|| unreadable(text), HINT)?;
    match shifted {
        Some(Shift::Since1970(span)) => Ok(span),
        Some(Shift::Back(span)) => Ok(us(now).saturating_sub(span)),
        Some(Shift::Ahead(span)) => Ok(us(now).saturating_add(span)),
        None => absolute(text, now).map(|time| us(&time)),
    }
}

fn unreadable(text: &str) -> String {
    format!("{text:?} is no time")
}

/// How far from now, or from 1970.
enum Shift {
    Since1970(u64),
    Back(u64),
    Ahead(u64),
}

fn relative(text: &str) -> Result<Option<Shift>, model::ParseError> {
    let span = |text: &str| TimeSpan::parse_in(text, SECOND_US).map(TimeSpan::micros);
    Ok(Some(if let Some(rest) = text.strip_prefix('@') {
        Shift::Since1970(span(rest)?)
    } else if let Some(rest) = text.strip_prefix('-') {
        Shift::Back(span(rest)?)
    } else if let Some(rest) = text.strip_prefix('+') {
        Shift::Ahead(span(rest)?)
    } else if let Some(rest) = text.strip_suffix(" ago") {
        Shift::Back(span(rest)?)
    } else if let Some(rest) = text.strip_suffix(" left") {
        Shift::Ahead(span(rest)?)
    } else {
        return Ok(None);
    }))
}

/// `[WEEKDAY] [DATE] [TIME] [ZONE]`, with a date, a time or both; `DATETTIMEZ` too.
fn absolute(text: &str, now: &ZonedDateTime) -> Result<ZonedDateTime> {
    if let Ok(exact) = text.parse::<Timestamp>() {
        return Ok(exact.to_zoned_datetime(TimeZone::UTC));
    }
    if let Ok(both) = text.parse::<DateTime>() {
        return Ok(both.to_zoned_datetime(now.time_zone().clone())?);
    }
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let day = words.first().and_then(|word| weekday(word));
    if day.is_some() {
        words.remove(0);
    }
    let zone = words.last().and_then(|word| zone(word));
    if zone.is_some() {
        words.pop();
    }
    let read = |word: &str| (word.parse::<Date>().ok(), time_of_day(word));
    let (date, time) = match *words.as_slice() {
        [one] => read(one),
        [date, time] => (date.parse::<Date>().ok(), time_of_day(time)),
        _ => (None, None),
    };
    if (date.is_none() && time.is_none())
        || (words.len() == 2 && (date.is_none() || time.is_none()))
    {
        return Err(hint(unreadable(text), HINT));
    }
    let zone = zone.unwrap_or_else(|| now.time_zone().clone());
    let today = now.timestamp().to_zoned_datetime(zone.clone()).date();
    let date = date.unwrap_or(today);
    if day.is_some_and(|day| day != date.weekday()) {
        return Err(hint(
            format!("{text:?} is no time: {date} is another day of the week"),
            HINT,
        ));
    }
    Ok(date
        .to_datetime(time.unwrap_or(Time::midnight()))
        .to_zoned_datetime(zone)?)
}

/// `HH:MM`, `HH:MM:SS` and fractions of a second.
fn time_of_day(word: &str) -> Option<Time> {
    word.contains(':').then(|| word.parse().ok()).flatten()
}

/// By its three first letters or more.
fn weekday(word: &str) -> Option<Weekday> {
    const DAYS: &[(&str, Weekday)] = &[
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let word = word.trim_end_matches(',').to_ascii_lowercase();
    let found = DAYS
        .iter()
        .find(|(name, _)| word == *name || (word.len() == 3 && name.starts_with(&word)));
    found.map(|(_, day)| *day)
}

/// `UTC`, or a place such as `Europe/Berlin`.
fn zone(word: &str) -> Option<TimeZone> {
    match word {
        "UTC" | "Z" => Some(TimeZone::UTC),
        place if place.contains('/') => TimeZone::get(place).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At 2026-11-25 16:10:00 UTC, a Wednesday, two hours east of Greenwich.
    fn check(text: &str, expected: &str) {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let now = "2026-11-25T16:10:00Z".parse::<Timestamp>().unwrap();
        let us = moment_at(text, &now.to_zoned_datetime(zone)).map(|us| {
            Timestamp::from_microsecond(i64::try_from(us).unwrap())
                .unwrap()
                .to_string()
        });
        assert_eq!(
            us.unwrap_or_else(|error| error.to_string()),
            expected,
            "{text}"
        );
    }

    #[test]
    fn times_are_read_as_administrators_write_them() {
        for (text, expected) in [
            ("now", "2026-11-25T16:10:00Z"),
            ("today", "2026-11-24T22:00:00Z"),
            ("yesterday", "2026-11-23T22:00:00Z"),
            ("tomorrow", "2026-11-25T22:00:00Z"),
            ("-1h", "2026-11-25T15:10:00Z"),
            ("-1h 30min", "2026-11-25T14:40:00Z"),
            ("-90", "2026-11-25T16:08:30Z"),
            ("+5s", "2026-11-25T16:10:05Z"),
            ("10 min ago", "2026-11-25T16:00:00Z"),
            ("2 weeks ago", "2026-11-11T16:10:00Z"),
            ("@1795623476", "2026-11-25T16:17:56Z"),
            ("2026-11-24", "2026-11-23T22:00:00Z"),
            ("2026-11-24 08:30", "2026-11-24T06:30:00Z"),
            ("2026-11-24 08:30:15.5", "2026-11-24T06:30:15.5Z"),
            ("2026-11-24 08:30 UTC", "2026-11-24T08:30:00Z"),
            ("2026-11-24T08:30:00", "2026-11-24T06:30:00Z"),
            ("2026-11-24T08:30:00Z", "2026-11-24T08:30:00Z"),
            ("Tue 2026-11-24 08:30", "2026-11-24T06:30:00Z"),
            ("Tuesday 2026-11-24", "2026-11-23T22:00:00Z"),
            ("08:30", "2026-11-25T06:30:00Z"),
            ("08:30 UTC", "2026-11-25T08:30:00Z"),
            ("-1000000 weeks", "1970-01-01T00:00:00Z"),
        ] {
            check(text, expected);
        }
    }

    /// In the manner of a fuzzer: times mutated by a fixed generator, so that a failure repeats.
    #[test]
    fn any_text_is_a_time_or_none() {
        const SEEDS: [&str; 6] = [
            "Tue 2026-11-24 08:30:15.5 UTC",
            "-1h 30min 5s",
            "@1795623476.5",
            "2026-11-24T08:30:00Z",
            "10 weeks ago",
            "08:30 Europe/Berlin",
        ];
        let now = "2026-11-25T16:10:00Z".parse::<Timestamp>().unwrap();
        let now = now.to_zoned_datetime(TimeZone::UTC);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 16 & 0xffff_ffff).unwrap() % limit
        };
        let mut read = 0;
        for round in 0..20_000 {
            let mut text: Vec<char> = SEEDS[round % SEEDS.len()].chars().collect();
            for _ in 0..next(4) {
                let at = next(text.len());
                match next(3) {
                    0 => text[at] = ['9', '-', ':', ' ', 'T', '@', 'µ', '+', '.', 'y'][next(10)],
                    1 => drop(text.remove(at)),
                    _ => text.insert(at, ['9', '0', ' ', '/', 'Z'][next(5)]),
                }
            }
            let text: String = text.into_iter().collect();
            read += usize::from(moment_at(&text, &now).is_ok());
        }
        assert!(
            read > 5000,
            "only {read} were times: the test proves little"
        );
    }

    #[test]
    fn what_is_no_time_says_so() {
        for text in [
            "",
            "soon",
            "-",
            "-1 parsec",
            "25:00",
            "2026-13-01",
            "2026-11-24 8",
            "x 08:30",
            "@x",
            "1 2 3 4",
        ] {
            check(text, &format!("{text:?} is no time"));
        }
        check(
            "Mon 2026-11-24",
            "\"Mon 2026-11-24\" is no time: 2026-11-24 is another day of the week",
        );
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        assert_eq!(
            [span(0), span(1500), span(61_000_000), span(90_000_000_000)],
            ["0 s", "1 ms", "1 min 1 s", "1 d 1 h"]
        );
    }
}
