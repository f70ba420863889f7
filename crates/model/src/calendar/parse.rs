//! Reads an expression: weekdays, a date, a time of day and a zone, each of which may be left out.

use super::next::day_and_time;
use super::{ALL_DAYS, Calendar, CalendarZone, EVERY_SECOND, Range, SECOND_US, YEARS};
use crate::text::ParseError;

type Read<T> = Result<T, ParseError>;

/// Most items of one list: no unit of time but fractions of seconds has as many values.
const ITEMS_MAX: usize = 240;

/// Words that stand for an expression.
const SHORTHANDS: &[(&str, &str)] = &[
    ("minutely", "*:*"),
    ("hourly", "*:0"),
    ("daily", "*-*-*"),
    ("weekly", "Mon"),
    ("monthly", "*-*-1"),
    ("quarterly", "*-1,4,7,10-1"),
    ("semiannually", "*-1,7-1"),
    ("semi-annually", "*-1,7-1"),
    ("biannually", "*-1,7-1"),
    ("bi-annually", "*-1,7-1"),
    ("yearly", "*-1-1"),
    ("annually", "*-1-1"),
    ("anually", "*-1-1"),
];

/// Whole names, Monday first; three letters are enough.
const DAYS: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

pub(super) fn parse(text: &str) -> Read<Calendar> {
    read(text).map_err(|reason| {
        let wrong = ParseError::not_a(text, "a calendar expression");
        ParseError::new(format!("{wrong}: {reason}"))
    })
}

fn read(text: &str) -> Read<Calendar> {
    let (text, zone) = split_zone(text);
    if text.is_empty() {
        return wrong("nothing says when");
    }
    let shorthand = SHORTHANDS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    let mut calendar = expression(shorthand.map_or(text, |(_, spelled)| spelled))?;
    // Seconds since 1970 have said their zone.
    if calendar.zone == CalendarZone::Local {
        calendar.zone = zone;
    }
    normalize(&mut calendar);
    check(&calendar)?;
    Ok(calendar)
}

fn wrong<T>(reason: impl Into<std::borrow::Cow<'static, str>>) -> Read<T> {
    Err(ParseError::new(reason))
}

/// A last word that can be no time is a zone, unless nothing is before it.
fn split_zone(text: &str) -> (&str, CalendarZone) {
    let is_zone = |word: &str| {
        let mut bytes = word.bytes();
        let begins = bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || b"+-".contains(&byte));
        begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-_/".contains(&byte))
    };
    match text.rsplit_once(' ').filter(|(rest, _)| !rest.is_empty()) {
        Some((rest, word)) if word.eq_ignore_ascii_case("UTC") => (rest, CalendarZone::Utc),
        Some((rest, word)) if is_zone(word) => (rest, CalendarZone::Named(word.to_owned())),
        _ => (text, CalendarZone::Local),
    }
}

fn expression(text: &str) -> Read<Calendar> {
    let mut rest = Rest(text);
    let weekdays = rest.weekdays()?;
    if rest.eat("@") {
        let seconds = rest.number()?;
        return match rest.0 {
            "" => Ok(Calendar {
                weekdays,
                ..moment(seconds)
            }),
            more => wrong(format!("\"{more}\" is too much after seconds since 1970")),
        };
    }
    let mut calendar = Calendar {
        weekdays,
        year: Vec::new(),
        month: Vec::new(),
        day: Vec::new(),
        is_from_end: false,
        hour: vec![Range::one(0)],
        minute: vec![Range::one(0)],
        second: vec![Range::one(0)],
        zone: CalendarZone::Local,
    };
    let date = rest;
    if !rest.date(&mut calendar)? {
        rest = date;
    }
    rest.time(&mut calendar)?;
    Ok(calendar)
}

/// The one moment that is so many seconds after 1970 began.
fn moment(seconds: u64) -> Calendar {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let (day, time) = day_and_time(seconds, 0);
    let one = |value: u32| vec![Range::one(value)];
    Calendar {
        weekdays: ALL_DAYS,
        year: one(day.year),
        month: one(day.month),
        day: one(day.day),
        is_from_end: false,
        hour: one(time.hour),
        minute: one(time.minute),
        second: one(time.second_us),
        zone: CalendarZone::Utc,
    }
}

impl Range {
    const fn one(value: u32) -> Range {
        Range {
            first: value,
            last: None,
            step: 0,
        }
    }
}

/// What is still to be read.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

/// How numbers of a unit are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    Whole,
    Seconds,
}

impl Rest<'_> {
    fn eat(&mut self, word: &str) -> bool {
        let after = self.0.strip_prefix(word);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }

    fn eat_spaces(&mut self) {
        self.0 = self.0.trim_start_matches(' ');
    }

    fn is_at(&self, ends: &[char]) -> bool {
        self.0.is_empty() || self.0.starts_with(ends)
    }

    /// `Mon,Wed..Fri ` with the spaces after it; all days where none is named. A comma may be the last.
    fn weekdays(&mut self) -> Read<u8> {
        let mut days = 0;
        while !self.is_at(&[' ']) || days == 0 {
            let Some(first) = self.weekday() else {
                return match days {
                    0 => Ok(ALL_DAYS),
                    _ => wrong(format!("\"{}\" is no day of the week", self.0)),
                };
            };
            let last = if self.eat("..") || self.eat("-") {
                self.weekday()
            } else {
                Some(first)
            };
            let Some(last) = last.filter(|last| first <= *last) else {
                return wrong(
                    "a range of weekdays ends on a later day of the week that begins on Monday",
                );
            };
            days |= (first..=last).fold(0, |days, day| days | 1 << day);
            if !self.eat(",") && !self.is_at(&[' ']) {
                return wrong(format!("\"{}\" follows a day of the week", self.0));
            }
        }
        self.eat_spaces();
        Ok(days)
    }

    fn weekday(&mut self) -> Option<usize> {
        let begins = |name: &str| {
            let head = self.0.get(..name.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(name))
        };
        let (day, length) = DAYS.iter().enumerate().find_map(|(day, name)| {
            let short = name.get(..3).unwrap_or(name);
            let found = [name, short].into_iter().find(|name| begins(name))?;
            Some((day, found.len()))
        })?;
        self.0 = self.0.get(length..).unwrap_or_default();
        Some(day)
    }

    /// `YEAR-MONTH-DAY` or `MONTH-DAY`, where `~` before the day counts from the month's end. False where this is a time of day.
    fn date(&mut self, calendar: &mut Calendar) -> Read<bool> {
        if self.0.is_empty() {
            return Ok(false);
        }
        let first = self.list(Count::Whole)?;
        if self.is_at(&[':']) {
            return Ok(false);
        }
        calendar.is_from_end = self.dash()?;
        let second = self.list(Count::Whole)?;
        if self.is_at(&[' ']) {
            (calendar.month, calendar.day) = (first, second);
        } else if calendar.is_from_end {
            return wrong("\"~\" stands before the day");
        } else {
            calendar.is_from_end = self.dash()?;
            (calendar.year, calendar.month) = (first, second);
            calendar.day = self.list(Count::Whole)?;
            if !self.is_at(&[' ']) {
                return wrong(format!("\"{}\" follows the day", self.0));
            }
        }
        self.eat_spaces();
        Ok(true)
    }

    /// Whether the parts of a date are parted by `~`.
    fn dash(&mut self) -> Read<bool> {
        if self.eat("~") {
            return Ok(true);
        }
        match self.eat("-") {
            true => Ok(false),
            false => wrong("a date is YEAR-MONTH-DAY or MONTH-DAY, and a time HOUR:MINUTE"),
        }
    }

    /// `HOUR:MINUTE` with or without `:SECOND`; midnight where nothing is left.
    fn time(&mut self, calendar: &mut Calendar) -> Read<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        calendar.hour = self.list(Count::Whole)?;
        if !self.eat(":") {
            return wrong("a time of day is HOUR:MINUTE or HOUR:MINUTE:SECOND");
        }
        calendar.minute = self.list(Count::Whole)?;
        if self.eat(":") {
            calendar.second = self.list(Count::Seconds)?;
        }
        match self.0 {
            "" => Ok(()),
            more => wrong(format!("\"{more}\" is too much at the end")),
        }
    }

    fn list(&mut self, count: Count) -> Read<Vec<Range>> {
        if self.eat("*") {
            return Ok(match count {
                Count::Whole => Vec::new(),
                Count::Seconds => vec![EVERY_SECOND],
            });
        }
        let mut list = Vec::new();
        loop {
            list.push(self.range(count)?);
            if !self.is_at(&[' ', ',', '-', '~', ':']) {
                return wrong(format!("\"{}\" follows a number", self.0));
            }
            if !self.eat(",") {
                return Ok(list);
            }
            if list.len() == ITEMS_MAX {
                return wrong(format!("a list has more than {ITEMS_MAX} items"));
            }
        }
    }

    /// `FIRST`, `FIRST..LAST`, `FIRST/STEP` or `FIRST..LAST/STEP`.
    fn range(&mut self, count: Count) -> Read<Range> {
        let mut range = Range::one(self.value(count)?);
        if self.eat("..") {
            range.last = Some(self.value(count)?);
            range.step = match count {
                Count::Whole => 1,
                Count::Seconds => SECOND_US,
            };
        }
        if self.eat("/") {
            range.step = self.value(count)?;
            if range.step == 0 {
                return wrong("a step of 0 leads nowhere");
            }
        } else if count == Count::Seconds
            && range
                .last
                .is_some_and(|last| range.first + range.step > last)
        {
            return wrong("a range of seconds is shorter than a second");
        }
        Ok(range)
    }

    fn value(&mut self, count: Count) -> Read<u32> {
        let whole = self.number()?;
        let value = match count {
            Count::Whole => whole,
            Count::Seconds => {
                let fraction = match self.0.starts_with("..") {
                    false if self.eat(".") => self.fraction()?,
                    _ => 0,
                };
                let micros = whole.saturating_mul(SECOND_US.into());
                micros.saturating_add(fraction)
            }
        };
        // Larger ones than a minute's parts are in no unit.
        match u32::try_from(value)
            .ok()
            .filter(|value| *value < 100 * SECOND_US)
        {
            Some(value) => Ok(value),
            None => wrong(format!("{whole} is too large")),
        }
    }

    fn number(&mut self) -> Read<u64> {
        let end = self.0.find(|c: char| !c.is_ascii_digit());
        let (digits, after) = self.0.split_at(end.unwrap_or(self.0.len()));
        if digits.is_empty() {
            return wrong(match self.0 {
                "" => "a number is missing at the end".to_owned(),
                other => format!("\"{other}\" stands where a number should"),
            });
        }
        self.0 = after;
        digits
            .parse()
            .or_else(|_| wrong(format!("{digits} is too large")))
    }

    /// What follows the point, in microseconds, rounded at the seventh digit.
    fn fraction(&mut self) -> Read<u64> {
        let end = self.0.find(|c: char| !c.is_ascii_digit());
        let (digits, after) = self.0.split_at(end.unwrap_or(self.0.len()));
        if digits.is_empty() {
            return wrong("no digit follows the point");
        }
        self.0 = after;
        let digit = |at: usize| digits.as_bytes().get(at).map_or(0, |byte| byte - b'0');
        let micros = (0..6).fold(0, |micros, at| micros * 10 + u64::from(digit(at)));
        Ok(micros + u64::from(digit(6) >= 5))
    }
}

/// Years of two digits are of this century or the last; ranges end at a step; lists are in order and have nothing twice.
fn normalize(calendar: &mut Calendar) {
    for range in &mut calendar.year {
        range.first = whole_year(range.first);
        range.last = range.last.map(whole_year);
    }
    calendar.is_from_end &= !calendar.day.is_empty();
    for list in [
        &mut calendar.year,
        &mut calendar.month,
        &mut calendar.day,
        &mut calendar.hour,
        &mut calendar.minute,
        &mut calendar.second,
    ] {
        list.iter_mut().for_each(Range::normalize);
        crate::order::sort(list);
        list.dedup();
    }
}

fn whole_year(year: u32) -> u32 {
    match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        _ => year,
    }
}

impl Range {
    /// One that meets its first value alone is that value.
    fn normalize(&mut self) {
        let Some(last) = self.last else { return };
        let length = last.checked_sub(self.first);
        self.last = match length {
            Some(length) if length > 0 => Some(last - length % self.step),
            _ => self.last,
        };
        if length.is_some_and(|length| length == 0 || self.step > length) {
            *self = Range::one(self.first);
        }
    }
}

fn check(calendar: &Calendar) -> Read<()> {
    let days = if calendar.is_from_end { 28 } else { 31 };
    for (unit, list, (least, most)) in [
        ("year", &calendar.year, YEARS),
        ("month", &calendar.month, (1, 12)),
        ("day", &calendar.day, (1, days)),
        ("hour", &calendar.hour, (0, 23)),
        ("minute", &calendar.minute, (0, 59)),
        ("second", &calendar.second, (0, 60 * SECOND_US - 1)),
    ] {
        for range in list {
            range
                .check(least, most, calendar.is_from_end && unit == "day")
                .map_err(|reason| ParseError::new(format!("{unit}: {reason}")))?;
        }
    }
    Ok(())
}

impl Range {
    /// Each value is one of the unit's, and a step leads to another one of them.
    fn check(self, least: u32, most: u32, is_from_end: bool) -> Result<(), &'static str> {
        let Range { first, last, step } = self;
        let is_one = |value: &u32| (least..=most).contains(value);
        if !is_one(&first) || !last.as_ref().is_none_or(is_one) {
            return Err("a value is too small or too large");
        }
        let reaches = match last {
            Some(last) => first.saturating_add(step) <= last,
            None if is_from_end => first.checked_sub(step).is_some_and(|day| day >= least),
            None => first.saturating_add(step) <= most,
        };
        match reaches {
            true => Ok(()),
            false => Err("a range ends before it begins, or a step leads out of it"),
        }
    }
}
