//! OOMPolicy=: the kernel counts in `memory.events` how many processes of a group it killed for lack of memory (cgroup-v2.rst).

use crate::cgroup::Cgroups;
use crate::manager::Manager;
use crate::run::{Run, RunProcess};
use engine::{ExitStatus, Incarnation, Input, Signal, UnitId};
use model::value::OomPolicy;
use model::{Directive, Unit, key};
use rustix::fs::inotify;
use rustix::io::Errno;
use std::path::Path;

/// Does the unit ask for something that needs the count?
pub(crate) fn is_asked_for(unit: &Unit, directive: Directive) -> bool {
    [&key::SERVICE_OOM_POLICY, &key::SCOPE_OOM_POLICY]
        .into_iter()
        .filter(|policy| policy.directive() == directive)
        .any(|policy| unit.value(policy) != OomPolicy::Continue)
}

/// The count in the text of a group's `memory.events`.
fn count(events: &str) -> Option<u64> {
    let mut lines = events.lines();
    let line = lines.find_map(|line| line.strip_prefix("oom_kill "))?;
    line.parse().ok()
}

fn count_in(group: &Path) -> Option<u64> {
    count(&std::fs::read_to_string(group.join(EVENTS)).ok()?)
}

const EVENTS: &str = "memory.events";

impl Cgroups {
    /// How many were killed in a unit's group since it is there; none where nobody counts.
    fn memory_kills(&self, unit: &str) -> Option<u64> {
        count_in(&self.of_unit(unit))
    }

    /// Reports changes of the count; it goes by itself with the group.
    fn watch_memory(&self, unit: &str) -> Result<i32, Errno> {
        let flags = inotify::WatchFlags::MODIFY;
        self.add_watch(&self.of_unit(unit).join(EVENTS), flags)
    }
}

/// The run of a process that was killed: the newest, unless another one has a process that was and the newest has none. The count is of all runs
/// of the unit together, as its bounds are.
fn whose(runs: &[Run]) -> u64 {
    let was_killed = |process: &RunProcess| match (process.ended, &process.pidfd) {
        (Some((status, _)), _) => status == ExitStatus::Killed(Signal::KILL),
        (None, Some(pidfd)) => kernel::process::has_ended(pidfd),
        (None, None) => false,
    };
    let lost = |run: &&Run| run.processes.iter().any(was_killed);
    let run = runs.iter().rev().find(lost).or(runs.last());
    run.map(|run| run.incarnation).unwrap_or_default()
}

impl Manager {
    /// Looks at the group of a run from its first process on. What was counted for the runs before is none of this one.
    pub(crate) fn watch_memory(&mut self, unit: UnitId, incarnation: u64) {
        let (Some(cgroups), Some(entry)) = (&self.cgroups, self.units.get_mut(&unit)) else {
            return;
        };
        let name = entry.name.to_string();
        let Some(run) = entry.run(incarnation).filter(|run| run.oom_kills.is_none()) else {
            return;
        };
        run.oom_kills = cgroups.memory_kills(&name);
        if run.oom_kills.is_none() {
            return;
        }
        match cgroups.watch_memory(&name) {
            Ok(watch) => {
                run.memory_watch = Some(watch);
                self.later.memory_watches.insert(watch, (unit, incarnation));
            }
            Err(errno) => self.log_unwatched(unit, errno),
        }
    }

    /// A run is over: its count is looked at no more, unless a later run has the watch.
    pub(crate) fn unwatch_memory(&mut self, unit: UnitId, run: &Run) {
        let Some(watch) = run.memory_watch else {
            return;
        };
        let watches = &mut self.later.memory_watches;
        if watches.get(&watch) == Some(&(unit, run.incarnation)) {
            watches.remove(&watch);
            if let Some(cgroups) = &self.cgroups {
                cgroups.unwatch(watch);
            }
        }
    }

    /// Watches what the manager before this one did, and looks at what happened meanwhile.
    pub(crate) fn mend_memory(&mut self) {
        let Some(cgroups) = &self.cgroups else { return };
        let (mut watched, mut unwatched) = (Vec::new(), Vec::new());
        for entry in self.units.values_mut() {
            let mut runs = entry.runs.iter_mut().rev();
            let Some(run) = runs.find(|run| run.oom_kills.is_some()) else {
                continue;
            };
            match cgroups.watch_memory(entry.name.as_str()) {
                Ok(watch) => {
                    run.memory_watch = Some(watch);
                    let run = (entry.id, run.incarnation);
                    self.later.memory_watches.insert(watch, run);
                    watched.push(entry.id);
                }
                // The group went while nobody looked: so does the run.
                Err(Errno::NOENT) => {}
                Err(errno) => unwatched.push((entry.id, errno)),
            }
        }
        for (unit, errno) in unwatched {
            self.log_unwatched(unit, errno);
        }
        for unit in watched {
            self.look_at_memory(unit);
        }
    }

    fn log_unwatched(&self, unit: UnitId, errno: Errno) {
        let text = format!(
            "OOMPolicy= sees only the ends of the processes that were started for it, as {EVENTS} of its group can't be watched: {errno}"
        );
        self.log_as(crate::own_log::WARNING, unit, &text);
    }

    /// Is its group there, and counted?
    pub(crate) fn is_counted(&self, unit: UnitId) -> bool {
        let entry = self.units.get(&unit);
        let of_unit = (self.cgroups.as_ref()).zip(entry);
        of_unit.is_some_and(|(cgroups, entry)| {
            cgroups.of_unit(entry.name.as_str()).join(EVENTS).exists()
        })
    }

    /// The kernel may have killed something in the group of this unit.
    pub(crate) fn look_at_memory(&mut self, unit: UnitId) {
        let (Some(cgroups), Some(entry)) = (&self.cgroups, self.units.get_mut(&unit)) else {
            return;
        };
        let Some(kills) = cgroups.memory_kills(entry.name.as_str()) else {
            return;
        };
        let Some(run) = entry.runs.last_mut() else {
            return;
        };
        let known = run.oom_kills.replace(kills);
        if known.is_none_or(|known| kills <= known) {
            return;
        }
        let incarnation = Incarnation(whose(&entry.runs));
        self.dirty.insert(unit);
        let text = "the kernel killed a process of it, as there was no memory left for it";
        self.log_as(crate::own_log::WARNING, unit, text);
        self.inputs
            .push_back(Input::OutOfMemory { unit, incarnation });
    }
}

#[cfg(test)]
mod tests {
    use super::{EVENTS, count, count_in, is_asked_for, whose};
    use crate::run::{Run, RunProcess};
    use engine::{ExitStatus, Incarnation, ProcessKey, Role, Signal, UnitId};
    use model::value::OomPolicy;
    use model::{Unit, key};

    #[test]
    fn the_kernels_count_is_found_among_others() {
        let events = "low 0\nhigh 3\nmax 12\noom 2\noom_kill 7\noom_group_kill 1\n";
        assert_eq!(count(events), Some(7));
        assert_eq!(count("oom 2\noom_group_kill 1\n"), None);
        assert_eq!(count("oom_kill many\n"), None);
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(count_in(folder.path()), None);
        for number in [0, 3] {
            std::fs::write(folder.path().join(EVENTS), format!("oom_kill {number}\n"))
                .expect("a file");
            assert_eq!(count_in(folder.path()), Some(number));
        }
    }

    #[test]
    fn of_two_runs_it_is_the_one_with_a_process_that_was_killed() {
        let run = |number: u64, ended: Option<ExitStatus>| {
            let key = ProcessKey {
                unit: UnitId(0),
                incarnation: Incarnation(number),
                serial: 1,
            };
            let mut process = RunProcess::asked(key, Role::Main, 0);
            process.ended = ended.map(|status| (status, 1));
            Run {
                incarnation: number,
                processes: vec![process],
                ..Run::default()
            }
        };
        let (killed, ended) = (
            Some(ExitStatus::Killed(Signal::KILL)),
            Some(ExitStatus::Exited(0)),
        );
        assert_eq!(whose(&[run(4, killed), run(5, None)]), 4);
        assert_eq!(whose(&[run(4, killed), run(5, killed)]), 5);
        // What nobody watches may be of either.
        assert_eq!(whose(&[run(4, ended), run(5, None)]), 5);
        assert_eq!(whose(&[run(6, None)]), 6);
    }

    #[test]
    fn what_goes_on_needs_no_count() {
        let mut unit = Unit::new("a.service".parse().expect("a name"));
        let directive = key::SERVICE_OOM_POLICY.directive();
        for (policy, is_asked) in [
            (OomPolicy::Continue, false),
            (OomPolicy::Stop, true),
            (OomPolicy::Kill, true),
        ] {
            unit.set(&key::SERVICE_OOM_POLICY, policy);
            assert_eq!(is_asked_for(&unit, directive), is_asked, "{policy}");
        }
        assert!(!is_asked_for(&unit, key::SERVICE_TYPE.directive()));
    }
}
