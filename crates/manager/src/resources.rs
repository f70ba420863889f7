//! Resource control: which controller each setting needs, and the files that a unit's group gets before its first process.

use crate::entry::Entry;
use crate::manager::{Manager, Stage};
use base64ct::{Base64, Encoding as _};
use engine::{ProcessKey, Role, UnitId};
use model::value::Delegate;
use model::{Unit, UnitKind, key};
use plan::resources::{GroupFile, When};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use wire::{Failure, Reduction};

/// Settings by the controller of version 2 that applies them.
pub(crate) const CONTROLLERS: &[(&str, &[&str])] = &[
    (
        "cpu",
        &[
            "CPUWeight",
            "StartupCPUWeight",
            "CPUQuota",
            "CPUQuotaPeriodSec",
            "CPUShares",
            "StartupCPUShares",
        ],
    ),
    (
        "cpuset",
        &[
            "AllowedCPUs",
            "StartupAllowedCPUs",
            "AllowedMemoryNodes",
            "StartupAllowedMemoryNodes",
            "CPUSetPartition",
        ],
    ),
    (
        "io",
        &[
            "IOWeight",
            "StartupIOWeight",
            "IODeviceWeight",
            "IOReadBandwidthMax",
            "IOWriteBandwidthMax",
            "IOReadIOPSMax",
            "IOWriteIOPSMax",
            "IODeviceLatencyTargetSec",
            "IOAccounting",
        ],
    ),
    (
        "memory",
        &[
            "MemoryMin",
            "MemoryLow",
            "MemoryHigh",
            "MemoryMax",
            "MemorySwapMax",
            "MemoryZSwapMax",
            "MemoryZSwapWriteback",
            "MemoryAccounting",
            "StartupMemoryLow",
            "StartupMemoryHigh",
            "StartupMemoryMax",
            "StartupMemorySwapMax",
            "StartupMemoryZSwapMax",
            "DefaultMemoryMin",
            "DefaultMemoryLow",
            "MemoryLimit",
            "OOMPolicy",
        ],
    ),
    ("pids", &["TasksMax", "TasksAccounting"]),
];

/// The controller that a setting needs; none for what is no limit of a controller's.
pub(crate) fn controller_of(directive: &str) -> Option<&'static str> {
    CONTROLLERS
        .iter()
        .find(|(_, names)| names.contains(&directive))
        .map(|(controller, _)| *controller)
}

impl Manager {
    /// Bounds the group of a unit, before a process is in it.
    ///
    /// # Errors
    /// A bound that the kernel does not take: the start ends with it.
    pub(crate) fn bound_group(&mut self, unit: UnitId) -> Result<(), Failure> {
        let (Some(entry), Some(cgroups)) = (self.units.get(&unit), &mut self.cgroups) else {
            return Ok(());
        };
        let files = plan::resources::group_files(&entry.unit, &self.facts, self.later.when);
        let name = entry.name.as_str();
        let slice = cgroups.tree.place(name).to_owned();
        cgroups
            .bound((name, &slice), &files)
            .map_err(|(file, error)| untaken(name, file, &error))
    }

    /// Hands the group of a run over where Delegate= says so, before its first process.
    ///
    /// # Errors
    /// A controller that the kernel does not give: the start ends with it.
    pub(crate) fn delegate_group(&mut self, unit: UnitId, incarnation: u64) -> Result<(), Failure> {
        let Some(entry) = self.units.get_mut(&unit) else {
            return Ok(());
        };
        let asked = entry.unit.value(&key::DELEGATE);
        if asked == Delegate::No {
            return Ok(());
        }
        let user = entry.run(incarnation).and_then(|run| run.user.as_ref());
        let owner = user.map(|user| (user.uid, user.gid));
        let (name, text) = (entry.name.to_string(), std::rc::Rc::clone(&entry.unit));
        let Some(cgroups) = &mut self.cgroups else {
            return Ok(());
        };
        let slice = cgroups.tree.place(&name).to_owned();
        let kept = crate::slices::disabled(&text);
        let controllers: Vec<&'static str> = CONTROLLERS
            .iter()
            .map(|(controller, _)| *controller)
            .filter(|controller| is_asked(&asked, controller))
            .filter(|controller| !kept.iter().any(|one| one == controller))
            .filter(|controller| cgroups.has_controller_in(&slice, controller))
            .collect();
        let made = cgroups
            .make(&name, incarnation)
            .and_then(|_| cgroups.delegate((&name, incarnation), &controllers, owner));
        made.map_err(|error| Failure::Refused {
            unit: name,
            directive: key::DELEGATE.directive().name().into(),
            message: format!("its control group can't be handed over: {error}"),
        })
    }

    /// The group into which a process is born: that of its run, or where that is handed over a group in it, as processes are then only in
    /// groups in which no others are (cgroups(7)). A probe's command has one of its own.
    pub(crate) fn birthplace(
        &self,
        process: ProcessKey,
        role: Role,
    ) -> std::io::Result<Option<OwnedFd>> {
        let (Some(cgroups), Some(entry)) = (&self.cgroups, self.units.get(&process.unit)) else {
            return Ok(None);
        };
        let (name, incarnation) = (entry.name.as_str(), process.incarnation.0);
        if role == Role::Health {
            let made = cgroups.make_probe(name, incarnation, process.serial)?;
            return Ok(Some(made));
        }
        let run = cgroups.make(name, incarnation)?;
        let inner = match (entry.unit.value(&key::DELEGATE), role) {
            (Delegate::No, _) => None,
            (_, Role::Main) => entry
                .unit
                .get(&key::DELEGATE_SUBGROUP)
                .map(|name| name.0.clone()),
            _ => Some(CONTROL.to_owned()),
        };
        let Some(inner) = inner.filter(|inner| !inner.is_empty()) else {
            return Ok(Some(run));
        };
        let path = cgroups
            .on_host(&cgroups.path(name, incarnation))
            .join(inner);
        crate::cgroup::make_directory(&path)?;
        if let Some(user) = self.user_of_run(process) {
            std::os::unix::fs::chown(&path, Some(user.0), Some(user.1))?;
            let procs = path.join("cgroup.procs");
            std::os::unix::fs::chown(procs, Some(user.0), Some(user.1))?;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Some(openat(CWD, &path, flags, Mode::empty())?))
    }

    fn user_of_run(&self, process: ProcessKey) -> Option<(u32, u32)> {
        let runs = &self.units.get(&process.unit)?.runs;
        let run = runs
            .iter()
            .find(|run| run.incarnation == process.incarnation.0)?;
        run.user.as_ref().map(|user| (user.uid, user.gid))
    }

    /// What a process is told of the pressure on its unit; it may write to the files that it is told of.
    pub(crate) fn pressure_environment(&self, process: ProcessKey) -> Vec<String> {
        let Some(entry) = self.units.get(&process.unit) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for pressure in plan::resources::pressures(&entry.unit) {
            let name = pressure.name;
            let file = self.pressure_file(entry, process.incarnation.0, pressure.file);
            match (pressure.trigger, file) {
                (None, _) => found.push(format!("{name}_PRESSURE_WATCH=/dev/null")),
                (Some(trigger), Some(file)) => {
                    if let Some((uid, gid)) = self.user_of_run(process) {
                        // Who can't write gets an error where it watches.
                        match std::os::unix::fs::chown(&file, Some(uid), Some(gid)) {
                            Ok(()) | Err(_) => {}
                        }
                    }
                    found.push(format!("{name}_PRESSURE_WATCH={}", file.display()));
                    let trigger = Base64::encode_string(trigger.as_bytes());
                    found.push(format!("{name}_PRESSURE_WRITE={trigger}"));
                }
                // Shown as a reduction.
                (Some(_), None) => {}
            }
        }
        found
    }

    fn pressure_file(&self, entry: &Entry, incarnation: u64, file: &str) -> Option<PathBuf> {
        let cgroups = self.cgroups.as_ref()?;
        cgroups.make(entry.name.as_str(), incarnation).ok()?;
        let path = cgroups.path(entry.name.as_str(), incarnation);
        let path = cgroups.on_host(&path).join(file);
        path.exists().then_some(path)
    }

    /// Settings for whose file the kernel has none.
    pub(crate) fn missing_files(&self, entry: &Entry) -> Vec<Reduction> {
        let Some(cgroups) = &self.cgroups else {
            return Vec::new();
        };
        let (group, controlled) = match entry.name.kind() {
            UnitKind::Slice => {
                let slice = model::slice::group(&entry.name);
                (cgroups.of_slice(&slice), slice)
            }
            _ => {
                let name = entry.name.as_str();
                (cgroups.of_unit(name), cgroups.tree.place(name).to_owned())
            }
        };
        let lacks = |name: &str| !name.is_empty() && group.exists() && !group.join(name).exists();
        let files = plan::resources::group_files(&entry.unit, &self.facts, self.later.when);
        let files = files.iter().filter(|file| {
            let controller = controller_of(file.directive.name());
            controller.is_some_and(|one| cgroups.has_controller_in(&controlled, one))
        });
        let files = files.map(|file| (file.directive, file.name));
        let watches = plan::resources::pressures(&entry.unit).into_iter();
        let watches = watches.filter(|one| one.trigger.is_some());
        let watches = watches.map(|one| (one.directive, one.file));
        let all = files.chain(watches).filter(|(_, name)| lacks(name));
        all.map(|(directive, name)| Reduction {
            directive: directive.name().into(),
            reason: format!("control groups have no {name} here"),
        })
        .collect()
    }

    /// A unit was read anew: what bounds it changes where it is, if it is there.
    pub(crate) fn bounds_changed(&mut self, id: UnitId, old: &Unit) {
        let before = plan::resources::group_files(old, &self.facts, self.later.when);
        self.bounds_changed_from(id, &before);
    }

    fn bounds_changed_from(&mut self, id: UnitId, before: &[GroupFile]) {
        let (Some(entry), Some(cgroups)) = (self.units.get(&id), &mut self.cgroups) else {
            return;
        };
        let after = plan::resources::group_files(&entry.unit, &self.facts, self.later.when);
        let name = entry.name.to_string();
        let (path, place) = match entry.name.kind() {
            UnitKind::Slice => {
                let path = model::slice::group(&entry.name);
                let (outer, inner) = path.rsplit_once('/').unwrap_or(("", &path));
                let place = (inner.to_owned(), outer.to_owned());
                (cgroups.of_slice(&path), place)
            }
            _ => {
                let slice = cgroups.tree.place(&name).to_owned();
                (cgroups.of_unit(&name), (name.clone(), slice))
            }
        };
        if before == after.as_slice() || !path.exists() {
            return;
        }
        let written = cgroups.bound_anew((&place.0, &place.1), before, &after);
        if let Err((file, error)) = written {
            let failure = untaken(&name, &file, &error);
            self.log_as(crate::own_log::ERROR, id, &failure.to_string());
            let diagnostic = wire::Diagnostic {
                unit: Some(name),
                severity: "error".into(),
                message: failure.to_string(),
                ..wire::Diagnostic::default()
            };
            if let Some(entry) = self.units.get_mut(&id) {
                entry.origin.diagnostics.push(diagnostic);
            }
        }
    }

    fn fresh_jobs(&self) -> bool {
        self.keeper.restarts == 0 && self.engine.jobs().next().is_some()
    }

    /// The machine has come up, or begins to go down: other bounds hold.
    pub(crate) fn look_at_startup(&mut self) {
        // Come up is what has no job left for the first time.
        let comes_up = self.later.when == When::Startup && self.fresh_jobs();
        let now = match self.stage {
            Stage::Running if !comes_up => When::Always,
            Stage::Running | Stage::Adopting | Stage::Stopping | Stage::Leaving => When::Startup,
        };
        let before = std::mem::replace(&mut self.later.when, now);
        if before == now || self.cgroups.is_none() {
            return;
        }
        let concerned = self.units.values();
        let concerned = concerned.filter(|entry| plan::resources::has_startup(&entry.unit));
        let concerned: Vec<_> = concerned
            .map(|entry| (entry.id, std::rc::Rc::clone(&entry.unit)))
            .collect();
        for (id, unit) in concerned {
            self.bounds_changed_from(
                id,
                &plan::resources::group_files(&unit, &self.facts, before),
            );
        }
    }
}

/// The group of commands beside the main process, where the run's is handed over; the reference's name.
const CONTROL: &str = ".control";

fn is_asked(asked: &Delegate, controller: &str) -> bool {
    match asked {
        Delegate::No => false,
        Delegate::Yes => true,
        Delegate::Some(names) => names
            .iter()
            .any(|name| crate::slices::of_version_2(name) == controller),
    }
}

/// A bound that the kernel does not take.
pub(crate) fn untaken(
    unit: &str,
    file: &plan::resources::GroupFile,
    error: &std::io::Error,
) -> Failure {
    Failure::Refused {
        unit: unit.to_owned(),
        directive: file.directive.name().into(),
        message: match file.name {
            "" => format!(
                "can't be applied: control groups don't get the controller that it needs: {error}"
            ),
            name => format!(
                "can't be applied: its control group does not take {:?} as {name}: {error}",
                file.text
            ),
        },
    }
}
