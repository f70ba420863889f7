//! A manager begins: what the keeper has and what the records say become the engine's state again. The keeper is believed first.

use crate::directories::Directories;
use crate::entry::Transient;
use crate::manager::{Error, Manager, Stage, doing};
use crate::opener::OPENER_COMMAND;
use crate::record::Record;
use crate::run::Run;
use engine::{Incarnation, Input, JobKind, JobMode, ProcessKey};
use keeper::protocol::{ChildKey, ChildState, Class};
use kernel::signal::number::SIGKILL;
use model::UnitName;
use model::sorted::Set;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

/// What the keeper has, while it is being told.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    children: Vec<Child>,
    held: Vec<(Class, String, OwnedFd)>,
}

#[derive(Debug)]
struct Child {
    key: ChildKey,
    pid: u32,
    state: ChildState,
    pidfd: Option<OwnedFd>,
    report: Option<OwnedFd>,
}

impl Inventory {
    pub(crate) fn child(
        &mut self,
        key: ChildKey,
        pid: u32,
        state: ChildState,
        descriptors: Vec<OwnedFd>,
    ) {
        let mut descriptors = descriptors.into_iter();
        let (pidfd, report) = (descriptors.next(), descriptors.next());
        self.children.push(Child {
            key,
            pid,
            state,
            pidfd,
            report,
        });
    }

    pub(crate) fn held(&mut self, class: Class, name: String, descriptors: Vec<OwnedFd>) {
        // Streams into the log are the log process's.
        if class != Class::Log {
            self.held.extend(
                descriptors
                    .into_iter()
                    .next()
                    .map(|descriptor| (class, name, descriptor)),
            );
        }
    }

    pub(crate) fn has(&self, class: Class, name: &str) -> bool {
        let mut held = self.held.iter();
        held.any(|(known, of, _)| *known == class && of == name)
    }

    /// One descriptor, by its name.
    fn take_one(&mut self, class: Class, name: &str) -> Option<OwnedFd> {
        let mut held = self.held.iter();
        let place = held.position(|(known, of, _)| *known == class && of == name)?;
        Some(self.held.swap_remove(place).2)
    }

    fn take(&mut self, class: Class) -> Vec<(String, OwnedFd)> {
        let (wanted, rest) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(held, ..)| *held == class);
        self.held = rest;
        let wanted: Vec<(Class, String, OwnedFd)> = wanted;
        wanted
            .into_iter()
            .map(|(_, name, descriptor)| (name, descriptor))
            .collect()
    }
}

/// Makes the directories of the instance; true if no manager of it ran since the boot.
pub(crate) fn make_directories(directories: &Directories) -> Result<bool, Error> {
    let make = |path: &Path, mode: u32| {
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    std::fs::create_dir_all(&directories.runtime).map_err(doing("make the runtime directory"))?;
    make(&directories.records(), 0o700).map_err(doing("make the directory of records"))?;
    // Services reach their own socket in it, and see no other.
    make(&directories.notify(), 0o711)
        .map_err(doing("make the directory of notification sockets"))?;
    crate::leftovers::go_on(&directories.gone());
    Ok(!marker(directories).exists())
}

fn marker(directories: &Directories) -> std::path::PathBuf {
    directories.runtime.join("started")
}

impl Manager {
    /// The inventory is complete: everything that was is again.
    pub(crate) fn adopt(&mut self) -> Result<(), Error> {
        let mut inventory = std::mem::take(&mut self.inventory);
        self.lock_instance(&inventory)?;
        let (records, broken) = self.records.read_all().map_err(doing("read the records"))?;
        let own_log = inventory.take_one(Class::Other, crate::own_log::HELD);
        self.open_own_log(own_log, &records).map_err(doing(
            "open its stream into the log, and the files of what was said and what waits",
        ))?;
        if self.keeper.init {
            self.generate();
            self.loader = crate::loading::loader(&self.directories, true);
        }
        self.look_who_tells();
        for (path, error) in broken {
            self.log(&format!(
                "the record {} can't be read and is ignored: {error}",
                path.display()
            ));
        }
        let (held, connections) = self.adopt_units(records, &mut inventory);
        self.thaw_left();
        self.let_go_held();
        self.lock_users_again(&held);
        self.adopt_sockets(inventory.take(Class::Listen));
        for (name, socket) in inventory.take(Class::Notify) {
            self.adopt_notify(&name, socket);
        }
        self.mend_notify();
        self.mend_memory();
        self.adopt_store(inventory.take(Class::FdStore));
        for (name, mount) in inventory.take(Class::Mount) {
            self.adopt_mount(name, mount);
        }
        for child in std::mem::take(&mut inventory.children) {
            self.adopt_child(child);
        }
        self.adopt_survivors();
        self.await_clients();
        self.resume_host_files();
        self.stage = Stage::Running;
        self.adopt_bus_names();
        self.look_at_tables();
        self.inputs.push_back(Input::InventoryComplete);
        self.fail_lost_sockets();
        let (users, api): (Vec<_>, Vec<_>) = inventory
            .take(Class::Api)
            .into_iter()
            .partition(|(name, _)| name == crate::user_database::HELD);
        for (_, socket) in users {
            if let Err(error) = self.adopt_user_socket(socket) {
                self.log(&format!("dynamic users are not found by name: {error}"));
            }
        }
        // It goes with the keeper, and a run outlives that.
        if self.has_dynamic_users() {
            self.serve_users();
        }
        self.open_api(api.into_iter().next().map(|(_, socket)| socket))?;
        self.remove_unknown_groups();
        self.renew_all_sets();
        self.filter_files_again();
        self.begin_devices();
        self.begin_first();
        self.serve_again(connections);
        Ok(())
    }

    /// Answers the names of what is held for units beside their sockets, and connections that no unit has.
    fn adopt_units(
        &mut self,
        records: Vec<Record>,
        inventory: &mut Inventory,
    ) -> (Set<String>, Vec<(String, OwnedFd)>) {
        let others = inventory.take(Class::Other);
        let (namespaces, others): (Vec<_>, Vec<_>) =
            (others.into_iter()).partition(|(name, _)| name.starts_with(crate::namespaces::HELD));
        let (connections, mut others): (Vec<_>, Vec<_>) =
            (others.into_iter()).partition(|(name, _)| name.starts_with(crate::accept::HELD));
        for record in &records {
            let name = &record.snapshot.name;
            let hash = || crate::directories::hash(name.as_bytes());
            self.by_key.reserve(name, record.key.unwrap_or_else(hash));
        }
        for record in &records {
            let Ok(name) = UnitName::new(&record.snapshot.name) else {
                continue;
            };
            match &record.transient {
                Some(transient) => {
                    let transient = Transient {
                        record: transient.clone(),
                        stdio: stdio_of(&name, &others),
                        processes: Vec::new(),
                    };
                    if let Err(failure) = self.make_transient(&name, transient) {
                        self.log(&format!("{name} can't be made again: {failure}"));
                    }
                }
                None => {
                    let loaded = self.loader.load(&name);
                    self.take(loaded);
                }
            }
        }
        self.by_key.end_reservations();
        self.load_named();
        for record in records {
            self.restore(record);
        }
        for (name, namespace) in namespaces {
            if !self.adopt_namespace(&name, namespace) {
                self.link.drop_held(Class::Other, &name);
            }
        }
        let of_paths = |(name, _): &mut (String, _)| name.starts_with(crate::paths::HELD);
        for (name, inotify) in others.extract_if(.., of_paths) {
            match self.waits_with(&name) {
                true => self.adopt_watch(&name, inotify),
                false => self.link.drop_held(Class::Other, &name),
            }
        }
        let of_automounts = |(name, _): &mut (String, _)| name.starts_with(crate::automounts::HELD);
        for (name, pipe) in others.extract_if(.., of_automounts) {
            match self.listens_with(&name) {
                true => self.adopt_automount(&name, pipe),
                false => self.link.drop_held(Class::Other, &name),
            }
        }
        let names = others.into_iter().map(|(name, _)| name);
        let (wanted, rest): (Set<_>, Set<_>) = names.partition(|name| self.is_wanted(name));
        for name in rest {
            self.link.drop_held(Class::Other, &name);
        }
        (wanted, self.adopt_connections(connections))
    }

    /// Is this held for a unit that is there? If not, the manager before us had no time to record that it was, or to let it go: a client
    /// that reads its stream to the end would wait for it.
    fn is_wanted(&self, held: &str) -> bool {
        let mut runs = self.units.values().flat_map(|entry| &entry.runs);
        let mut transients = self
            .units
            .values()
            .filter(|entry| entry.transient.is_some());
        if let Some(uid) = held.strip_prefix(crate::identity::LOCK) {
            return runs.any(|run| {
                run.user
                    .as_ref()
                    .is_some_and(|user| user.uid.to_string() == uid)
            });
        }
        match held.strip_prefix(crate::transient::STDIO) {
            Some(rest) => transients.any(|entry| {
                let name = rest.strip_prefix(entry.name.as_str());
                name.is_some_and(|stream| stream.starts_with('|'))
            }),
            None => true,
        }
    }

    fn restore(&mut self, record: Record) {
        let name = record.snapshot.name.to_string();
        self.engine.restore(record.snapshot);
        let Some(entry) = self.engine.id(&name).and_then(|id| self.units.get_mut(&id)) else {
            return;
        };
        for run in record.runs {
            if run.over.is_some() {
                // The manager before us may have had no time for it.
                let temporary = run.temporary();
                let left = crate::leftovers::unshared(&entry.unit, &run.invocation(), temporary);
                let left = left.map(|path| (name.clone(), path));
                self.later.trees.extend(left);
                entry.last_mut().run = Some(run);
            } else {
                self.later.joined_runs += usize::from(run.temporary.is_some());
                entry.runs.push(Run::restore(run));
            }
        }
        for line in record.said {
            match line.split_once(' ') {
                Some(("word", _)) => {}
                Some((kind, text)) => entry.take_said(kind, text),
                None => {}
            }
        }
        entry.allow_unenforced = record.allow_unenforced;
        let state = self.engine.state(entry.id);
        entry.place = state.map(|state| (state.active(), state.sub()));
        self.dirty.insert(entry.id);
    }

    fn adopt_child(&mut self, child: Child) {
        let Child {
            key,
            pid,
            state,
            pidfd,
            report,
        } = child;
        if key.command >= OPENER_COMMAND {
            return self.end_stale(key, state, pidfd, pid);
        }
        let unit = self.by_key.get(&key.unit).copied();
        let serial = u32::try_from(key.command).ok();
        let place = unit.zip(serial).map(|(unit, serial)| ProcessKey {
            unit,
            incarnation: Incarnation(key.incarnation),
            serial,
        });
        let known =
            place.filter(|process| self.run_mut(process.unit, process.incarnation).is_some());
        let Some(process) = known else {
            // One that ended is a run whose end was on record, and that the manager before us had no time to reap.
            if state == ChildState::Running {
                self.log(&format!(
                    "process {pid} belongs to no unit that is known; it is killed"
                ));
            }
            return self.end_stale(key, state, pidfd, pid);
        };
        self.adopt_process(process, pid, state, pidfd, report);
    }

    fn adopt_process(
        &mut self,
        process: ProcessKey,
        pid: u32,
        state: ChildState,
        pidfd: Option<OwnedFd>,
        report: Option<OwnedFd>,
    ) {
        if let Some(known) = self
            .run_mut(process.unit, process.incarnation)
            .and_then(|run| run.process(process.serial))
        {
            (known.pid, known.pidfd) = (Some(pid), pidfd);
        }
        if let Some(report) = report
            && let Ok(number) = self.watch_report(process, Rc::new(report))
            && let Some(known) = self
                .run_mut(process.unit, process.incarnation)
                .and_then(|run| run.process(process.serial))
        {
            known.report = Some(number);
        }
        match state {
            ChildState::Running => self.inputs.push_back(Input::Alive { process }),
            ChildState::Exited(exit) => self.ended(process, exit),
        }
    }

    /// Ends what nobody wants any more.
    fn end_stale(&mut self, key: ChildKey, state: ChildState, pidfd: Option<OwnedFd>, pid: u32) {
        if key.command == OPENER_COMMAND && state == ChildState::Running {
            self.stale_openers.push((key, None));
        }
        if let (ChildState::Running, Some(pidfd)) = (state, pidfd)
            && let Err(errno) = kernel::process::send_signal(&pidfd, SIGKILL)
        {
            self.log(&format!("process {pid} can't be killed: {errno}"));
        }
    }

    /// Groups of runs that nobody knows: empty ones go, and what lives in others is nobody's.
    fn remove_unknown_groups(&mut self) {
        let Some(mut cgroups) = self.cgroups.take() else {
            return;
        };
        for (unit, incarnation) in cgroups.runs() {
            let known = self
                .entry(&unit)
                .is_some_and(|entry| entry.runs.iter().any(|run| run.incarnation == incarnation));
            if known {
                continue;
            }
            let path = cgroups.path(&unit, incarnation);
            if cgroups.is_populated(&path) {
                self.log(&format!(
                    "{path} belongs to no run that is known; what is in it is killed"
                ));
                // Reported when it is empty, and with that removed.
                if let Err(errno) = cgroups.watch(&path) {
                    self.log(&format!("cannot watch the control group {path}: {errno}"));
                }
                cgroups.kill(&path);
                self.later.doomed.push((unit, incarnation));
            } else {
                cgroups.remove(&unit, incarnation);
            }
        }
        cgroups.remove_empty_units();
        self.cgroups = Some(cgroups);
    }

    /// The first manager since the boot starts what is to run.
    pub(crate) fn start_default(&mut self) {
        let name = self.first_unit();
        match self.find_or_load(&name) {
            Ok(unit) => self.queue_own(unit, JobKind::Start, JobMode::Replace),
            Err(failure) => self.log(&format!("{name} can't be started: {failure}")),
        }
    }

    /// The start of everything is on record: the next manager need not do it again.
    pub(crate) fn mark_started(&mut self) -> Result<(), Error> {
        if self.stage == Stage::Adopting || self.later.generators.is_first() {
            return Ok(());
        }
        self.tell_ready();
        if std::mem::take(&mut self.fresh) {
            std::fs::write(marker(&self.directories), "").map_err(doing("mark the first start"))?;
        }
        Ok(())
    }
}

fn stdio_of(unit: &UnitName, held: &[(String, OwnedFd)]) -> [Option<Rc<OwnedFd>>; 3] {
    [0, 1, 2].map(|stream| {
        let name = crate::transient::stdio_name(unit, stream);
        let found = held.iter().find(|(known, _)| *known == name)?;
        found.1.try_clone().ok().map(Rc::new)
    })
}
