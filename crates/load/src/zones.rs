//! The time zones that a host has: files of its database, and what its own clocks call themselves.

use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::calendar::{Calendar, CalendarZone, Zone};

use crate::tree::{Content, Tree};

const PLACES: &str = "/usr/share/zoneinfo";
const OWN: &str = "/etc/localtime";

/// Longest file of a zone that is read, in bytes; the largest have four thousand.
const FILE_MAX_BYTES: usize = 64 << 10;

/// A zone whose rules are here.
pub struct HostZone(pub TimeZone);

impl Zone for HostZone {
    fn offset_at(&self, unix_s: i64) -> i64 {
        // Moments that no date can be told of are in no year that an expression names.
        let moment = Timestamp::from_second(unix_s).unwrap_or(Timestamp::MAX);
        i64::from(self.0.to_offset(moment).seconds())
    }
}

/// The zone that an expression goes by; none if its name is unknown. `place` finds a zone of the database.
pub fn of(
    calendar: &Calendar,
    (local, now): (&TimeZone, Timestamp),
    place: impl FnOnce(&str) -> Option<TimeZone>,
) -> Option<HostZone> {
    let zone = match calendar.zone() {
        CalendarZone::Local => Some(local.clone()),
        CalendarZone::Utc => Some(TimeZone::UTC),
        CalendarZone::Named(name) => named(name, (local, now), str::eq_ignore_ascii_case, place),
    };
    zone.map(HostZone)
}

/// A place of the database, written as it is there, or what the clocks of `local` call themselves in one half of the year.
/// `is_same` compares abbreviations: expressions take them in any case, points in time as they are.
pub fn named(
    name: &str,
    (local, now): (&TimeZone, Timestamp),
    is_same: fn(&str, &str) -> bool,
    place: impl FnOnce(&str) -> Option<TimeZone>,
) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    abbreviated(name, (local, now), is_same).or_else(|| place(name))
}

/// As far from UTC as clocks are now, or will be after their next change, when they show this abbreviation.
fn abbreviated(
    name: &str,
    (local, now): (&TimeZone, Timestamp),
    is_same: fn(&str, &str) -> bool,
) -> Option<TimeZone> {
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

/// The zone of a host's own clocks: UTC, where it says nothing else.
pub fn own(tree: &dyn Tree) -> TimeZone {
    read(tree, Path::new(OWN)).unwrap_or(TimeZone::UTC)
}

/// A zone of a host's database.
pub fn of_place(tree: &dyn Tree, name: &str) -> Option<TimeZone> {
    if !is_place_name(name) {
        return None;
    }
    read(tree, &Path::new(PLACES).join(name))
}

fn read(tree: &dyn Tree, path: &Path) -> Option<TimeZone> {
    match tree.read(path, FILE_MAX_BYTES) {
        Ok(Content::Bytes(bytes)) => TimeZone::tzif("", &bytes).ok(),
        _ => None,
    }
}

/// Whether a name that a calendar expression ends with is a zone's.
pub(crate) fn is_zone(tree: &dyn Tree, name: &str) -> bool {
    is_place(tree, name) || is_own(tree, name)
}

fn is_place(tree: &dyn Tree, name: &str) -> bool {
    // A file that is there is longer than nothing.
    is_place_name(name)
        && matches!(
            tree.read(&Path::new(PLACES).join(name), 0),
            Ok(Content::TooLarge)
        )
}

fn is_place_name(name: &str) -> bool {
    let is_name = |part: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_".contains(&byte);
        !part.is_empty() && part.bytes().all(is_letter)
    };
    name.split('/').all(is_name)
}

/// The last line of a zone's file is its rule from now on, as TZ= has it: `CET-1CEST,M3.5.0,M10.5.0/3` (RFC 9636).
fn is_own(tree: &dyn Tree, name: &str) -> bool {
    let Ok(Content::Bytes(bytes)) = tree.read(Path::new(OWN), FILE_MAX_BYTES) else {
        return false;
    };
    let rule = bytes
        .strip_suffix(b"\n")
        .and_then(|bytes| bytes.rsplit(|byte| *byte == b'\n').next())
        .and_then(|rule| std::str::from_utf8(rule).ok());
    let (winter, rest) = abbreviation(rule.unwrap_or_default());
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || "+-:".contains(c));
    let (summer, _) = abbreviation(rest);
    [winter, summer]
        .iter()
        .any(|own| !own.is_empty() && own.eq_ignore_ascii_case(name))
}

/// Letters, or anything in angle brackets, and what follows.
fn abbreviation(rule: &str) -> (&str, &str) {
    if let Some(found) = rule.strip_prefix('<').and_then(|rule| rule.split_once('>')) {
        return found;
    }
    let end = rule.find(|c: char| !c.is_ascii_alphabetic());
    rule.split_at(end.unwrap_or(rule.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryTree;

    fn check(rule: &str, name: &str, expected: bool) {
        let mut tree = MemoryTree::new();
        tree.write("/usr/share/zoneinfo/Europe/Berlin", "TZif2")
            .write("/usr/share/zoneinfo/UTC", "TZif2")
            .write("/etc/localtime", format!("TZif2...\n{rule}\n"));
        assert_eq!(is_zone(&tree, name), expected, "{name} with {rule}");
    }

    #[test]
    fn a_zone_is_a_file_of_the_database_or_what_the_clocks_are_called() {
        const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
        for name in ["Europe/Berlin", "UTC", "CET", "cest"] {
            check(BERLIN, name, true);
        }
        for name in [
            "europe/berlin",
            "Europe",
            "M",
            "",
            "/UTC",
            "../UTC",
            "Europe//Berlin",
            "EST",
            "CE",
        ] {
            check(BERLIN, name, false);
        }
        check("<-03>3", "-03", true);
        check("<-03>3", "-02", false);
        check("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "+11", true);
        check("", "CET", false);
        assert!(!is_zone(&MemoryTree::new(), "CET"));
    }
}
