//! The time zones of this host, as this process is to see them: its own may be another by TZ=.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use load::zones::{self, HostZone};
use model::calendar::Calendar;

/// The zone that an expression goes by; none if its name is unknown here.
pub(crate) fn of(calendar: &Calendar) -> Option<HostZone> {
    zones::of(calendar, (&TimeZone::system(), Timestamp::now()), place)
}

/// A place of the database, or what the clocks of `local` call themselves in one half of the year.
pub(crate) fn named(
    name: &str,
    local: &TimeZone,
    is_same: fn(&str, &str) -> bool,
) -> Option<TimeZone> {
    zones::named(name, (local, Timestamp::now()), is_same, place)
}

fn place(name: &str) -> Option<TimeZone> {
    let place = TimeZone::get(name).ok();
    place.filter(|zone| zone.iana_name() == Some(name))
}
