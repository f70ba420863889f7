//! The kernel's tables of mounts and of swap areas: which units of these kinds are there, whoever made them.

use crate::manager::Manager;
use crate::poll::Token;
use crate::quotas::unescaped;
use engine::{Input, Phase, State, UnitId};
use model::{Unit, UnitKind, UnitName, key, mount};
use rustix::fs::{Mode, OFlags, open};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

const MOUNTS: &str = "/proc/self/mountinfo";
const SWAPS: &str = "/proc/swaps";

/// The tables as they were at the last look, and what tells of changes.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    watches: Vec<OwnedFd>,
}

/// What is mounted at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mounted {
    what: String,
    kind: String,
    options: String,
}

/// The last of several mounts at a place is the one that is seen.
type Mounts = BTreeMap<String, Mounted>;

impl Manager {
    /// Looks for one unit that was just loaded, and watches the tables from now on.
    pub(crate) fn look_for(&mut self, unit: UnitId) {
        if !self.is_in_tables(unit) {
            return;
        }
        if self.aside.tables.watches.is_empty()
            && let Err(error) = self.watch_tables()
        {
            self.log(&format!(
                "cannot hear of mounts, which mount units do not see then: {error}"
            ));
        }
        self.look_at_tables();
        self.advance();
    }

    /// Is it a mount or a swap?
    pub(crate) fn is_in_tables(&self, unit: UnitId) -> bool {
        let entry = self.units.get(&unit);
        entry.is_some_and(|entry| is_of_tables(entry.name.kind()))
    }

    /// What is told of one that was to be taken out and is there all the same.
    pub(crate) fn still_in_table(&self, unit: UnitId) -> Option<String> {
        let entry = self.units.get(&unit)?;
        match self.engine.state(unit) {
            Some(State::Service(run)) if run.is_left && run.phase == Phase::Exited => {
                let place = mount::place(&entry.unit)?;
                Some(format!(
                    "{place} is still in use: `fuser -vm {place}` shows by whom"
                ))
            }
            _ => None,
        }
    }

    fn watch_tables(&mut self) -> io::Result<()> {
        for path in [MOUNTS, SWAPS] {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let table = match open(path, flags, Mode::empty()) {
                // A kernel without swap has no such table.
                Err(rustix::io::Errno::NOENT) => continue,
                table => table?,
            };
            self.poll.watch_urgent(&table, Token::Tables)?;
            self.aside.tables.watches.push(table);
        }
        Ok(())
    }

    /// Tells the engine of each unit what the tables have of it. The kernel writes them from what it has in memory: no file system is asked.
    pub(crate) fn look_at_tables(&mut self) {
        let known: Vec<(UnitId, UnitKind, String)> = self
            .units
            .iter()
            .filter(|(_, entry)| is_of_tables(entry.name.kind()))
            .filter_map(|(id, entry)| Some((*id, entry.name.kind(), mount::place(&entry.unit)?)))
            .collect();
        if known.is_empty() {
            return;
        }
        let (mounts, swaps) = (mounts(), swaps());
        for (unit, kind, place) in known {
            let is_there = match kind {
                UnitKind::Swap => swaps.contains(&real(&place)),
                _ => mounts.contains_key(&place),
            };
            if self.engine.in_kernel_table(unit) != is_there {
                self.inputs.push_back(Input::InTable { unit, is_there });
            }
        }
    }

    /// What a mount without a unit file is: the table says so.
    pub(crate) fn unit_of_table(&self, name: &UnitName) -> Option<Unit> {
        if name.kind() != UnitKind::Mount {
            return None;
        }
        let mut unit = Unit::new(name.clone());
        let mounted = mounts().remove(&mount::place(&unit)?)?;
        unit.set(&key::MOUNT_WHAT, mounted.what);
        unit.set(&key::MOUNT_TYPE, mounted.kind);
        unit.set(&key::MOUNT_OPTIONS, mounted.options);
        // It is in nobody's order, as nobody said so.
        unit.set(&key::DEFAULT_DEPENDENCIES, false);
        Some(unit)
    }
}

fn is_of_tables(kind: UnitKind) -> bool {
    matches!(kind, UnitKind::Mount | UnitKind::Swap)
}

fn mounts() -> Mounts {
    let table = std::fs::read(MOUNTS).unwrap_or_default();
    parse_mounts(&table)
}

/// proc_pid_mountinfo(5)
fn parse_mounts(table: &[u8]) -> Mounts {
    let text = |word: &[u8]| String::from_utf8_lossy(&unescaped(word)).into_owned();
    let mut mounts = Mounts::new();
    for line in table.split(|byte| *byte == b'\n') {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let ours = words.iter().position(|word| *word == b"-");
        let at = |place: usize| words.get(place).copied();
        let (Some(place), Some(options), Some(end)) = (at(4), at(5), ours) else {
            continue;
        };
        let (Some(kind), Some(what)) = (at(end + 1), at(end + 2)) else {
            continue;
        };
        let mounted = Mounted {
            what: text(what),
            kind: text(kind),
            options: text(options),
        };
        mounts.insert(text(place), mounted);
    }
    mounts
}

fn swaps() -> Vec<String> {
    let table = std::fs::read(SWAPS).unwrap_or_default();
    parse_swaps(&table)
}

/// proc_swaps(5): a line of titles, then one for each area, which begins with its path.
fn parse_swaps(table: &[u8]) -> Vec<String> {
    let lines = table.split(|byte| *byte == b'\n').skip(1);
    let paths = lines.filter_map(|line| line.split(u8::is_ascii_whitespace).next());
    let paths = paths.filter(|path| !path.is_empty());
    paths
        .map(|path| String::from_utf8_lossy(&unescaped(path)).into_owned())
        .collect()
}

/// A device as the table names it: without the links that udev makes to it.
fn real(path: &str) -> String {
    if !path.starts_with("/dev/") {
        return path.to_owned();
    }
    let real = std::fs::canonicalize(path);
    real.map_or_else(
        |_| path.to_owned(),
        |real| real.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::{parse_mounts, parse_swaps};

    #[test]
    fn the_last_mount_at_a_place_is_the_one_that_is_there() {
        let table = b"22 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
            30 22 254:16 / /srv/a\\040b rw,noatime shared:1 master:2 - ext4 /dev/vdb rw\n\
            31 30 0:40 / /srv/a\\040b ro - tmpfs tmp rw\nbroken\n";
        let mounts = parse_mounts(table);
        assert_eq!(mounts.len(), 2);
        let there = &mounts["/srv/a b"];
        assert_eq!(
            [&there.what, &there.kind, &there.options],
            ["tmp", "tmpfs", "ro"]
        );
    }

    #[test]
    fn a_swap_area_is_known_by_its_path() {
        let table = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/vdb2                               partition\t1048572\t\t0\t\t-2\n\
            /swap\\040file file\t1024\t0\t-3\n";
        assert_eq!(parse_swaps(table), ["/dev/vdb2", "/swap file"]);
        assert!(parse_swaps(b"").is_empty());
    }
}
