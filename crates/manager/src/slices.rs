//! Where the groups of units are: in those of their slices. And what slices have been given: controllers, and bounds.

use crate::cgroup::Cgroups;
use crate::entry::Entry;
use crate::manager::Manager;
use engine::UnitId;
use model::slice;
use model::sorted::{Map, Set};
use plan::resources::GroupFile;
use std::io;
use std::path::PathBuf;
use wire::Failure;

/// The tree of groups as far as it is ours. Slices are named by the paths of their groups below the top, `a.slice/a-b.slice`; the root's is
/// empty.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The slice of each unit that has a group.
    places: Map<String, String>,
    /// The slices that have a group.
    slices: Set<String>,
    /// Which groups give which controllers to those below them.
    enabled: Set<(String, &'static str)>,
    /// The slices whose bounds are written.
    bounded: Set<String>,
    /// DisableControllers= of slices.
    disabled: Map<String, Vec<String>>,
    /// The units that somebody froze.
    frozen: Set<String>,
    /// The slices that are down, and whose groups go when nothing is in them any more.
    leaving: Set<String>,
}

impl Tree {
    /// The slice in which the unit's group is, or would be.
    pub(crate) fn place(&self, unit: &str) -> &str {
        self.places.get(unit).map_or("", String::as_str)
    }

    pub(crate) fn put(&mut self, unit: &str, slice: &str) {
        if self.places.get(unit).is_none_or(|known| known != slice) {
            self.places.insert(unit.to_owned(), slice.to_owned());
        }
    }

    pub(crate) fn leave(&mut self, unit: &str) {
        self.places.remove(unit);
    }

    /// The units that have a place.
    pub(crate) fn units(&self) -> Vec<String> {
        self.places.keys().cloned().collect()
    }

    /// The slices that have a group, each after those that it is in.
    pub(crate) fn slices(&self) -> Vec<String> {
        self.slices.iter().cloned().collect()
    }

    pub(crate) fn has_slice(&self, slice: &str) -> bool {
        self.slices.contains(slice)
    }

    pub(crate) fn know_slice(&mut self, slice: String) {
        self.slices.insert(slice);
    }

    /// Did somebody freeze it?
    pub(crate) fn is_frozen(&self, unit: &str) -> bool {
        self.frozen.contains(unit)
    }

    /// Notes that a unit is frozen or not; true if that is new.
    pub(crate) fn note_frozen(&mut self, unit: &str, frozen: bool) -> bool {
        match frozen {
            true => self.frozen.insert(unit.to_owned()),
            false => !self.frozen.is_empty() && self.frozen.remove(unit),
        }
    }

    /// It is used again.
    pub(crate) fn stay(&mut self, slice: &str) {
        if !self.leaving.is_empty() {
            self.leaving.remove(slice);
        }
    }

    /// Its group is gone, and with it what it was given.
    pub(crate) fn forget_slice(&mut self, slice: &str) {
        self.slices.remove(slice);
        self.bounded.remove(slice);
        self.enabled.retain(|(group, _)| group != slice);
    }

    /// Does a slice around say DisableControllers= of this one? Which?
    pub(crate) fn disabled_by<'a>(&self, slice: &'a str, controller: &str) -> Option<&'a str> {
        ways(slice).find(|around| {
            let disabled = self.disabled.get(*around);
            disabled.is_some_and(|all| all.iter().any(|one| one == controller))
        })
    }
}

/// The path of what has this name in a slice.
pub(crate) fn inside(slice: &str, name: &str) -> String {
    match slice {
        "" => name.to_owned(),
        slice => format!("{slice}/{name}"),
    }
}

/// The slices on the way from the root to this one: `""`, `a.slice`, `a.slice/a-b.slice`.
pub(crate) fn ways(slice: &str) -> impl Iterator<Item = &str> {
    let inner = slice.match_indices('/').map(|(at, _)| at);
    let ends = inner.chain((!slice.is_empty()).then_some(slice.len()));
    std::iter::once(0)
        .chain(ends)
        .filter_map(|end| slice.get(..end))
}

impl Cgroups {
    /// Writes what a group in this slice is bounded by. A controller that is not available there is left out: its settings are shown as
    /// reductions.
    ///
    /// # Errors
    /// The file that can't be written, and why.
    pub(crate) fn bound<'a>(
        &mut self,
        (name, slice): (&str, &str),
        files: &'a [GroupFile],
    ) -> Result<(), (&'a GroupFile, io::Error)> {
        let group = self.top().join(inside(slice, name));
        for file in files {
            let controller = crate::resources::controller_of(file.directive.name());
            let Some(controller) = controller else {
                return Err((file, io::ErrorKind::Unsupported.into()));
            };
            if !self.has_controller_in(slice, controller) {
                continue;
            }
            let written = self
                .enable(controller, slice)
                .and_then(|()| Ok(crate::cgroup::make_directory(&group)?))
                .and_then(|()| write_file(&group, file));
            written.map_err(|error| (file, error))?;
        }
        Ok(())
    }

    /// Writes what changed in a group that is there.
    pub(crate) fn bound_anew(
        &mut self,
        place: (&str, &str),
        old: &[GroupFile],
        new: &[GroupFile],
    ) -> Result<(), (GroupFile, io::Error)> {
        let changed = plan::resources::changed_files(old, new);
        self.bound(place, &changed)
            .map_err(|(file, error)| (file.clone(), error))
    }

    /// Hands the group of a run over: its user may make groups in it, and gets these controllers for them.
    pub(crate) fn delegate(
        &mut self,
        (unit, incarnation): (&str, u64),
        controllers: &[&'static str],
        owner: Option<(u32, u32)>,
    ) -> io::Result<()> {
        let slice = self.tree.place(unit).to_owned();
        for controller in controllers {
            self.enable(controller, &slice)?;
            let control = self.of_unit(unit).join("cgroup.subtree_control");
            std::fs::write(control, format!("+{controller}"))?;
        }
        let run = self.on_host(&self.path(unit, incarnation));
        let Some((uid, gid)) = owner else {
            return Ok(());
        };
        std::os::unix::fs::chown(&run, Some(uid), Some(gid))?;
        for file in DELEGATED {
            match std::os::unix::fs::chown(run.join(file), Some(uid), Some(gid)) {
                // Older kernels have fewer.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Can this controller be used for what is in a slice?
    pub(crate) fn has_controller_in(&self, slice: &str, controller: &str) -> bool {
        self.has_controller(controller) && self.tree.disabled_by(slice, controller).is_none()
    }

    /// Gives what is in a slice a controller when the first of them needs it: it makes every group dearer.
    fn enable(&mut self, controller: &'static str, slice: &str) -> io::Result<()> {
        for around in ways(slice) {
            let given = (around.to_owned(), controller);
            if self.tree.enabled.contains(&given) {
                continue;
            }
            self.make_slice(around)?;
            let control = self.of_slice(around).join("cgroup.subtree_control");
            std::fs::write(control, format!("+{controller}"))?;
            self.tree.enabled.insert(given);
        }
        Ok(())
    }

    /// Removes the groups of slices that are down.
    pub(crate) fn remove_left_slices(&mut self) {
        // The innermost first.
        let leaving: Vec<String> = self.tree.leaving.iter().rev().cloned().collect();
        for slice in leaving {
            self.remove_slice(&slice);
            if !self.tree.has_slice(&slice) {
                self.tree.leaving.remove(&slice);
            }
        }
    }

    /// DisableControllers= of a slice: what is in it loses those that it has.
    fn disable(&mut self, slice: &str, controllers: Vec<String>) -> io::Result<()> {
        let has = |controller: &str| self.has_controller(controller);
        let known = crate::resources::CONTROLLERS.iter().map(|(name, _)| *name);
        let taken: Vec<&str> = known
            .filter(|name| has(name) && controllers.iter().any(|one| one == name))
            .collect();
        // Those that are further in first: a group keeps what one in it gives on.
        for inner in self.tree.slices().into_iter().rev() {
            if !ways(&inner).any(|around| around == slice) {
                continue;
            }
            for controller in &taken {
                let control = self.of_slice(&inner).join("cgroup.subtree_control");
                std::fs::write(control, format!("-{controller}"))?;
                self.tree
                    .enabled
                    .retain(|(group, given)| group != &inner || given != controller);
            }
        }
        match controllers.is_empty() {
            true => drop(self.tree.disabled.remove(slice)),
            false => drop(self.tree.disabled.insert(slice.to_owned(), controllers)),
        }
        Ok(())
    }
}

/// What belongs to whom a group is handed over to (cgroups(7), /sys/kernel/cgroup/delegate); what bounds the group itself stays ours.
const DELEGATED: &[&str] = &[
    "cgroup.procs",
    "cgroup.subtree_control",
    "cgroup.threads",
    "memory.oom.group",
    "memory.reclaim",
    "memory.pressure",
    "cpu.pressure",
    "io.pressure",
];

/// Writes a file of a group. What the kernel does not have is shown as a reduction.
fn write_file(group: &std::path::Path, file: &GroupFile) -> io::Result<()> {
    let path = group.join(file.name);
    if file.name.is_empty() || !path.exists() {
        return Ok(());
    }
    let text = match &file.device {
        Some(device) => format!("{} {}", crate::block_device::numbers(device)?, file.text),
        None => file.text.clone(),
    };
    // One write is one setting.
    std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut open| io::Write::write_all(&mut open, text.as_bytes()))
}

impl Manager {
    /// Gives the group of a unit its place, and the slices around it what bounds them, before its first process.
    ///
    /// # Errors
    /// A bound of a slice that the kernel does not take: the start ends with it.
    pub(crate) fn place_group(&mut self, unit: UnitId) -> Result<(), Failure> {
        let Some(entry) = self.units.get(&unit) else {
            return Ok(());
        };
        let (name, path) = match slice::of(&entry.unit) {
            Some(slice) => (entry.name.to_string(), slice::group(&slice)),
            None => return Ok(()),
        };
        let moves = |cgroups: &Cgroups| cgroups.tree.place(&name) != path;
        if entry.runs.is_empty() && self.cgroups.as_ref().is_some_and(moves) {
            // What its last run left goes first: it would hold the place.
            self.remove_groups();
        }
        let Some(cgroups) = &mut self.cgroups else {
            return Ok(());
        };
        let placed = cgroups.place(&name, &path);
        let place = cgroups.tree.place(&name).to_owned();
        placed.map_err(|error| self.internal(unit, "make the groups of its slices", &error))?;
        self.bound_slices(&place)
    }

    /// Bounds the slices on the way to this one that are not bounded yet.
    pub(crate) fn bound_slices(&mut self, slice: &str) -> Result<(), Failure> {
        for around in ways(slice) {
            let Some(cgroups) = &self.cgroups else {
                return Ok(());
            };
            if !cgroups.tree.bounded.contains(around) {
                self.bound_slice(around)?;
            }
        }
        Ok(())
    }

    fn bound_slice(&mut self, slice: &str) -> Result<(), Failure> {
        let name = match slice.rsplit('/').next() {
            Some("") | None => slice::ROOT,
            Some(name) => name,
        };
        let unit = self
            .entry(name)
            .map(|entry| std::rc::Rc::clone(&entry.unit));
        let Some(cgroups) = &mut self.cgroups else {
            return Ok(());
        };
        if let Some(unit) = unit {
            let (outer, inner) = slice.rsplit_once('/').unwrap_or(("", slice));
            let when = self.later.when;
            let files = plan::resources::group_files(&unit, &self.facts, when);
            cgroups
                .bound((inner, outer), &files)
                .map_err(|(file, error)| crate::resources::untaken(name, file, &error))?;
            cgroups
                .disable(slice, disabled(&unit))
                .map_err(|error| Failure::Refused {
                    unit: name.to_owned(),
                    directive: model::key::DISABLE_CONTROLLERS.directive().name().into(),
                    message: format!("can't be applied: {error}"),
                })?;
        }
        cgroups.tree.bounded.insert(slice.to_owned());
        Ok(())
    }

    /// Why a unit does not get a controller; none if it does.
    pub(crate) fn missing_controller(&self, entry: &Entry, controller: &str) -> Option<String> {
        let cgroups = self.cgroups.as_ref();
        if !cgroups.is_some_and(|cgroups| cgroups.has_controller(controller)) {
            return Some(format!(
                "the {controller} controller of control groups is not available here"
            ));
        }
        let slice = slice::of(&entry.unit).map(|slice| slice::group(&slice));
        let tree = &cgroups?.tree;
        let by = tree.disabled_by(slice.as_deref()?, controller)?;
        let by = by.rsplit('/').next().filter(|name| !name.is_empty());
        let by = by.unwrap_or(slice::ROOT);
        Some(format!(
            "DisableControllers= of {by} keeps the {controller} controller from it"
        ))
    }

    /// Why DisableControllers= does nothing; none if it does, or says nothing.
    pub(crate) fn nothing_to_disable(
        &self,
        unit: &model::Unit,
        directive: model::Directive,
    ) -> Option<String> {
        if directive != model::key::DISABLE_CONTROLLERS.directive() {
            return None;
        }
        let disabled = controllers(unit.get(&model::key::DISABLE_CONTROLLERS)?);
        let is_there = |name: &String| {
            let cgroups = self.cgroups.as_ref();
            cgroups.is_some_and(|cgroups| cgroups.has_controller(name))
        };
        let is_idle = !disabled.is_empty() && !disabled.iter().any(is_there);
        is_idle.then(|| "none of these controllers of control groups is available here".to_owned())
    }

    /// A slice that a transient unit names, and that had no file when it came into memory, may have one by now: it bounds the unit already.
    pub(crate) fn find_file_of_slice(&mut self, transient: &model::UnitName) {
        let entry = self
            .engine
            .id(transient.as_str())
            .and_then(|id| self.units.get(&id));
        let named = entry.filter(|entry| entry.unit.is_set(model::key::SLICE.directive()));
        let Some(slice) = named.and_then(|entry| slice::of(&entry.unit)) else {
            return;
        };
        let known = self
            .engine
            .id(slice.as_str())
            .and_then(|id| self.units.get(&id));
        let has_files = |fragment: Option<&PathBuf>, drop_ins: &[PathBuf]| {
            fragment.is_some() || !drop_ins.is_empty()
        };
        if known
            .is_some_and(|entry| has_files(entry.origin.fragment.as_ref(), &entry.origin.drop_ins))
        {
            return;
        }
        let loaded = self.load_as_it_is_now(&slice);
        if has_files(loaded.fragment.as_ref(), &loaded.drop_ins) {
            self.take(loaded);
            self.load_named();
        }
    }

    /// A slice is down: its group goes when nothing is in it.
    pub(crate) fn leave_slice_of(&mut self, unit: UnitId) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        if entry.name.kind() == model::UnitKind::Slice
            && let Some(cgroups) = &mut self.cgroups
        {
            // What was in it goes first.
            cgroups.tree.leaving.insert(slice::group(&entry.name));
        }
    }
}

/// DisableControllers= of a unit.
pub(crate) fn disabled(unit: &model::Unit) -> Vec<String> {
    let disabled = unit.get(&model::key::DISABLE_CONTROLLERS);
    disabled.map_or_else(Vec::new, controllers)
}

/// Names of controllers, as the kernel has them.
fn controllers(list: &model::value::Controllers) -> Vec<String> {
    use model::value::Controllers;
    match list {
        Controllers::No => Vec::new(),
        Controllers::Yes => {
            let all = crate::resources::CONTROLLERS.iter();
            all.map(|(name, _)| (*name).to_owned()).collect()
        }
        Controllers::Some(names) => names.iter().map(|name| of_version_2(name)).collect(),
    }
}

/// The name of a controller of version 1 in version 2.
pub(crate) fn of_version_2(name: &str) -> String {
    match name {
        "blkio" => "io",
        "cpuacct" => "cpu",
        name => name,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_slice_begins_at_the_root() {
        for (slice, expected) in [
            ("", &[""][..]),
            ("a.slice", &["", "a.slice"]),
            ("a.slice/a-b.slice", &["", "a.slice", "a.slice/a-b.slice"]),
        ] {
            assert_eq!(ways(slice).collect::<Vec<_>>(), expected, "{slice}");
        }
    }

    #[test]
    fn what_a_slice_disables_is_disabled_in_all_that_is_in_it() {
        let mut tree = Tree::default();
        tree.disabled.insert("a.slice".into(), vec!["cpu".into()]);
        for (slice, controller, by) in [
            ("a.slice", "cpu", Some("a.slice")),
            ("a.slice/a-b.slice", "cpu", Some("a.slice")),
            ("a.slice", "io", None),
            ("b.slice", "cpu", None),
            ("", "cpu", None),
        ] {
            assert_eq!(tree.disabled_by(slice, controller), by, "{slice}");
        }
    }
}
