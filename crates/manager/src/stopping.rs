//! The end of the instance, and the change to a new manager.

use crate::manager::{Manager, Stage};
use engine::{JobKind, Micros, UnitId};
use kernel::signal::number::SIGTERM;
use std::os::fd::OwnedFd;
use std::path::Path;
use wire::Failure;

impl Manager {
    /// Ends the instance. The keeper is told first: it tells every next manager, so that the death of this one changes nothing.
    pub(crate) fn end(&mut self) {
        let keeper = i32::try_from(self.keeper.pid).ok().filter(|pid| *pid > 0);
        let told = keeper
            .ok_or(kernel::Errno::SRCH)
            .and_then(|keeper| kernel::process::kill(keeper, SIGTERM));
        if let Err(errno) = told {
            self.log(&format!("the keeper can't be told of the end: {errno}"));
        }
        self.begin_stopping();
    }

    /// Stops everything, in order; then the keeper is told to end.
    pub(crate) fn begin_stopping(&mut self) {
        if self.stage != Stage::Running {
            return;
        }
        self.stage = Stage::Stopping;
    }

    /// Whatever is up, or is to come up by a job from before, and is not being stopped yet.
    fn stop_the_rest(&mut self) {
        let rest: Vec<UnitId> = self
            .units
            .keys()
            .copied()
            .filter(|unit| match self.engine.job(*unit) {
                Some(job) => job.kind != JobKind::Stop,
                None => self.is_to_end(*unit),
            })
            .collect();
        for unit in rest {
            self.inputs.push_back(engine::Input::End(unit));
        }
        self.advance();
    }

    pub(crate) fn is_up(&self, unit: UnitId) -> bool {
        let state = self.engine.state(unit);
        state.is_some_and(|state| !state.active().is_down())
    }

    /// Does a run of it drain, or is it up, and no mount that others made or that could not be taken out?
    fn is_to_end(&self, unit: UnitId) -> bool {
        let is_left = match self.engine.state(unit) {
            Some(engine::State::Service(run)) => run.is_left,
            _ => false,
        };
        (self.is_up(unit) && !is_left) || self.engine.beside(unit).is_some()
    }

    /// Is everything down?
    pub(crate) fn continue_stopping(&mut self) {
        if self.stage != Stage::Stopping {
            return;
        }
        self.stop_the_rest();
        let mut units = self.units.keys();
        if units.any(|unit| self.is_to_end(*unit) || self.engine.job(*unit).is_some()) {
            return;
        }
        if self.aside.pid_files.are_removed() || self.waits_for_log() {
            return;
        }
        self.leave();
    }

    /// Takes along what is the instance's, and tells the keeper to end.
    pub(crate) fn leave(&mut self) {
        self.stage = Stage::Leaving;
        let ending = self.decided().unwrap_or_default();
        self.own_log.farewell = None;
        // Their records go with the instance.
        drop(self.own_log.take_unrecorded());
        self.dirty.clear();
        for key in std::mem::take(&mut self.to_reap) {
            self.link.reap(key);
        }
        self.remove_groups();
        if let Some(cgroups) = &self.cgroups {
            cgroups.remove_all();
        }
        self.remove_runtime_files();
        // Before the log process is told of the end.
        match self.write_later() {
            // What is wrong with the end itself has no other place to be told.
            Ok(()) | Err(_) => {}
        }
        let ending = self.for_keeper(ending);
        self.link.shut_down(ending);
    }

    /// The last words are to be in the log before it ends with us, but for a log that takes none.
    fn waits_for_log(&mut self) -> bool {
        /// As long as the keeper then waits for the log process, in microseconds.
        const PATIENCE_US: u64 = 3_000_000;
        if !self.own_log.waits() {
            return false;
        }
        let now = crate::clock::monotonic();
        let until = *self
            .own_log
            .farewell
            .get_or_insert_with(|| now.after(Micros(PATIENCE_US)));
        self.records_needed = true;
        now < until
    }

    fn remove_runtime_files(&mut self) {
        self.host_files.end(&self.poll);
        self.end_users();
        let directories = &self.directories;
        let files =
            ["api", "started", "environment", "ending"].map(|file| directories.runtime.join(file));
        let own = [directories.cgroup_place()];
        // What the log did not take is said by the next instance.
        let is_kept = self.own_log.waits();
        let words = [directories.said(), directories.words()];
        let words = words.into_iter().filter(|_| !is_kept);
        for file in files.into_iter().chain(own).chain(words) {
            self.tell_if_it_stays(&file, std::fs::remove_file(&file));
        }
        for (path, errno) in crate::leftovers::finish(&directories.gone()) {
            self.tell_if_it_stays(&path, Err(errno.into()));
        }
        if !directories.are_default() {
            let credentials = directories.credentials();
            self.tell_if_it_stays(&credentials, std::fs::remove_dir(&credentials));
        }
        crate::dynamic_user::remove_directory();
        for directory in [
            directories.gone(),
            directories.records(),
            directories.notify(),
            directories.extra_fields(),
        ] {
            self.tell_if_it_stays(&directory, std::fs::remove_dir_all(&directory));
        }
    }

    fn tell_if_it_stays(&self, path: &Path, removed: std::io::Result<()>) {
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => self.log(&format!(
                "{} stays at the end of this instance: it can't be removed: {error}",
                path.display()
            )),
            Ok(()) | Err(_) => {}
        }
    }

    /// Makes room for a new manager of the installed program, which the keeper becomes, too.
    pub(crate) fn reexec(&mut self) -> Result<(), Failure> {
        let executable = installed().map_err(|error| Failure::Internal {
            message: format!("cannot open the program: {error}"),
        })?;
        self.link.ask_successor(Some(executable));
        self.link.ask_new_keeper();
        self.stage = Stage::Leaving;
        Ok(())
    }

    /// Is the default target on its way?
    fn is_coming_up(&self) -> bool {
        let target = self.engine.id("default.target");
        target.is_some_and(|target| self.engine.job(target).is_some())
    }

    /// Is the administrator alone with the machine?
    fn is_in_maintenance(&self) -> bool {
        let targets = ["rescue.target", "emergency.target"].map(|name| self.engine.id(name));
        targets
            .into_iter()
            .flatten()
            .any(|target| self.is_up(target))
    }

    /// The state of the whole as clients see it.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.stage {
            Stage::Stopping | Stage::Leaving => "stopping",
            Stage::Adopting => "starting",
            Stage::Running if self.is_going_down() => "stopping",
            Stage::Running if self.keeper.adopt_only => wire::ADOPT_ONLY,
            Stage::Running if self.is_coming_up() => "starting",
            Stage::Running if self.is_in_maintenance() => "maintenance",
            Stage::Running if self.engine.failed() > 0 => "degraded",
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
