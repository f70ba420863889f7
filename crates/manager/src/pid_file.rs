//! The main process of a service that puts itself into the background: named by its PID file, or guessed.
//!
//! A PID file is read as it stands at a path that services may have left traps on, and believed only of a process of the run's own
//! control group, whoever wrote it. It may lie on a file system that does not answer: threads look there, and who asked waits for them.

use crate::cgroup::member;
use crate::children::LateEnd;
use crate::elsewhere::{Lane, Told};
use crate::manager::Manager;
use crate::poll::{Poll, Token};
use engine::{Incarnation, Input, Micros, Notice, Phase, ProcessKey, Spawn, State, Target, UnitId};
use model::key;
use model::sorted::Map;
use model::value::ServiceType;
use rustix::fs::inotify::{self, CreateFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

mod reading;

/// So much is said of a file that names nobody: who may write it could go on for ever.
const TOLD_MAX: usize = 4;
/// How long the end of a main process, or of the instance, waits for a file system, in microseconds: many times what a busy one takes.
const PATIENCE_US: u64 = 10_000_000;

/// The PID files that threads look at, and who waits for that.
#[derive(Debug, Default)]
pub(crate) struct PidFiles {
    /// What watches the directories in which they will be; closed when nobody waits.
    inotify: Option<Arc<OwnedFd>>,
    waiting: Map<UnitId, Awaited>,
    looks: u64,
    /// Main processes that ended and may have named the next one.
    ends: Map<ProcessKey, Ended>,
    removals: Vec<Removal>,
    /// Starts that would write a file which is being removed.
    starts: Vec<Spawn>,
}

#[derive(Debug)]
struct Awaited {
    incarnation: Incarnation,
    path: String,
    /// Where it names nobody yet, the answer is for later.
    waits: bool,
    /// The number of its looks: what others found concerns an earlier question.
    number: u64,
    look: Look,
    /// Why what was found there is not taken: each told once, and not without end.
    told: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    No,
    UnderWay,
    /// Something happened since it began: there will be another one.
    Stale,
}

#[derive(Debug)]
struct Ended {
    end: LateEnd,
    until: Micros,
}

#[derive(Debug)]
struct Removal {
    unit: UnitId,
    path: String,
    /// Until when the instance does not end without it.
    until: Option<Micros>,
}

/// What a thread found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Where a start waits for the file.
    Started {
        unit: UnitId,
        number: u64,
        watched: io::Result<()>,
        text: io::Result<Vec<u8>>,
    },
    /// At the end of a main process.
    Ended {
        process: ProcessKey,
        path: String,
        text: io::Result<Vec<u8>>,
    },
    /// The file is no longer there, or stays.
    Removed {
        unit: UnitId,
        path: String,
        outcome: io::Result<()>,
    },
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
    fn inotify(&mut self, poll: &Poll) -> io::Result<Arc<OwnedFd>> {
        if let Some(inotify) = &self.inotify {
            return Ok(Arc::clone(inotify));
        }
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        poll.watch(&inotify, Token::PidFiles)?;
        Ok(Arc::clone(self.inotify.insert(Arc::new(inotify))))
    }

    fn end_unless_waiting(&mut self, poll: &Poll) {
        if self.waiting.values().all(|one| !one.waits)
            && let Some(inotify) = self.inotify.take()
        {
            poll.forget(&*inotify);
        }
    }

    /// The end of this process, if it waits for a file.
    pub(crate) fn end_of(&mut self, process: ProcessKey) -> Option<&mut LateEnd> {
        self.ends.get_mut(&process).map(|one| &mut one.end)
    }

    /// Is a file being removed, that the end of the instance waits for?
    pub(crate) fn are_removed(&self) -> bool {
        self.removals.iter().any(|one| one.until.is_some())
    }

    /// When nobody waits any longer.
    pub(crate) fn next_end(&self) -> Option<Micros> {
        let ends = self.ends.values().map(|one| one.until);
        let removals = self.removals.iter().filter_map(|one| one.until);
        ends.chain(removals).min()
    }

    /// Lets go of the processes of a run that wait, of those with these serials.
    pub(crate) fn give_up(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
        serials: &[u32],
    ) -> Vec<ProcessKey> {
        crate::effects::let_go(&mut self.starts, (unit, incarnation), serials)
    }
}

impl Manager {
    /// Answers who the main process is, when the PID file was looked at; later, where it is waited for.
    pub(crate) fn find_main(&mut self, unit: UnitId, incarnation: Incarnation, waits: bool) {
        let Some(path) = self.pid_file(unit) else {
            let pid = self.guess_main(unit, incarnation);
            return self.tell_main(unit, incarnation, pid);
        };
        let files = &mut self.aside.pid_files;
        files.looks += 1;
        let awaited = Awaited {
            incarnation,
            path,
            waits,
            number: files.looks,
            look: Look::No,
            told: Vec::new(),
        };
        files.waiting.insert(unit, awaited);
        self.look_at_pid_file(unit);
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
        crate::host_files::drain(self.aside.pid_files.inotify.as_deref());
        let waiting: Vec<UnitId> = self.aside.pid_files.waiting.keys().copied().collect();
        for unit in waiting {
            self.look_at_pid_file(unit);
        }
    }

    /// Has a thread look at it; once more, where one is at it.
    fn look_at_pid_file(&mut self, unit: UnitId) {
        let files = &mut self.aside.pid_files;
        let Some(awaited) = files.waiting.get_mut(&unit) else {
            return;
        };
        if awaited.look != Look::No {
            awaited.look = Look::Stale;
            return;
        }
        awaited.look = Look::UnderWay;
        let (path, number) = (awaited.path.clone(), awaited.number);
        let inotify = awaited.waits.then(|| files.inotify(&self.poll));
        self.look_elsewhere(unit, move || {
            let watched = match inotify {
                Some(inotify) => inotify.and_then(|inotify| reading::watch(&inotify, &path)),
                None => Ok(()),
            };
            Found::Started {
                unit,
                number,
                watched,
                text: reading::read(&path),
            }
        });
    }

    fn look_elsewhere(&mut self, unit: UnitId, look: impl FnOnce() -> Found + Send + 'static) {
        let entry = self.units.get(&unit);
        let is_portable = entry.is_some_and(|entry| entry.origin.portable.is_some());
        let lane = match is_portable {
            true => Lane::Portable,
            false => Lane::Host,
        };
        let now = crate::clock::monotonic();
        let work = move || Told::PidFile(look());
        self.elsewhere.ask(now, lane, Box::new(work));
    }

    /// A thread has looked.
    pub(crate) fn on_pid_file(&mut self, found: Found) {
        match found {
            Found::Started {
                unit,
                number,
                watched,
                text,
            } => self.on_looked(unit, number, watched, text),
            Found::Ended {
                process,
                path,
                text,
            } => {
                if let Some(Ended { end, .. }) = self.aside.pid_files.ends.remove(&process) {
                    self.follow_pid_file(process, &path, text);
                    self.conclude(end);
                }
            }
            Found::Removed {
                unit,
                path,
                outcome,
            } => self.on_pid_file_removed(unit, &path, outcome),
        }
    }

    fn on_looked(
        &mut self,
        unit: UnitId,
        number: u64,
        watched: io::Result<()>,
        text: io::Result<Vec<u8>>,
    ) {
        let Some(awaited) = self
            .aside
            .pid_files
            .waiting
            .get_mut(&unit)
            .filter(|awaited| awaited.number == number)
        else {
            return;
        };
        let look = std::mem::replace(&mut awaited.look, Look::No);
        let (incarnation, waits) = (awaited.incarnation, awaited.waits);
        let path = awaited.path.clone();
        if let Err(error) = watched {
            let text = format!("its PID file is not waited for: inotify(7) fails: {error}");
            self.log_as(crate::own_log::ERROR, unit, &text);
        }
        let is_wanted = matches!(
            self.engine.state(unit),
            Some(State::Service(run)) if matches!(run.phase, Phase::Start | Phase::StartPost)
        ) && self.run_mut(unit, incarnation).is_some();
        let named = match is_wanted {
            true => self.named(unit, incarnation, &path, text),
            false => Named::Main,
        };
        let pid = match named {
            Named::Other(pid) => Some(pid),
            Named::Main => None,
            Named::Nothing | Named::Unfit(_) => {
                if let Named::Unfit(why) = named {
                    self.tell_unfit(unit, why);
                }
                if waits {
                    if look == Look::Stale {
                        self.look_at_pid_file(unit);
                    }
                    return;
                }
                None
            }
        };
        self.aside.pid_files.waiting.remove(&unit);
        self.aside.pid_files.end_unless_waiting(&self.poll);
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
    fn named(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
        path: &str,
        text: io::Result<Vec<u8>>,
    ) -> Named {
        let text = match text {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Named::Nothing,
            Err(error) => return Named::Unfit(format!("PIDFile={path} can't be read: {error}")),
        };
        // Written in two goes: the number comes.
        if text.is_empty() {
            return Named::Nothing;
        }
        let Some(pid) = reading::first_number(&text) else {
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

    /// A main process that ends may have named another one in its PID file, which goes on. The end waits for what the file says.
    pub(crate) fn ask_whom_it_named(&mut self, end: LateEnd) {
        let process = end.process;
        if let Some(known) = self.aside.pid_files.end_of(process) {
            known.reaped = known.reaped.or(end.reaped);
            return;
        }
        let Some(path) = self.pid_file(process.unit) else {
            return self.conclude(end);
        };
        let until = crate::clock::monotonic().after(Micros(PATIENCE_US));
        let ended = Ended { end, until };
        self.aside.pid_files.ends.insert(process, ended);
        self.look_elsewhere(process.unit, move || Found::Ended {
            process,
            text: reading::read(&path),
            path,
        });
    }

    fn follow_pid_file(&mut self, process: ProcessKey, path: &str, text: io::Result<Vec<u8>>) {
        let ProcessKey {
            unit, incarnation, ..
        } = process;
        if !self.may_hand_over(process) {
            return;
        }
        if let Named::Other(pid) = self.named(unit, incarnation, path, text) {
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

    /// What a file system has not answered by now is not waited for.
    pub(crate) fn give_up_pid_files(&mut self, now: Micros) {
        let files = &mut self.aside.pid_files;
        let over = |one: &Ended| one.until <= now;
        let ends: Vec<ProcessKey> = (files.ends.iter().filter(|(_, one)| over(one)))
            .map(|(process, _)| *process)
            .collect();
        let mut stay = Vec::new();
        for removal in &mut files.removals {
            if removal.until.take_if(|until| *until <= now).is_some() {
                stay.push((removal.unit, removal.path.clone()));
            }
        }
        for process in ends {
            if let Some(Ended { end, .. }) = self.aside.pid_files.ends.remove(&process) {
                let text = "its PID file can't be read, as its file system does not answer: nobody is asked for the next main process";
                self.log_as(crate::own_log::WARNING, process.unit, text);
                self.conclude(end);
            }
        }
        for (unit, path) in stay {
            let text = format!("PIDFile={path} stays until its file system answers");
            self.log_as(crate::own_log::WARNING, unit, &text);
        }
    }

    /// Removes what the service did not at its end.
    pub(crate) fn remove_pid_file(&mut self, unit: UnitId) {
        self.aside.pid_files.waiting.remove(&unit);
        self.aside.pid_files.end_unless_waiting(&self.poll);
        let Some(path) = self.pid_file(unit) else {
            return;
        };
        self.aside.pid_files.removals.push(Removal {
            unit,
            path: path.clone(),
            until: Some(crate::clock::monotonic().after(Micros(PATIENCE_US))),
        });
        self.look_elsewhere(unit, move || Found::Removed {
            unit,
            outcome: reading::remove(&path),
            path,
        });
    }

    fn on_pid_file_removed(&mut self, unit: UnitId, path: &str, outcome: io::Result<()>) {
        let files = &mut self.aside.pid_files;
        let is_it = |one: &Removal| one.unit == unit && one.path == path;
        if let Some(place) = files.removals.iter().position(is_it) {
            files.removals.remove(place);
        }
        match outcome {
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
        let starts = std::mem::take(&mut self.aside.pid_files.starts);
        for spawn in starts {
            self.start_that_waited(spawn);
        }
    }

    /// Can the start go on? If not, it is tried again when the file of the run before is gone, which would else go after it was written.
    pub(crate) fn pid_file_is_ready(&mut self, spawn: &Spawn) -> bool {
        let unit = spawn.process.unit;
        let Some(path) = self.pid_file(unit) else {
            return true;
        };
        let files = &mut self.aside.pid_files;
        let mut removals = files.removals.iter();
        let is_ready = !removals.any(|one| one.unit == unit && one.path == path);
        if !is_ready {
            files.starts.retain(|known| known.process != spawn.process);
            files.starts.push(*spawn);
        }
        is_ready
    }
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
