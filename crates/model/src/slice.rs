//! Slices: names make a tree, and every unit that can have processes has a place in it (systemd.slice(5)).

use crate::{Unit, UnitKind, UnitName, key};

/// The root of the tree.
pub const ROOT: &str = "-.slice";
/// Where units are that don't say otherwise.
pub const SYSTEM: &str = "system.slice";

/// Can a slice have this name? Its parts between dashes are the slices that it is in.
#[must_use]
pub fn is_valid(name: &UnitName) -> bool {
    let stem = name.stem();
    let is_root = name.as_str() == ROOT;
    let parts = || stem.split('-').all(|part| !part.is_empty());
    name.kind() == UnitKind::Slice && !stem.contains('@') && (is_root || parts())
}

/// The slice that a slice is in; none for the root, and for names that no slice can have.
#[must_use]
pub fn parent(slice: &UnitName) -> Option<UnitName> {
    if slice.as_str() == ROOT || !is_valid(slice) {
        return None;
    }
    let outer = slice.stem().rsplit_once('-').map(|(outer, _)| outer);
    named(&outer.map_or_else(|| ROOT.to_owned(), |outer| format!("{outer}.slice")))
}

/// The slice that a unit is in; none for the root slice, and for units that have no processes.
#[must_use]
pub fn of(unit: &Unit) -> Option<UnitName> {
    match unit.kind() {
        UnitKind::Slice => parent(unit.name()),
        UnitKind::Service
        | UnitKind::Socket
        | UnitKind::Mount
        | UnitKind::Swap
        | UnitKind::Scope => said(unit).or_else(|| default_of(unit.name())),
        UnitKind::Target
        | UnitKind::Device
        | UnitKind::Automount
        | UnitKind::Timer
        | UnitKind::Path => None,
    }
}

/// Slice=, where it names a slice.
fn said(unit: &Unit) -> Option<UnitName> {
    let said = unit.get(&key::SLICE)?.0.clone()?;
    is_valid(&said).then_some(said)
}

/// The slice of a unit that does not say: instances of a template have one in common.
fn default_of(name: &UnitName) -> Option<UnitName> {
    name.instance()
        .and_then(|_| named(&format!("system-{}.slice", escaped(name.prefix()))))
        .or_else(|| named(SYSTEM))
}

/// A part of a slice's name: a dash in it would be another level.
fn escaped(part: &str) -> String {
    part.chars().fold(String::new(), |mut done, letter| {
        match letter {
            '-' => done.push_str("\\x2d"),
            '\\' => done.push_str("\\x5c"),
            other => done.push(other),
        }
        done
    })
}

fn named(name: &str) -> Option<UnitName> {
    UnitName::new(name).ok()
}

/// The control group of a slice: the names of all slices on the way to it, without the root, between slashes; empty for the root.
#[must_use]
pub fn group(slice: &UnitName) -> String {
    let mut names = Vec::new();
    let mut next = Some(slice.clone());
    while let Some(slice) = next.filter(|slice| slice.as_str() != ROOT && is_valid(slice)) {
        next = parent(&slice);
        names.push(slice);
    }
    names.reverse();
    let names: Vec<&str> = names.iter().map(UnitName::as_str).collect();
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice_of(name: &str, said: Option<&str>) -> String {
        let mut unit = Unit::new(name.parse().expect("a name"));
        if let Some(said) = said {
            let said = said.parse().expect("a name");
            unit.set(&key::SLICE, crate::value::UnitReference(Some(said)));
        }
        of(&unit).map_or_else(String::new, |slice| slice.to_string())
    }

    #[test]
    fn names_make_a_tree() {
        for (name, above, path) in [
            ("-.slice", None, ""),
            ("a.slice", Some("-.slice"), "a.slice"),
            ("a-b.slice", Some("a.slice"), "a.slice/a-b.slice"),
            (
                "a-b-c.slice",
                Some("a-b.slice"),
                "a.slice/a-b.slice/a-b-c.slice",
            ),
            ("a--b.slice", None, ""),
            ("-a.slice", None, ""),
            ("a-.slice", None, ""),
            ("a@b.slice", None, ""),
            ("a.service", None, ""),
        ] {
            let name: UnitName = name.parse().expect("a name");
            let parent = parent(&name).map(|parent| parent.to_string());
            assert_eq!(parent.as_deref(), above, "{name}");
            assert_eq!(group(&name), path, "{name}");
        }
    }

    #[test]
    fn what_has_processes_is_in_the_slice_that_it_names_or_in_the_systems() {
        for (unit, said, slice) in [
            ("a.service", None, "system.slice"),
            ("a.service", Some("b.slice"), "b.slice"),
            ("a.service", Some("b--c.slice"), "system.slice"),
            ("a.service", Some("b.service"), "system.slice"),
            ("a.service", Some("-.slice"), "-.slice"),
            ("a-b@c.service", None, "system-a\\x2db.slice"),
            ("a.scope", None, "system.slice"),
            ("a-b.slice", Some("c.slice"), "a.slice"),
            ("a.timer", None, ""),
            ("a.target", None, ""),
            ("-.slice", None, ""),
        ] {
            assert_eq!(slice_of(unit, said), slice, "{unit} {said:?}");
        }
    }
}
