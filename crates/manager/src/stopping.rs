//! The end of the instance, and the change to a new manager.

use crate::manager::{Manager, Stage};
use engine::{JobKind, JobMode, UnitId};
use std::os::fd::OwnedFd;
use wire::Failure;

impl Manager {
    /// Stops everything, in order; then the keeper is told to end.
    pub(crate) fn begin_stopping(&mut self) {
        if self.stage != Stage::Running {
            return;
        }
        self.stage = Stage::Stopping;
        for unit in self.up() {
            self.queue_own(unit, JobKind::Stop, JobMode::Replace);
        }
    }

    fn up(&self) -> Vec<UnitId> {
        let units = self.units.keys().copied();
        units
            .filter(|unit| {
                self.engine
                    .state(*unit)
                    .is_some_and(|state| !state.active().is_down())
            })
            .collect()
    }

    /// Is everything down?
    pub(crate) fn continue_stopping(&mut self) {
        if self.stage != Stage::Stopping || !self.up().is_empty() {
            return;
        }
        self.stage = Stage::Leaving;
        self.dirty.clear();
        for key in std::mem::take(&mut self.to_reap) {
            self.link.reap(key);
        }
        self.remove_groups();
        if let Some(cgroups) = &self.cgroups {
            cgroups.remove_all();
        }
        self.remove_runtime_files();
        self.link.shut_down(0);
    }

    fn remove_runtime_files(&self) {
        let runtime = &self.directories.runtime;
        for file in ["api", "started", "environment"] {
            match std::fs::remove_file(runtime.join(file)) {
                Ok(()) | Err(_) => {}
            }
        }
        for directory in [self.directories.records(), self.directories.notify()] {
            match std::fs::remove_dir_all(directory) {
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Makes room for a new manager of the installed program.
    pub(crate) fn reexec(&mut self) -> Result<(), Failure> {
        let executable = installed().map_err(|error| Failure::Internal {
            message: format!("cannot open the program: {error}"),
        })?;
        self.link.ask_successor(Some(executable));
        self.stage = Stage::Leaving;
        Ok(())
    }

    /// The state of the whole as clients see it.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.stage {
            Stage::Stopping | Stage::Leaving => "stopping",
            Stage::Adopting => "starting",
            Stage::Running if self.keeper.adopt_only => "adopt-only",
            Stage::Running => "running",
        }
    }
}

/// The program file as it is on disk now, also after an upgrade replaced the one that runs.
fn installed() -> std::io::Result<OwnedFd> {
    let own = std::env::current_exe()?;
    let path = own.to_string_lossy();
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    Ok(std::fs::File::open(path)
        .or_else(|_| std::fs::File::open("/proc/self/exe"))?
        .into())
}
