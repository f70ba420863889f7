//! Units come into memory: from files through the loader, with everything that they name, and again on a reload.

use crate::directories::{Directories, hash};
use crate::entry::{Entry, LoadState, Origin};
use crate::manager::Manager;
use engine::{Input, Load, UnitConfig, UnitId};
use load::built_in::{self, UnitTree};
use load::{HostTree, Loaded, Loader, SearchPath, SpecifierContext};
use model::mount::Need;
use model::{Unit, UnitKind, UnitName};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use wire::Failure;

/// Units in memory; a name in a file must not fill it without end (instances can name further instances).
const UNITS_MAX: usize = 100_000;

/// The loader of the manager.
pub(crate) type UnitLoader = Loader<UnitTree>;

/// Makes a loader that sees the unit directories as they are now.
pub(crate) fn loader(directories: &Directories, is_init: bool) -> UnitLoader {
    let mut loader = Loader::unread(UnitTree(HostTree));
    refresh(&mut loader, directories, is_init);
    loader
}

/// Lets a loader see the unit directories as they are now.
fn refresh(loader: &mut UnitLoader, directories: &Directories, is_init: bool) {
    let path = search_path(directories, is_init);
    let context = SpecifierContext {
        credentials_root: directories.credentials().to_string_lossy().into_owned(),
        ..SpecifierContext::of_host(&HostTree)
    };
    loader.refresh(path, context);
}

fn search_path(directories: &Directories, is_init: bool) -> SearchPath {
    let (config, runtime, state) = (
        &directories.config,
        &directories.runtime,
        &directories.state,
    );
    let own = if is_init {
        SearchPath::init(config, runtime, state)
    } else {
        SearchPath::own(config, runtime, state)
    };
    SearchPath::new(directories.unit_path.iter().cloned())
        .followed_by(own.directories().iter().cloned())
        .followed_by([PathBuf::from(built_in::DIRECTORY)])
}

impl Manager {
    /// The unit that a client means: a name without a suffix is a service's.
    pub(crate) fn parse_name(&self, name: &str) -> Result<UnitName, Failure> {
        let full = crate::pattern::full_name(name);
        let bad = |message: String| Failure::BadName {
            name: name.into(),
            message,
        };
        let defect = |_| bad(UnitName::defect(&full).unwrap_or_default().into());
        let parsed = UnitName::new(&full).map_err(defect)?;
        if parsed.is_template() {
            return Err(bad("it is a template; name an instance of it".into()));
        }
        Ok(parsed)
    }

    /// The unit of this name if it is in memory; an alias is followed.
    pub(crate) fn find(&self, name: &str) -> Result<Option<UnitId>, Failure> {
        let name = self.parse_name(name)?;
        if let Some(id) = self
            .engine
            .id(name.as_str())
            .filter(|id| self.units.contains_key(id))
        {
            return Ok(Some(id));
        }
        let own = self.loader.resolve(&name).filter(|own| *own != name);
        Ok(own
            .and_then(|own| self.engine.id(own.as_str()))
            .filter(|id| self.units.contains_key(id)))
    }

    /// The unit of this name, loaded with all that it names.
    pub(crate) fn find_or_load(&mut self, name: &str) -> Result<UnitId, Failure> {
        let stale = |load: LoadState| !matches!(load, LoadState::Loaded);
        if let Some(id) = self.find(name)?
            && self
                .units
                .get(&id)
                .is_some_and(|entry| !stale(entry.origin.load))
        {
            return Ok(id);
        }
        let parsed = self.parse_name(name)?;
        let loaded = self.load_anew(&parsed);
        let own = loaded.unit.name().clone();
        self.take(loaded);
        self.load_named();
        self.engine.id(own.as_str()).ok_or(Failure::NoSuchUnit {
            unit: own.to_string(),
        })
    }

    /// What was not there may be now: a file that was just written is found without a reload, as in the reference.
    pub(crate) fn load_anew(&mut self, name: &UnitName) -> Loaded {
        let loaded = self.loader.load(name);
        if loaded.state != load::LoadState::NotFound {
            return loaded;
        }
        self.load_as_it_is_now(name)
    }

    /// The same without a look at what was there before.
    pub(crate) fn load_as_it_is_now(&mut self, name: &UnitName) -> Loaded {
        refresh(&mut self.loader, &self.directories, self.keeper.init);
        self.load(name)
    }

    /// By its files, or, where somebody mounted what has none, by the kernel's table.
    fn load(&self, name: &UnitName) -> Loaded {
        let loaded = self.loader.load(name);
        if loaded.state != load::LoadState::NotFound {
            return loaded;
        }
        match self.unit_of_table(name) {
            Some(unit) => Loaded {
                unit,
                state: load::LoadState::Loaded,
                ..loaded
            },
            None => loaded,
        }
    }

    /// Loads every unit that a loaded one names, and what those name.
    pub(crate) fn load_named(&mut self) {
        loop {
            let names = self.engine.unresolved();
            if names.is_empty() || self.units.len() > UNITS_MAX {
                return;
            }
            for name in names {
                self.load_one(&name);
            }
        }
    }

    fn load_one(&mut self, name: &Arc<str>) {
        let Ok(parsed) = UnitName::new(name) else {
            return self.configure_missing(name);
        };
        let loaded = self.load(&parsed);
        if loaded.unit.name() == &parsed {
            self.take(loaded);
        } else {
            // Names are made the units' own before the engine sees them, so this is one that changed on disk since.
            self.configure_missing(name);
        }
    }

    /// The engine knows no aliases: relations name units by their own names.
    fn with_own_names(&self, mut config: UnitConfig) -> UnitConfig {
        let is_there = |id: &UnitId| {
            let entry = self.units.get(id);
            entry.is_some_and(|entry| entry.origin.load != LoadState::NotFound)
        };
        let own = |name: &Arc<str>| -> Arc<str> {
            if self.engine.id(name).is_some_and(|id| is_there(&id)) {
                return Arc::clone(name);
            }
            let resolved = UnitName::new(name)
                .ok()
                .and_then(|parsed| self.loader.resolve(&parsed));
            resolved.map_or_else(|| Arc::clone(name), |resolved| resolved.as_str().into())
        };
        let mut relations = std::mem::take(&mut config.relations).into_vec();
        for (_, name) in &mut relations {
            *name = own(name);
        }
        model::order::sort(&mut relations);
        relations.dedup();
        config.relations = relations.into();
        if let engine::Kind::Socket(socket) = &mut config.kind {
            Arc::make_mut(socket).service = own(&socket.service);
        }
        config
    }

    /// The mounts that a unit's paths need, of those that have files: what others mount is there, or is nobody's to wait for.
    fn add_mounts(&self, unit: &Unit, origin: &Origin, config: &mut UnitConfig) {
        if config.load != Load::Loaded || !self.loader.has_any(UnitKind::Mount) {
            return;
        }
        let mut relations = std::mem::take(&mut config.relations).into_vec();
        for (need, path) in model::mount::needed(unit, origin.portable.is_some()) {
            let relation = match need {
                Need::Required => engine::Relation::Requires,
                Need::Wanted => engine::Relation::Wants,
            };
            let with_files = model::mount::on_the_way(&path)
                .filter(|name| name != unit.name() && self.loader.has_file(name));
            for name in with_files {
                relations.push((relation, name.as_str().into()));
                relations.push((engine::Relation::After, name.as_str().into()));
            }
        }
        config.relations = relations.into();
    }

    /// Do the unit's files say something else by now than what was read?
    pub(crate) fn needs_reload(&self, entry: &Entry) -> bool {
        entry.transient.is_none()
            && (entry.origin.fragment.is_some() || entry.name.kind() != UnitKind::Mount)
            && entry.origin.load != LoadState::NotFound
            && self.loader.files_now(&entry.name) != entry.origin.files
    }

    /// A name that can't be a unit's is one that is not found.
    fn configure_missing(&mut self, name: &str) {
        self.inputs
            .push_back(Input::Configure(Box::new(UnitConfig::unloaded(
                name,
                Load::NotFound,
            ))));
        self.advance();
    }

    /// Takes a loaded unit into memory and into the engine.
    pub(crate) fn take(&mut self, loaded: Loaded) {
        let origin = Origin {
            portable: crate::portable::of(&self.directories, &loaded),
            version: loaded
                .version
                .filter(|_| !crate::portable::is_attached(&self.directories, &loaded)),
            ..origin(&loaded)
        };
        let name = loaded.unit.name().clone();
        let known = self
            .engine
            .id(name.as_str())
            .and_then(|id| self.units.get(&id));
        // What is wrong is told once, not at each look at a unit that can't be used.
        let earlier: Vec<String> = known
            .iter()
            .flat_map(|entry| entry.origin.diagnostics.iter().map(told))
            .collect();
        let mut news: Vec<String> = origin.diagnostics.iter().map(told).collect();
        news.retain(|text| !earlier.contains(text));
        let unit = self.completed(loaded.unit);
        self.configure(name.clone(), unit, origin);
        if let Some(id) = self.engine.id(name.as_str()) {
            news.iter().for_each(|text| self.log_about(id, text));
        }
    }

    /// Puts a unit into the engine, and what the engine does not see beside it.
    pub(crate) fn configure(&mut self, name: UnitName, unit: Unit, origin: Origin) {
        let mut config = config(&unit, &origin);
        self.add_mounts(&unit, &origin, &mut config);
        self.add_devices(&unit, &origin, &mut config);
        let config = self.with_own_names(config);
        self.inputs.push_back(Input::Configure(Box::new(config)));
        self.advance();
        let Some(id) = self.engine.id(name.as_str()) else {
            return;
        };
        let unit = Rc::new(unit);
        if let Some(entry) = self.units.get_mut(&id) {
            let is_other_timer = entry.name.kind() == UnitKind::Timer && *entry.unit != *unit;
            let is_other_path = crate::paths::is_other(entry, &unit);
            let old = std::mem::replace(&mut entry.unit, unit);
            (entry.origin, entry.prepared) = (origin, None);
            if is_other_timer {
                self.inputs.push_back(Input::ReckonTimer(id));
            }
            if is_other_path {
                self.inputs.push_back(Input::WatchPath(id));
            }
            self.bounds_changed(id, &old);
            self.note_bus_name(id);
            self.look_for(id);
            self.look_for_device(id);
            return;
        }
        let hash = hash(name.as_str().as_bytes());
        let key = self.by_key.give(name.as_str(), hash, id);
        self.units
            .insert(id, Box::new(Entry::new(id, name, key, unit, origin)));
        self.note_bus_name(id);
        self.look_for(id);
        self.look_for_device(id);
    }

    /// Reads again what changed. What runs goes on; the next start is by the new files.
    pub(crate) fn reload_units(&mut self) -> wire::ReloadReply {
        if self.keeper.init {
            self.generate();
        }
        let mounts = self.loader.with_files(UnitKind::Mount);
        refresh(&mut self.loader, &self.directories, self.keeper.init);
        // Which mounts a path needs is not said by the unit's own files.
        let others_mount = mounts != self.loader.with_files(UnitKind::Mount);
        self.later.recent.clear();
        let others_tell = self.look_who_tells();
        let look = self.loader.look();
        let is_same = |entry: &Entry| {
            let is_told_of = others_tell && entry.name.kind() == UnitKind::Service;
            entry.transient.is_some()
                || (!is_told_of
                    && !others_mount
                    && entry.origin.version.is_some()
                    && entry.origin.version == look.version(&entry.name))
        };
        let changed: Vec<UnitName> = self
            .units
            .values()
            .filter(|entry| !is_same(entry))
            .map(|entry| entry.name.clone())
            .collect();
        for name in changed {
            let loaded = self.load(&name);
            if loaded.state == load::LoadState::NotFound {
                self.forget(&name);
            }
            self.take_again(&name, loaded);
        }
        self.load_named();
        self.advance();
        self.renew_all_sets();
        self.release_host_files();
        self.forget_extra_fields();
        let now = crate::clock::realtime_us();
        self.publish(
            &wire::Event {
                kind: "reload".into(),
                realtime_us: now,
                ..wire::Event::default()
            },
            "",
        );
        wire::ReloadReply {
            units: self.units.len() as u64,
            diagnostics: self.all_diagnostics(),
            generators: self.failed_generators(),
        }
    }

    fn take_again(&mut self, name: &UnitName, loaded: Loaded) {
        if loaded.unit.name() == name && loaded.state != load::LoadState::NotFound {
            self.take(loaded);
        }
    }

    /// A unit's file is gone: the engine forgets it when nothing of it is left.
    fn forget(&mut self, name: &UnitName) {
        if let Some(id) = self.engine.id(name.as_str()) {
            if let Some(entry) = self.units.get_mut(&id) {
                entry.origin.load = LoadState::NotFound;
                (entry.origin.version, entry.prepared) = (None, None);
            }
            self.inputs.push_back(Input::Forget(id));
            self.advance();
        }
    }

    fn all_diagnostics(&self) -> Vec<wire::Diagnostic> {
        let of_paths = self
            .loader
            .diagnostics()
            .iter()
            .map(|one| diagnostic(None, one))
            .collect::<Vec<_>>();
        of_paths
            .into_iter()
            .chain(
                self.units
                    .values()
                    .flat_map(|entry| entry.origin.diagnostics.clone()),
            )
            .collect()
    }
}

fn config(unit: &Unit, origin: &Origin) -> UnitConfig {
    let name = unit.name().as_str();
    match origin.load {
        LoadState::Loaded if origin.is_typeless || origin.portable.is_some() => {
            waits_for_program(UnitConfig::from(unit))
        }
        LoadState::Loaded => UnitConfig::from(unit),
        LoadState::NotFound => UnitConfig::unloaded(name, Load::NotFound),
        LoadState::Masked => UnitConfig::unloaded(name, Load::Masked),
        LoadState::BadSetting => UnitConfig::unloaded(name, Load::BadSetting),
        LoadState::Error => UnitConfig::unloaded(name, Load::Error),
    }
}

/// Whoever starts a portable or gives a command is at hand, and is told where the program can't be executed: a start by Type=simple,
/// which is done before that is known, is one by Type=exec.
fn waits_for_program(mut config: UnitConfig) -> UnitConfig {
    if let engine::Kind::Service(service) = &mut config.kind
        && service.service_type == engine::ServiceType::Simple
    {
        Arc::make_mut(service).service_type = engine::ServiceType::Exec;
    }
    config
}

pub(crate) fn origin(loaded: &Loaded) -> Origin {
    let unit = loaded.unit.name().as_str();
    Origin {
        load: match loaded.state {
            load::LoadState::Loaded => LoadState::Loaded,
            load::LoadState::NotFound => LoadState::NotFound,
            load::LoadState::Masked => LoadState::Masked,
            load::LoadState::BadSetting => LoadState::BadSetting,
            load::LoadState::Error => LoadState::Error,
        },
        fragment: loaded.fragment.clone(),
        drop_ins: loaded.drop_ins.clone(),
        diagnostics: loaded
            .diagnostics
            .iter()
            .map(|one| diagnostic(Some(unit), one))
            .collect(),
        version: None,
        files: loaded.files,
        aliases: loaded
            .names
            .iter()
            .filter(|name| name.as_str() != unit)
            .map(ToString::to_string)
            .collect(),
        is_typeless: false,
        portable: None,
        pids_by_profile: pids_by_profile(loaded),
    }
}

/// Is it a drop-in of a portable's profile that asks for a pid namespace?
fn pids_by_profile(loaded: &Loaded) -> bool {
    let last = loaded
        .origins
        .of(model::key::PRIVATE_PIDS.directive())
        .last();
    last.is_some_and(|origin| origin.file.contains(".d/") && origin.file.ends_with(PROFILE_SUFFIX))
}

/// How the name of a profile's drop-in ends.
const PROFILE_SUFFIX: &str = "-profile.conf";

/// Bytes of a unit file that is shown.
const SHOWN_BYTES_MAX: usize = 4 << 20;

/// A unit file's text.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    match load::Tree::read(&UnitTree(HostTree), path, SHOWN_BYTES_MAX)? {
        load::Content::Bytes(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        load::Content::Null => Ok(String::new()),
        load::Content::Missing => Err(std::io::ErrorKind::NotFound.into()),
        load::Content::NotAFile => Err(std::io::ErrorKind::InvalidInput.into()),
        load::Content::TooLarge => Err(std::io::ErrorKind::FileTooLarge.into()),
    }
}

/// A finding as a line of the log.
fn told(found: &wire::Diagnostic) -> String {
    let line = found
        .line
        .map_or_else(String::new, |line| format!(":{line}"));
    let hint = found
        .hint
        .as_ref()
        .map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("{}{line}: {}{hint}", found.path, found.message)
}

/// A finding as clients see it.
pub(crate) fn diagnostic(unit: Option<&str>, found: &load::Diagnostic) -> wire::Diagnostic {
    let severity = match found.severity {
        load::Severity::Error => "error",
        load::Severity::Warning => "warning",
    };
    wire::Diagnostic {
        unit: unit.map(str::to_owned),
        severity: severity.into(),
        path: found.file.to_string(),
        line: Some(found.line).filter(|line| *line > 0),
        message: found.message.to_string(),
        hint: found.hint.as_ref().map(ToString::to_string),
    }
}
