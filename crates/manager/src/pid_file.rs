//! The main process of a service that puts itself into the background: named by its PID file, or guessed.
//!
//! A PID file is read as it stands at a path that services may have left traps on, and believed only of a process of the run's own
//! control group, whoever wrote it.

use crate::cgroup::member;
use crate::manager::Manager;
use crate::poll::{Poll, Token};
use engine::{Incarnation, Input, Notice, Phase, ProcessKey, State, Target, UnitId};
use kernel::walk::Place;
use model::key;
use model::sorted::{Map, Set};
use model::value::ServiceType;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{AtFlags, unlinkat};
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Room for a PID file, in bytes; only its first line counts.
const FILE_BYTES_MAX: u64 = 4096;
/// A directory that comes to be while it is looked for is looked for again, so often at most.
const LOOKS_MAX: usize = 64;
/// So much is said of a file that names nobody: who may write it could go on for ever.
const TOLD_MAX: usize = 4;

/// The PID files that are waited for.
#[derive(Debug, Default)]
pub(crate) struct PidFiles {
    /// What watches the directories in which they will be; closed when nobody waits.
    inotify: Option<OwnedFd>,
    watches: Map<PathBuf, i32>,
    waiting: Map<UnitId, Awaited>,
}

#[derive(Debug)]
struct Awaited {
    incarnation: Incarnation,
    path: String,
    /// Why what was found there is not taken: each told once, and not without end.
    told: Vec<String>,
}

/// Whom a PID file names.
enum Named {
    /// The process that is the main one anyway.
    Main,
    /// Another process of the run.
    Other(u32),
    /// Nobody, as there is no file yet.
    Nothing,
    /// Nobody that may be the main process, and why.
    Unfit(String),
}

impl PidFiles {
    /// Watches the directory of each file that is waited for, or the deepest one above it that is there. What comes to be after this is
    /// told.
    fn watch(&mut self, poll: &Poll) -> io::Result<()> {
        let inotify = match &self.inotify {
            Some(inotify) => inotify,
            None => {
                let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
                poll.watch(&inotify, Token::PidFiles)?;
                self.inotify.insert(inotify)
            }
        };
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        for _ in 0..LOOKS_MAX {
            let wanted: Set<PathBuf> = self
                .waiting
                .values()
                .filter_map(|one| deepest(&one.path))
                .collect();
            let mut is_new = false;
            for directory in &wanted {
                // The same number again where the directory is still the one that is watched.
                let watch = match inotify::add_watch(inotify, directory, flags) {
                    Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
                        is_new = true;
                        continue;
                    }
                    watch => watch?,
                };
                is_new |= self.watches.insert(directory.clone(), watch) != Some(watch);
            }
            if !is_new {
                break;
            }
        }
        Ok(())
    }

    fn end_unless_waiting(&mut self, poll: &Poll) {
        if self.waiting.is_empty()
            && let Some(inotify) = self.inotify.take()
        {
            poll.forget(&inotify);
            self.watches.clear();
        }
    }
}

impl Manager {
    /// Answers who the main process is; later, where the PID file is waited for.
    pub(crate) fn find_main(&mut self, unit: UnitId, incarnation: Incarnation, waits: bool) {
        let Some(path) = self.pid_file(unit) else {
            let pid = self.guess_main(unit, incarnation);
            return self.tell_main(unit, incarnation, pid);
        };
        let awaited = Awaited {
            incarnation,
            path,
            told: Vec::new(),
        };
        self.aside.pid_files.waiting.insert(unit, awaited);
        if waits && let Err(error) = self.aside.pid_files.watch(&self.poll) {
            let text = format!("its PID file is not waited for: inotify(7) fails: {error}");
            self.log_as(crate::own_log::ERROR, unit, &text);
        }
        self.look_at_pid_file(unit);
        if !waits && self.aside.pid_files.waiting.remove(&unit).is_some() {
            self.tell_main(unit, incarnation, None);
        }
        self.aside.pid_files.end_unless_waiting(&self.poll);
    }

    fn pid_file(&self, unit: UnitId) -> Option<String> {
        let path = self.units.get(&unit)?.unit.get(&key::PID_FILE)?;
        Some(path.as_str().to_owned()).filter(|path| !path.is_empty())
    }

    fn tell_main(&mut self, unit: UnitId, incarnation: Incarnation, pid: Option<u32>) {
        self.inputs.push_back(Input::MainFound {
            unit,
            incarnation,
            pid,
        });
    }

    /// Something happened where PID files are waited for.
    pub(crate) fn on_pid_files(&mut self) {
        crate::host_files::drain(self.aside.pid_files.inotify.as_ref());
        if let Err(error) = self.aside.pid_files.watch(&self.poll) {
            self.log(&format!(
                "PID files are not waited for: inotify(7) fails: {error}"
            ));
        }
        let waiting: Vec<UnitId> = self.aside.pid_files.waiting.keys().copied().collect();
        for unit in waiting {
            self.look_at_pid_file(unit);
        }
        self.aside.pid_files.end_unless_waiting(&self.poll);
    }

    fn look_at_pid_file(&mut self, unit: UnitId) {
        let Some(awaited) = self.aside.pid_files.waiting.get(&unit) else {
            return;
        };
        let (incarnation, path) = (awaited.incarnation, awaited.path.clone());
        let is_wanted = matches!(
            self.engine.state(unit),
            Some(State::Service(run)) if matches!(run.phase, Phase::Start | Phase::StartPost)
        ) && self.run_mut(unit, incarnation).is_some();
        let named = if is_wanted {
            self.named(unit, incarnation, &path)
        } else {
            Named::Main
        };
        let pid = match named {
            Named::Nothing => return,
            Named::Unfit(why) => return self.tell_unfit(unit, why),
            Named::Main => None,
            Named::Other(pid) => Some(pid),
        };
        self.aside.pid_files.waiting.remove(&unit);
        self.tell_main(unit, incarnation, pid);
    }

    fn tell_unfit(&mut self, unit: UnitId, why: String) {
        let Some(awaited) = self.aside.pid_files.waiting.get_mut(&unit) else {
            return;
        };
        if awaited.told.len() < TOLD_MAX && !awaited.told.contains(&why) {
            awaited.told.push(why.clone());
            self.log_as(crate::own_log::WARNING, unit, &why);
        }
    }

    /// Whom the file names now.
    fn named(&mut self, unit: UnitId, incarnation: Incarnation, path: &str) -> Named {
        let text = match crate::credentials::read_file(path, FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Named::Nothing,
            Err(error) => return Named::Unfit(format!("PIDFile={path} can't be read: {error}")),
        };
        // Written in two goes: the number comes.
        if text.is_empty() {
            return Named::Nothing;
        }
        let Some(pid) = first_number(&text) else {
            return Named::Unfit(format!("PIDFile={path} does not begin with a number"));
        };
        let mains = self.serials(unit, Target::Main);
        let Some(run) = self.run_mut(unit, incarnation) else {
            return Named::Nothing;
        };
        let own = run.processes.iter().rev();
        let known = own
            .into_iter()
            .find(|one| one.ended.is_none() && (one.pid == Some(pid) || one.payload == Some(pid)));
        match known {
            Some(one) if mains.contains(&one.serial) => return Named::Main,
            Some(_) => {
                return Named::Unfit(format!(
                    "PIDFile={path} names process {pid}, which is a command of the unit that ends by itself"
                ));
            }
            None => {}
        }
        let group = run.cgroup.clone();
        if group.is_none_or(|group| member(pid, &group).is_none()) {
            return Named::Unfit(format!(
                "PIDFile={path} names process {pid}, which is not in the unit's control group: it is not taken for the main process"
            ));
        }
        if has_ended(pid) {
            return Named::Unfit(format!(
                "PIDFile={path} names process {pid}, which has ended"
            ));
        }
        Named::Other(pid)
    }

    /// GuessMainPID=: the one process of the group that has no parent in it. More than one, and nobody knows.
    fn guess_main(&mut self, unit: UnitId, incarnation: Incarnation) -> Option<u32> {
        let keeper = self.keeper.pid;
        let entry = self.units.get_mut(&unit)?;
        let guesses = entry.unit.value(&key::GUESS_MAIN_PID)
            && entry.unit.value(&key::SERVICE_TYPE) == ServiceType::Forking;
        let run = entry.run(incarnation.0).filter(|_| guesses)?;
        let group = run.cgroup.clone()?;
        let started: Vec<u32> = run
            .processes
            .iter()
            .filter(|one| one.ended.is_none())
            .filter_map(|one| one.pid)
            .collect();
        let all = self.cgroups.as_ref()?.processes(&group);
        let mut left = all.into_iter().filter(|pid| {
            !started.contains(pid) && crate::run::is_child(*pid, keeper) && !has_ended(*pid)
        });
        left.next().filter(|_| left.next().is_none())
    }

    /// Is it a main process that may name the next one in a PID file?
    pub(crate) fn may_hand_over(&self, process: ProcessKey) -> bool {
        let mains = self.serials(process.unit, Target::Main);
        mains.contains(&process.serial) && self.pid_file(process.unit).is_some()
    }

    /// A main process that ends may have named another one in its PID file, which goes on.
    pub(crate) fn follow_pid_file(&mut self, process: ProcessKey) {
        let ProcessKey {
            unit, incarnation, ..
        } = process;
        let hands_over = self.may_hand_over(process);
        let Some(path) = self.pid_file(unit).filter(|_| hands_over) else {
            return;
        };
        if let Named::Other(pid) = self.named(unit, incarnation, &path) {
            let message = Notice {
                main_pid: Some(pid),
                ..Notice::default()
            };
            self.inputs.push_back(Input::Notify {
                unit,
                incarnation,
                message,
            });
        }
    }

    /// Removes what the service did not at its end.
    pub(crate) fn remove_pid_file(&mut self, unit: UnitId) {
        self.aside.pid_files.waiting.remove(&unit);
        self.aside.pid_files.end_unless_waiting(&self.poll);
        let Some(path) = self.pid_file(unit) else {
            return;
        };
        match remove(&path) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => {
                let text = format!("PIDFile={path} stays: it can't be removed: {error}");
                self.log_as(crate::own_log::WARNING, unit, &text);
            }
        }
    }
}

fn remove(path: &str) -> io::Result<()> {
    let place = Place::find(&CString::new(path)?, |_| None)?;
    Ok(unlinkat(&place.parent, place.name(), AtFlags::empty())?)
}

/// The deepest directory above a file that is there.
fn deepest(path: &str) -> Option<PathBuf> {
    let mut above = Path::new(path).ancestors().skip(1);
    above
        .find(|directory| directory.is_dir())
        .map(Path::to_owned)
}

/// The process that the first line names; never the first one of the machine.
fn first_number(text: &[u8]) -> Option<u32> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let number = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    (number > 1).then_some(number)
}

/// Is only its status left (proc_pid_status(5))? Then it is nobody that goes on.
fn has_ended(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.map_or(true, |status| {
        status
            .lines()
            .any(|line| line.starts_with("State:\tZ") || line.starts_with("State:\tX"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn the_first_line_of_a_pid_file_is_the_number_of_a_process() {
        let number = |text: &str| first_number(text.as_bytes());
        assert_eq!(number("42"), Some(42));
        assert_eq!(number(" 42 \n/var/lib/postgresql\n"), Some(42));
        for wrong in ["", "\n42", "1\n", "0", "-1", "42 43", "4294967296", "self"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        assert_eq!(first_number(b"4\xff2"), None);
    }

    #[test]
    fn a_pid_file_behind_a_link_of_a_service_stays_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let (own, target) = (folder.path().join("own"), folder.path().join("target"));
        std::fs::create_dir_all(&target).unwrap();
        std::fs::create_dir(&own).unwrap();
        std::fs::write(target.join("pid"), "42").unwrap();
        std::os::unix::fs::symlink(&target, own.join("sub")).unwrap();
        let path = own.join("sub/pid");
        // Who may change the directory may have left the link.
        std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        assert!(remove(path.to_str().unwrap()).is_err());
        assert!(target.join("pid").exists());
        remove(target.join("pid").to_str().unwrap()).unwrap();
        assert!(!target.join("pid").exists());
    }
}
