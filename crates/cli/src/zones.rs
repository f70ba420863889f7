//! The time zones of this host: its own, those of its database, and what its clocks call themselves.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::calendar::{Calendar, CalendarZone, Zone};

/// A zone whose rules are here.
pub(crate) struct HostZone(pub(crate) TimeZone);

impl Zone for HostZone {
    fn offset_at(&self, unix_s: i64) -> i64 {
        // Moments that no date can be told of are in no year that an expression names.
        let moment = Timestamp::from_second(unix_s).unwrap_or(Timestamp::MAX);
        i64::from(self.0.to_offset(moment).seconds())
    }
}

/// The zone that an expression goes by; none if its name is unknown here.
pub(crate) fn of(calendar: &Calendar) -> Option<HostZone> {
    let zone = match calendar.zone() {
        CalendarZone::Local => Some(TimeZone::system()),
        CalendarZone::Utc => Some(TimeZone::UTC),
        CalendarZone::Named(name) => named(name, &TimeZone::system(), str::eq_ignore_ascii_case),
    };
    zone.map(HostZone)
}

/// A place of the database, written as it is there, or what the clocks of `local` call themselves in one half of the year.
/// `is_same` compares abbreviations: expressions take them in any case, points in time as they are.
pub(crate) fn named(
    name: &str,
    local: &TimeZone,
    is_same: fn(&str, &str) -> bool,
) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    let place = TimeZone::get(name).ok();
    let place = place.filter(|zone| zone.iana_name() == Some(name));
    abbreviated(name, local, is_same).or(place)
}

/// As far from UTC as clocks are now, or will be after their next change, when they show this abbreviation.
fn abbreviated(name: &str, local: &TimeZone, is_same: fn(&str, &str) -> bool) -> Option<TimeZone> {
    let now = Timestamp::now();
    let next = local.following(now).next().map(|change| change.timestamp());
    let moments = [
        Some(now),
        next.and_then(|next| next.checked_add(SignedDuration::from_secs(1)).ok()),
    ];
    moments.into_iter().flatten().find_map(|moment| {
        let info = local.to_offset_info(moment);
        is_same(info.abbreviation(), name).then(|| TimeZone::fixed(info.offset()))
    })
}
