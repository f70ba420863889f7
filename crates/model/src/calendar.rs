//! Calendar expressions of systemd.time(7): what `OnCalendar=` says, and when it comes true next.

mod next;
mod parse;
mod print;

pub use next::{Utc, Zone};

use crate::text::{Expand, Form, ParseError};
use crate::value::Item;

/// Points in time that repeat, such as `Mon..Fri *-*-* 08:00:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Bit 0 is Monday's; [`ALL_DAYS`] where none is named.
    weekdays: u8,
    /// From here on a list without items stands for any value.
    year: Vec<Range>,
    month: Vec<Range>,
    day: Vec<Range>,
    /// Whether days count from the end of the month, the last one being 1.
    is_from_end: bool,
    hour: Vec<Range>,
    minute: Vec<Range>,
    /// Microseconds of the minute; any value would be a million a second, so that `*` is every second.
    second: Vec<Range>,
    zone: CalendarZone,
}

/// Whose clocks an expression goes by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CalendarZone {
    /// The host's.
    #[default]
    Local,
    /// Those without summer time.
    Utc,
    /// A place's, as `Europe/Berlin`; or those that are as far from UTC as the host's where they show this abbreviation.
    Named(String),
}

/// A value, or those from a first to a last one in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    first: u32,
    /// Without one, steps go on as far as the unit does.
    last: Option<u32>,
    /// 0 where the first value is the only one.
    step: u32,
}

/// A week's bits.
const ALL_DAYS: u8 = 0x7f;

/// The parts of a second that are counted.
const SECOND_US: u32 = 1_000_000;

/// Years that an expression can name: behind them no time is looked for.
const YEARS: (u32, u32) = (1970, 2199);

/// What `*` is of seconds.
const EVERY_SECOND: Range = Range {
    first: 0,
    last: None,
    step: SECOND_US,
};

impl Calendar {
    /// Reads an expression. Whether there is a zone of the name that it ends with, only the host knows.
    ///
    /// # Errors
    /// A clause that names the expression and says what is wrong with it.
    pub fn parse(text: &str) -> Result<Calendar, ParseError> {
        parse::parse(text)
    }

    /// Whose clocks it goes by.
    #[must_use]
    pub fn zone(&self) -> &CalendarZone {
        &self.zone
    }
}

impl Item for Calendar {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<Calendar, ParseError> {
        let calendar = Calendar::parse(&expand.expand(text)?)?;
        match &calendar.zone {
            CalendarZone::Named(name) if !expand.is_zone(name) => {
                Err(ParseError::not_a(name, "a time zone of this host"))
            }
            _ => Ok(calendar),
        }
    }

    fn print_item(&self, _: Form) -> String {
        self.to_string()
    }
}
