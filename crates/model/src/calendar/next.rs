//! When an expression comes true next: first by the numbers that a clock shows, then at a moment when it does show them.

use super::{ALL_DAYS, Calendar, Range, SECOND_US, YEARS};

/// How far clocks are from UTC, as a zone's rules have it.
pub trait Zone {
    /// Seconds that clocks are ahead of UTC at a moment that is in seconds since 1970.
    fn offset_at(&self, unix_s: i64) -> i64;
}

/// The zone without summer time.
#[derive(Debug, Clone, Copy)]
pub struct Utc;

impl Zone for Utc {
    fn offset_at(&self, _: i64) -> i64 {
        0
    }
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) year: u32,
    pub(super) month: u32,
    pub(super) day: u32,
}

/// A time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) hour: u32,
    pub(super) minute: u32,
    /// Microseconds of the minute.
    pub(super) second_us: u32,
}

const MIDNIGHT: Time = Time {
    hour: 0,
    minute: 0,
    second_us: 0,
};

impl Calendar {
    /// The first moment after `after_us`, both in microseconds since 1970, at which the zone's clocks show what the expression names.
    ///
    /// A time that clocks skip does not come on that day; one that they show twice comes the first time.
    #[must_use]
    pub fn next_elapse(&self, after_us: u64, zone: &dyn Zone) -> Option<u64> {
        let from_us = i64::try_from(after_us).ok()?.checked_add(1)?;
        let unix_s = from_us.div_euclid(SECOND_US.into());
        let fraction_us = part(from_us.rem_euclid(SECOND_US.into()));
        let (mut day, mut time) = day_and_time(unix_s + zone.offset_at(unix_s), fraction_us);
        loop {
            (day, time) = self.first_from(day, time)?;
            let shown = Shown::new(day, time);
            match shown.moment(from_us, zone) {
                Ok(moment) => return u64::try_from(moment).ok(),
                Err(later) => (day, time) = day_and_time(later, 0),
            }
        }
    }

    /// Whether a fixed date has a day of the week that the expression does not name, so that it never comes true.
    #[must_use]
    pub fn contradicts_itself(&self) -> bool {
        let ([year], [month], [day]) = (&*self.year, &*self.month, &*self.day) else {
            return false;
        };
        let is_fixed = [year, month, day].iter().all(|range| range.step == 0);
        let first = Day {
            year: year.first,
            month: month.first,
            day: 1,
        };
        let day = if self.is_from_end {
            first.month_length().saturating_sub(day.first - 1)
        } else {
            day.first
        };
        is_fixed && !self.has_weekday(Day { day, ..first })
    }

    /// The first day and time of those that the expression names, not before these.
    fn first_from(&self, mut day: Day, mut time: Time) -> Option<(Day, Time)> {
        loop {
            let found = self.first_day(day)?;
            if found != day {
                time = MIDNIGHT;
            }
            match self.first_time(time) {
                Some(time) => return Some((found, time)),
                None => (day, time) = (found.next(), MIDNIGHT),
            }
        }
    }

    fn first_day(&self, mut day: Day) -> Option<Day> {
        loop {
            let year = first_in(&self.year, day.year).filter(|year| *year <= YEARS.1)?;
            if year != day.year {
                day = Day {
                    year,
                    month: 1,
                    day: 1,
                };
            }
            let month = first_in(&self.month, day.month).filter(|month| *month <= 12);
            let Some(month) = month else {
                day = Day {
                    year: year + 1,
                    month: 1,
                    day: 1,
                };
                continue;
            };
            if month != day.month {
                day = Day {
                    month,
                    day: 1,
                    ..day
                };
            }
            match self.first_of_month(day) {
                Some(found) => return Some(found),
                None => day = day.next_month(),
            }
        }
    }

    /// The first day of this month that the expression names, not before the given one.
    fn first_of_month(&self, from: Day) -> Option<Day> {
        let length = from.month_length();
        let counted: Vec<Range> = match self.is_from_end {
            true => self
                .day
                .iter()
                .map(|range| range.counted_forward(length))
                .collect(),
            false => self.day.clone(),
        };
        let mut wanted = from.day;
        loop {
            let day = first_in(&counted, wanted).filter(|day| *day <= length)?;
            let found = Day { day, ..from };
            if self.has_weekday(found) {
                return Some(found);
            }
            wanted = day + 1;
        }
    }

    fn has_weekday(&self, day: Day) -> bool {
        self.weekdays == ALL_DAYS || self.weekdays & (1 << day.weekday()) != 0
    }

    fn first_time(&self, mut from: Time) -> Option<Time> {
        loop {
            let hour = first_in(&self.hour, from.hour).filter(|hour| *hour < 24)?;
            if hour != from.hour {
                from = Time { hour, ..MIDNIGHT };
            }
            match self.first_of_hour(from) {
                Some(time) => return Some(time),
                None => {
                    from = Time {
                        hour: hour + 1,
                        ..MIDNIGHT
                    };
                }
            }
        }
    }

    fn first_of_hour(&self, from: Time) -> Option<Time> {
        let second_in =
            |second: u32| first_in(&self.second, second).filter(|second| *second < 60 * SECOND_US);
        let of = |minute: u32, second_us: u32| Time {
            minute,
            second_us,
            ..from
        };
        let minute_in = |minute: u32| first_in(&self.minute, minute).filter(|minute| *minute < 60);
        let minute = minute_in(from.minute)?;
        let second = if minute == from.minute {
            from.second_us
        } else {
            0
        };
        if let Some(second) = second_in(second) {
            return Some(of(minute, second));
        }
        Some(of(minute_in(minute + 1)?, second_in(0)?))
    }
}

impl Range {
    /// The same days, counted from the month's beginning.
    fn counted_forward(self, length: u32) -> Range {
        let day = |from_end: u32| (length + 1).saturating_sub(from_end);
        match self.last {
            Some(last) => Range {
                first: day(last),
                last: Some(day(self.first)),
                ..self
            },
            None => Range {
                first: day(self.first),
                ..self
            },
        }
    }

    fn first_from(self, least: u32) -> Option<u32> {
        if least <= self.first {
            return Some(self.first);
        }
        let steps = (least - self.first).checked_next_multiple_of(self.step)?;
        let found = self.first + steps;
        self.last.is_none_or(|last| found <= last).then_some(found)
    }
}

/// The smallest value of a list that is not below `least`; a list without items has all.
fn first_in(list: &[Range], least: u32) -> Option<u32> {
    if list.is_empty() {
        return Some(least);
    }
    list.iter()
        .filter_map(|range| range.first_from(least))
        .min()
}

/// What a clock shows, as seconds since it showed the beginning of 1970, and what is left of the second.
#[derive(Debug, Clone, Copy)]
struct Shown {
    seconds: i64,
    fraction_us: i64,
}

impl Shown {
    fn new(day: Day, time: Time) -> Shown {
        let second = i64::from(time.second_us / SECOND_US);
        Shown {
            seconds: day.number() * DAY
                + i64::from(time.hour) * HOUR
                + i64::from(time.minute) * MINUTE
                + second,
            fraction_us: i64::from(time.second_us % SECOND_US),
        }
    }

    /// The first moment not before `from_us` at which the zone's clocks show this; else what they show where the search goes on.
    fn moment(self, from_us: i64, zone: &dyn Zone) -> Result<i64, i64> {
        // No zone is a day from UTC, nor does it change twice in two days.
        let offsets = [self.seconds - DAY, self.seconds + DAY].map(|moment| zone.offset_at(moment));
        let [early, late] = offsets;
        let mut moments =
            [early.max(late), early.min(late)].map(|offset| (self.seconds - offset, offset));
        moments.sort_unstable();
        let is_shown = |(moment, offset): &(i64, i64)| zone.offset_at(*moment) == *offset;
        let in_us = |moment: i64| moment * i64::from(SECOND_US) + self.fraction_us;
        let found = moments
            .iter()
            .filter(|moment| is_shown(moment))
            .map(|(moment, _)| in_us(*moment))
            .find(|moment| *moment >= from_us);
        found.ok_or_else(|| self.behind_gap(moments.map(|(moment, _)| moment), zone))
    }

    /// What clocks show first when they have skipped this, which they do between the two moments.
    fn behind_gap(self, [mut before, mut behind]: [i64; 2], zone: &dyn Zone) -> i64 {
        let old = zone.offset_at(before);
        while behind - before > 1 {
            let middle = before + (behind - before) / 2;
            match zone.offset_at(middle) == old {
                true => before = middle,
                false => behind = middle,
            }
        }
        // Whatever a zone says, the search goes on and comes to its end.
        (behind + zone.offset_at(behind)).max(self.seconds + 1)
    }
}

/// What a clock shows so many seconds after it showed the beginning of 1970, and microseconds after that.
pub(super) fn day_and_time(seconds: i64, fraction_us: u32) -> (Day, Time) {
    let of_day = seconds.rem_euclid(DAY);
    let time = Time {
        hour: part(of_day / HOUR),
        minute: part(of_day % HOUR / MINUTE),
        second_us: part(of_day % MINUTE) * SECOND_US + fraction_us,
    };
    (Day::numbered(seconds.div_euclid(DAY)), time)
}

/// A number that fits: parts of a day, or years since the first.
fn part(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Days of four hundred years, after which the calendar is the same.
const ERA_DAYS: i64 = 146_097;

/// Days from the first of March of the year 0 to the beginning of 1970.
const EPOCH_DAYS: i64 = 719_468;

impl Day {
    /// Days since 1970 began. Years are counted from March, so that the day that may be missing is the last.
    fn number(self) -> i64 {
        let (month, year) = (i64::from(self.month), i64::from(self.year));
        let (year, month) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        year * 365 + leaps + of_year - EPOCH_DAYS
    }

    /// The day that has this number. It is at most an era from 1970, where no expression names a year any more.
    fn numbered(number: i64) -> Day {
        let days = number.clamp(-ERA_DAYS, ERA_DAYS) + EPOCH_DAYS;
        let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
        let year_of_era =
            (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (ERA_DAYS - 1)) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let year = era * 400 + year_of_era + i64::from(month >= 10);
        Day {
            year: part(year),
            month: part(if month < 10 { month + 3 } else { month - 9 }),
            day: part(of_year - (153 * month + 2) / 5 + 1),
        }
    }

    /// 0 is Monday: the first day of 1970 was a Thursday.
    fn weekday(self) -> i64 {
        (self.number() + 3).rem_euclid(7)
    }

    fn month_length(self) -> u32 {
        let first = Day { day: 1, ..self };
        part(first.next_month().number() - first.number())
    }

    fn next(self) -> Day {
        if self.day < self.month_length() {
            return Day {
                day: self.day + 1,
                ..self
            };
        }
        self.next_month()
    }

    fn next_month(self) -> Day {
        match self.month {
            12.. => Day {
                year: self.year + 1,
                month: 1,
                day: 1,
            },
            month => Day {
                month: month + 1,
                day: 1,
                ..self
            },
        }
    }
}
