//! What threads do for path units: each directory on the way to a path is watched before it is looked into, so that nothing that happens
//! between is lost. Any of it may wait for a file system.

use super::{Concern, Filter};
use crate::conditions::{NAMES_MAX, is_left_over};
use kernel::walk::{Place, is_closed, make_noted};
use model::sorted::Map;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{Dir, FileType, Mode, OFlags, fchmod, fstat, open, openat, readlinkat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

/// Files and directories that one path unit watches; what a pattern leads to may be as many as somebody likes.
const WATCHES_MAX: usize = 1024;
/// Links on the way, as the kernel has it.
const LINKS_MAX: usize = 40;

/// What tells of a name in a directory that comes or goes.
const ENTRIES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM);
/// What tells that there may be something in a directory.
const FILLED: WatchFlags = WatchFlags::CREATE.union(WatchFlags::MOVED_TO);
/// What counts as a change of a file, or of a directory with what is in it.
const CHANGED: WatchFlags = ENTRIES
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// What a path unit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Exists,
    ExistsGlob,
    Changed,
    Modified,
    NotEmpty,
}

impl Condition {
    /// The events of what is at the path that count as its change; none where only what is so counts.
    pub(super) fn changes(self) -> Option<WatchFlags> {
        match self {
            Self::Changed => Some(CHANGED),
            Self::Modified => Some(CHANGED.union(WatchFlags::MODIFY)),
            Self::Exists | Self::ExistsGlob | Self::NotEmpty => None,
        }
    }

    fn makes_directory(self) -> bool {
        !matches!(self, Self::Exists | Self::ExistsGlob)
    }
}

/// One line of a path unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) condition: Condition,
    pub(crate) path: String,
}

/// What is to be looked at.
pub(super) struct Look {
    pub(super) wishes: Arc<[Wish]>,
    pub(super) inotify: Arc<OwnedFd>,
    /// MakeDirectory=: the mode of what is made.
    pub(super) make: Option<u32>,
    /// Links that a service can have left lead nowhere.
    pub(super) is_portable: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What is watched now, and what for.
    pub(super) watches: Map<i32, Vec<Concern>>,
    /// Of each wish.
    pub(super) things: Vec<Thing>,
    /// Directories that could not be made, and why.
    pub(super) unmade: Vec<String>,
}

/// What was found of one wish.
#[derive(Debug, Default)]
pub(super) struct Thing {
    /// What is so, if it is.
    pub(super) good: Option<String>,
    /// Something is there.
    pub(super) there: bool,
    /// What tells of its changes.
    pub(super) watch: Option<i32>,
}

impl Look {
    pub(super) fn make(self) -> io::Result<Seen> {
        let mut unmade = Vec::new();
        if let Some(mode) = self.make {
            let wishes = self.wishes.iter();
            for wish in wishes.filter(|wish| wish.condition.makes_directory()) {
                if let Err(errno) = make_directories(&wish.path, mode) {
                    let text = format!("{} can't be made (MakeDirectory=): {errno}", wish.path);
                    unmade.push(text);
                }
            }
        }
        let mut walker = Walker {
            inotify: &self.inotify,
            is_portable: self.is_portable,
            watches: Map::new(),
            names: NAMES_MAX,
        };
        let wishes = self.wishes.iter().enumerate();
        let things = wishes
            .map(|(number, wish)| walker.look(number, wish))
            .collect::<io::Result<_>>()?;
        Ok(Seen {
            watches: walker.watches,
            things,
            unmade,
        })
    }
}

/// Makes a directory and those above it, whatever is on the way already: a link that a service can have left is none of them.
fn make_directories(path: &str, mode: u32) -> Result<(), Errno> {
    const MASKED: u32 = 0o022;
    let exactly = |parent: &OwnedFd, name: &CStr| {
        if mode & MASKED == 0 {
            return Ok(());
        }
        // The process's mask took bits of the mode away.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(parent, name, flags, Mode::empty())?;
        if fstat(&made)?.st_uid != rustix::process::geteuid().as_raw() {
            return Err(Errno::PERM);
        }
        fchmod(&made, Mode::from_raw_mode(mode))
    };
    let path = CString::new(path).map_err(|_| Errno::INVAL)?;
    let make = |_: &[u8]| Some(mode);
    match Place::find_making(&path, make, |parent, name, _| exactly(parent, name)) {
        // The root directory is there.
        Err(Errno::INVAL) => Ok(()),
        place => {
            let place = place?;
            make_noted(&place.parent, place.name(), mode, exactly)
        }
    }
}

struct Walker<'a> {
    inotify: &'a OwnedFd,
    is_portable: bool,
    watches: Map<i32, Vec<Concern>>,
    /// Names of directories that may be looked at yet.
    names: usize,
}

/// Where a walk is, and what is ahead.
struct Step {
    directory: Rc<OwnedFd>,
    parts: VecDeque<Part>,
    /// The way until here as the wish has it.
    shown: String,
    links: usize,
}

#[derive(Clone)]
enum Part {
    /// A name of the wish.
    Own(Vec<u8>),
    /// A name of a link's target.
    Linked(Vec<u8>),
    /// Any name that fits.
    Pattern(String),
}

impl Walker<'_> {
    fn look(&mut self, number: usize, wish: &Wish) -> io::Result<Thing> {
        let mut thing = Thing::default();
        if wish.condition == Condition::ExistsGlob {
            let patterns = crate::conditions::alternatives(&wish.path);
            let many = || io::Error::other(format!("{} stands for too many paths", wish.path));
            for pattern in patterns.ok_or_else(many)? {
                self.walk(&mut thing, number, wish.condition, parts_of(&pattern, true))?;
            }
        } else {
            let parts = parts_of(&wish.path, false);
            self.walk(&mut thing, number, wish.condition, parts)?;
        }
        if thing.good.is_some() && wish.condition != Condition::ExistsGlob {
            thing.good = Some(wish.path.clone());
        }
        Ok(thing)
    }

    /// Goes all ways that there are, and watches each.
    fn walk(
        &mut self,
        thing: &mut Thing,
        number: usize,
        condition: Condition,
        parts: VecDeque<Part>,
    ) -> io::Result<()> {
        let mut steps = vec![Step {
            directory: Rc::new(root()?),
            parts,
            shown: String::new(),
            links: 0,
        }];
        while let Some(mut step) = steps.pop() {
            let (name, is_own) = match step.parts.pop_front() {
                None => {
                    self.arrive(thing, number, condition, &step.directory, &step.shown)?;
                    continue;
                }
                Some(Part::Pattern(pattern)) => {
                    steps.extend(self.matches(&step, &pattern)?);
                    continue;
                }
                Some(Part::Own(name)) => (name, true),
                Some(Part::Linked(name)) => (name, false),
            };
            if is_own {
                step.shown = format!("{}/{}", step.shown, String::from_utf8_lossy(&name));
            }
            let filter = Filter::Name(name.clone().into());
            self.watch(&step.directory, ENTRIES, filter, None)?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // Whatever it is that keeps from going on, it is watched for.
            let Ok(found) = openat(&*step.directory, &*name, flags, Mode::empty()) else {
                continue;
            };
            let is_last = step.parts.is_empty();
            match FileType::from_raw_mode(fstat(&found)?.st_mode) {
                FileType::Symlink if !(is_last && condition == Condition::ExistsGlob) => {
                    steps.extend(self.through_link(step, &found));
                }
                kind if is_last || kind == FileType::Directory => {
                    step.directory = Rc::new(found);
                    steps.push(step);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The way that a link leads, if any.
    fn through_link(&self, mut step: Step, link: &OwnedFd) -> Option<Step> {
        let is_trusted = !self.is_portable || is_closed(&step.directory).unwrap_or(false);
        step.links += 1;
        if step.links > LINKS_MAX || !is_trusted {
            return None;
        }
        let target = readlinkat(link, "", Vec::new()).ok()?.into_bytes();
        if target.first() == Some(&b'/') {
            step.directory = Rc::new(root().ok()?);
        }
        for name in target.rsplit(|byte| *byte == b'/') {
            if !name.is_empty() && name != b"." {
                step.parts.push_front(Part::Linked(name.to_owned()));
            }
        }
        Some(step)
    }

    /// The ways on through the names in a directory that fit, the first name last.
    fn matches(&mut self, step: &Step, pattern: &str) -> io::Result<Vec<Step>> {
        let filter = Filter::Pattern(pattern.into());
        self.watch(&step.directory, ENTRIES, filter, None)?;
        let mut names = self.names_in(&step.directory)?.unwrap_or_default();
        names.retain(|name| fits(pattern, name));
        names.sort_unstable_by(|one, other| other.cmp(one));
        let further = names.into_iter().map(|name| {
            let mut parts = step.parts.clone();
            parts.push_front(Part::Own(name));
            Step {
                directory: Rc::clone(&step.directory),
                parts,
                shown: step.shown.clone(),
                links: step.links,
            }
        });
        Ok(further.collect())
    }

    /// The names in a directory; none where it can't be read.
    fn names_in(&mut self, directory: &OwnedFd) -> io::Result<Option<Vec<Vec<u8>>>> {
        let Some(entries) = entries(directory) else {
            return Ok(None);
        };
        let mut names = Vec::new();
        for entry in entries.flatten() {
            self.names = self.names.saturating_sub(1);
            if self.names == 0 {
                let text = format!("the directories to look into have more than {NAMES_MAX} names");
                return Err(io::Error::other(text));
            }
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_owned());
            }
        }
        Ok(Some(names))
    }

    /// Something is there.
    fn arrive(
        &mut self,
        thing: &mut Thing,
        number: usize,
        condition: Condition,
        found: &OwnedFd,
        shown: &str,
    ) -> io::Result<()> {
        thing.there = true;
        let is_good = match condition {
            Condition::Exists | Condition::ExistsGlob => true,
            Condition::NotEmpty => {
                self.watch(found, FILLED, Filter::Any, None)?;
                has_files(found)
            }
            Condition::Changed | Condition::Modified => {
                let bits = condition.changes().unwrap_or(CHANGED);
                thing.watch = self.watch(found, bits, Filter::Any, Some(number))?;
                false
            }
        };
        if is_good && thing.good.is_none() {
            thing.good = Some(shown.to_owned());
        }
        Ok(())
    }

    /// Watches what is open. What may not be read can't be watched, and is gone through all the same.
    fn watch(
        &mut self,
        file: &OwnedFd,
        flags: WatchFlags,
        filter: Filter,
        changes: Option<usize>,
    ) -> io::Result<Option<i32>> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // Two wishes may watch the same directory for different things.
        let watch = match inotify::add_watch(self.inotify, path, flags | WatchFlags::MASK_ADD) {
            Err(Errno::ACCESS) => return Ok(None),
            Err(Errno::NOSPC) => {
                return Err(io::Error::other(
                    "there are no watches left: raise the sysctl fs.inotify.max_user_watches",
                ));
            }
            watch => watch?,
        };
        let concern = Concern {
            bits: flags.bits(),
            filter,
            changes,
        };
        match self.watches.get_mut(&watch) {
            Some(concerns) if concerns.contains(&concern) => {}
            Some(concerns) => concerns.push(concern),
            None => {
                self.watches.insert(watch, vec![concern]);
            }
        }
        if self.watches.len() > WATCHES_MAX {
            let text =
                format!("more than {WATCHES_MAX} files and directories would have to be watched");
            return Err(io::Error::other(text));
        }
        Ok(Some(watch))
    }
}

fn root() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open("/", flags, Mode::empty())?)
}

/// The names of a path, or of a pattern, whose backslashes stand before characters without a meaning.
fn parts_of(path: &str, is_pattern: bool) -> VecDeque<Part> {
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    let part = |name: &str| match is_pattern {
        true if name.contains(['*', '?', '[']) => Part::Pattern(name.to_owned()),
        true => Part::Own(crate::conditions::without_escapes(name).into_bytes()),
        false => Part::Own(name.as_bytes().to_vec()),
    };
    names.map(part).collect()
}

/// Does a name fit a part of a pattern? A dot in front is matched by a dot alone.
pub(super) fn fits(pattern: &str, name: &[u8]) -> bool {
    let takes_dots = pattern
        .strip_prefix('\\')
        .unwrap_or(pattern)
        .starts_with('.');
    let name = String::from_utf8_lossy(name);
    name.starts_with('.') <= takes_dots && model::pattern::fits(pattern, &name)
}

fn entries(directory: &OwnedFd) -> Option<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = openat(directory, ".", flags, Mode::empty()).ok()?;
    Dir::new(readable).ok()
}

/// Whether there is something in a directory that counts. What can't be read may have something in it; a file has nothing.
fn has_files(found: &OwnedFd) -> bool {
    let is_directory = fstat(found)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory);
    if !is_directory {
        return false;
    }
    match entries(found) {
        None => true,
        Some(entries) => entries.flatten().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            !is_left_over(&name)
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use rustix::fs::inotify::CreateFlags;
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn look(condition: Condition, path: &Path, is_portable: bool) -> io::Result<Seen> {
        let wish = Wish {
            condition,
            path: path.to_str().unwrap().to_owned(),
        };
        let look = Look {
            wishes: Arc::from(vec![wish]),
            inotify: Arc::new(inotify::init(CreateFlags::CLOEXEC).unwrap()),
            make: None,
            is_portable,
        };
        look.make()
    }

    fn good(condition: Condition, path: &Path) -> Option<String> {
        let seen = look(condition, path, false).unwrap();
        seen.things.into_iter().next().unwrap().good
    }

    #[test]
    fn a_pattern_leads_to_the_first_name_that_fits_and_a_link_to_nowhere_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        create_dir_all(at("b")).unwrap();
        create_dir_all(at("a")).unwrap();
        write(at("b/x"), "").unwrap();
        let found = |pattern: &str| good(Condition::ExistsGlob, &at(pattern));
        assert_eq!(found("*/x"), Some(at("b/x").to_str().unwrap().to_owned()));
        assert_eq!(found("*/{y,z}"), None);
        symlink("nowhere", at("a/y")).unwrap();
        assert_eq!(
            found("*/{y,z}"),
            Some(at("a/y").to_str().unwrap().to_owned())
        );
        assert_eq!(good(Condition::Exists, &at("a/y")), None);
    }

    #[test]
    fn a_circle_of_links_leads_nowhere_and_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        symlink("two", at("one")).unwrap();
        symlink("one", at("two")).unwrap();
        let seen = look(Condition::Exists, &at("one/x"), false).unwrap();
        assert!(!seen.things.first().unwrap().there);
        let names = |name: &str| {
            let filter = Filter::Name(name.as_bytes().into());
            let mut all = seen.watches.values().flatten();
            all.any(|concern| concern.filter == filter)
        };
        assert!(names("one") && names("two"));
    }

    #[test]
    fn what_a_portable_can_have_linked_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        create_dir_all(at("own")).unwrap();
        write(at("secret"), "").unwrap();
        symlink(at("secret"), at("own/link")).unwrap();
        let found = |is_portable| {
            let seen = look(Condition::Exists, &at("own/link"), is_portable).unwrap();
            seen.things.first().unwrap().there
        };
        assert!(found(true), "only root can have left it");
        std::fs::set_permissions(at("own"), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(found(false));
        assert!(!found(true));
    }
}
