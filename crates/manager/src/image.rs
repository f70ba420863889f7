//! Images: mounted by a worker from the store, the mount held by the keeper, cloned by each start, let go with the last run.
//!
//! The worker is `coracle worker root-image PATH` with a seqpacket socket as standard input. It answers with one message of JSON:
//! `{"integrity": …}` with the detached mount's descriptor beside it, or `{"error": …}`.

use crate::link::NewProcess;
use crate::manager::Manager;
use crate::opener::MOUNT_COMMAND;
use crate::planning::Prepared;
use crate::poll::Token;
use crate::start::report_pair;
use engine::{Incarnation, Input, Micros, ProcessKey, Spawn, Target, UnitId};
use keeper::protocol::{ChildKey, Class, Exit};
use kernel::message::{Descriptors, ReceiveOptions, receive};
use model::sorted::Map;
use model::value::{ExecCommand, ExecCommands, StandardInput, StandardOutput};
use model::{Unit, UnitName, key};
use plan::{Bindings, Passed};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use wire::Failure;

/// How long a worker may take: as long as the one that it lets hash the image, which takes minutes where the disk is slow.
const MOUNT_LIMIT: Micros = Micros(900_000_000);
/// Bytes of a worker's answer.
const ANSWER_BYTES_MAX: usize = 4096;

/// What is mounted, and what is being mounted.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    mounted: Map<String, Mounted>,
    mounting: Map<u32, Mounting>,
}

/// A mount that starts can clone.
#[derive(Debug)]
pub(crate) struct Mounted {
    descriptor: Rc<OwnedFd>,
    /// What protects its content.
    pub(crate) integrity: Option<String>,
    /// The name under which the keeper holds it.
    held_as: String,
}

/// What a worker says.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Answer {
    integrity: Option<String>,
    error: Option<String>,
}

/// A worker at work.
#[derive(Debug)]
struct Mounting {
    path: String,
    key: ChildKey,
    socket: Rc<OwnedFd>,
    waiting: Vec<Spawn>,
    /// When it has taken too long.
    until: Micros,
}

impl Mounts {
    /// The mount of an image, if there is one.
    pub(crate) fn get(&self, path: &str) -> Option<&Mounted> {
        self.mounted.get(path)
    }

    /// When the first worker will have taken too long.
    pub(crate) fn next_end(&self) -> Option<Micros> {
        self.mounting.values().map(|mounting| mounting.until).min()
    }

    /// Lets go of the processes of a run that wait for their image, of those with these serials.
    pub(crate) fn give_up(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
        serials: &[u32],
    ) -> Vec<ProcessKey> {
        let is_meant = |spawn: &Spawn| {
            let process = spawn.process;
            process.unit == unit
                && process.incarnation == incarnation
                && serials.contains(&process.serial)
        };
        let waiting = self.mounting.values_mut();
        waiting
            .flat_map(|mounting| mounting.waiting.extract_if(.., |spawn| is_meant(spawn)))
            .map(|spawn| spawn.process)
            .collect()
    }

    fn take_overdue(&mut self, now: Micros) -> Vec<Mounting> {
        let is_overdue = |mounting: &Mounting| mounting.until <= now;
        let overdue = self
            .mounting
            .iter()
            .filter(|(_, mounting)| is_overdue(mounting));
        let numbers: Vec<u32> = overdue.map(|(number, _)| *number).collect();
        let removed = numbers.iter().map(|number| self.mounting.remove(number));
        removed.flatten().collect()
    }
}

impl Manager {
    /// Can the start go on? If not, the image is being mounted and the start is tried again then.
    pub(crate) fn image_is_ready(
        &mut self,
        spawn: &Spawn,
        prepared: &Prepared,
    ) -> Result<bool, Failure> {
        if !prepared.plan.roles().contains(&plan::Role::Image) {
            return Ok(true);
        }
        let path = self.image_path(spawn.process.unit)?;
        if self.mounts.mounted.contains_key(&path) {
            return Ok(true);
        }
        if let Some(mounting) = self
            .mounts
            .mounting
            .values_mut()
            .find(|mounting| mounting.path == path)
        {
            mounting.waiting.push(*spawn);
            return Ok(false);
        }
        self.begin_mount(spawn, path)?;
        Ok(false)
    }

    fn image_path(&self, unit: UnitId) -> Result<String, Failure> {
        let path = self
            .units
            .get(&unit)
            .and_then(|entry| entry.unit.get(&key::ROOT_IMAGE))
            .map(|path| path.path.clone());
        path.ok_or_else(|| Failure::Internal {
            message: "the plan wants an image that the unit does not name".into(),
        })
    }

    /// The mount that a start clones.
    pub(crate) fn image_descriptor(&self, unit: UnitId) -> Result<Rc<OwnedFd>, Failure> {
        let path = self.image_path(unit)?;
        let mounted = self
            .mounts
            .mounted
            .get(&path)
            .map(|mounted| Rc::clone(&mounted.descriptor));
        mounted.ok_or_else(|| Failure::Internal {
            message: format!("{path} is not mounted"),
        })
    }

    fn begin_mount(&mut self, spawn: &Spawn, path: String) -> Result<(), Failure> {
        let unit = spawn.process.unit;
        let failed = |manager: &Self, error: std::io::Error| {
            manager.internal(unit, "start the worker that mounts its image", &error)
        };
        let worker = worker_unit(&path).map_err(|error| failed(self, error))?;
        let plan = self.plan_worker(&worker)?;
        let (ours, theirs) = report_pair(false).map_err(|errno| failed(self, errno.into()))?;
        let number = self.poll.number();
        self.poll
            .watch(&*ours, Token::Worker(number))
            .map_err(|errno| failed(self, errno.into()))?;
        let key = ChildKey {
            unit: crate::directories::hash(path.as_bytes()),
            incarnation: crate::clock::monotonic().0,
            command: MOUNT_COMMAND,
        };
        self.spawn_worker(key, "coracle-mount", &plan, theirs)
            .map_err(|error| failed(self, error))?;
        self.mounts.mounting.insert(
            number,
            Mounting {
                path,
                key,
                socket: ours,
                waiting: vec![*spawn],
                until: crate::clock::monotonic().after(MOUNT_LIMIT),
            },
        );
        Ok(())
    }

    /// Has the keeper start a worker, whose standard input is this end of a socket to us.
    pub(crate) fn spawn_worker(
        &mut self,
        key: ChildKey,
        label: &str,
        plan: &[u8],
        input: OwnedFd,
    ) -> std::io::Result<()> {
        let (report, report_end) = report_pair(false)?;
        let plan = kernel::memory::sealed_file(c"plan", plan)?;
        self.link.spawn(NewProcess {
            key,
            role: 0,
            label: label.into(),
            new_pid_namespace: false,
            plan,
            cgroup: None,
            report: report_end,
            child: vec![Rc::new(input)],
            kept: report,
        });
        Ok(())
    }

    /// The plan of a worker that has a socket to us as its standard input.
    pub(crate) fn plan_worker(&self, worker: &Unit) -> Result<Vec<u8>, Failure> {
        let broken = |error: String| Failure::Internal {
            message: format!("the worker {} can't be planned: {error}", worker.name()),
        };
        let situation = plan::Situation {
            position: self.position(),
            runtime_dir: &self.directories.runtime.to_string_lossy(),
            notify_socket: None,
            stub: false,
            may_take_over: &|_| true,
            quota_trouble: &|_, _| None,
            may_reduce: &|_| true,
        };
        let planned = plan::plan(worker, &self.facts, &situation)
            .map_err(|refusal| broken(refusal.to_string()))?;
        let commands = worker.value(&key::EXEC_START);
        let bindings = Bindings {
            descriptors: vec![Passed {
                role: plan::Role::Input,
                name: String::new(),
            }],
            command: commands.first(),
            ..Bindings::default()
        };
        planned
            .bind(&bindings)
            .map_err(|error| broken(error.to_string()))
    }

    /// A worker answers, or is gone.
    pub(crate) fn on_worker(&mut self, number: u32) {
        let Some(mounting) = self.mounts.mounting.get(&number) else {
            return self.on_fetched(number);
        };
        let (mut buffer, mut descriptors) = ([0; ANSWER_BYTES_MAX], Descriptors::default());
        let received = match receive(
            &*mounting.socket,
            &mut buffer,
            &mut descriptors,
            ReceiveOptions::default(),
        ) {
            Err(kernel::Errno::AGAIN | kernel::Errno::INTR) => return,
            other => other.map_or(0, |received| received.bytes),
        };
        let answer: Answer =
            serde_json::from_slice(buffer.get(..received).unwrap_or_default()).unwrap_or_default();
        let Some(mounting) = self.mounts.mounting.remove(&number) else {
            return;
        };
        self.poll.forget(&*mounting.socket);
        match (answer, descriptors.take()) {
            (
                Answer {
                    error: None,
                    integrity,
                },
                Some(mount),
            ) => self.mounted(mounting, integrity, mount),
            (
                Answer {
                    error: Some(why), ..
                },
                _,
            ) => self.not_mounted(mounting, &why),
            _ => self.not_mounted(
                mounting,
                "the worker that mounts images ended without a word",
            ),
        }
    }

    /// Ends the workers that took too long: their device does not answer, or their image is made to keep them.
    pub(crate) fn end_overdue_mounts(&mut self) {
        for mounting in self.mounts.take_overdue(crate::clock::monotonic()) {
            self.poll.forget(&*mounting.socket);
            self.link
                .signal(mounting.key, engine::Signal::KILL.0.into());
            let why = format!(
                "it was not mounted within {} minutes, and the worker was ended; see whether its disk answers, then start again",
                MOUNT_LIMIT.0 / 60_000_000
            );
            self.not_mounted(mounting, &why);
        }
    }

    fn mounted(&mut self, mounting: Mounting, integrity: Option<String>, mount: OwnedFd) {
        let descriptor = Rc::new(mount);
        let held_as = held_name(&mounting.path, integrity.as_deref());
        self.link
            .hold(Class::Mount, &held_as, Rc::clone(&descriptor));
        self.mounts.mounted.insert(
            mounting.path.clone(),
            Mounted {
                descriptor,
                integrity,
                held_as,
            },
        );
        for spawn in mounting.waiting {
            if self.is_awaited(spawn.process) {
                self.start_process(spawn);
            }
        }
        // Nobody may want it any more.
        self.let_image_go(&mounting.path);
    }

    /// Is this process one that its unit still waits for? A unit whose stop sends no signals may have ended meanwhile.
    pub(crate) fn is_awaited(&self, process: ProcessKey) -> bool {
        let snapshot = self.engine.snapshot(process.unit);
        snapshot.is_some_and(|unit| unit.incarnation == process.incarnation)
            && self
                .serials(process.unit, Target::All)
                .contains(&process.serial)
    }

    fn not_mounted(&mut self, mounting: Mounting, why: &str) {
        for spawn in mounting.waiting {
            let unit = spawn.process.unit;
            let name = self.name_of(unit);
            let message = format!("{}: {why}", mounting.path);
            let failure = Failure::Refused {
                unit: name,
                directive: "RootImage".into(),
                message,
            };
            self.log_about(unit, &failure.to_string());
            if let Some(entry) = self.units.get_mut(&unit) {
                entry.failure = Some(Box::new(failure));
            }
            self.inputs.push_back(Input::SpawnFailed(spawn.process));
        }
    }

    /// The worker ended: what it said comes first.
    pub(crate) fn on_mount_worker_exited(&mut self, key: ChildKey, _exit: Exit) {
        let number = self
            .mounts
            .mounting
            .iter()
            .find(|(_, mounting)| mounting.key == key)
            .map(|(number, _)| *number);
        if let Some(number) = number {
            self.on_worker(number);
        }
    }

    /// A mount that the keeper held.
    pub(crate) fn adopt_mount(&mut self, held_as: String, mount: OwnedFd) {
        let (path, integrity) = match held_as.split_once('\n') {
            Some((path, integrity)) => (path.to_owned(), Some(integrity.to_owned())),
            None => (held_as.clone(), None),
        };
        let path = self.path_of(path);
        if self.is_run_from(&path) {
            self.mounts.mounted.insert(
                path,
                Mounted {
                    descriptor: Rc::new(mount),
                    integrity,
                    held_as,
                },
            );
        } else {
            self.link.drop_held(Class::Mount, &held_as);
        }
    }

    /// Lets a mount go when the last run from it is over.
    pub(crate) fn let_image_go(&mut self, path: &str) {
        if self.is_run_from(path) {
            return;
        }
        if let Some(mounted) = self.mounts.mounted.remove(path) {
            self.link.drop_held(Class::Mount, &mounted.held_as);
        }
    }

    /// The path behind what stands for one that is too long for a name.
    fn path_of(&self, name: String) -> String {
        let mut runs = self.units.values().flat_map(|entry| &entry.runs);
        let roots = runs.find_map(|run| run.root.as_ref().filter(|root| short(root) == name));
        roots.cloned().unwrap_or(name)
    }

    fn is_run_from(&self, path: &str) -> bool {
        let mut runs = self.units.values().flat_map(|entry| &entry.runs);
        runs.any(|run| run.root.as_deref() == Some(path))
    }
}

/// The image, and what protects it, so that the next manager can tell. A path that is too long has a number in its place.
fn held_name(path: &str, integrity: Option<&str>) -> String {
    let name = |path: &str| match integrity {
        Some(integrity) => format!("{path}\n{integrity}"),
        None => path.to_owned(),
    };
    let whole = name(path);
    if whole.len() <= keeper::protocol::NAME_BYTES_MAX {
        return whole;
    }
    name(&short(path))
}

/// What stands for a path; no path looks so, as none begins like this.
fn short(path: &str) -> String {
    format!("#{:016x}", crate::directories::hash(path.as_bytes()))
}

/// RootImage= or RootDirectory=.
pub(crate) fn root(unit: &Unit) -> Option<&str> {
    let root = unit.get(&key::ROOT_IMAGE);
    let root = root.or_else(|| unit.get(&key::ROOT_DIRECTORY))?;
    Some(&root.path)
}

/// The file that has the workers: it stands beside ours.
pub(crate) fn worker_program() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent();
    Ok(folder
        .map_or_else(|| PathBuf::from("/usr/bin"), PathBuf::from)
        .join("coracle"))
}

/// The worker as a unit, so that it is planned like every other process.
fn worker_unit(image: &str) -> std::io::Result<Unit> {
    let program = worker_program()?;
    let broken = |error: model::ParseError| std::io::Error::other(error.to_string());
    let mut unit = Unit::new(UnitName::new("coracle-mount.service").map_err(broken)?);
    let mut command =
        ExecCommand::new(&program.to_string_lossy(), &["worker", "root-image", image]);
    command.no_env = true;
    unit.set(&key::EXEC_START, ExecCommands(vec![command]));
    unit.set(
        &key::STANDARD_INPUT,
        StandardInput::Descriptor("socket".into()),
    );
    unit.set(&key::STANDARD_OUTPUT, StandardOutput::Null);
    unit.set(&key::STANDARD_ERROR, StandardOutput::Null);
    Ok(unit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn the_name_of_an_image_fits_however_long_its_path_is() {
        let integrity = Some("dm-verity, signed");
        assert_eq!(held_name("/a.psi", integrity), "/a.psi\ndm-verity, signed");
        assert_eq!(held_name("/a.psi", None), "/a.psi");
        for length in [470, 480, 481, 4000] {
            let path = format!("/{}", "x".repeat(length - 1));
            let other = format!("{path}y");
            for integrity in [None, integrity] {
                let name = held_name(&path, integrity);
                assert!(name.len() <= keeper::protocol::NAME_BYTES_MAX, "{name}");
                assert_ne!(name, held_name(&other, integrity), "{length}");
                let (front, behind) = match name.split_once('\n') {
                    Some((front, behind)) => (front.to_owned(), Some(behind.to_owned())),
                    None => (name, None),
                };
                assert!(front == path || front == short(&path));
                assert_eq!(behind.as_deref(), integrity);
            }
        }
    }

    #[test]
    fn a_worker_that_takes_too_long_is_told_from_those_that_may_go_on() {
        let mut mounts = Mounts::default();
        assert_eq!(mounts.next_end(), None);
        for (number, until) in [(1, 30), (2, 10), (3, 20)] {
            let mounting = Mounting {
                path: number.to_string(),
                key: ChildKey::default(),
                socket: Rc::new(std::io::pipe().unwrap().0.into()),
                waiting: Vec::new(),
                until: Micros(until),
            };
            mounts.mounting.insert(number, mounting);
        }
        assert_eq!(mounts.next_end(), Some(Micros(10)));
        assert!(mounts.take_overdue(Micros(9)).is_empty());
        let overdue = mounts.take_overdue(Micros(20));
        let paths: Vec<&str> = overdue.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(
            (paths, mounts.next_end()),
            (vec!["2", "3"], Some(Micros(30)))
        );
    }
}
