//! The normal form of an expression: every part, numbers of one width, lists in order.

use std::fmt::{Display, Formatter, Result};

use super::{ALL_DAYS, Calendar, CalendarZone, EVERY_SECOND, Range, SECOND_US};

/// As the normal form has them, Monday first.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl Display for Calendar {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.weekdays != ALL_DAYS {
            weekdays(f, self.weekdays)?;
        }
        list(f, &self.year, 4)?;
        f.write_str("-")?;
        list(f, &self.month, 2)?;
        f.write_str(if self.is_from_end { "~" } else { "-" })?;
        list(f, &self.day, 2)?;
        f.write_str(" ")?;
        list(f, &self.hour, 2)?;
        f.write_str(":")?;
        list(f, &self.minute, 2)?;
        f.write_str(":")?;
        seconds(f, &self.second)?;
        match &self.zone {
            CalendarZone::Local => Ok(()),
            CalendarZone::Utc => f.write_str(" UTC"),
            CalendarZone::Named(name) => write!(f, " {name}"),
        }
    }
}

/// Three days or more in a row are a range.
fn weekdays(f: &mut Formatter<'_>, bits: u8) -> Result {
    let is_set = |day: usize| day < DAYS.len() && bits & (1 << day) != 0;
    let mut comma = "";
    for (day, name) in DAYS.iter().enumerate() {
        let (starts, goes_on) = (day == 0 || !is_set(day - 1), is_set(day + 1));
        if !is_set(day) || (!starts && goes_on) {
            continue;
        }
        let is_range = !starts && day >= 2 && is_set(day - 2);
        write!(f, "{}{name}", if is_range { ".." } else { comma })?;
        comma = ",";
    }
    f.write_str(" ")
}

fn list(f: &mut Formatter<'_>, ranges: &[Range], width: usize) -> Result {
    if ranges.is_empty() {
        return f.write_str("*");
    }
    let mut comma = "";
    for Range { first, last, step } in ranges {
        write!(f, "{comma}{first:0width$}")?;
        if let Some(last) = last {
            write!(f, "..{last:0width$}")?;
        }
        if *step > 0 && (last.is_none() || *step != 1) {
            write!(f, "/{step}")?;
        }
        comma = ",";
    }
    Ok(())
}

fn seconds(f: &mut Formatter<'_>, ranges: &[Range]) -> Result {
    if ranges == [EVERY_SECOND] {
        return f.write_str("*");
    }
    let mut comma = "";
    for Range { first, last, step } in ranges {
        f.write_str(comma)?;
        fraction(f, *first, 2)?;
        if let Some(last) = last {
            f.write_str("..")?;
            fraction(f, *last, 2)?;
        }
        if *step > 0 && (last.is_none() || *step != SECOND_US) {
            f.write_str("/")?;
            fraction(f, *step, 1)?;
        }
        comma = ",";
    }
    Ok(())
}

fn fraction(f: &mut Formatter<'_>, micros: u32, width: usize) -> Result {
    write!(f, "{:0width$}", micros / SECOND_US)?;
    match micros % SECOND_US {
        0 => Ok(()),
        rest => write!(f, ".{rest:06}"),
    }
}
