//! The index of the unit directories: which names have a file, which are other names for them, which side directories exist.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use model::sorted::{Map, Set};
use model::{UnitKind, UnitName};

use crate::paths::SearchPath;
use crate::side::SUFFIXES;
use crate::tree::{Named, Tree, link_target};

/// Most hops from one name to the next; the reference's own limit, which also ends circles.
const MAX_ALIAS_HOPS: usize = 8;

/// What a unit's name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file of that name in this place of the search path.
    File {
        place: u32,
        /// A link out of the unit directories.
        is_link: bool,
    },
    /// Another name for a unit.
    Alias(UnitName),
}

/// Everything that is known from names alone. It is a picture of one moment: make a new one to see what changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    entries: BTreeMap<UnitName, Entry>,
    /// The kinds of which there are any.
    kinds: Vec<UnitKind>,
    /// For each unit the names that are links to it.
    aliases: Map<UnitName, Set<UnitName>>,
    /// `NAME.d`, `NAME.wants` …: for each the places on the search path, by their number there.
    side: Map<String, Vec<usize>>,
    /// The same names without the suffix.
    stems: Set<String>,
    /// Links that name units in a way that the rules forbid, with the reason.
    pub(crate) refused: Vec<(PathBuf, String)>,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The unit's own name.
    pub(crate) id: UnitName,
    /// Its own name and every other one, sorted.
    pub(crate) names: Set<UnitName>,
    /// Its main file.
    pub(crate) fragment: Option<Fragment>,
}

/// A unit's main file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) path: PathBuf,
    /// A link out of the unit directories.
    pub(crate) is_link: bool,
}

impl Index {
    /// Reads the names in all directories; one that can't be read is refused with its reason, and the others count.
    pub(crate) fn scan(path: &SearchPath, tree: &dyn Tree) -> Self {
        let mut index = Self::default();
        for (number, directory) in path.directories().iter().enumerate() {
            if let Err(error) = index.scan_directory(number, directory, path, tree) {
                index.refused.push((
                    directory.clone(),
                    format!("the directory can't be read: {error}"),
                ));
            }
        }
        index
    }

    fn scan_directory(
        &mut self,
        number: usize,
        directory: &Path,
        path: &SearchPath,
        tree: &dyn Tree,
    ) -> io::Result<()> {
        for named in tree.entries(directory)? {
            self.add((number, directory), named, path, tree)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        (number, directory): (usize, &Path),
        Named { name, is_link }: Named,
        path: &SearchPath,
        tree: &dyn Tree,
    ) -> io::Result<()> {
        let stem = |suffix: &&str| name.strip_suffix(suffix);
        if let Some(stem) = SUFFIXES.iter().find_map(stem) {
            self.stems.insert(stem.to_owned());
            self.side.entry(name).or_default().push(number);
            return Ok(());
        }
        let Ok(unit) = UnitName::new(&name) else {
            return Ok(());
        };
        if self.entries.contains_key(&unit) {
            return Ok(());
        }
        let place = u32::try_from(number).unwrap_or(u32::MAX);
        if is_link {
            let at = directory.join(&name);
            if let Some(target) = tree.link(&at)? {
                self.add_link(unit, (place, &at), &link_target(&at, &target), path);
                return Ok(());
            }
        }
        let is_link = false;
        self.add_file(unit, Entry::File { place, is_link });
        Ok(())
    }

    /// A link within the unit directories gives a unit another name; one that leads out of them, or to its own name, is a file.
    fn add_link(
        &mut self,
        unit: UnitName,
        (place, at): (u32, &Path),
        target: &Path,
        path: &SearchPath,
    ) {
        let inside = target.parent().is_some_and(|parent| path.contains(parent));
        let name = target.file_name().and_then(|name| name.to_str());
        let target_name = name
            .filter(|_| inside)
            .and_then(|name| UnitName::new(name).ok());
        match target_name {
            Some(other) if other != unit => match forbidden(&unit, &other) {
                Some(reason) => self.refused.push((at.to_owned(), reason)),
                None => self.add_alias(unit, other),
            },
            _ => {
                let is_link = true;
                self.add_file(unit, Entry::File { place, is_link });
            }
        }
    }

    fn add_file(&mut self, unit: UnitName, file: Entry) {
        if !self.kinds.contains(&unit.kind()) {
            self.kinds.push(unit.kind());
        }
        self.entries.insert(unit, file);
    }

    /// Whether there is a file of this kind at all.
    pub(crate) fn has_any(&self, kind: UnitKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// The units of a kind that have files or are other names of such.
    pub(crate) fn of_kind(&self, kind: UnitKind) -> impl Iterator<Item = &UnitName> {
        let names = self.entries.keys();
        names.filter(move |name| name.kind() == kind)
    }

    fn add_alias(&mut self, unit: UnitName, other: UnitName) {
        self.aliases
            .entry(other.clone())
            .or_default()
            .insert(unit.clone());
        self.entries.insert(unit, Entry::Alias(other));
    }

    /// Follows a name to its unit; none if its aliases lead in a circle.
    pub(crate) fn find(&self, name: &UnitName, path: &SearchPath) -> Option<Found> {
        let mut id = name.clone();
        for _ in 0..=MAX_ALIAS_HOPS {
            match self.step(&id) {
                Some((_, Entry::Alias(next))) => id = carry_instance(&id, next),
                Some((known, Entry::File { place, is_link })) => {
                    let directory = path.directories().get(*place as usize)?;
                    let fragment = Fragment {
                        path: directory.join(known.as_str()),
                        is_link: *is_link,
                    };
                    return Some(self.found(id, name, Some(fragment)));
                }
                None => return Some(self.found(id, name, None)),
            }
        }
        None
    }

    /// An instance without an entry of its own is what its template is.
    fn step(&self, name: &UnitName) -> Option<(&UnitName, &Entry)> {
        self.entries
            .get_key_value(name)
            .or_else(|| self.entries.get_key_value(&name.template()?))
    }

    /// Whether every name leads to the same name by this index as by the other one.
    pub(crate) fn resolves_like(&self, other: &Self) -> bool {
        self.aliases == other.aliases && self.hiding().eq(other.hiding())
    }

    /// The instances whose own files hide that their templates are other names.
    fn hiding(&self) -> impl Iterator<Item = &UnitName> {
        let mut aliases = self.aliases.values().flatten();
        let has_templates = aliases.any(UnitName::is_template);
        let is_alias = move |name: &UnitName| {
            let template = name.template().filter(|_| has_templates);
            let entry = template.and_then(|name| self.entries.get(&name));
            matches!(entry, Some(Entry::Alias(_)))
        };
        let files = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry, Entry::File { .. }));
        files
            .map(|(name, _)| name)
            .filter(move |name| is_alias(name))
    }

    /// Whether there is any `NAME.d`, `NAME.wants` … of this name.
    pub(crate) fn has_side(&self, name: &str) -> bool {
        self.stems.contains(name)
    }

    fn found(&self, id: UnitName, asked: &UnitName, fragment: Option<Fragment>) -> Found {
        let mut names = Set::from([id.clone(), asked.clone()]);
        self.add_names_of(&id, &mut names, MAX_ALIAS_HOPS);
        Found {
            id,
            names,
            fragment,
        }
    }

    fn add_names_of(&self, id: &UnitName, names: &mut Set<UnitName>, hops: usize) {
        let own = self.aliases.get(id).into_iter().flatten().cloned();
        let of_template = id
            .template()
            .and_then(|template| self.aliases.get(&template))
            .into_iter()
            .flatten();
        let instances = of_template
            .filter(|alias| alias.is_template())
            .filter_map(|alias| alias.with_instance(id.instance()?).ok());
        for alias in own.chain(instances) {
            if names.insert(alias.clone()) && hops > 0 {
                self.add_names_of(&alias, names, hops - 1);
            }
        }
    }

    /// The places of a side directory such as `web.service.d` on the search path.
    pub(crate) fn side(&self, name: &str) -> &[usize] {
        self.side.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every name that has a file or is another name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &UnitName> {
        self.entries.keys()
    }
}

/// A link from an instance to a template means the template's instance of the same text.
fn carry_instance(from: &UnitName, to: &UnitName) -> UnitName {
    match from.instance() {
        Some(instance) if to.is_template() => {
            to.with_instance(instance).unwrap_or_else(|_| to.clone())
        }
        _ => to.clone(),
    }
}

/// Which names may be links to which, after systemd.unit(5).
fn forbidden(link: &UnitName, target: &UnitName) -> Option<String> {
    let reason = if link.kind() != target.kind() {
        "the two are of different kinds"
    } else if link.is_template() && !target.is_template() {
        "a template can only be another name for a template"
    } else if link.instance().is_none() && !link.is_template() && target.is_template() {
        "a unit that is no instance can't be another name for a template"
    } else if link.instance().is_some()
        && target
            .instance()
            .is_some_and(|instance| Some(instance) != link.instance())
    {
        "the two are different instances"
    } else {
        return None;
    };
    Some(format!(
        "{link} can't be another name for {target}: {reason}"
    ))
}
