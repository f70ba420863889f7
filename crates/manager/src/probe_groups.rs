//! The control group of a probe's command: beside that of the run, so that nothing of it keeps a service up, and what it leaves goes with
//! it. Each has one of its own: whatever is born in a group that was killed once is killed at birth (Linux 6.13 and later).

use crate::cgroup::{Cgroups, OWN_LINKS, children, links, make_directory, remove_tree};
use crate::effects::signal_group;
use engine::{ProcessKey, Signal};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Groups below a probe's own that are removed with it.
const DEPTH_MAX: u32 = 8;

/// What the names of the groups of a run's probes begin with; those of runs are numbers.
fn beginning(incarnation: u64) -> String {
    format!("{incarnation}.probe.")
}

impl Cgroups {
    fn probe_path(&self, unit: &str, incarnation: u64, serial: u32) -> String {
        let (unit, beginning) = (self.path_of(unit), beginning(incarnation));
        format!("{unit}/{beginning}{serial}")
    }

    /// Makes the group of a probe and opens it. Whatever the probes before have left goes now at the latest.
    pub(crate) fn make_probe(
        &self,
        unit: &str,
        incarnation: u64,
        serial: u32,
    ) -> io::Result<OwnedFd> {
        let path = self.on_host(&self.probe_path(unit, incarnation, serial));
        self.end_probe_groups(unit, incarnation);
        if let Some(of_unit) = path.parent() {
            make_directory(of_unit)?;
        }
        make_directory(&path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(CWD, &path, flags, Mode::empty())?)
    }

    /// A probe is over: what is in its group is killed, and the group goes. False: some of it is not dead yet.
    pub(crate) fn end_probe_group(&self, unit: &str, incarnation: u64, serial: u32) -> bool {
        let path = self.probe_path(unit, incarnation, serial);
        if remove_tree(&self.on_host(&path), 0) {
            return true;
        }
        signal_group(self, &path, Signal::KILL, true);
        remove_tree(&self.on_host(&path), DEPTH_MAX)
    }

    /// The groups of a run's probes.
    fn probes(&self, unit: &str, incarnation: u64) -> Vec<u32> {
        let beginning = beginning(incarnation);
        let number = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix(&beginning)?.parse().ok()
        };
        let of_unit = self.of_unit(unit);
        // Mostly there is the run's alone, which stays until those of its probes are gone, and nothing need be read.
        if links(&of_unit).is_some_and(|links| links <= OWN_LINKS + 1) {
            return Vec::new();
        }
        let groups = children(&of_unit);
        groups.iter().filter_map(number).collect()
    }

    /// Has every probe of a run end. False: some of what they left is not dead yet.
    pub(crate) fn end_probe_groups(&self, unit: &str, incarnation: u64) -> bool {
        let mut all = true;
        for serial in self.probes(unit, incarnation) {
            all &= self.end_probe_group(unit, incarnation, serial);
        }
        all
    }

    /// Watches the groups of probes that are not gone.
    ///
    /// # Errors
    /// Where one can't be watched that is there.
    pub(crate) fn watch_probes(&self, unit: &str, incarnation: u64) -> Result<(), Errno> {
        for serial in self.probes(unit, incarnation) {
            match self.watch(&self.probe_path(unit, incarnation, serial)) {
                // One that is gone meanwhile needs none.
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

impl crate::manager::Manager {
    /// Ends whatever a probe's command has left, before it is reaped: until then its number is nobody else's.
    pub(crate) fn end_probe_processes(&mut self, process: ProcessKey) {
        let Some(entry) = self.units.get_mut(&process.unit) else {
            return;
        };
        if let Some(cgroups) = &self.cgroups {
            let name = entry.name.as_str();
            // What dies slowly goes with the next probe, or with the run.
            cgroups.end_probe_group(name, process.incarnation.0, process.serial);
            return;
        }
        let run = entry.run(process.incarnation.0);
        let known = run.and_then(|run| run.process(process.serial));
        // It leads a session, and with it a group of processes, from the start.
        let leader = known.and_then(|known| i32::try_from(known.pid?).ok());
        if let Some(leader) = leader.filter(|leader| *leader > 1) {
            match kernel::process::kill(-leader, i32::from(Signal::KILL.0)) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}
