//! enable, link, mask, add-wants, set-default: the verbs that make links.

use std::path::{Path, PathBuf};

use model::{UnitKind, UnitName};

use crate::change::{Change, Notice, Problem};
use crate::draft::Look;
use crate::find::{Info, Lost, Mode, Pool, Search, unreadable};
use crate::names::{is_alias, stands_for};
use crate::section::Section;
use crate::{Options, Work};

/// The target of set-default and get-default.
const DEFAULT: &str = "default.target";

/// How a unit is added to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Wants,
    Requires,
    Upholds,
}

impl Relation {
    fn suffix(self) -> &'static str {
        match self {
            Relation::Wants => "wants",
            Relation::Requires => "requires",
            Relation::Upholds => "upholds",
        }
    }
}

/// How the links of a request are made.
#[derive(Clone, Copy)]
pub(crate) struct Making {
    pub(crate) options: Options,
    /// A template without an instance is passed over in silence: a preset means all units of the system.
    pub(crate) is_preset: bool,
}

impl Work<'_> {
    /// Makes the links that units, by name or by absolute path, ask for in their `[Install]` sections.
    ///
    /// # Errors
    /// When a unit can't be enabled at all; then nothing is done.
    pub fn enable(&mut self, names: &[String], options: Options) -> Result<(), Problem> {
        let mut pool = Pool::default();
        for name in names {
            self.discover_own(&mut pool, name, Search::LOAD)?;
        }
        self.apply(
            &mut pool,
            Search::APPLY,
            Making {
                options,
                is_preset: false,
            },
        )
    }

    /// Makes a target want, or require, units, whatever these say themselves.
    ///
    /// # Errors
    /// When the target or a unit is not there or masked.
    pub fn add(
        &mut self,
        target: &str,
        names: &[String],
        requires: bool,
        options: Options,
    ) -> Result<(), Problem> {
        let mut pool = Pool::default();
        let mut ends = Pool::default();
        let end = self.discover_own(&mut ends, target, Search::FOLLOW)?;
        let end = ends.0.get(end).map(|info| info.name.to_string());
        for name in names {
            let at = self.discover_own(&mut pool, name, Search::FOLLOW)?;
            let Some(info) = pool.0.get_mut(at) else {
                continue;
            };
            let list = if requires {
                &mut info.section.required_by
            } else {
                &mut info.section.wanted_by
            };
            *list = end.iter().cloned().collect();
        }
        let search = Search::BARE;
        self.apply(
            &mut pool,
            search,
            Making {
                options,
                is_preset: false,
            },
        )
    }

    /// Makes a target the one that is started at boot.
    ///
    /// # Errors
    /// When it is no target, or can't be found without links of the administrator.
    pub fn set_default(&mut self, name: &str) -> Result<(), Problem> {
        let is_target = UnitName::new(name).is_ok_and(|name| name.kind() == UnitKind::Target);
        if !is_target || name == DEFAULT {
            return Err(Problem::NoDefault(name.to_owned()));
        }
        let mut pool = Pool::default();
        let at = self.discover_own(&mut pool, name, Search::BARE)?;
        let place = pool.0.get(at).map(Info::place).unwrap_or_default();
        self.link_to(&place, self.places.config.join(DEFAULT), true)
    }

    /// The target that is started at boot.
    ///
    /// # Errors
    /// When there is none, or it is masked.
    pub fn default_target(&self) -> Result<String, Problem> {
        let mut pool = Pool::default();
        let at = self.discover_own(&mut pool, DEFAULT, Search::FOLLOW)?;
        let name = pool.0.get(at).map(|info| info.name.to_string());
        Ok(name.unwrap_or_default())
    }

    /// Makes links to unit files elsewhere, so that they are found.
    ///
    /// # Errors
    /// When a path leads to no unit file; then nothing is done.
    pub fn link(&mut self, paths: &[String], options: Options) -> Result<(), Problem> {
        let mut links = Vec::new();
        for text in paths {
            let path = Path::new(text);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !text.starts_with('/') || UnitName::new(&name).is_err() {
                return Err(Problem::NotAPath(text.clone()));
            }
            let path = &plain(path);
            let look = self.draft.look(path);
            match look.map_err(|error| unreadable(path, error))? {
                Look::Missing => return Err(Problem::NoSuchUnit(text.clone())),
                Look::File(_) | Look::Empty => {}
                Look::Link(_) | Look::Other => return Err(Problem::NotAFile(path.clone())),
            }
            if !self.places.is_on_path(path) {
                links.push((path.clone(), name.into_owned()));
            }
        }
        for (path, name) in links {
            let at = self.places.target(options.runtime).join(name);
            self.attempt(&path, at, options.force);
        }
        Ok(())
    }

    /// Makes links to `/dev/null`, so that units can't be started.
    pub fn mask(&mut self, names: &[String], options: Options) {
        for name in names {
            if UnitName::new(name).is_err() {
                self.outcome.problems.push(Problem::BadName(name.clone()));
                continue;
            }
            let at = self.places.target(options.runtime).join(name);
            self.attempt(Path::new("/dev/null"), at, options.force);
        }
    }

    /// Makes the links of all units of a pool, and of those that come along.
    pub(crate) fn apply(
        &mut self,
        pool: &mut Pool,
        search: Search,
        making: Making,
    ) -> Result<(), Problem> {
        while let Some(at) = pool.next() {
            let info = pool.0.get(at).cloned();
            let Some(info) = info else { break };
            match self.traverse(pool, at, search) {
                Ok(_) => {}
                Err(_) if info.is_auxiliary => {
                    self.outcome.notices.push(Notice::NoAuxiliary(info.name));
                    continue;
                }
                Err(lost) => return Err(lost.problem(info.name.as_str())),
            }
            let Some(info) = pool.0.get(at).cloned() else {
                break;
            };
            match info.mode {
                Some(Mode::Masked) => {
                    self.outcome.has_rules = true;
                    self.outcome.notices.push(Notice::Masked(info.place()));
                }
                Some(Mode::Regular) => self.make_links(&info, making),
                _ => {}
            }
        }
        Ok(())
    }

    fn make_links(&mut self, info: &Info, making: Making) {
        let section = &info.section;
        self.outcome.has_rules |= section.has_rules();
        let own = self.make_known(info, making.options);
        for alias in &section.aliases {
            if let Err(problem) = self.make_alias(info, alias, &own, making.options) {
                self.outcome.problems.push(problem);
            }
        }
        for (list, relation) in [
            (&section.wanted_by, Relation::Wants),
            (&section.required_by, Relation::Requires),
            (&section.upheld_by, Relation::Upholds),
        ] {
            if let Err(problem) = self.make_wanted(info, list, relation, making) {
                self.outcome.problems.push(problem);
            }
        }
    }

    /// Makes a unit from elsewhere known. Returns where the unit is found then: only there can other names lead.
    fn make_known(&mut self, info: &Info, options: Options) -> PathBuf {
        let place = info.place();
        if self.places.is_on_path(&place) {
            return place;
        }
        let at = self.places.target(options.runtime);
        let at = at.join(info.name.as_str());
        self.attempt(&place, at.clone(), options.force);
        at
    }

    fn make_alias(
        &mut self,
        info: &Info,
        alias: &str,
        own: &Path,
        options: Options,
    ) -> Result<(), Problem> {
        let alias = info.section.expand(alias, &info.name, self.context)?;
        let Some(alias) = checked_alias(info, &alias)? else {
            return Ok(());
        };
        let at = self.places.target(options.runtime).join(alias);
        // A link to nothing is nobody's.
        let is_broken = matches!(self.draft.look(&at), Ok(Look::Link(_)))
            && matches!(self.draft.followed(&at), Ok(Look::Missing));
        self.link_to(own, at, options.force || is_broken)
    }

    /// Links below `TARGET.wants` and its kin.
    fn make_wanted(
        &mut self,
        info: &Info,
        list: &[String],
        relation: Relation,
        making: Making,
    ) -> Result<(), Problem> {
        if list.is_empty() {
            return Ok(());
        }
        let name = info.section.instance_of(&info.name);
        let place = info.place();
        if name != info.name {
            self.check_instance(&name)?;
        }
        for target in list {
            let target = info.section.expand(target, &info.name, self.context)?;
            let target = match wanting(&target, &name) {
                Ok(target) => target,
                Err(_) if making.is_preset => continue,
                Err(problem) => {
                    self.outcome.problems.push(problem);
                    continue;
                }
            };
            let folder = format!("{target}.{}", relation.suffix());
            let directory = self.places.target(making.options.runtime);
            let at = directory.join(folder).join(name.as_str());
            self.attempt(&place, at, true);
            if !self.exists(&target) {
                self.outcome.notices.push(Notice::NobodyWants {
                    target: target.to_string(),
                    unit: info.place(),
                });
            }
        }
        Ok(())
    }

    /// A template's default instance may be masked for itself.
    fn check_instance(&self, name: &UnitName) -> Result<(), Problem> {
        let mut pool = Pool::default();
        let at = pool.add(name.clone(), None, false);
        let end = self.traverse(&mut pool, at, Search::FOLLOW);
        let end = end.map_err(|lost| lost.problem(name.as_str()))?;
        match pool.0.get(end) {
            Some(info) if info.mode == Some(Mode::Masked) => Err(Problem::Masked(info.place())),
            _ => Ok(()),
        }
    }

    /// Whether a unit of that name can be found.
    fn exists(&self, name: &UnitName) -> bool {
        let mut pool = Pool::default();
        let at = pool.add(name.clone(), None, false);
        !matches!(
            self.traverse(&mut pool, at, Search::BARE),
            Err(Lost::Missing | Lost::Dangling)
        )
    }

    fn attempt(&mut self, target: &Path, at: PathBuf, force: bool) {
        if let Err(problem) = self.link_to(target, at, force) {
            self.outcome.problems.push(problem);
        }
    }

    /// One link; nothing where it is there already.
    fn link_to(&mut self, target: &Path, at: PathBuf, force: bool) -> Result<(), Problem> {
        let target = self.text_of(target, &at);
        let look = self.draft.look(&at);
        match look.map_err(|error| unreadable(&at, error))? {
            Look::Missing => {}
            Look::Link(there) if self.is_same(&at, &there, &target) => return Ok(()),
            Look::Link(_) if force => {
                self.outcome.changes.push(Change::Unlink { at: at.clone() });
            }
            Look::Link(there) => {
                return Err(Problem::Exists {
                    at,
                    target: Some(there),
                });
            }
            _ => return Err(Problem::Exists { at, target: None }),
        }
        self.draft.put(&at, &target);
        self.outcome.changes.push(Change::Link { at, target });
        Ok(())
    }

    /// A unit that is no file is named beside the link, where no file of that name is.
    fn text_of(&self, target: &Path, at: &Path) -> PathBuf {
        let built_in = self.places.built_in.as_deref();
        let (Some(name), true) = (
            target.file_name(),
            built_in.is_some() && target.parent() == built_in,
        ) else {
            return target.to_owned();
        };
        let is_side =
            at.parent() != Some(&self.places.config) && at.parent() != Some(&self.places.runtime);
        if is_side {
            Path::new("..").join(name)
        } else {
            PathBuf::from(name)
        }
    }

    fn is_same(&self, at: &Path, one: &Path, other: &Path) -> bool {
        let parent = at.parent().unwrap_or(Path::new("/"));
        let end = |target: &Path| self.draft.resolve(&parent.join(target)).ok();
        one == other || end(one) == end(other)
    }
}

/// A path without `.` and empty parts.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// The name that an Alias= asks for; none where it is the unit's own.
fn checked_alias(info: &Info, alias: &str) -> Result<Option<PathBuf>, Problem> {
    let bad = || Problem::BadAlias {
        alias: alias.to_owned(),
        target: info.name.to_string(),
    };
    if let Some((folder, link)) = alias.rsplit_once('/') {
        let link = UnitName::new(link).map_err(|_| bad())?;
        let target = folder
            .strip_suffix(".wants")
            .or_else(|| folder.strip_suffix(".requires"))
            .and_then(|target| UnitName::new(target).ok());
        let target = target.ok_or_else(bad)?;
        return match stands_for(&link, &info.name, target.is_template()) {
            true => Ok(Some(PathBuf::from(alias))),
            false => Err(bad()),
        };
    }
    let name = UnitName::new(alias).map_err(|_| bad())?;
    let name = match info.name.instance() {
        Some(instance) if name.is_template() => name.with_instance(instance).map_err(|_| bad())?,
        _ => name,
    };
    if name == info.name {
        return Ok(None);
    }
    match is_alias(&name, &info.name) {
        true => Ok(Some(PathBuf::from(name.as_str()))),
        false => Err(bad()),
    }
}

/// The unit that is to want `name`.
fn wanting(target: &str, name: &UnitName) -> Result<UnitName, Problem> {
    let target = UnitName::new(target).map_err(|_| Problem::BadName(target.to_owned()))?;
    let gives_instance = target.is_template() || target.instance().is_some();
    if name.is_template() && !gives_instance {
        return Err(Problem::NeedsInstance {
            unit: name.to_string(),
            by: target.to_string(),
        });
    }
    Ok(target)
}

impl Section {
    /// Whether it names units that come along.
    pub(crate) fn has_also(&self) -> bool {
        !self.also.is_empty()
    }
}
