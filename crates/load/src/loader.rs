//! The loader: a unit's name to a typed unit, with everything that was found on the way.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::sorted::Map;
use model::support::unsupported;
use model::{Directive, Unit, UnitKind, UnitName};
use syntax::{Diagnostic, Severity, parse};

use crate::assign::{Assembly, Ignored};
use crate::digest::Digest;
use crate::index::{Found, Fragment, Index};
use crate::origin::Origins;
use crate::paths::SearchPath;
use crate::side::{
    DROP_INS, SUFFIXES, WANTED, directories, drop_ins, has_any, read_text, side_digest, wanted,
};
use crate::specifier::{SpecifierContext, Specifiers};
use crate::tree::{Tree, link_target};
use crate::whole::defect;

/// Whether a unit can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoadState {
    /// It can.
    Loaded,
    /// There is no file of that name.
    NotFound,
    /// Its file is empty or a link to /dev/null: it is not to be used.
    Masked,
    /// A value without which it can't work is wrong.
    BadSetting,
    /// Its file can't be read or is malformed.
    Error,
}

impl LoadState {
    /// The word that the reference shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LoadState::Loaded => "loaded",
            LoadState::NotFound => "not-found",
            LoadState::Masked => "masked",
            LoadState::BadSetting => "bad-setting",
            LoadState::Error => "error",
        }
    }
}

impl std::fmt::Display for LoadState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A unit as its files say, and how they were found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The typed unit; its name is the unit's own, whatever name was asked for.
    pub unit: Unit,
    /// Its own name and all aliases, sorted.
    pub names: Vec<UnitName>,
    /// Whether it can be used.
    pub state: LoadState,
    /// Everything that is wrong with its files.
    pub diagnostics: Vec<Diagnostic>,
    /// The values that the table did not take; each has its diagnostic, too.
    pub ignored: Vec<Ignored>,
    /// What names that no directive has were probably meant to be.
    pub misspelt: Vec<Directive>,
    /// Where each value comes from.
    pub origins: Origins,
    /// The main file, a link out of the unit directories already followed.
    pub fragment: Option<PathBuf>,
    /// The drop-ins that were read, in order.
    pub drop_ins: Vec<PathBuf>,
    /// The version of all that it was made of, as [`Look::version`] has it.
    pub version: Option<u64>,
    /// The versions of its own files, as [`Loader::files_now`] has them.
    pub files: Option<u64>,
}

/// Loads units from a tree. What has a file, and which names are aliases, is read once, by [`Loader::new`], and again by
/// [`Loader::refresh`] (`daemon-reload`).
#[derive(Debug)]
pub struct Loader<T> {
    path: SearchPath,
    tree: T,
    index: Index,
    context: SpecifierContext,
    /// The versions of the directories of the path when the index was made; none where a change could have been missed.
    places: Option<u64>,
    /// Counts the changes that concern all units.
    generation: u32,
}

impl<T: Tree> Loader<T> {
    /// Reads the unit directories' names.
    pub fn new(path: SearchPath, tree: T) -> Self {
        let mut loader = Self::unread(tree);
        loader.refresh(path, SpecifierContext::default());
        loader
    }

    /// Knows no unit before it is refreshed.
    pub fn unread(tree: T) -> Self {
        Self {
            path: SearchPath::default(),
            tree,
            index: Index::default(),
            context: SpecifierContext::default(),
            places: None,
            generation: 0,
        }
    }

    /// Reads the unit directories' names again, if they may have changed. What concerns all units, another path, other aliases, or
    /// specifiers that say something else, makes every unit another version.
    pub fn refresh(&mut self, path: SearchPath, context: SpecifierContext) {
        let is_path_same = path == self.path;
        let places = places(&path, &self.tree);
        let mut is_same = is_path_same && context == self.context;
        if !is_path_same || places.is_none() || places != self.places {
            let index = Index::scan(&path, &self.tree);
            is_same &= index.resolves_like(&self.index);
            self.index = index;
        }
        (self.path, self.context, self.places) = (path, context, places);
        self.generation = self.generation.wrapping_add(u32::from(!is_same));
    }

    /// The same with what specifiers say about this host.
    #[must_use]
    pub fn with_context(mut self, context: SpecifierContext) -> Self {
        self.context = context;
        self
    }

    /// What specifiers say about this host.
    pub fn context(&self) -> &SpecifierContext {
        &self.context
    }

    /// The directories that are searched.
    pub fn path(&self) -> &SearchPath {
        &self.path
    }

    /// Every name that has a file or is an alias, templates among them, sorted.
    pub fn names(&self) -> impl Iterator<Item = &UnitName> {
        self.index.names()
    }

    /// What is wrong with the unit directories themselves.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.index
            .refused
            .iter()
            .map(|(path, reason)| finding(Severity::Warning, path, reason))
            .collect()
    }

    /// The unit's own name, which differs from the name given where that is an alias; none where aliases lead in a circle.
    pub fn resolve(&self, name: &UnitName) -> Option<UnitName> {
        self.index.find(name, &self.path).map(|found| found.id)
    }

    /// Whether a unit has a file of its own, or is an alias of one that has.
    #[must_use]
    pub fn has_file(&self, name: &UnitName) -> bool {
        let found = self.index.find(name, &self.path);
        found.is_some_and(|found| found.fragment.is_some())
    }

    /// The units of a kind that have files, and their other names, sorted.
    #[must_use]
    pub fn with_files(&self, kind: UnitKind) -> Vec<UnitName> {
        self.index.of_kind(kind).cloned().collect()
    }

    /// Whether there is a file of this kind at all.
    #[must_use]
    pub fn has_any(&self, kind: UnitKind) -> bool {
        self.index.has_any(kind)
    }

    /// The versions of a unit's main file and drop-ins by now, also of those in directories that came since the names were read; none if
    /// that can't be told.
    pub fn files_now(&self, name: &UnitName) -> Option<u64> {
        let found = self.index.find(name, &self.path)?;
        let seen = self.look().see(&found, None, &[DROP_INS]).ok()?;
        Some(seen.number)
    }

    /// Looks at which units changed, each directory once.
    pub fn look(&self) -> Look<'_, T> {
        Look {
            loader: self,
            sides: RefCell::default(),
        }
    }

    /// Loads a unit. It never fails: the state says whether the unit can be used, the diagnostics say what is wrong.
    pub fn load(&self, name: &UnitName) -> Loaded {
        let Some(found) = self.index.find(name, &self.path) else {
            let message = format!("the links that make {name} another name lead in a circle");
            let mut loaded = Loaded::empty(name.clone(), LoadState::Error);
            loaded.diagnostics.push(Diagnostic::of_file(
                Severity::Error,
                &name.as_str().into(),
                message,
            ));
            return loaded;
        };
        let state = if needs_file(found.id.kind()) {
            LoadState::NotFound
        } else {
            LoadState::Loaded
        };
        if found.fragment.is_none() && state == LoadState::NotFound {
            return Loaded::empty(found.id, state).named(found.names);
        }
        // Before they are read: what changes meanwhile is seen by the next look.
        let version = self.look().version_of(&found);
        let files = self.look().see(&found, Some(&self.index), &[DROP_INS]);
        let loaded = self.read(&found);
        Loaded {
            // What could not be read may be there at the next try.
            version: version.filter(|_| loaded.version.is_some()),
            files: files.ok().map(|seen| seen.number),
            ..loaded
        }
    }

    fn read(&self, found: &Found) -> Loaded {
        let Some(Fragment { path, is_link }) = &found.fragment else {
            return self.assemble(found, None);
        };
        let unusable = |state| {
            Loaded::empty(found.id.clone(), state)
                .named(found.names.iter().cloned())
                .with_fragment(path)
        };
        match read_text(path, &self.tree) {
            Ok(Some(bytes)) => {
                let real = match is_link {
                    true => self.real_path(path),
                    false => path.clone(),
                };
                self.assemble(found, Some((real, bytes)))
            }
            Ok(None) => Loaded {
                version: Some(0),
                ..unusable(LoadState::Masked)
            },
            Err(reason) => Loaded {
                diagnostics: vec![finding(Severity::Error, path, &reason)],
                ..unusable(LoadState::Error)
            },
        }
    }

    /// A link out of the unit directories is one step to the real file; `%y` means that one.
    fn real_path(&self, fragment: &Path) -> PathBuf {
        match self.tree.link(fragment) {
            Ok(Some(target)) => link_target(fragment, &target),
            _ => fragment.to_owned(),
        }
    }

    fn assemble(&self, found: &Found, fragment: Option<(PathBuf, Vec<u8>)>) -> Loaded {
        let path = fragment.as_ref().map(|(path, _)| path.as_path());
        let specifiers = Specifiers::new(&found.id, path, &self.context).on_host(&self.tree);
        let mut assembly = Assembly::new(Unit::new(found.id.clone()));
        let is_cut = fragment
            .as_ref()
            .is_some_and(|(path, bytes)| add_file(&mut assembly, path, bytes, &specifiers));
        let (mut drop_ins, mut is_whole) = (Vec::new(), true);
        if has_any(found, &self.index) {
            (drop_ins, is_whole) = self.add_drop_ins(found, &mut assembly, &specifiers);
            is_whole &= self.add_wanted(found, &mut assembly, &specifiers);
        }
        // A zone that comes is in none of the unit's files.
        is_whole &= !specifiers.lacks_zone();
        if let Some(defect) = defect(&assembly.unit) {
            let file = path.unwrap_or(Path::new(found.id.as_str()));
            assembly
                .diagnostics
                .push(finding(Severity::Error, file, defect));
            assembly.is_bad = true;
        } else if let Some(reason) = unsupported(&assembly.unit) {
            let file = path.unwrap_or(Path::new(found.id.as_str()));
            let message = format!("{reason} The unit can't be started");
            assembly
                .diagnostics
                .push(finding(Severity::Error, file, &message));
        }
        Loaded {
            names: found.names.iter().cloned().collect(),
            fragment: fragment.map(|(path, _)| path),
            drop_ins,
            version: is_whole.then_some(0),
            ..finished(assembly, is_cut)
        }
    }

    /// The drop-ins that were read, and whether there is none that could not be.
    fn add_drop_ins(
        &self,
        found: &Found,
        assembly: &mut Assembly,
        specifiers: &Specifiers,
    ) -> (Vec<PathBuf>, bool) {
        let places = directories(found, DROP_INS, Some(&self.index), &self.path);
        let drop_ins = match drop_ins(&places, &self.tree) {
            Ok(drop_ins) => drop_ins,
            Err(error) => {
                // A drop-in may be what sandboxes the unit, so it must not run without.
                let file = found.id.as_str().into();
                let message = format!("the drop-in directories can't be read: {error}");
                assembly
                    .diagnostics
                    .push(Diagnostic::of_file(Severity::Error, &file, message));
                assembly.is_bad = true;
                return (Vec::new(), false);
            }
        };
        let is_whole = drop_ins.refused.is_empty();
        for (path, reason) in &drop_ins.refused {
            assembly
                .diagnostics
                .push(finding(Severity::Warning, path, reason));
        }
        for (path, bytes) in &drop_ins.files {
            add_file(assembly, path, bytes, specifiers);
        }
        let files = drop_ins.files.into_iter().map(|(path, _)| path);
        (files.collect(), is_whole)
    }

    /// Whether all links could be read.
    fn add_wanted(&self, found: &Found, assembly: &mut Assembly, specifiers: &Specifiers) -> bool {
        let mut is_whole = true;
        for (suffix, directive) in WANTED {
            let places = directories(found, suffix, Some(&self.index), &self.path);
            let wanted = wanted(&places, &found.id, &self.tree).unwrap_or_else(|error| {
                let file = found.id.as_str().into();
                let message = format!("its {suffix} directories can't be read: {error}");
                assembly
                    .diagnostics
                    .push(Diagnostic::of_file(Severity::Warning, &file, message));
                is_whole = false;
                Vec::new()
            });
            for (other, link) in wanted {
                add_relation(assembly, directive, &other, &link, specifiers);
            }
        }
        is_whole
    }
}

/// A look at the versions of many units, which reads each side directory once.
#[derive(Debug)]
pub struct Look<'a, T> {
    loader: &'a Loader<T>,
    sides: RefCell<Map<PathBuf, Option<Digest>>>,
}

impl<T: Tree> Look<'_, T> {
    /// The version of all that a unit is made of: its names, its files, what its side directories hold. None where that can't be told
    /// from a later one; a unit with the version that it was loaded with needs no reading.
    pub fn version(&self, name: &UnitName) -> Option<u64> {
        let loader = self.loader;
        self.version_of(&loader.index.find(name, &loader.path)?)
    }

    fn version_of(&self, found: &Found) -> Option<u64> {
        let index = Some(&self.loader.index);
        let mut seen = self.see(found, index, &SUFFIXES).ok()?;
        seen.add_number(u64::from(self.loader.generation));
        for name in std::iter::once(&found.id).chain(&found.names) {
            seen.add(name.as_str().as_bytes());
        }
        seen.settled()
    }

    /// The main file, and what side directories with these suffixes hold: those that the index knows, or all that can be.
    fn see(&self, found: &Found, index: Option<&Index>, suffixes: &[&str]) -> io::Result<Digest> {
        let loader = self.loader;
        let mut seen = Digest::new();
        if let Some(Fragment { path, is_link }) = &found.fragment {
            if *is_link {
                seen.add_path(&loader.tree.link(path)?.unwrap_or_default());
            }
            seen.add_file(path, &loader.tree)?;
        }
        if index.is_some_and(|index| !has_any(found, index)) {
            return Ok(seen);
        }
        for suffix in suffixes {
            for directory in directories(found, suffix, index, &loader.path) {
                if let Some(side) = self.side(directory, suffix)? {
                    seen.add_digest(side);
                }
            }
        }
        Ok(seen)
    }

    fn side(&self, directory: PathBuf, suffix: &str) -> io::Result<Option<Digest>> {
        let mut sides = self.sides.borrow_mut();
        if let Some(known) = sides.get(&directory) {
            return Ok(*known);
        }
        let digest = side_digest(&directory, suffix, &self.loader.tree)?;
        sides.insert(directory, digest);
        Ok(digest)
    }
}

/// The versions of the directories of a path; none where one is too young to be told from the next one, or can't be seen.
fn places(path: &SearchPath, tree: &dyn Tree) -> Option<u64> {
    let mut seen = Digest::new();
    for directory in path.directories() {
        seen.add_file(directory, tree).ok()?;
    }
    seen.settled()
}

impl Loaded {
    fn empty(name: UnitName, state: LoadState) -> Self {
        Self {
            names: vec![name.clone()],
            unit: Unit::new(name),
            state,
            diagnostics: Vec::new(),
            ignored: Vec::new(),
            misspelt: Vec::new(),
            origins: Origins::default(),
            fragment: None,
            drop_ins: Vec::new(),
            version: None,
            files: None,
        }
    }

    fn named(mut self, names: impl IntoIterator<Item = UnitName>) -> Self {
        self.names = names.into_iter().collect();
        self
    }

    fn with_fragment(mut self, fragment: &Path) -> Self {
        self.fragment = Some(fragment.to_owned());
        self
    }
}

/// Slices and devices exist without a file, as in the reference.
fn needs_file(kind: UnitKind) -> bool {
    !matches!(kind, UnitKind::Slice | UnitKind::Device)
}

/// Adds a file; true if the reading stopped before its end.
fn add_file(assembly: &mut Assembly, path: &Path, bytes: &[u8], specifiers: &Specifiers) -> bool {
    let document = parse(&path.to_string_lossy(), bytes);
    assembly.add(&document, specifiers);
    document.is_cut()
}

fn add_relation(
    assembly: &mut Assembly,
    directive: &str,
    other: &UnitName,
    link: &Path,
    specifiers: &Specifiers,
) {
    if !assembly.add_plain(directive, other.as_str(), specifiers) {
        return;
    }
    if let Some(directive) = model::Directive::find("Unit", directive) {
        let file: Arc<str> = link.to_string_lossy().into();
        assembly.origins.push(directive, &file, 0);
    }
}

fn finding(severity: Severity, path: &Path, reason: &str) -> Diagnostic {
    Diagnostic::of_file(severity, &path.to_string_lossy().into(), reason)
}

/// What was assembled, with the state that follows from it.
fn finished(mut assembly: Assembly, is_cut: bool) -> Loaded {
    let state = match (is_cut, assembly.is_bad) {
        (true, _) => LoadState::Error,
        (_, true) => LoadState::BadSetting,
        _ => LoadState::Loaded,
    };
    assembly.unit.shrink_to_fit();
    Loaded {
        names: vec![assembly.unit.name().clone()],
        unit: assembly.unit,
        state,
        diagnostics: assembly.diagnostics,
        ignored: assembly.ignored,
        misspelt: assembly.misspelt,
        origins: assembly.origins,
        fragment: None,
        drop_ins: Vec::new(),
        version: None,
        files: None,
    }
}

/// Reads one text as if it were a unit's only file: for units that are not in a tree (transient units, units of images, tests).
#[must_use]
pub fn load_text(name: &UnitName, file: &Path, bytes: &[u8], context: &SpecifierContext) -> Loaded {
    read_alone(
        name,
        file,
        bytes,
        &Specifiers::new(name, Some(file), context),
    )
}

/// The same, but in a template the specifiers that differ from instance to instance stay as they are written, so that they can be seen.
pub(crate) fn load_text_as_template(
    name: &UnitName,
    file: &Path,
    bytes: &[u8],
    context: &SpecifierContext,
) -> Loaded {
    read_alone(
        name,
        file,
        bytes,
        &Specifiers::new(name, Some(file), context).leaving_instance(),
    )
}

fn read_alone(name: &UnitName, file: &Path, bytes: &[u8], specifiers: &Specifiers) -> Loaded {
    let mut assembly = Assembly::new(Unit::new(name.clone()));
    let is_cut = add_file(&mut assembly, file, bytes, specifiers);
    Loaded {
        fragment: Some(file.to_owned()),
        ..finished(assembly, is_cut)
    }
}
