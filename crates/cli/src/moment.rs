//! Points in time as systemd.time(7) writes them.

use anyhow::Result;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use model::value::TimeSpan;

use crate::failure::{WithHint, hint};
use crate::zones;

/// What a bare number counts in a span: seconds, in microseconds.
pub(crate) const SECOND_US: u64 = 1_000_000;

/// The last second whose year has four digits in every zone (9999-12-30 23:59:59 UTC): systemd prints none behind it.
const LAST_US: u64 = 253_402_214_399 * SECOND_US;

const HINT: &str = "times are `2026-11-24 08:00:00`, `2026-11-24`, `08:00`, `-1h 30min`, `10 min ago`, `@1795623476`, `today`, `yesterday` or `now`";

/// A point in time, in microseconds since 1970.
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
    let text = text.trim_start();
    let now_us = u64::try_from(now.timestamp().as_microsecond()).unwrap_or(0);
    let shifted = relative(text).or_hint(|| unreadable(text), HINT)?;
    let moment = match shifted {
        _ if text == "now" => now_us,
        Some(Shift::Since1970(span)) => span,
        Some(Shift::Back(span)) => now_us.saturating_sub(span),
        Some(Shift::Ahead(span)) => now_us.saturating_add(span),
        None => {
            let time = absolute(text, now)?.timestamp().as_microsecond();
            let since_1970 = u64::try_from(time).ok();
            since_1970.ok_or_else(|| hint(format!("{text:?} is before 1970"), HINT))?
        }
    };
    if moment > LAST_US {
        return Err(hint(format!("{text:?} is after the year 9999"), HINT));
    }
    Ok(moment)
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
    let span = |text: &str| {
        let span = TimeSpan::parse_in(text, SECOND_US)?;
        match span.is_infinite() {
            true => Err(model::ParseError::not_a(text, "a span that ends")),
            false => Ok(span.micros()),
        }
    };
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

/// `[WEEKDAY] [DATE] [TIME] [ZONE]`, with a date, a time or both; a `T` may part them, and `Z` or `+01:00` follow at once.
fn absolute(text: &str, now: &ZonedDateTime) -> Result<ZonedDateTime> {
    let (rest, zone) = split_zone(text, now.time_zone());
    let today = now.timestamp().to_zoned_datetime(zone.clone()).date();
    let day = |days: i64| -> Result<ZonedDateTime> {
        Ok(today
            .checked_add(days.days())?
            .to_zoned_datetime(zone.clone())?)
    };
    match rest {
        "today" => return day(0),
        "yesterday" => return day(-1),
        "tomorrow" => return day(1),
        _ => {}
    }
    let (weekday, rest) = split_weekday(rest);
    let (date, time) = date_and_time(rest).ok_or_else(|| hint(unreadable(text), HINT))?;
    let (time, micros) = time.unwrap_or((Time::midnight(), 0));
    let date = date.unwrap_or(today);
    if weekday.is_some_and(|weekday| weekday != date.weekday()) {
        return Err(hint(
            format!("{text:?} is no time: {date} is another day of the week"),
            HINT,
        ));
    }
    let whole = date.to_datetime(time).to_zoned_datetime(zone)?;
    Ok(whole.checked_add(micros.microseconds())?)
}

/// A date, a time of day, or both; none where the text is neither.
fn date_and_time(text: &str) -> Option<(Option<Date>, Option<Clock>)> {
    let is_long = |(date, _): &(&str, &str)| date.find('-') == Some(4);
    let both = text.split_once('T').filter(is_long);
    let Some((first, second)) = both.or_else(|| text.split_once(' ')) else {
        let (date, time) = (date(text), time_of_day(text));
        return (date.is_some() || time.is_some()).then_some((date, time));
    };
    Some((Some(date(first)?), Some(time_of_day(second.trim_start())?)))
}

/// `YEAR-MONTH-DAY`; a year of two digits is of this century up to 68, as strptime(3) has it.
fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = parts.next()?;
    let number = digits(year, 4)?;
    let year = match (year.len(), number) {
        (4, year) => year,
        (1 | 2, 0..69) => number + 2000,
        (1 | 2, _) => number + 1900,
        _ => return None,
    };
    let (month, day) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let is_whole = parts.next().is_none();
    Date::new(year, month, day).ok().filter(|_| is_whole)
}

/// A whole second of a day, and microseconds after it: a million where they were rounded up.
type Clock = (Time, i64);

/// `HOUR:MINUTE`, `HOUR:MINUTE:SECOND` and fractions of that, rounded to microseconds.
fn time_of_day(text: &str) -> Option<Clock> {
    let mut parts = text.split(':');
    let small = |text: &str| i8::try_from(digits(text, 2)?).ok();
    let (hour, minute) = (small(parts.next()?)?, small(parts.next()?)?);
    let (second, micros) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (small(seconds)?, 0),
            Some((whole, fraction)) => (small(whole)?, micros(fraction)?),
        },
    };
    let is_whole = parts.next().is_none();
    let time = Time::new(hour, minute, second, 0).ok()?;
    is_whole.then_some((time, micros))
}

fn micros(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digit = |at: usize| {
        fraction
            .as_bytes()
            .get(at)
            .map_or(0, |byte| i64::from(byte - b'0'))
    };
    let whole = (0..6).fold(0, |micros, at| micros * 10 + digit(at));
    Some(whole + i64::from(digit(6) >= 5))
}

fn digits(text: &str, most: usize) -> Option<i16> {
    let is_number =
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// By its three first letters or all of them, in any case.
fn split_weekday(text: &str) -> (Option<Weekday>, &str) {
    const DAYS: &[(&str, Weekday)] = &[
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let Some((word, rest)) = text.split_once(' ') else {
        return (None, text);
    };
    let word = word.to_ascii_lowercase();
    let found = DAYS
        .iter()
        .find(|(name, _)| word == *name || (word.len() == 3 && name.starts_with(&word)));
    match found {
        Some((_, day)) => (Some(*day), rest.trim_start()),
        None => (None, text),
    }
}

/// Takes the zone off the end, where there is one: else it is the host's.
fn split_zone<'a>(text: &'a str, local: &TimeZone) -> (&'a str, TimeZone) {
    if let Some((rest, word)) = text.rsplit_once(' ') {
        let zone = match word {
            "Z" => Some(TimeZone::UTC),
            _ => offset(word).or_else(|| zones::named(word, local, |own, name| own == name)),
        };
        if let Some(zone) = zone {
            return (rest, zone);
        }
    }
    if let Some(rest) = text.strip_suffix('Z') {
        return (rest, TimeZone::UTC);
    }
    let welded = text.len().checked_sub("+00:00".len());
    let welded = welded.and_then(|at| text.split_at_checked(at));
    match welded.and_then(|(rest, zone)| Some((rest, offset(zone)?))) {
        Some((rest, zone)) => (rest, zone),
        None => (text, local.clone()),
    }
}

/// `+05`, `+0530` and `+05:30`.
fn offset(word: &str) -> Option<TimeZone> {
    let sign = match word.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let word = word.get(1..)?;
    let (hours, minutes) = match word.len() {
        2 => (word, "00"),
        4 => word.split_at_checked(2)?,
        5 => word.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let is_offset = minutes < 60 && hours * 60 + minutes <= 24 * 60;
    let seconds = i32::from(hours) * 3_600 + i32::from(minutes) * 60;
    let offset = Offset::from_seconds(sign * seconds).ok()?;
    is_offset.then(|| TimeZone::fixed(offset))
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
}
