//! `freeze` and `thaw`, and what control groups count.

use crate::cgroup::Cgroups;
use crate::directories::Directories;
use crate::entry::Entry;
use crate::manager::Manager;
use engine::{ActiveState, UnitId};
use model::sorted::Map;
use model::{UnitKind, slice};
use std::path::{Path, PathBuf};
use wire::{BlockIo, Failure, FreezeRequest};

/// Bytes of a file with a line for each disk.
const IO_BYTES_MAX: u64 = 1 << 20;

impl Cgroups {
    /// The group of a unit with all its runs, or of a slice, where there is one.
    pub(crate) fn whole(&self, entry: &Entry) -> Option<PathBuf> {
        let path = match entry.name.kind() {
            UnitKind::Slice => self.of_slice(&slice::group(&entry.name)),
            _ => self.of_unit(entry.name.as_str()),
        };
        path.is_dir().then_some(path)
    }

    fn freezer(&self, group: &Path) -> String {
        let read = |file: &str| crate::beginning::text(group.join(file), 4096).unwrap_or_default();
        let is_frozen = read("cgroup.events").lines().any(|line| line == "frozen 1");
        let is_asked = read("cgroup.freeze").trim() == "1";
        match (is_frozen, is_asked) {
            (true, _) => "frozen",
            (false, true) => "freezing",
            (false, false) => "running",
        }
        .to_owned()
    }
}

/// What a unit, or a slice, uses.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub(crate) tasks: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory_peak_bytes: Option<u64>,
    pub(crate) memory_swap_bytes: Option<u64>,
    pub(crate) io: Option<BlockIo>,
    pub(crate) freezer: Option<String>,
}

/// Units that are frozen only as long as a connection is there: whoever dies takes nobody along.
#[derive(Debug, Default)]
pub(crate) struct Leases(Map<String, u32>);

impl Leases {
    /// Is somebody frozen for this connection?
    pub(crate) fn has(&self, client: u32) -> bool {
        self.0.iter().any(|(_, of)| *of == client)
    }

    fn of(&self, client: u32) -> Vec<String> {
        let own = self.0.iter().filter(|(_, of)| **of == client);
        own.map(|(unit, _)| unit.clone()).collect()
    }
}

/// Where the next manager finds the units that are frozen for connections, which end with this one.
fn record(directories: &Directories) -> PathBuf {
    directories.runtime.join("frozen")
}

/// Bytes of that record that are read: the names of many thousand units.
const RECORD_BYTES_MAX: u64 = 4 << 20;

impl Manager {
    /// Freezes units, or lets them go on; what is down can't be.
    pub(crate) fn freeze_units(
        &mut self,
        client: u32,
        input: &FreezeRequest,
    ) -> Result<(), Failure> {
        let units = self.select_existing(&input.names)?;
        match (input.while_connected, input.thaw) {
            (true, false) => self.freeze_for(client, &units),
            (true, true) => self.thaw_for(client, &units),
            (false, _) => units
                .into_iter()
                .try_for_each(|id| self.freeze_unit(id, !input.thaw)),
        }
    }

    /// All of them or none. What is frozen already is somebody else's, and stays that.
    fn freeze_for(&mut self, client: u32, units: &[UnitId]) -> Result<(), Failure> {
        let frozen = |manager: &Manager, name: &str| {
            let cgroups = manager.cgroups.as_ref();
            cgroups.is_some_and(|cgroups| cgroups.tree.is_frozen(name))
        };
        let names: Vec<(UnitId, String)> = units
            .iter()
            .filter_map(|id| Some((*id, self.units.get(id)?.name.to_string())))
            .filter(|(_, name)| !frozen(self, name))
            .collect();
        for (_, name) in &names {
            self.aside.leases.0.insert(name.clone(), client);
        }
        // Before the first one is: a manager that dies in between must leave word of it.
        let mut done = self.write_leases();
        for (id, _) in &names {
            done = done.and_then(|()| self.freeze_unit(*id, true));
        }
        if done.is_err() {
            self.end_lease(client);
        }
        done
    }

    /// Ends what [`Manager::freeze_for`] began. Fails where somebody else has let one of them go on before.
    fn thaw_for(&mut self, client: u32, units: &[UnitId]) -> Result<(), Failure> {
        let went_on = units.iter().find_map(|id| {
            let (name, cgroups) = (&self.units.get(id)?.name, self.cgroups.as_ref());
            let is_frozen = cgroups.is_some_and(|cgroups| cgroups.tree.is_frozen(name.as_str()));
            (!is_frozen).then(|| name.to_string())
        });
        self.end_lease(client);
        match went_on {
            None => Ok(()),
            Some(unit) => Err(Failure::NotSupported {
                message: format!("{unit}: it was not frozen all the time"),
                unit,
            }),
        }
    }

    /// The connection is gone, or its call is over: whoever is frozen for it goes on.
    pub(crate) fn end_lease(&mut self, client: u32) {
        for unit in self.aside.leases.of(client) {
            self.thaw_named(&unit);
            self.aside.leases.0.remove(&unit);
        }
        self.note_leases();
    }

    /// Whoever was frozen for a connection to the manager before this one goes on.
    pub(crate) fn thaw_left(&mut self) {
        let path = record(&self.directories);
        let Ok(text) = crate::beginning::text(&path, RECORD_BYTES_MAX) else {
            return;
        };
        for unit in text.lines() {
            self.thaw_named(unit);
        }
        self.note_leases();
    }

    fn thaw_named(&mut self, unit: &str) {
        let id = self.engine.id(unit);
        let Some(cgroups) = &mut self.cgroups else {
            return;
        };
        if !cgroups.tree.note_frozen(unit, false) {
            return;
        }
        let group = match unit.strip_suffix(".slice") {
            Some(_) => id.and_then(|id| cgroups.whole(self.units.get(&id)?)),
            None => Some(cgroups.of_unit(unit)).filter(|group| group.is_dir()),
        };
        if let Some(group) = group
            && let Err(error) = write_freeze(&group, false)
        {
            self.log(&format!(
                "{unit}: its control group can't be thawed: {error}"
            ));
        }
    }

    fn write_leases(&self) -> Result<(), Failure> {
        let (path, leases) = (record(&self.directories), &self.aside.leases.0);
        let written = if leases.is_empty() {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            }
        } else {
            let beside = path.with_file_name(".frozen");
            let text: String = leases.iter().map(|(unit, _)| format!("{unit}\n")).collect();
            std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &path))
        };
        written.map_err(|error| Failure::NotSupported {
            unit: String::new(),
            message: format!("who is to be frozen can't be recorded: {error}"),
        })
    }

    /// A record that names too many does no harm: they are thawed already.
    fn note_leases(&mut self) {
        if let Err(Failure::NotSupported { message, .. }) = self.write_leases() {
            self.log(&message);
        }
    }

    fn freeze_unit(&mut self, id: UnitId, frozen: bool) -> Result<(), Failure> {
        let (Some(entry), Some(state)) = (self.units.get(&id), self.engine.state(id)) else {
            return Ok(());
        };
        let refused = |message: &str| Failure::NotSupported {
            unit: entry.name.to_string(),
            message: format!("{}: {message}", entry.name),
        };
        let can = matches!(
            entry.name.kind(),
            UnitKind::Service | UnitKind::Scope | UnitKind::Slice
        );
        let is_up = matches!(
            state.active(),
            ActiveState::Active | ActiveState::Reloading | ActiveState::Activating
        );
        if !can {
            return Err(refused("only services, scopes and slices can be frozen"));
        }
        if !is_up {
            return Err(refused("it does not run"));
        }
        let group = self
            .cgroups
            .as_ref()
            .and_then(|cgroups| cgroups.whole(entry));
        let group = group.ok_or_else(|| refused("it has no control group"))?;
        write_freeze(&group, frozen).map_err(|error| {
            refused(&format!("its control group can't be frozen here: {error}"))
        })?;
        let name = entry.name.to_string();
        if let Some(cgroups) = &mut self.cgroups {
            cgroups.tree.note_frozen(&name, frozen);
        }
        if !frozen {
            self.forget_lease(&name);
        }
        Ok(())
    }

    fn forget_lease(&mut self, unit: &str) {
        if self.aside.leases.0.remove(unit).is_some() {
            self.note_leases();
        }
    }

    /// What is stopped must be able to end.
    pub(crate) fn thaw_for_stop(&mut self, id: UnitId) {
        let (Some(entry), Some(cgroups)) = (self.units.get(&id), &mut self.cgroups) else {
            return;
        };
        if !cgroups.tree.note_frozen(entry.name.as_str(), false) {
            return;
        }
        let name = entry.name.to_string();
        if let Some(group) = cgroups.whole(entry)
            && let Err(error) = write_freeze(&group, false)
        {
            let text = format!("its control group can't be thawed: {error}");
            self.log_as(crate::own_log::ERROR, id, &text);
        }
        self.forget_lease(&name);
    }

    /// What control groups count of a unit or a slice.
    pub(crate) fn used_by(&self, entry: &Entry) -> Used {
        let Some(cgroups) = &self.cgroups else {
            return Used::default();
        };
        let Some(group) = cgroups.whole(entry) else {
            return Used::default();
        };
        let number = |file: &str| {
            let text = crate::beginning::text(group.join(file), 64).ok()?;
            text.trim().parse().ok()
        };
        let io = crate::beginning::text(group.join("io.stat"), IO_BYTES_MAX).ok();
        Used {
            tasks: number("pids.current"),
            memory_bytes: number("memory.current"),
            memory_peak_bytes: number("memory.peak"),
            memory_swap_bytes: number("memory.swap.current"),
            io: io.as_deref().map(sum),
            freezer: Some(cgroups.freezer(&group)),
        }
    }
}

fn write_freeze(group: &Path, frozen: bool) -> std::io::Result<()> {
    let state = if frozen { "1" } else { "0" };
    std::fs::write(group.join("cgroup.freeze"), state)
}

/// The sums over all disks.
fn sum(text: &str) -> BlockIo {
    let mut all = BlockIo::default();
    for word in text.split_whitespace() {
        let Some((name, number)) = word.split_once('=') else {
            continue;
        };
        let number: u64 = number.parse().unwrap_or_default();
        let place = match name {
            "rbytes" => &mut all.read_bytes,
            "wbytes" => &mut all.write_bytes,
            "rios" => &mut all.read_operations,
            "wios" => &mut all.write_operations,
            _ => continue,
        };
        *place = place.saturating_add(number);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn what_disks_count_is_added_up() {
        let text = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n8:0 rbytes=100 wbytes=4 rios=8 wios=7 dbytes=50331648 dios=3021\n";
        let all = sum(text);
        assert_eq!((all.read_bytes, all.write_bytes), (1_459_300, 314_773_508));
        assert_eq!((all.read_operations, all.write_operations), (200, 360));
    }
}
