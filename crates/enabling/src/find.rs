//! From a name to the file that is the unit's own: along the search path, and along links.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use model::UnitName;

use crate::Work;
use crate::change::Problem;
use crate::draft::{ELOOP, Look};
use crate::names::{is_alias, may_template};
use crate::section::Section;

/// Most links from a name to its file; the reference's own limit.
const MAX_HOPS: usize = 64;

/// What a name's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Regular,
    /// A link to a file elsewhere.
    Linked,
    /// A link to another unit.
    Alias,
    Masked,
}

/// A unit on the way.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    pub(crate) name: UnitName,
    pub(crate) path: Option<PathBuf>,
    pub(crate) target: Option<PathBuf>,
    pub(crate) mode: Option<Mode>,
    pub(crate) section: Section,
    /// Only another unit's Also= names it.
    pub(crate) is_auxiliary: bool,
    pub(crate) is_done: bool,
}

impl Info {
    fn new(name: UnitName, path: Option<PathBuf>, is_auxiliary: bool) -> Self {
        Self {
            name,
            path,
            target: None,
            mode: None,
            section: Section::default(),
            is_auxiliary,
            is_done: false,
        }
    }

    /// Its file; its name where there is none.
    pub(crate) fn place(&self) -> PathBuf {
        let path = self.path.clone();
        path.unwrap_or_else(|| PathBuf::from(self.name.as_str()))
    }
}

/// The units of one request, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Pool(pub(crate) Vec<Info>);

impl Pool {
    pub(crate) fn find(&self, name: &UnitName) -> Option<usize> {
        self.0.iter().position(|info| info.name == *name)
    }

    pub(crate) fn add(&mut self, name: UnitName, path: Option<PathBuf>, auxiliary: bool) -> usize {
        let known = self.find(&name);
        if let Some(info) = known.and_then(|at| self.0.get_mut(at)) {
            info.is_auxiliary &= auxiliary;
        }
        known.unwrap_or_else(|| {
            self.0.push(Info::new(name, path, auxiliary));
            self.0.len() - 1
        })
    }

    /// The next one that nobody has looked at.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let at = self.0.iter().position(|info| !info.is_done)?;
        self.0.get_mut(at)?.is_done = true;
        Some(at)
    }
}

/// Why a name leads nowhere.
#[derive(Debug)]
pub(crate) enum Lost {
    Missing,
    /// A name leads to a name that is not there.
    Dangling,
    Loop,
    BadAlias(String, String),
    Other(Problem),
}

impl Lost {
    pub(crate) fn problem(self, name: &str) -> Problem {
        match self {
            Lost::Missing => Problem::NoSuchUnit(name.to_owned()),
            Lost::Dangling => Problem::Dangling(name.to_owned()),
            Lost::Loop => Problem::Loop(name.to_owned()),
            Lost::BadAlias(alias, target) => Problem::BadAlias { alias, target },
            Lost::Other(problem) => problem,
        }
    }
}

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Search {
    /// `[Install]` sections are read.
    pub(crate) load: bool,
    /// Links in the administrator's directories are followed.
    pub(crate) follow: bool,
}

impl Search {
    pub(crate) const LOAD: Search = Search {
        load: true,
        follow: true,
    };
    pub(crate) const FOLLOW: Search = Search {
        load: false,
        follow: true,
    };
    pub(crate) const BARE: Search = Search {
        load: false,
        follow: false,
    };
    /// Reads, and refuses links that the administrator made.
    pub(crate) const APPLY: Search = Search {
        load: true,
        follow: false,
    };
}

/// What was found at a path.
struct Seen {
    mode: Mode,
    target: Option<PathBuf>,
    bytes: Vec<u8>,
}

impl Work<'_> {
    /// The unit that a name or an absolute path means; it may turn out to be another one.
    pub(crate) fn discover(
        &self,
        pool: &mut Pool,
        name_or_path: &str,
        search: Search,
    ) -> Result<usize, Problem> {
        let path = name_or_path
            .starts_with('/')
            .then(|| PathBuf::from(name_or_path));
        let name = name_or_path.rsplit('/').next().unwrap_or_default();
        let name = UnitName::new(name).map_err(|_| Problem::BadName(name_or_path.to_owned()))?;
        let at = pool.add(name, path, false);
        let found = self.traverse(pool, at, search);
        found.map_err(|lost| lost.problem(name_or_path))
    }

    /// The file of a unit that is not masked.
    ///
    /// # Errors
    /// When there is none, or its links are wrong.
    pub fn file(&self, name: &str) -> Result<PathBuf, Problem> {
        let mut pool = Pool::default();
        let at = self.discover(&mut pool, name, Search::FOLLOW)?;
        let place = pool.0.get(at).map(Info::place).unwrap_or_default();
        match pool.0.get(at).and_then(|info| info.mode) {
            Some(Mode::Masked) => Err(Problem::Masked(place)),
            _ => Ok(place),
        }
    }

    /// [`Work::discover`], of a unit that a person may decide about.
    pub(crate) fn discover_own(
        &self,
        pool: &mut Pool,
        name_or_path: &str,
        search: Search,
    ) -> Result<usize, Problem> {
        let at = self.discover(pool, name_or_path, search)?;
        let Some(info) = pool.0.get(at) else {
            return Ok(at);
        };
        let place = info.place();
        if info.mode == Some(Mode::Masked) {
            return Err(Problem::Masked(place));
        }
        if self.places.is_generated(&place) || self.places.is_transient(&place) {
            return Err(Problem::Made(place));
        }
        Ok(at)
    }

    /// Follows a unit's links to its end.
    pub(crate) fn traverse(
        &self,
        pool: &mut Pool,
        start: usize,
        search: Search,
    ) -> Result<usize, Lost> {
        self.search(pool, start, search)?;
        let mut at = start;
        for _ in 0..=MAX_HOPS {
            let Some(info) = pool.0.get(at) else {
                return Err(Lost::Missing);
            };
            if !matches!(info.mode, Some(Mode::Alias | Mode::Linked)) {
                return Ok(at);
            }
            let is_own = info.path.as_deref().is_some_and(|path| {
                [&self.places.config, &self.places.runtime]
                    .iter()
                    .any(|place| path.parent() == Some(place))
            });
            if is_own && !search.follow {
                return Err(Lost::Loop);
            }
            at = self.hop(pool, at, search)?;
        }
        Err(Lost::Loop)
    }

    /// One link further: to another file of the same unit, or to another unit.
    fn hop(&self, pool: &mut Pool, at: usize, search: Search) -> Result<usize, Lost> {
        let info = pool.0.get(at).ok_or(Lost::Missing)?;
        let target = info.target.clone().ok_or(Lost::Missing)?;
        if info.mode == Some(Mode::Linked) {
            return self.enter(pool, at, &target, search);
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let bad = || Lost::Other(Problem::BadName(name.clone().into_owned()));
        let next = UnitName::new(&name).map_err(|_| bad())?;
        let carried = match info.name.instance() {
            Some(instance) if next.is_template() => {
                next.with_instance(instance).map_err(|_| bad())?
            }
            _ => next,
        };
        if carried == info.name {
            return self.enter(pool, at, &target, search);
        }
        let other = pool.add(carried, None, false);
        match self.search(pool, other, search) {
            Ok(()) => Ok(other),
            Err(Lost::Missing) => Err(Lost::Dangling),
            Err(lost) => Err(lost),
        }
    }

    fn enter(
        &self,
        pool: &mut Pool,
        at: usize,
        path: &Path,
        search: Search,
    ) -> Result<usize, Lost> {
        let name = pool.0.get(at).map(|info| info.name.clone());
        let seen = self.look_at(&name.ok_or(Lost::Missing)?, path)?;
        self.take(pool, at, path.to_owned(), seen, search)?;
        Ok(at)
    }

    /// Finds a unit's first file on the search path; an instance without one is what its template is.
    fn search(&self, pool: &mut Pool, at: usize, search: Search) -> Result<(), Lost> {
        let info = pool.0.get(at).ok_or(Lost::Missing)?;
        if info.mode.is_some() {
            return Ok(());
        }
        if let Some(path) = info.path.clone() {
            return self.enter(pool, at, &path, search).map(drop);
        }
        let name = info.name.clone();
        for stem in [Some(name.clone()), name.template()].into_iter().flatten() {
            for directory in self.places.path.directories() {
                let path = directory.join(stem.as_str());
                match self.look_at(&name, &path) {
                    Ok(seen) => {
                        self.take(pool, at, path, seen, search)?;
                        return self.add_drop_ins(pool, at, search);
                    }
                    Err(Lost::Missing) => {}
                    Err(lost) => return Err(lost),
                }
            }
        }
        Err(Lost::Missing)
    }

    fn take(
        &self,
        pool: &mut Pool,
        at: usize,
        path: PathBuf,
        seen: Seen,
        search: Search,
    ) -> Result<(), Lost> {
        let info = pool.0.get_mut(at).ok_or(Lost::Missing)?;
        info.path = Some(path);
        info.mode = Some(seen.mode);
        info.target = seen.target;
        if search.load {
            self.add_section(pool, at, &seen.bytes)?;
        }
        Ok(())
    }

    fn add_section(&self, pool: &mut Pool, at: usize, bytes: &[u8]) -> Result<(), Lost> {
        let info = pool.0.get_mut(at).ok_or(Lost::Missing)?;
        let name = info.name.clone();
        let along = info.section.read(bytes, &name, self.context);
        for name in along.map_err(Lost::Other)? {
            pool.add(name, None, true);
        }
        Ok(())
    }

    /// Drop-ins of the unit's own name and of its template's; of equally named ones the strongest counts.
    fn add_drop_ins(&self, pool: &mut Pool, at: usize, search: Search) -> Result<(), Lost> {
        let info = pool.0.get(at).ok_or(Lost::Missing)?;
        if info.mode == Some(Mode::Masked) || !search.load {
            return Ok(());
        }
        let name = info.name.clone();
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        for stem in [Some(name.clone()), name.template()].into_iter().flatten() {
            for directory in self.places.path.directories() {
                let folder = directory.join(format!("{stem}.d"));
                let entries = self.entries(&folder)?;
                for one in entries.into_iter().filter(|one| one.ends_with(".conf")) {
                    let path = folder.join(&one);
                    files.entry(one).or_insert(path);
                }
            }
        }
        for path in files.into_values() {
            if let Look::File(bytes) = self.followed(&path)? {
                self.add_section(pool, at, &bytes)?;
            }
        }
        Ok(())
    }

    fn entries(&self, directory: &Path) -> Result<Vec<String>, Lost> {
        let entries = self.draft.entries(directory);
        let entries = entries.map_err(|error| Lost::Other(unreadable(directory, error)))?;
        Ok(entries.into_iter().map(|named| named.name).collect())
    }

    pub(crate) fn followed(&self, path: &Path) -> Result<Look, Lost> {
        let look = self.draft.followed(path);
        look.map_err(|error| lost(path, error))
    }

    /// What stands at a path that is to be a unit's file.
    fn look_at(&self, name: &UnitName, path: &Path) -> Result<Seen, Lost> {
        if (name.is_template() || name.instance().is_some()) && !may_template(name.kind()) {
            return Err(Lost::Other(Problem::NoTemplates(name.to_string())));
        }
        let look = self.draft.look(path);
        let seen = |mode, bytes| Seen {
            mode,
            bytes,
            target: None,
        };
        match look.map_err(|error| Lost::Other(unreadable(path, error)))? {
            Look::Missing => Err(Lost::Missing),
            Look::Empty => Ok(seen(Mode::Masked, Vec::new())),
            Look::File(bytes) => Ok(seen(Mode::Regular, bytes)),
            Look::Other => Err(Lost::Other(Problem::NotAFile(path.to_owned()))),
            Look::Link(target) => self.look_at_link(path, &target),
        }
    }

    /// A link inside the unit directories is another name; one that leads out of them, or to nothing, is a unit from elsewhere.
    fn look_at_link(&self, path: &Path, target: &Path) -> Result<Seen, Lost> {
        let wrong = |error| lost(path, error);
        let parent = path.parent().unwrap_or(Path::new("/"));
        let end = self
            .draft
            .resolve_parent(&parent.join(target))
            .map_err(wrong)?;
        let is_inside = self.is_below_path(&end);
        if is_inside {
            check_alias(path, &end)?;
        }
        let mode = match self.followed(&end)? {
            Look::Empty => Mode::Masked,
            _ if is_inside => Mode::Alias,
            _ => Mode::Linked,
        };
        Ok(Seen {
            mode,
            target: Some(end),
            bytes: Vec::new(),
        })
    }

    fn is_below_path(&self, file: &Path) -> bool {
        let mut directories = self.places.path.directories().iter();
        directories.any(|directory| file.starts_with(directory))
    }
}

fn check_alias(path: &Path, end: &Path) -> Result<(), Lost> {
    let text = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let (alias, unit) = (text(path), text(end));
    if alias == unit {
        return Err(Lost::Loop);
    }
    match (UnitName::new(&alias), UnitName::new(&unit)) {
        (Ok(from), Ok(to)) if is_alias(&from, &to) => Ok(()),
        _ => Err(Lost::BadAlias(alias, unit)),
    }
}

fn lost(path: &Path, error: io::Error) -> Lost {
    match error.raw_os_error() {
        Some(ELOOP) => Lost::Loop,
        _ => Lost::Other(unreadable(path, error)),
    }
}

pub(crate) fn unreadable(path: &Path, source: io::Error) -> Problem {
    Problem::Unreadable {
        path: path.to_owned(),
        source,
    }
}
