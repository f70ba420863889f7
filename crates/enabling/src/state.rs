//! Whether a unit is enabled: what its links say.

use std::collections::BTreeSet;
use std::path::Path;

use model::UnitName;

use crate::Work;
use crate::change::Problem;
use crate::find::{Info, Mode, Pool, Search, unreadable};

/// The states of unit files, by the words of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Links lead to it as its `[Install]` section asks.
    Enabled,
    /// The same, until the next reboot.
    EnabledRuntime,
    /// A link makes a file from elsewhere known.
    Linked,
    /// The same, until the next reboot.
    LinkedRuntime,
    /// The name is another unit's.
    Alias,
    /// It can't be started.
    Masked,
    /// The same, until the next reboot.
    MaskedRuntime,
    /// It can't be enabled, as it does not say how.
    Static,
    /// It can be enabled and is not.
    Disabled,
    /// It is not enabled itself; others that belong to it may be.
    Indirect,
    /// A generator made it.
    Generated,
    /// It exists only at run time.
    Transient,
    /// It can't be read.
    Bad,
}

impl State {
    /// The word of the reference.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            State::Enabled => "enabled",
            State::EnabledRuntime => "enabled-runtime",
            State::Linked => "linked",
            State::LinkedRuntime => "linked-runtime",
            State::Alias => "alias",
            State::Masked => "masked",
            State::MaskedRuntime => "masked-runtime",
            State::Static => "static",
            State::Disabled => "disabled",
            State::Indirect => "indirect",
            State::Generated => "generated",
            State::Transient => "transient",
            State::Bad => "bad",
        }
    }

    /// Whether `is-enabled` says yes.
    #[must_use]
    pub const fn is_enabled(self) -> bool {
        matches!(
            self,
            State::Enabled
                | State::EnabledRuntime
                | State::Static
                | State::Alias
                | State::Indirect
                | State::Generated
        )
    }

    /// Whether a preset could say anything of it.
    #[must_use]
    pub const fn has_preset(self) -> bool {
        !matches!(
            self,
            State::Alias | State::Static | State::Generated | State::Transient
        )
    }
}

/// Links of a unit, in one directory.
#[derive(Default)]
struct Links {
    /// Some that count.
    found: bool,
    /// One of the unit's own name, beside its files.
    same_name: bool,
}

/// What is looked for.
struct Sought<'a> {
    info: &'a Info,
    /// Only names that the unit's `[Install]` section gives it.
    own_names: Option<BTreeSet<String>>,
}

/// Whether a link among wanted units is to a unit, or to an instance of it.
fn wanted_as(link: &str, unit: &UnitName) -> bool {
    link == unit.as_str()
        || UnitName::new(link).is_ok_and(|link| link.template().as_ref() == Some(unit))
}

impl Work<'_> {
    /// The state of a unit's file.
    ///
    /// # Errors
    /// When there is none, or its links are wrong.
    pub fn state(&self, name: &str) -> Result<State, Problem> {
        let mut pool = Pool::default();
        let at = self.discover(&mut pool, name, Search::LOAD)?;
        let Some(info) = pool.0.get(at) else {
            return Ok(State::Bad);
        };
        let place = info.place();
        match info.mode {
            Some(Mode::Masked) if self.places.is_volatile(&place) => Ok(State::MaskedRuntime),
            Some(Mode::Masked) => Ok(State::Masked),
            Some(Mode::Regular) => self.state_of(name, info, &place),
            _ => Ok(State::Bad),
        }
    }

    fn state_of(&self, asked: &str, info: &Info, place: &Path) -> Result<State, Problem> {
        let own = place.file_name().and_then(|name| name.to_str());
        if own != Some(asked) && info.name.instance().is_none() {
            return Ok(State::Alias);
        }
        if self.places.is_generated(place) {
            return Ok(State::Generated);
        }
        if self.places.is_transient(place) {
            return Ok(State::Transient);
        }
        let own_names = Some(self.own_names(info));
        if let Some(state) = self.linked(&Sought { info, own_names })? {
            return Ok(state);
        }
        let any = Sought {
            info,
            own_names: None,
        };
        Ok(match self.linked(&any)? {
            Some(_) => State::Indirect,
            None if info.section.has_rules() => State::Disabled,
            None if info.section.has_also() => State::Indirect,
            None => State::Static,
        })
    }

    fn own_names(&self, info: &Info) -> BTreeSet<String> {
        let mut names = BTreeSet::from([info.name.to_string()]);
        names.extend(info.section.aliases.iter().cloned());
        names.insert(info.section.instance_of(&info.name).to_string());
        names
    }

    /// What the links to a unit say, over all directories.
    fn linked(&self, sought: &Sought) -> Result<Option<State>, Problem> {
        let place = sought.info.place();
        let (mut in_runtime, mut anywhere, mut hidden) = (false, false, false);
        let (mut linked, mut linked_runtime) = (false, false);
        for directory in self.places.path.directories() {
            let links = self.links_in(directory, sought, hidden)?;
            let is_config = *directory == self.places.config;
            let is_runtime = self.places.is_volatile(directory);
            if links.found && is_config {
                return Ok(Some(State::Enabled));
            } else if links.found {
                in_runtime |= is_runtime;
                anywhere |= !is_runtime;
            } else if links.same_name {
                linked |= is_config;
                linked_runtime |= is_runtime && !is_config;
            }
            // What is below the unit's own file is hidden by it.
            hidden |= place.starts_with(directory);
        }
        Ok(if in_runtime {
            Some(State::EnabledRuntime)
        } else if anywhere && sought.info.name.instance().is_some() {
            Some(State::Static)
        } else if linked {
            Some(State::Linked)
        } else if linked_runtime {
            Some(State::LinkedRuntime)
        } else {
            None
        })
    }

    fn links_in(&self, directory: &Path, sought: &Sought, hidden: bool) -> Result<Links, Problem> {
        let mut links = Links::default();
        let entries = self.draft.entries(directory);
        let entries = entries.map_err(|error| unreadable(directory, error))?;
        for named in &entries {
            let is_side = [".wants", ".requires", ".upholds"]
                .iter()
                .any(|suffix| named.name.ends_with(suffix));
            if is_side && !named.is_link {
                self.scan(
                    &directory.join(&named.name),
                    sought,
                    hidden,
                    (true, &mut links),
                )?;
            }
        }
        self.scan(directory, sought, hidden, (false, &mut links))?;
        Ok(links)
    }

    fn scan(
        &self,
        directory: &Path,
        sought: &Sought,
        hidden: bool,
        (is_side, links): (bool, &mut Links),
    ) -> Result<(), Problem> {
        let entries = self.draft.entries(directory);
        let entries = entries.map_err(|error| unreadable(directory, error))?;
        let name = sought.info.name.as_str();
        for named in entries.iter().filter(|named| named.is_link) {
            let at = directory.join(&named.name);
            let target = self.draft.link(&at);
            let Some(target) = target.map_err(|error| unreadable(&at, error))? else {
                continue;
            };
            let by_name = match is_side {
                true => wanted_as(&named.name, &sought.info.name),
                false => !hidden && named.name == name,
            };
            let by_target = !is_side && target.file_name().is_some_and(|end| end == name);
            if by_name && by_target {
                links.same_name = true;
            } else if by_name || by_target {
                let known = |names: &BTreeSet<String>| names.contains(&named.name);
                links.found |= sought.own_names.as_ref().is_none_or(known);
            }
        }
        Ok(())
    }

    /// Every name that has a file or a link on the search path, sorted.
    ///
    /// # Errors
    /// When a directory can't be read.
    pub fn names(&self) -> Result<Vec<UnitName>, Problem> {
        let mut names = BTreeSet::new();
        for directory in self.places.path.directories() {
            let entries = self.draft.entries(directory);
            let entries = entries.map_err(|error| unreadable(directory, error))?;
            names.extend(
                entries
                    .iter()
                    .filter_map(|one| UnitName::new(&one.name).ok()),
            );
        }
        Ok(names.into_iter().collect())
    }
}
