//! The kernel's tables of mounts and of swap areas: which units of these kinds are there, whoever made them.

use crate::manager::Manager;
use crate::poll::Token;
use engine::{Input, Micros, Phase, State, UnitId, UnitResult};
use model::escape::unescape_octal;
use model::{Unit, UnitKind, UnitName, key, mount};
use rustix::fs::{Mode, OFlags, open};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

const MOUNTS: &str = "/proc/self/mountinfo";
const SWAPS: &str = "/proc/swaps";

/// No more looks than one in this time: who mounts and unmounts without end costs the manager no more.
const PAUSE_US: u64 = 20_000;

/// What tells of changes, and what there was at the last look.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    watches: Vec<OwnedFd>,
    /// For as long as nothing changes.
    seen: RefCell<Option<Rc<Seen>>>,
    /// Nobody listens until then.
    pause: Option<Micros>,
}

impl Tables {
    /// When they are listened to again.
    pub(crate) fn next_end(&self) -> Option<Micros> {
        self.pause
    }

    /// What was seen counts for as long as somebody listens.
    fn seen(&self) -> io::Result<Rc<Seen>> {
        let mut seen = self.seen.borrow_mut();
        if self.watches.is_empty() || self.pause.is_some() {
            seen.take();
        }
        let now = match seen.take() {
            Some(known) => known,
            None => Rc::new(Seen::now()?),
        };
        *seen = Some(Rc::clone(&now));
        Ok(now)
    }

    fn forget(&self) {
        self.seen.borrow_mut().take();
    }
}

/// Both tables at one moment. The kernel writes them from what it has in memory: no file system is asked.
#[derive(Debug)]
struct Seen {
    mounts: Mounts,
    swaps: Vec<String>,
}

impl Seen {
    fn now() -> io::Result<Self> {
        let swaps = match std::fs::read(SWAPS) {
            // A kernel without swap.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            swaps => swaps?,
        };
        Ok(Self {
            mounts: parse_mounts(&std::fs::read(MOUNTS)?),
            swaps: parse_swaps(&swaps),
        })
    }

    fn has(&self, unit: &Unit) -> bool {
        let Some(place) = mount::place(unit) else {
            return false;
        };
        match unit.kind() {
            UnitKind::Swap => self.swaps.contains(&device(place)),
            _ => self.mounts.contains_key(&place),
        }
    }
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
        self.tell_of_table(unit);
        self.advance();
    }

    /// Looks for one unit whose command has just ended: what it did comes before its end.
    pub(crate) fn look_again(&mut self, unit: UnitId) {
        if self.is_in_tables(unit) {
            self.aside.tables.forget();
            self.tell_of_table(unit);
        }
    }

    fn tell_of_table(&mut self, unit: UnitId) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        let seen = match self.aside.tables.seen() {
            Ok(seen) => seen,
            Err(error) => {
                let text = format!(
                    "{}: whether it is there can't be told, and what was seen before holds: {MOUNTS} and {SWAPS}: {error}",
                    entry.name
                );
                return self.log_about(unit, &text);
            }
        };
        let is_there = seen.has(&entry.unit);
        if self.engine.in_kernel_table(unit) != is_there {
            self.inputs.push_back(Input::InTable { unit, is_there });
        }
    }

    /// Is it a mount or a swap?
    fn is_in_tables(&self, unit: UnitId) -> bool {
        let entry = self.units.get(&unit);
        entry.is_some_and(|entry| is_of_tables(entry.name.kind()))
    }

    /// What is told of one whose job has failed though its command went well, or that is there all the same.
    pub(crate) fn told_of_table(&self, unit: UnitId) -> Option<String> {
        let entry = self.units.get(&unit)?;
        let place = mount::place(&entry.unit).filter(|_| is_of_tables(entry.name.kind()))?;
        let is_mount = entry.name.kind() == UnitKind::Mount;
        match self.engine.state(unit) {
            Some(State::Service(run)) if run.is_left && run.phase == Phase::Exited => {
                Some(match is_mount {
                    true => format!("{place} is still in use: fuser(1) shows by whom"),
                    false => {
                        format!("{place} is still in use: what lies there finds no room in memory")
                    }
                })
            }
            Some(State::Failed {
                result: UnitResult::Protocol,
                ..
            }) => Some(match is_mount {
                true => format!("mount(8) went well, and yet nothing is mounted at {place}"),
                false => format!("swapon(8) went well, and yet {place} is not in use"),
            }),
            _ => None,
        }
    }

    /// A mount's place is told, and of assertions that there is one: `status` has it.
    pub(crate) fn unmet_assertion(&self, unit: UnitId) -> String {
        let unmet = self
            .units
            .get(&unit)
            .and_then(|entry| entry.unmet.as_deref());
        let of_place = unmet.filter(|text| text.starts_with("Where="));
        of_place.unwrap_or("an assertion does not hold").to_owned()
    }

    /// A table changed: the first change is seen at once, and what comes right after it when the pause is over.
    pub(crate) fn on_tables(&mut self) {
        self.look_at_tables();
        let tables = &mut self.aside.tables;
        for table in &tables.watches {
            self.poll.forget(table);
        }
        tables.pause = Some(crate::clock::monotonic().after(Micros(PAUSE_US)));
    }

    /// Listens again where the pause is over, and looks once: the kernel tells of a change to the first who asks, which adding a table does
    /// itself (`mounts_poll` and `swaps_poll` in Linux 6.18), so what changed during the pause is told to nobody any more.
    pub(crate) fn end_pause_of_tables(&mut self, now: Micros) {
        let tables = &mut self.aside.tables;
        if tables.pause.is_none_or(|end| end > now) {
            return;
        }
        tables.pause = None;
        for table in &tables.watches {
            if let Err(error) = self.poll.watch_urgent(table, Token::Tables) {
                let text = format!("cannot hear of mounts any more: {error}");
                return self.log(&text);
            }
        }
        self.look_at_tables();
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

    /// Tells the engine of each unit what the tables have of it.
    pub(crate) fn look_at_tables(&mut self) {
        self.aside.tables.forget();
        let units = self.units.iter();
        let known = units.filter(|(_, entry)| is_of_tables(entry.name.kind()));
        let known: Vec<UnitId> = known.map(|(unit, _)| *unit).collect();
        for unit in known {
            self.tell_of_table(unit);
        }
    }

    /// Where something is mounted, sorted; nothing where that can't be told.
    pub(crate) fn mounted_places(&self) -> Vec<String> {
        let seen = self.aside.tables.seen();
        seen.map_or_else(|_| Vec::new(), |seen| seen.mounts.keys().cloned().collect())
    }

    /// What a mount without a unit file is: the table says so.
    pub(crate) fn unit_of_table(&self, name: &UnitName) -> Option<Unit> {
        if name.kind() != UnitKind::Mount {
            return None;
        }
        let mut unit = Unit::new(name.clone());
        // That it was mounted a moment ago may not have been heard yet.
        self.aside.tables.forget();
        let seen = match self.aside.tables.seen() {
            Ok(seen) => seen,
            Err(error) => {
                self.log(&format!("{name} is not looked for: {MOUNTS}: {error}"));
                return None;
            }
        };
        let mounted = seen.mounts.get(&mount::place(&unit)?)?.clone();
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

/// proc_pid_mountinfo(5)
fn parse_mounts(table: &[u8]) -> Mounts {
    let text = |word: &[u8]| String::from_utf8_lossy(&unescape_octal(word)).into_owned();
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
        // What lies there to mount something else on is not the mount of the place.
        if kind == b"autofs" {
            continue;
        }
        let mounted = Mounted {
            what: text(what),
            kind: text(kind),
            options: text(options),
        };
        mounts.insert(text(place), mounted);
    }
    mounts
}

/// proc_swaps(5): a line of titles, then one for each area, which begins with its path.
fn parse_swaps(table: &[u8]) -> Vec<String> {
    let lines = table.split(|byte| *byte == b'\n').skip(1);
    let paths = lines.filter_map(|line| line.split(u8::is_ascii_whitespace).next());
    let paths = paths.filter(|path| !path.is_empty());
    paths
        .map(|path| String::from_utf8_lossy(&unescape_octal(path)).into_owned())
        .collect()
}

/// How many links lead from one to the next.
const LINKS_MAX: u32 = 8;

/// A device as the table names it: without the links that udev makes to it, which only lead on in directories of root's, where nothing waits.
fn device(path: String) -> String {
    let mut device = path.clone();
    for _ in 0..LINKS_MAX {
        let is_named = ["/dev/disk/", "/dev/mapper/", "/dev/block/"]
            .iter()
            .any(|folder| device.starts_with(folder));
        let target = std::fs::read_link(&device).ok().filter(|_| is_named);
        let Some(target) = target else {
            return device;
        };
        let folder = std::path::Path::new(&device).parent();
        let joined = folder.map(|folder| folder.join(target)).unwrap_or_default();
        match lexical(&joined) {
            Some(next) if next.starts_with("/dev/") => device = next,
            _ => return path,
        }
    }
    path
}

/// A path without `..`, as it reads.
fn lexical(path: &std::path::Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.to_str()?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::{device, lexical, parse_mounts, parse_swaps};
    use std::path::Path;

    #[test]
    fn the_last_mount_at_a_place_is_the_one_that_is_there() {
        let table = b"22 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
            30 22 254:16 / /srv/a\\040b rw,noatime shared:1 master:2 - ext4 /dev/vdb rw\n\
            31 30 0:40 / /srv/a\\040b ro - tmpfs tmp rw\nbroken\n\
            32 30 0:41 / /srv/later rw - autofs coracle:/run/coracle rw\n";
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

    #[test]
    fn links_lead_on_in_the_directories_of_devices_alone() {
        for (path, expected) in [
            ("/dev/disk/by-uuid/../../vdb2", Some("/dev/vdb2")),
            ("/dev/./x", Some("/dev/x")),
            ("/../x", None),
        ] {
            assert_eq!(lexical(Path::new(path)).as_deref(), expected, "{path}");
        }
        for path in ["/dev/shm/link", "/srv/swap", "/dev/disk/by-uuid/none"] {
            assert_eq!(device(path.to_owned()), path);
        }
    }
}
