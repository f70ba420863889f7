//! `ConditionMemoryPressure=` and its kin: what the kernel says of stalls (PSI).

use super::Host;
use model::TextForm;
use model::text::Verbatim;
use model::value::Percent;
use std::path::{Path, PathBuf};

pub(super) fn memory(text: &str, host: &mut Host) -> Option<bool> {
    is_below(text, "memory", host)
}

pub(super) fn cpu(text: &str, host: &mut Host) -> Option<bool> {
    is_below(text, "cpu", host)
}

pub(super) fn io(text: &str, host: &mut Host) -> Option<bool> {
    is_below(text, "io", host)
}

/// `[SLICE:]SHARE[/SPAN]`. A kernel or a group that says nothing of it is under no pressure.
fn is_below(text: &str, resource: &str, host: &mut Host) -> Option<bool> {
    let system = format!("/proc/pressure/{resource}");
    let Some(of_system) = super::text(&system) else {
        return Some(true);
    };
    let (slice, bound) = match text.split_once(':') {
        Some((slice, bound)) => (Some(slice.trim()), bound),
        None => (None, text),
    };
    let (share, span) = bound.split_once('/').unwrap_or((bound, "5min"));
    let average = match span.trim() {
        span if span.starts_with("10sec") => "avg10=",
        span if span.starts_with("1min") => "avg60=",
        span if span.starts_with("5min") => "avg300=",
        _ => return None,
    };
    let bound = Percent::parse_with(share.trim(), &Verbatim).ok()?.permyriad;
    if bound > 10_000 {
        return None;
    }
    let table = match slice {
        None => of_system,
        Some(_) if !host.facts.cgroup.has(resource) => return Some(true),
        Some(slice) => match group(slice, host)?
            .join(format!("{resource}.pressure"))
            .to_str()
            .and_then(super::text)
        {
            Some(table) => table,
            None => return Some(true),
        },
    };
    // The processors of the whole machine are never all stalled at once.
    let kind = if slice.is_none() && resource == "cpu" {
        "some"
    } else {
        "full"
    };
    let found = value(&table, kind, average).or_else(|| value(&table, "some", average))?;
    host.found.push_str(found);
    host.found.push('%');
    Some(hundredths(found)? <= bound)
}

/// The number behind `avg10=` or the like in the line of one kind.
fn value<'a>(table: &'a str, kind: &str, average: &str) -> Option<&'a str> {
    let line = table.lines().find_map(|line| line.strip_prefix(kind))?;
    line.split(' ').find_map(|word| word.strip_prefix(average))
}

/// Hundredths from a number with two digits behind the point.
pub(super) fn hundredths(number: &str) -> Option<u32> {
    let (whole, part) = number.split_once('.')?;
    let part = part.get(..2)?.parse::<u32>().ok()?;
    whole
        .parse::<u32>()
        .ok()?
        .checked_mul(100)?
        .checked_add(part)
}

/// The control group of a slice: this instance's where it has one, else the host's.
fn group(slice: &str, host: &Host) -> Option<PathBuf> {
    let path = slice_path(slice)?;
    let mount = Path::new(&host.facts.cgroup.mount);
    let own = host.cgroup.as_ref().map(|own| own.join(&path));
    let own = own.filter(|own| own.is_dir());
    Some(own.unwrap_or_else(|| mount.join(&path)))
}

/// `a-b.slice` is `a.slice/a-b.slice`; `-.slice` is the root.
pub(super) fn slice_path(slice: &str) -> Option<PathBuf> {
    let name = model::UnitName::new(slice).ok()?;
    let stem = name.as_str().strip_suffix(".slice")?;
    let mut path = PathBuf::new();
    if stem == "-" {
        return Some(path);
    }
    if stem.split('-').any(str::is_empty) {
        return None;
    }
    let ends = stem.match_indices('-').map(|(at, _)| at);
    for end in ends.chain([stem.len()]) {
        path.push(format!("{}.slice", stem.get(..end)?));
    }
    Some(path)
}
