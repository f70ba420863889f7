//! Mounts that have no unit in memory, in a list of units: the kernel's table has them, and a host may have thousands, so that they are
//! units only for as long as the list is written.

use crate::manager::Manager;
use model::{UnitKind, UnitName, escape, mount};
use std::borrow::Cow;
use std::path::Path;
use wire::ListUnitsRequest;
use wire::listing::UnitLine;

impl Manager {
    /// Their lines, by name: all where this is an init, whose mounts they are; beside another init those that are asked for by kind or name.
    pub(crate) fn mounts_without_units(&self, input: &ListUnitsRequest) -> Vec<UnitLine<'static>> {
        let is_asked = !input.names.is_empty() || input.kinds.iter().any(|kind| kind == "mount");
        if !self.keeper.init && !is_asked {
            return Vec::new();
        }
        let places = self.mounted_places().into_iter();
        let shown = places.filter(|place| is_shown(place, &self.directories.runtime));
        let mut lines: Vec<UnitLine<'static>> = shown
            .filter_map(|place| {
                let name = unit_at(&place)?;
                let is_known = self.entry(name.as_str()).is_some();
                let states = ["active", "mounted", "loaded"];
                let is_meant = is_meant(input, name.as_str(), UnitKind::Mount, &states);
                (is_meant && !is_known).then(|| UnitLine {
                    name: Cow::Owned(name.to_string()),
                    description: Cow::Owned(place),
                    load: Cow::Borrowed("loaded"),
                    active: Cow::Borrowed("active"),
                    sub: Cow::Borrowed("mounted"),
                    ..UnitLine::default()
                })
            })
            .collect();
        lines.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        lines
    }
}

fn unit_at(place: &str) -> Option<UnitName> {
    let escaped = escape::escape_path(place)?;
    UnitName::new(&format!("{escaped}.mount")).ok()
}

/// Not what the kernel shows of itself, and not what we mount for units.
fn is_shown(place: &str, runtime: &Path) -> bool {
    let is_root = ["/", "/usr"].contains(&place);
    (is_root || !mount::is_of_the_host(place)) && !Path::new(place).starts_with(runtime)
}

/// Are this name, kind and one of these states among those that a list is to have?
pub(crate) fn is_meant(
    input: &ListUnitsRequest,
    name: &str,
    kind: UnitKind,
    states: &[&str],
) -> bool {
    let is_any = |wanted: &[String], words: &[&str]| {
        wanted.is_empty() || wanted.iter().any(|wanted| words.contains(&wanted.as_str()))
    };
    let mut names = input.names.iter();
    is_any(&input.states, states)
        && is_any(&input.kinds, &[kind.suffix()])
        && (input.names.is_empty() || names.any(|one| crate::pattern::means(one, name)))
}

/// Two lists that are sorted by name, as one.
pub(crate) fn merged<'a>(
    known: impl Iterator<Item = UnitLine<'a>>,
    others: impl Iterator<Item = UnitLine<'a>>,
) -> impl Iterator<Item = UnitLine<'a>> {
    let (mut known, mut others) = (known.peekable(), others.peekable());
    std::iter::from_fn(move || match (known.peek(), others.peek()) {
        (Some(one), Some(other)) if other.name < one.name => others.next(),
        (Some(_), _) => known.next(),
        (None, _) => others.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_shows_of_itself_and_what_is_ours_is_no_unit() {
        let shown = |place| is_shown(place, Path::new("/run/coracle"));
        for place in ["/", "/usr", "/srv/data", "/run/user/0"] {
            assert!(shown(place), "{place}");
        }
        for place in [
            "/proc",
            "/sys/fs/cgroup",
            "/dev/shm",
            "/run",
            "/run/coracle/images/a",
        ] {
            assert!(!shown(place), "{place}");
        }
    }

    #[test]
    fn both_lists_are_one_in_the_order_of_names() {
        let lines = |names: &[&'static str]| {
            let line = |name: &&'static str| UnitLine {
                name: (*name).into(),
                ..UnitLine::default()
            };
            names.iter().map(line).collect::<Vec<_>>().into_iter()
        };
        let merged = merged(lines(&["a", "c"]), lines(&["-", "b", "d"]));
        let names: Vec<String> = merged.map(|line| line.name.into_owned()).collect();
        assert_eq!(names, ["-", "a", "b", "c", "d"]);
    }
}
