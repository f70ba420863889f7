//! Path units: an inotify(7) descriptor each, which the keeper holds too, so that what happens while there is no manager is told to the
//! next one. Threads look at the paths, as a file system may not answer; the manager reads what the kernel tells, and asks them to look
//! again where that concerns what is waited for.

mod looking;
mod pause;

use crate::clock;
use crate::elsewhere::{Lane, Told};
use crate::manager::Manager;
use crate::poll::Token;
use engine::{Incarnation, Input, Mark, State, UnitId, Watch};
use keeper::protocol::Class;
pub(crate) use looking::{Condition, Wish};
use looking::{Look, Seen};
use model::sorted::Map;
use model::{Unit, UnitKind, key};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// The beginning of the names under which the keeper holds what watches for path units.
pub(crate) const HELD: &str = "path|";
/// Names of one directory that are kept apart while a thread looks; of more it counts that there were some.
const NAMES_MAX: usize = 32;
/// Bytes that are read at once.
const EVENT_BYTES: usize = 16 << 10;
/// Events that are read in one round, as many as the kernel keeps by default (fs.inotify.max_queued_events).
const EVENTS_MAX: usize = 16 << 10;

/// What path units wait for.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    watched: Map<UnitId, Watched>,
    pauses: pause::Pauses,
    looks: u64,
    /// Tells when something was mounted, which inotify(7) does not.
    mounts: Option<OwnedFd>,
    /// What the manager before us watched with.
    held: Map<String, OwnedFd>,
}

/// One path unit that waits.
#[derive(Debug)]
struct Watched {
    incarnation: Incarnation,
    token: u32,
    inotify: Arc<OwnedFd>,
    wishes: Arc<[Wish]>,
    /// What was there when it was looked at last; nothing before it was.
    there: Option<Vec<bool>>,
    watches: Map<i32, Vec<Concern>>,
    /// The look that is under way.
    look: Option<u64>,
    heard: Heard,
    /// It was told to the engine that something is so.
    has_fired: bool,
}

/// What an event at a watch has to be to count.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Concern {
    bits: u32,
    filter: Filter,
    /// It is the change that this wish waits for.
    changes: Option<usize>,
}

/// Which names of a directory count.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    Any,
    Name(Box<[u8]>),
    Pattern(Box<str>),
}

/// What the kernel told.
#[derive(Debug, Default)]
struct Heard {
    of: Map<i32, Happened>,
    /// More happened than the kernel keeps, or something was mounted.
    all: bool,
    lost: bool,
}

/// What was told of one watch.
#[derive(Debug, Default)]
struct Happened {
    bits: u32,
    names: Vec<Box<[u8]>>,
    many: bool,
}

/// What a thread found.
#[derive(Debug)]
pub(crate) struct Looked {
    unit: UnitId,
    number: u64,
    seen: io::Result<Seen>,
}

/// What always counts: what was watched is gone.
const GONE: u32 = ReadFlags::IGNORED.bits() | ReadFlags::UNMOUNT.bits();

impl Filter {
    fn takes(&self, told: &Happened) -> bool {
        let fits = |name: &[u8]| match self {
            Self::Any => true,
            Self::Name(own) => **own == *name,
            Self::Pattern(pattern) => looking::fits(pattern, name),
        };
        *self == Self::Any || told.many || told.names.iter().any(|name| fits(name))
    }
}

impl Heard {
    fn add(&mut self, watch: i32, bits: u32, name: Option<&[u8]>) {
        if bits & ReadFlags::QUEUE_OVERFLOW.bits() != 0 {
            (self.all, self.lost) = (true, true);
            return;
        }
        if self.of.get(&watch).is_none() {
            self.of.insert(watch, Happened::default());
        }
        let Some(told) = self.of.get_mut(&watch) else {
            return;
        };
        told.bits |= bits;
        if let Some(name) = name
            && !told.names.iter().any(|known| **known == *name)
        {
            match told.names.len() < NAMES_MAX {
                true => told.names.push(name.into()),
                false => told.many = true,
            }
        }
    }

    /// The wish whose change was among it, and whether anything was that concerns where they are.
    fn judged(&self, watches: &Map<i32, Vec<Concern>>) -> (Option<usize>, bool) {
        let (mut change, mut concerns_us) = (None, self.all);
        for (watch, told) in self.of.iter() {
            let Some(concerns) = watches.get(watch) else {
                continue;
            };
            concerns_us |= told.bits & GONE != 0;
            let meant = concerns
                .iter()
                .filter(|one| one.bits & told.bits != 0 && one.filter.takes(told));
            for one in meant {
                concerns_us = true;
                change = change.or(one.changes);
            }
        }
        (change, concerns_us)
    }
}

impl Watched {
    /// A wish of which a change can have been missed.
    fn lost(&self) -> Option<usize> {
        let counts = |wish: &Wish| wish.condition.changes().is_some();
        self.wishes
            .iter()
            .position(counts)
            .filter(|_| self.heard.lost)
    }

    fn shown(&self, wish: usize) -> Option<String> {
        Some(self.wishes.get(wish)?.path.clone())
    }
}

/// What a path unit waits for, line by line.
pub(crate) fn wishes(unit: &Unit) -> Vec<Wish> {
    let lines = [
        (Condition::Exists, &key::PATH_EXISTS),
        (Condition::ExistsGlob, &key::PATH_EXISTS_GLOB),
        (Condition::Changed, &key::PATH_CHANGED),
        (Condition::Modified, &key::PATH_MODIFIED),
        (Condition::NotEmpty, &key::DIRECTORY_NOT_EMPTY),
    ];
    let all = lines.into_iter().flat_map(|(condition, key)| {
        let paths = unit.get(key).into_iter().flat_map(|list| list.0.iter());
        paths.map(move |path| Wish {
            condition,
            path: path.clone(),
        })
    });
    all.collect()
}

impl Condition {
    /// The directive that asks for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exists => "PathExists",
            Self::ExistsGlob => "PathExistsGlob",
            Self::Changed => "PathChanged",
            Self::Modified => "PathModified",
            Self::NotEmpty => "DirectoryNotEmpty",
        }
    }
}

impl Manager {
    /// Watches for a path unit, from now on or as the manager before us did.
    pub(crate) fn watch_path(&mut self, unit: UnitId, incarnation: Incarnation, watch: Watch) {
        self.stop_watching(unit);
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        let (wishes, name) = (wishes(&entry.unit), held_name(entry.name.as_str()));
        let make = entry.unit.value(&key::MAKE_DIRECTORY) && watch == Watch::First;
        let make = make.then(|| entry.unit.value(&key::PATH_DIRECTORY_MODE).0);
        let marks = self.marks(unit, wishes.len());
        let held = self.aside.paths.held.remove(&name);
        let resumes = watch == Watch::Resumed && marks.is_some();
        let inotify = match held.filter(|_| resumes) {
            Some(held) => Ok(held),
            None => new_inotify(),
        };
        let begun = inotify.and_then(|inotify| {
            let token = self.poll.number();
            self.poll.watch(&inotify, Token::Path(token))?;
            Ok((inotify.try_clone()?, inotify, token))
        });
        let (copy, inotify, token) = match begun {
            Ok(begun) => begun,
            Err(error) => return self.fail_path(unit, incarnation, &error),
        };
        self.link.hold(Class::Other, &name, Rc::new(copy));
        let marks = marks.filter(|_| resumes);
        let watches = marks.as_deref().map(|marks| changes(&wishes, marks));
        let watched = Watched {
            incarnation,
            token,
            inotify: Arc::new(inotify),
            wishes: wishes.into(),
            there: marks.map(|marks| marks.iter().map(|mark| mark.there).collect()),
            watches: watches.unwrap_or_default(),
            look: None,
            heard: Heard::default(),
            has_fired: false,
        };
        self.aside.paths.watched.insert(unit, watched);
        if let Err(error) = self.watch_mounts() {
            let text = format!("cannot hear of mounts, which path units do not see then: {error}");
            self.log(&text);
        }
        self.look_at_paths(unit, make);
    }

    /// What the run's notes say, if they are of the unit as it is.
    fn marks(&self, unit: UnitId, wishes: usize) -> Option<Box<[Mark]>> {
        match self.engine.state(unit) {
            Some(State::Path(run)) if run.marks.len() == wishes => Some(run.marks.clone()),
            _ => None,
        }
    }

    /// Nothing is watched for a path unit any more.
    pub(crate) fn unwatch_path(&mut self, unit: UnitId) {
        self.stop_watching(unit);
        let name = held_name(&self.name_of(unit));
        self.aside.paths.held.remove(&name);
        // It was never held, or is let go of already: the keeper takes it as it is.
        self.link.drop_held(Class::Other, &name);
        if self.aside.paths.watched.is_empty()
            && let Some(mounts) = self.aside.paths.mounts.take()
        {
            self.poll.forget(&mounts);
        }
    }

    fn stop_watching(&mut self, unit: UnitId) {
        self.aside.paths.pauses.remove(unit);
        if let Some(watched) = self.aside.paths.watched.remove(&unit) {
            self.poll.forget(&*watched.inotify);
        }
    }

    fn watch_mounts(&mut self) -> io::Result<()> {
        if self.aside.paths.mounts.is_none() {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let mounts = open("/proc/self/mountinfo", flags, Mode::empty())?;
            self.poll.watch_urgent(&mounts, Token::Mounts)?;
            self.aside.paths.mounts = Some(mounts);
        }
        Ok(())
    }

    /// Takes over what the manager before us watched with.
    pub(crate) fn adopt_watch(&mut self, name: &str, inotify: OwnedFd) {
        self.aside.paths.held.insert(name.to_owned(), inotify);
    }

    /// Is it held for a path unit that waits?
    pub(crate) fn waits_with(&self, held: &str) -> bool {
        let unit = held
            .strip_prefix(HELD)
            .and_then(|name| self.engine.id(name));
        let state = unit.and_then(|unit| self.engine.state(unit));
        matches!(state, Some(State::Path(run)) if run.phase == engine::PathPhase::Waiting)
    }

    /// Has a thread look at all paths of a unit.
    fn look_at_paths(&mut self, unit: UnitId, make: Option<u32>) {
        let entry = self.units.get(&unit);
        let is_portable = entry.is_some_and(|entry| entry.origin.portable.is_some());
        let paths = &mut self.aside.paths;
        let Some(watched) = paths.watched.get_mut(&unit) else {
            return;
        };
        paths.looks += 1;
        let number = paths.looks;
        watched.look = Some(number);
        let look = Look {
            wishes: Arc::clone(&watched.wishes),
            inotify: Arc::clone(&watched.inotify),
            make,
            is_portable,
        };
        let lane = match is_portable {
            true => Lane::Portable,
            false => Lane::Host,
        };
        let work = move || {
            Told::Paths(Looked {
                unit,
                number,
                seen: look.make(),
            })
        };
        self.elsewhere.ask(clock::monotonic(), lane, Box::new(work));
    }

    /// A thread has looked.
    pub(crate) fn on_looked_at_paths(&mut self, looked: Looked) {
        let Looked { unit, number, seen } = looked;
        let Some(watched) = self.aside.paths.watched.get_mut(&unit) else {
            return;
        };
        if watched.look != Some(number) || watched.has_fired {
            return;
        }
        watched.look = None;
        let incarnation = watched.incarnation;
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => return self.fail_path(unit, incarnation, &error),
        };
        // What waits to be read is also about what was watched before this look.
        read(&watched.inotify, &mut watched.heard);
        let (earlier, _) = watched.heard.judged(&watched.watches);
        let (change, is_stale) = watched.heard.judged(&seen.watches);
        let change = earlier.or(change).or_else(|| watched.lost());
        let fired = taken(watched, &seen).or_else(|| watched.shown(change?));
        watched.heard = Heard::default();
        // What is watched no more goes; of what it tells nobody knows.
        let gone = watched.watches.keys();
        let gone = gone.filter(|watch| seen.watches.get(watch).is_none());
        for watch in gone {
            match inotify::remove_watch(&*watched.inotify, *watch) {
                // It went by itself.
                Ok(()) | Err(_) => {}
            }
        }
        let things = seen.things.iter();
        watched.there = Some(things.map(|thing| thing.there).collect());
        watched.watches = seen.watches;
        for text in seen.unmade {
            self.log_as(crate::own_log::WARNING, unit, &text);
        }
        if let Some(what) = fired {
            return self.fire(unit, what);
        }
        let things = seen.things.iter();
        let marks = things.map(|thing| Mark {
            there: thing.there,
            watch: thing.watch,
        });
        let marks: Box<[Mark]> = marks.collect();
        // The next manager is to know with what it is watched.
        self.records_needed |= self.marks(unit, marks.len()).as_ref() != Some(&marks);
        self.inputs.push_back(Input::PathWatched {
            unit,
            incarnation,
            marks,
        });
        if is_stale {
            self.pause_path(unit, true);
        }
    }

    fn fire(&mut self, unit: UnitId, what: String) {
        let Some(watched) = self.aside.paths.watched.get_mut(&unit) else {
            return;
        };
        watched.has_fired = true;
        self.inputs.push_back(Input::PathFired {
            unit,
            incarnation: watched.incarnation,
            what: what.into(),
            realtime_us: clock::realtime_us(),
        });
    }

    fn fail_path(&mut self, unit: UnitId, incarnation: Incarnation, error: &io::Error) {
        self.inputs.push_back(Input::PathFailed {
            unit,
            incarnation,
            why: format!("its paths can't be watched: {error}"),
        });
    }

    /// The kernel has something to tell of what is watched.
    pub(crate) fn on_path_events(&mut self, token: u32) {
        let all = self.aside.paths.watched.iter_mut();
        let Some((unit, watched)) = all.into_iter().find(|(_, one)| one.token == token) else {
            return;
        };
        let unit = *unit;
        read(&watched.inotify, &mut watched.heard);
        self.follow_heard(unit);
        self.pause_path(unit, false);
    }

    /// What was read of a path unit is followed.
    fn follow_heard(&mut self, unit: UnitId) {
        let Some(watched) = self.aside.paths.watched.get_mut(&unit) else {
            return;
        };
        if watched.has_fired {
            watched.heard = Heard::default();
            return;
        }
        // Also while a thread looks.
        let (change, concerns_us) = watched.heard.judged(&watched.watches);
        let change = change.or_else(|| watched.lost());
        if let Some(what) = change.and_then(|change| watched.shown(change)) {
            watched.look = None;
            return self.fire(unit, what);
        }
        if watched.look.is_none() {
            watched.heard = Heard::default();
            if concerns_us {
                self.look_at_paths(unit, None);
            }
        }
    }

    /// Something was mounted, or is no longer: what is at a path may be something else.
    pub(crate) fn on_mounts(&mut self) {
        let units: Vec<UnitId> = self.aside.paths.watched.keys().copied().collect();
        for unit in units {
            let Some(watched) = self.aside.paths.watched.get_mut(&unit) else {
                continue;
            };
            match watched.look {
                Some(_) => watched.heard.all = true,
                None if !watched.has_fired => self.look_at_paths(unit, None),
                None => {}
            }
        }
    }
}

/// Does a path unit wait for something else by its file as it is now?
pub(crate) fn is_other(entry: &crate::entry::Entry, unit: &Unit) -> bool {
    entry.name.kind() == UnitKind::Path && wishes(&entry.unit) != wishes(unit)
}

/// What of a look is so, or is not as it was at the look before.
fn taken(watched: &Watched, seen: &Seen) -> Option<String> {
    let good = seen.things.iter().find_map(|thing| thing.good.clone());
    let there = watched.there.iter().flatten();
    let pairs = there.zip(&seen.things).zip(watched.wishes.iter());
    let mut other = pairs
        .filter(|((was, thing), wish)| wish.condition.changes().is_some() && **was != thing.there);
    good.or_else(|| other.next().map(|(_, wish)| wish.path.clone()))
}

/// What the marks of a run say of changes.
fn changes(wishes: &[Wish], marks: &[Mark]) -> Map<i32, Vec<Concern>> {
    let mut watches: Map<i32, Vec<Concern>> = Map::new();
    for (number, (wish, mark)) in wishes.iter().zip(marks).enumerate() {
        if let (Some(flags), Some(watch)) = (wish.condition.changes(), mark.watch) {
            let concern = Concern {
                bits: flags.bits(),
                filter: Filter::Any,
                changes: Some(number),
            };
            match watches.get_mut(&watch) {
                Some(concerns) => concerns.push(concern),
                None => drop(watches.insert(watch, vec![concern])),
            }
        }
    }
    watches
}

fn held_name(unit: &str) -> String {
    format!("{HELD}{unit}")
}

fn new_inotify() -> io::Result<OwnedFd> {
    match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
        Err(Errno::MFILE) => Err(io::Error::other(
            "there are no instances of inotify(7) left: raise the sysctl fs.inotify.max_user_instances",
        )),
        made => Ok(made?),
    }
}

/// Reads what there is. Who makes events faster than they are read does not keep the manager: the rest comes with the next round.
fn read(inotify: &OwnedFd, heard: &mut Heard) {
    let mut buffer = [std::mem::MaybeUninit::uninit(); EVENT_BYTES];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let mut count = 0;
    while count < EVENTS_MAX || !reader.is_buffer_empty() {
        let Ok(event) = reader.next() else { return };
        count += 1;
        let name = event.file_name().map(std::ffi::CStr::to_bytes);
        heard.add(event.wd(), event.events().bits(), name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use rustix::fs::inotify::WatchFlags;

    fn concern(bits: WatchFlags, filter: Filter, changes: Option<usize>) -> Concern {
        Concern {
            bits: bits.bits(),
            filter,
            changes,
        }
    }

    /// A directory in which a name and a pattern are waited for, and a file whose changes are.
    fn watches() -> Map<i32, Vec<Concern>> {
        let create = WatchFlags::CREATE;
        Map::from([
            (
                1,
                vec![
                    concern(create, Filter::Name((*b"name").into()), None),
                    concern(create, Filter::Pattern("*.txt".into()), None),
                ],
            ),
            (
                2,
                vec![concern(WatchFlags::CLOSE_WRITE, Filter::Any, Some(3))],
            ),
        ])
    }

    fn judged(events: &[(i32, ReadFlags, Option<&str>)]) -> (Option<usize>, bool) {
        let mut heard = Heard::default();
        for (watch, bits, name) in events {
            heard.add(*watch, bits.bits(), name.map(str::as_bytes));
        }
        heard.judged(&watches())
    }

    #[test]
    fn only_names_that_are_waited_for_and_changes_that_count_are_followed() {
        let created = |name| (1, ReadFlags::CREATE, Some(name));
        assert_eq!(judged(&[created("other")]), (None, false));
        assert_eq!(judged(&[created("name")]), (None, true));
        assert_eq!(judged(&[created("a.txt")]), (None, true));
        assert_eq!(judged(&[created(".txt")]), (None, false));
        assert_eq!(
            judged(&[(1, ReadFlags::DELETE, Some("name"))]),
            (None, false)
        );
        assert_eq!(judged(&[(2, ReadFlags::MODIFY, None)]), (None, false));
        assert_eq!(
            judged(&[(2, ReadFlags::CLOSE_WRITE, None)]),
            (Some(3), true)
        );
        assert_eq!(judged(&[(7, ReadFlags::CLOSE_WRITE, None)]), (None, false));
        assert_eq!(judged(&[(2, ReadFlags::IGNORED, None)]), (None, true));
        assert_eq!(
            judged(&[(-1, ReadFlags::QUEUE_OVERFLOW, None)]),
            (None, true)
        );
    }

    #[test]
    fn of_very_many_names_it_is_known_that_there_were_more() {
        let names: Vec<String> = (0..=NAMES_MAX).map(|number| format!("n{number}")).collect();
        let event = |name: &'_ String| (1, ReadFlags::CREATE, name.clone());
        let events: Vec<_> = names.iter().map(event).collect();
        let all: Vec<_> = events
            .iter()
            .map(|(watch, bits, name)| (*watch, *bits, Some(name.as_str())))
            .collect();
        assert_eq!(judged(all.get(1..).unwrap()), (None, false));
        assert_eq!(judged(&all), (None, true));
    }
}
