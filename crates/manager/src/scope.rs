//! Scopes: processes that a client started come into the group of a unit of their own.

use crate::manager::Manager;
use crate::run::Run;
use engine::{Incarnation, Input, UnitId};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use wire::Failure;

/// Processes of one scope that a client hands over.
pub(crate) const PROCESSES_MAX: usize = 1024;

impl Manager {
    /// Puts the processes that came with the scope into its group, and tells the engine how that went.
    pub(crate) fn take_processes(&mut self, unit: UnitId, incarnation: Incarnation) {
        let outcome = self.try_take_over(unit, incarnation.0);
        let well = outcome.is_ok();
        if let Err(failure) = outcome {
            self.log_as(crate::own_log::ERROR, unit, &failure.to_string());
            if let Some(entry) = self.units.get_mut(&unit) {
                entry.failure = Some(Box::new(failure));
            }
        }
        self.dirty.insert(unit);
        self.inputs.push_back(Input::TakenOver {
            unit,
            incarnation,
            well,
        });
    }

    fn try_take_over(&mut self, unit: UnitId, incarnation: u64) -> Result<(), Failure> {
        let Some(entry) = self.units.get_mut(&unit) else {
            return Ok(());
        };
        let name = entry.name.to_string();
        let refused = |message: &str| Failure::NotSupported {
            unit: name.clone(),
            message: format!("{name}: {message}"),
        };
        let transient = entry.transient.as_deref_mut();
        let processes = transient.map(|transient| std::mem::take(&mut transient.processes));
        let processes = processes.unwrap_or_default();
        let is_known = entry.run(incarnation).is_some();
        if self.cgroups.is_none() {
            return Err(refused(
                "a scope is a control group, and there is no hierarchy of version 2 that can be written",
            ));
        }
        // A manager that came back may find them where the one before had put them.
        if processes.is_empty() && !is_known {
            return Err(refused(
                "a scope takes processes over that a client names: `coracle run --scope` makes one",
            ));
        }
        self.place_group(unit)?;
        self.filter_group(unit)?;
        self.bound_group(unit)?;
        let Some(cgroups) = &self.cgroups else {
            return Ok(());
        };
        let path = cgroups.path(&name, incarnation);
        let group = cgroups.on_host(&path);
        let is_there = is_known && cgroups.is_populated(&path);
        cgroups
            .make(&name, incarnation)
            .map_err(|error| self.internal(unit, "make a control group", &error))?;
        if !is_known {
            self.begin_scope(unit, incarnation, path);
        }
        if is_there {
            return Ok(());
        }
        let mut taken = 0_usize;
        for process in &processes {
            match take(process, &group) {
                Ok(true) => taken += 1,
                Ok(false) => {}
                Err(error) => {
                    return Err(self.internal(unit, "take a process over", &error));
                }
            }
        }
        match taken {
            0 => Err(Failure::JobFailed {
                unit: name,
                result: "resources".into(),
                message: "none of its processes is there any more".into(),
            }),
            _ => Ok(()),
        }
    }

    fn begin_scope(&mut self, unit: UnitId, incarnation: u64, cgroup: String) {
        let mut run = Run {
            incarnation,
            cgroup: Some(cgroup),
            ..Run::default()
        };
        // Without one it is a scope all the same.
        match rustix::rand::getrandom(&mut run.invocation, rustix::rand::GetRandomFlags::empty()) {
            Ok(_) | Err(_) => {}
        }
        if let Some(entry) = self.units.get_mut(&unit) {
            entry.last = None;
            entry.runs.push(run);
        }
    }
}

/// Puts a process into a group; false where it is gone. Its number is its own for as long as it is there, so it is looked at again after.
fn take(process: &Rc<OwnedFd>, group: &Path) -> std::io::Result<bool> {
    let Some(pid) = number(process) else {
        return Ok(false);
    };
    let written = fs::write(group.join("cgroup.procs"), pid.to_string());
    match (written, number(process)) {
        (_, None) => Ok(false),
        (Ok(()), Some(_)) => Ok(true),
        (Err(error), Some(_)) => Err(error),
    }
}

/// The number of the process behind a pidfd, as this process sees it (proc(5)); none where it is gone, or the descriptor is another kind's.
fn number(process: &Rc<OwnedFd>) -> Option<u32> {
    let path = format!("/proc/self/fdinfo/{}", process.as_raw_fd());
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::number;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::rc::Rc;

    #[test]
    fn a_process_has_a_number_until_it_is_reaped() {
        let mut child = std::process::Command::new("/bin/true")
            .spawn()
            .expect("a process");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a number")).expect("one");
        let pidfd = Rc::new(pidfd_open(pid, PidfdFlags::empty()).expect("it is not reaped"));
        assert_eq!(number(&pidfd), Some(child.id()));
        child.wait().expect("it ends");
        assert_eq!(number(&pidfd), None);
        let file = std::fs::File::open("/dev/null").expect("a file");
        assert_eq!(number(&Rc::new(file.into())), None);
    }
}
