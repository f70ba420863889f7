//! The end of a run: what it leaves for people to see is kept, everything else goes.

use crate::elsewhere::{Lane, Told};
use crate::manager::Manager;
use crate::run::{ProcessRecord, Run, RunRecord, exit_message, role_name};
use engine::{Incarnation, UnitId};
use kernel::terminal::Tidying;
use model::value::StandardInput;
use model::{UnitKind, key};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::rc::Rc;

impl Manager {
    /// This run and every earlier one is over, but for one that is kept.
    pub(crate) fn release(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
        kept: Option<Incarnation>,
    ) {
        self.end_probes(unit, incarnation);
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        let is_over =
            |number: u64| number <= incarnation.0 && kept.is_none_or(|kept| number != kept.0);
        let (over, staying): (Vec<Run>, Vec<Run>) = std::mem::take(&mut entry.runs)
            .into_iter()
            .partition(|run| is_over(run.incarnation));
        entry.runs = staying;
        // A socket unit has a group without any run: its sockets were made in it. ExecStopPost= had it until now.
        if entry.unit.name().kind() == UnitKind::Socket {
            let name = entry.name.as_str();
            let groups = self.cgroups.iter().flat_map(|all| all.incarnations(name));
            let over = groups.filter(|number| *number <= incarnation.0);
            self.to_remove
                .extend(over.map(|number| (name.to_owned(), number)));
        }
        let is_last = entry.runs.is_empty() && !over.is_empty();
        for run in over {
            self.end_run(unit, run);
        }
        if is_last {
            self.remove_pid_file(unit);
        }
        self.go_on_with(unit, kept);
        self.leave_sets(unit);
        self.dirty.insert(unit);
    }

    fn end_run(&mut self, unit: UnitId, mut run: Run) {
        if let Some(mounts) = run.mounts.take() {
            self.let_mounts_go(mounts);
        }
        let is_last = (self.units.get(&unit)).is_none_or(|entry| entry.runs.is_empty());
        if is_last {
            self.remember(unit, &run);
        }
        if let Some(number) = run.notify {
            self.close_notify(unit, number);
        }
        for number in run.processes.iter().filter_map(|process| process.report) {
            if let Some(report) = self.reports.remove(&number) {
                self.poll.forget(&*report.socket);
            }
        }
        if let (Some(watch), Some(cgroups)) = (run.watch, &self.cgroups) {
            self.cgroup_watches.remove(&watch);
            cgroups.unwatch(watch);
        }
        self.unwatch_memory(unit, &run);
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        for path in crate::leftovers::paths(entry, self.is_own(entry)) {
            self.remove_left(entry.name.as_str(), &path);
        }
        // Their names are nobody else's: who waits for the end need not wait for that.
        let unshared = crate::leftovers::unshared(&entry.unit, &run.invocation, run.temporary);
        let is_free =
            |path: &PathBuf| run.temporary.is_none() || !self.is_temporary_of_another(path);
        let unshared = unshared.filter(is_free);
        let unshared: Vec<_> = unshared
            .map(|path| (entry.name.to_string(), path))
            .collect();
        self.later.trees.extend(unshared);
        // Busy while something is in it: another unit's directory. A start that needs what goes at this moment makes it again.
        let shared = Path::new(crate::leftovers::PRIVATE_RUNTIME);
        let credentials =
            crate::leftovers::credentials_mount_point(entry, &self.directories.credentials());
        for directory in [shared].into_iter().chain(credentials.as_deref()) {
            match std::fs::remove_dir(directory) {
                Ok(()) | Err(_) => {}
            }
        }
        self.to_remove
            .push((entry.name.to_string(), run.incarnation));
        self.remove_ipc(entry, &run);
        let (name, unit_file) = (entry.name.to_string(), Rc::clone(&entry.unit));
        self.leave_shared(&name, &run);
        if is_last {
            self.tidy_terminal(unit, &unit_file);
        }
        for key in run.image_keys() {
            self.let_image_go(key);
        }
        if let Some(user) = &run.user {
            self.give_user_back(unit, user);
        }
    }

    /// The newest run is the one before those that came to nothing: what is one for the unit is its again.
    fn go_on_with(&mut self, unit: UnitId, kept: Option<Incarnation>) {
        let Some(kept) = kept.filter(|kept| self.engine.is_current(unit, *kept)) else {
            return;
        };
        self.take_notify_back(unit, kept.0);
        if let Some(run) = self.run_mut(unit, kept) {
            (run.oom_kills, run.memory_watch) = (None, None);
        }
        self.watch_memory(unit, kept.0);
    }

    fn remove_left(&self, unit: &str, path: &Path) {
        if let Err(errno) = crate::leftovers::remove(path, &self.directories.gone()) {
            self.tell_stays(unit, path, errno);
        }
    }

    fn tell_stays(&self, unit: &str, path: &Path, errno: Errno) {
        let text = format!("{} stays: it can't be removed: {errno}", path.display());
        self.log_named(crate::own_log::WARNING, unit, &text);
    }

    /// Has removed what runs that are over have left and nobody else knows, when the clients have their answers: on a disk that is
    /// busy, the removal of an empty directory waits for its journal.
    pub(crate) fn remove_trees(&mut self) {
        let trees = std::mem::take(&mut self.later.trees).into_iter();
        // What another run has goes with the last of them.
        let is_free = |(_, path): &(String, PathBuf)| {
            self.later.joined_runs == 0 || !self.is_temporary_of_another(path)
        };
        let gone = self.directories.gone();
        let trees: Vec<_> = trees
            .filter(is_free)
            .map(|(unit, path)| crate::leftovers::Tree::note(unit, path, &gone))
            .collect();
        if trees.is_empty() {
            return;
        }
        self.later.removals += 1;
        let work = move || Told::Trees(crate::leftovers::remove_all(trees, &gone));
        let now = crate::clock::monotonic();
        self.elsewhere.ask(now, Lane::Trees, Box::new(work));
    }

    /// A thread is done with what runs have left.
    pub(crate) fn on_removed_trees(&mut self, stays: Vec<crate::leftovers::Stays>) {
        self.later.removals -= 1;
        for (unit, path, errno) in stays {
            self.tell_stays(&unit, &path, errno);
        }
    }

    /// Makes the service's terminal as its next user expects it.
    fn tidy_terminal(&mut self, id: UnitId, unit: &model::Unit) {
        let tidying = Tidying {
            hang_up: unit.value(&key::TTY_VHANGUP),
            clear: unit.value(&key::TTY_VT_DISALLOCATE),
            reset: unit.value(&key::TTY_RESET),
            give_back: is_terminal(&unit.value(&key::STANDARD_INPUT)),
        };
        let path = plan::terminal_path(unit).filter(|_| tidying != Tidying::default());
        let Some(name) = path.and_then(|path| std::ffi::CString::new(path).ok()) else {
            return;
        };
        if let Err(error) = kernel::terminal::tidy_aside(&name, tidying) {
            let said = format!(
                "{} can't be made ready for its next user: no process can be started for it: {error}",
                name.to_string_lossy()
            );
            self.log_as(crate::own_log::WARNING, id, &said);
        }
    }

    /// What `status` shows of a unit whose run is over.
    fn remember(&mut self, unit: UnitId, run: &Run) {
        let cpu_ns = match (&self.cgroups, &run.cgroup) {
            (Some(cgroups), Some(path)) => cgroups.cpu_ns(path),
            _ => None,
        };
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        entry.last_mut().run = Some(RunRecord {
            over: Some(cpu_ns.unwrap_or_default()),
            ..run.record()
        });
    }
}

/// Then it was its user's.
fn is_terminal(input: &StandardInput) -> bool {
    use StandardInput::{Tty, TtyFail, TtyForce};
    matches!(input, Tty | TtyFail | TtyForce)
}

/// The commands of a run, and how they ended.
pub(crate) fn commands_of(unit: &model::Unit, run: &RunRecord) -> Vec<wire::CommandStatus> {
    let status = |process: &ProcessRecord| {
        let exit = process.ended.map(|(status, when)| wire::ExitStatus {
            pid: process.visible_pid(),
            started_realtime_us: Some(process.started_us),
            ended_realtime_us: Some(when),
            ..exit_message(status, "")
        });
        wire::CommandStatus {
            step: role_name(process.role).into(),
            index: u32::from(process.index),
            argv: crate::start::argv(unit, process.role, process.index),
            exit,
        }
    };
    run.processes.iter().map(status).collect()
}
