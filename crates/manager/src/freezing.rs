//! `freeze` and `thaw`, and what control groups count.

use crate::cgroup::Cgroups;
use crate::entry::Entry;
use crate::manager::Manager;
use engine::{ActiveState, UnitId};
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

impl Manager {
    /// Freezes units, or lets them go on; what is down can't be.
    pub(crate) fn freeze_units(&mut self, input: &FreezeRequest) -> Result<(), Failure> {
        for id in self.select_existing(&input.names)? {
            self.freeze_unit(id, !input.thaw)?;
        }
        Ok(())
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
        Ok(())
    }

    /// What is stopped must be able to end.
    pub(crate) fn thaw_for_stop(&mut self, id: UnitId) {
        let (Some(entry), Some(cgroups)) = (self.units.get(&id), &mut self.cgroups) else {
            return;
        };
        if !cgroups.tree.note_frozen(entry.name.as_str(), false) {
            return;
        }
        if let Some(group) = cgroups.whole(entry)
            && let Err(error) = write_freeze(&group, false)
        {
            let text = format!("its control group can't be thawed: {error}");
            self.log_as(crate::own_log::ERROR, id, &text);
        }
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
