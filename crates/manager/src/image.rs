//! Images: mounted by a worker from the store, the mount held by the keeper, cloned by each start, let go with the last run.
//!
//! The worker is `coracle worker root-image PATH` with a seqpacket socket as standard input. It answers with one message of JSON:
//! `{"integrity": …}` with the detached mount's descriptor beside it, or `{"error": …}`.

use crate::manager::Manager;
use crate::opener::MOUNT_COMMAND;
use crate::planning::Prepared;
use crate::poll::Token;
use crate::start::report_pair;
use engine::{Incarnation, Input, Micros, ProcessKey, Spawn, UnitId};
use keeper::protocol::{ChildKey, Class, Exit};
use kernel::message::{Descriptors, ReceiveOptions, receive};
use model::sorted::Map;
use model::value::{ExecCommand, ExecCommands, StandardInput, StandardOutput};
use model::{Directive, Unit, UnitName, key};
use plan::ImageWish;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use wire::Failure;

mod ahead;
mod wish;

use ahead::Ahead;
pub(crate) use wish::image_key;
use wish::{asked, is_extension, is_root_key};

/// How long a worker may take: as long as the one that it lets hash the image, which takes minutes where the disk is slow.
const MOUNT_LIMIT: Micros = Micros(900_000_000);
/// Bytes of a worker's answer.
const ANSWER_BYTES_MAX: usize = 4096;

/// What is mounted, and what is being mounted.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    mounted: Map<String, Mounted>,
    mounting: Map<u32, Mounting>,
    ahead: Ahead,
}

/// A mount that starts can clone.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// None: it is not there, and need not be.
    descriptor: Option<Rc<OwnedFd>>,
    /// What protects its content.
    pub(crate) integrity: Option<String>,
    /// The directory where a stack's changes go; no other one may have it.
    writes: Option<String>,
    /// Behind it are files of the store alone, and no device that goes with it.
    is_of_files: bool,
    /// The name under which the keeper holds it.
    held_as: String,
}

/// What a worker says.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Answer {
    integrity: Option<String>,
    writes: Option<String>,
    of_files: bool,
    missing: bool,
    error: Option<String>,
}

/// What a worker found.
#[derive(Debug, Default)]
struct Found {
    integrity: Option<String>,
    writes: Option<String>,
    is_of_files: bool,
}

/// A worker at work.
#[derive(Debug)]
struct Mounting {
    /// What tells the image, with what is wanted of it, from others.
    path: String,
    /// What asks for it, and how its file is called.
    directive: Directive,
    shown: String,
    key: ChildKey,
    socket: Rc<OwnedFd>,
    waiting: Vec<Spawn>,
    /// When it has taken too long.
    until: Micros,
}

impl Mounts {
    /// The mount of a run's root, if there is one.
    pub(crate) fn root<'a>(&self, mut keys: impl Iterator<Item = &'a str>) -> Option<&Mounted> {
        let key = keys.find(|key| is_root_key(key))?;
        self.mounted.get(key)
    }

    /// Lets a start wait for an image that is being mounted; says whether it is.
    fn wait_for(&mut self, key: &str, spawn: &Spawn) -> bool {
        let mut mounting = self.mounting.values_mut();
        let found = mounting.find(|mounting| mounting.path == key);
        found
            .map(|mounting| mounting.waiting.push(*spawn))
            .is_some()
    }

    /// Whether there are only files of the store behind images, so that nobody who waits for the end of a run wants something of them.
    pub(crate) fn are_of_files<'a>(&self, mut keys: impl Iterator<Item = &'a str>) -> bool {
        keys.all(|key| self.mounted.get(key).is_some_and(|one| one.is_of_files))
    }

    /// Whether an image is mounted, or being mounted.
    fn has(&self, key: &str) -> bool {
        let mut mounting = self.mounting.values();
        self.mounted.contains_key(key) || mounting.any(|mounting| mounting.path == key)
    }

    /// Whether images are mounted ahead for a client.
    pub(crate) fn are_ahead_for(&self, client: u32) -> bool {
        self.ahead.are_for(client)
    }

    /// The directories where the changes of stacks go.
    fn written_to(&self) -> Vec<&str> {
        let mounted = self.mounted.values();
        mounted.filter_map(|one| one.writes.as_deref()).collect()
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
        let waiting = self.mounting.values_mut();
        let whom = (unit, incarnation);
        waiting
            .flat_map(|mounting| crate::effects::let_go(&mut mounting.waiting, whom, serials))
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
    /// Can the start go on? If not, one of its images is being mounted and the start is tried again then.
    pub(crate) fn image_is_ready(
        &mut self,
        spawn: &Spawn,
        prepared: &Prepared,
    ) -> Result<bool, Failure> {
        for wish in prepared.plan.images() {
            let key = image_key(spawn.process, wish);
            if self.mounts.mounted.contains_key(&key) {
                continue;
            }
            if !self.mounts.wait_for(&key, spawn) {
                let base = self.base_of(spawn.process, prepared, wish);
                let begun = self.begin_mount(vec![*spawn], key, wish, base);
                let action = "start the worker that mounts its image";
                begun.map_err(|error| self.internal(spawn.process.unit, action, &error))?;
            }
            return Ok(false);
        }
        Ok(true)
    }

    /// The trees that a start clones, in the order of its steps.
    pub(crate) fn image_descriptors(
        &self,
        process: ProcessKey,
        prepared: &Prepared,
    ) -> Result<Vec<Rc<OwnedFd>>, Failure> {
        let wishes = prepared.plan.images().iter();
        let mounts = wishes.map(|wish| self.mounted_for(process, wish));
        let found: Result<Vec<&Mounted>, Failure> = mounts.collect();
        let descriptors = found?.into_iter();
        Ok(descriptors
            .filter_map(|mounted| mounted.descriptor.clone())
            .collect())
    }

    /// The places of those images that are not there, and need not be.
    pub(crate) fn missing_images(&self, process: ProcessKey, prepared: &Prepared) -> Vec<u32> {
        let wishes = prepared.plan.images().iter();
        wishes
            .filter(|wish| {
                let mounted = self.mounts.mounted.get(&image_key(process, wish));
                mounted.is_some_and(|mounted| mounted.descriptor.is_none())
            })
            .map(|wish| wish.index)
            .collect()
    }

    fn mounted_for(&self, process: ProcessKey, wish: &ImageWish) -> Result<&Mounted, Failure> {
        let mounted = self.mounts.mounted.get(&image_key(process, wish));
        mounted.ok_or_else(|| Failure::Internal {
            message: format!("{} is not mounted", wish.path),
        })
    }

    /// The tree that an extension is laid over, where that is an image's.
    fn base_of(
        &self,
        process: ProcessKey,
        prepared: &Prepared,
        wish: &ImageWish,
    ) -> Option<Rc<OwnedFd>> {
        let mut wishes = prepared.plan.images().iter();
        let root = wishes.find(|wish| wish.index == 0)?;
        let mounted = self.mounts.mounted.get(&image_key(process, root))?;
        mounted.descriptor.clone().filter(|_| is_extension(wish))
    }

    fn begin_mount(
        &mut self,
        waiting: Vec<Spawn>,
        path: String,
        wish: &ImageWish,
        base: Option<Rc<OwnedFd>>,
    ) -> std::io::Result<()> {
        let worker = worker_unit()?;
        let plan = self
            .plan_worker(&worker)
            .map_err(|failure| std::io::Error::other(failure.to_string()))?;
        let (ours, theirs) = report_pair(false)?;
        let asked = asked(wish, &self.directories, &self.mounts.written_to());
        let base: Vec<_> = base.iter().map(AsFd::as_fd).collect();
        kernel::message::send(&*ours, asked.as_bytes(), &base)?;
        let number = self.poll.number();
        self.poll.watch(&*ours, Token::Worker(number))?;
        let key = ChildKey {
            unit: crate::directories::hash(path.as_bytes()),
            incarnation: crate::clock::monotonic().0,
            command: MOUNT_COMMAND,
        };
        self.spawn_worker(key, "coracle-mount", &plan, theirs)?;
        self.mounts.mounting.insert(
            number,
            Mounting {
                path,
                directive: wish.directive,
                shown: wish.path.clone(),
                key,
                socket: ours,
                waiting,
                until: crate::clock::monotonic().after(MOUNT_LIMIT),
            },
        );
        Ok(())
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
                    writes,
                    of_files,
                    ..
                },
                Some(mount),
            ) => match writes {
                // Two workers at once.
                Some(writes) if self.mounts.written_to().contains(&writes.as_str()) => self
                    .not_mounted(
                        mounting,
                        "another stack that changes the same rw was mounted at the same time",
                    ),
                writes => {
                    let found = Found {
                        integrity,
                        writes,
                        is_of_files: of_files,
                    };
                    self.mounted(mounting, found, Some(mount));
                }
            },
            (Answer { missing: true, .. }, None) => {
                self.mounted(mounting, Found::default(), None);
            }
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

    fn mounted(&mut self, mounting: Mounting, found: Found, mount: Option<OwnedFd>) {
        let Found {
            integrity,
            writes,
            is_of_files,
        } = found;
        let descriptor = mount.map(Rc::new);
        let held_as = held_name(&mounting.path, integrity.as_deref(), writes.as_deref());
        if let Some(descriptor) = &descriptor {
            self.link
                .hold(Class::Mount, &held_as, Rc::clone(descriptor));
        }
        self.mounts.mounted.insert(
            mounting.path.clone(),
            Mounted {
                descriptor,
                integrity,
                writes,
                is_of_files,
                held_as,
            },
        );
        for spawn in mounting.waiting {
            self.start_that_waited(spawn);
        }
        self.let_unwanted_images_go();
    }

    fn not_mounted(&mut self, mounting: Mounting, why: &str) {
        for spawn in mounting.waiting {
            let unit = spawn.process.unit;
            let name = self.name_of(unit);
            let message = format!("{}: {why}", mounting.shown);
            let failure = Failure::Refused {
                unit: name,
                directive: mounting.directive.name().into(),
                message,
            };
            self.log_about(unit, &failure.to_string());
            if let Some(entry) = self.units.get_mut(&unit) {
                entry.failure = Some(Box::new(failure));
            }
            self.inputs.push_back(Input::SpawnFailed(spawn.process));
        }
        self.let_unwanted_images_go();
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
        let mut parts = held_as.split('\n').map(str::to_owned);
        let path = self.path_of(parts.next().unwrap_or_default());
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let (integrity, writes) = (part(), part());
        if self.is_run_from(&path) {
            self.mounts.mounted.insert(
                path,
                Mounted {
                    descriptor: Some(Rc::new(mount)),
                    integrity,
                    writes,
                    // Nobody said so to this manager.
                    is_of_files: false,
                    held_as,
                },
            );
        } else {
            self.link.drop_held(Class::Mount, &held_as);
        }
    }

    /// Lets a mount go when the last run from it is over.
    pub(crate) fn let_image_go(&mut self, path: &str) {
        if !self.is_run_from(path) && !self.is_waited_with(path) && !self.mounts.ahead.has(path) {
            self.drop_image(path);
        }
    }

    fn drop_image(&mut self, path: &str) {
        if let Some(mounted) = self.mounts.mounted.remove(path)
            && mounted.descriptor.is_some()
        {
            self.link.drop_held(Class::Mount, &mounted.held_as);
        }
    }

    /// Lets all mounts go that nobody runs from or waits with: a start that waited for another one may have been given up.
    pub(crate) fn let_unwanted_images_go(&mut self) {
        // One look at all that runs: at a boot this comes after each of many mounts.
        let mut wanted: BTreeSet<String> = self.waited_with().collect();
        let runs = self.units.values().flat_map(|entry| &entry.runs);
        wanted.extend(runs.flat_map(|run| run.image_keys().map(str::to_owned)));
        let keys = self.mounts.mounted.keys();
        let is_unwanted = |key: &&String| !wanted.contains(*key) && !self.mounts.ahead.has(key);
        let unwanted: Vec<String> = keys.filter(is_unwanted).cloned().collect();
        for key in unwanted {
            self.drop_image(&key);
        }
    }

    /// The images of starts that wait for another one of theirs: they have some of these already.
    fn waited_with(&self) -> impl Iterator<Item = String> {
        let mountings = self.mounts.mounting.values();
        let waiting = mountings.flat_map(|mounting| &mounting.waiting);
        waiting.flat_map(|spawn| {
            let entry = self.units.get(&spawn.process.unit);
            let prepared = entry.and_then(|entry| entry.prepared.as_ref());
            let wishes = prepared
                .into_iter()
                .flat_map(|prepared| prepared.plan.images());
            wishes.map(|wish| image_key(spawn.process, wish))
        })
    }

    fn is_waited_with(&self, key: &str) -> bool {
        self.waited_with().any(|other| other == key)
    }

    /// The path behind what stands for one that is too long for a name.
    fn path_of(&self, name: String) -> String {
        let mut runs = self.units.values().flat_map(|entry| &entry.runs);
        let found = runs.find_map(|run| run.image_keys().find(|key| short(key) == name));
        found.map_or(name.clone(), str::to_owned)
    }

    fn is_run_from(&self, path: &str) -> bool {
        let mut runs = self.units.values().flat_map(|entry| &entry.runs);
        runs.any(|run| run.image_keys().any(|key| key == path))
    }
}

/// The image, what protects it, and where its changes go, so that the next manager can tell. A path that is too long has a number in its
/// place.
fn held_name(path: &str, integrity: Option<&str>, writes: Option<&str>) -> String {
    let name = |path: &str| {
        // Each part has its place, what comes last may be left out.
        match (integrity, writes) {
            (None, None) => path.to_owned(),
            (Some(integrity), None) => format!("{path}\n{integrity}"),
            (integrity, Some(writes)) => {
                format!("{path}\n{}\n{writes}", integrity.unwrap_or_default())
            }
        }
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

/// RootImage=, RootDirectory= or RootMStack=.
pub(crate) fn root(unit: &Unit) -> Option<&str> {
    let root = unit.get(&key::ROOT_IMAGE);
    let root = root.or_else(|| unit.get(&key::ROOT_DIRECTORY));
    let root = root.or_else(|| unit.get(&key::ROOT_MSTACK))?;
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
fn worker_unit() -> std::io::Result<Unit> {
    let program = worker_program()?;
    let broken = |error: model::ParseError| std::io::Error::other(error.to_string());
    let mut unit = Unit::new(UnitName::new("coracle-mount.service").map_err(broken)?);
    let mut command = ExecCommand::new(&program.to_string_lossy(), &["worker", "root-image"]);
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
        let held_name = |path: &str, integrity| super::held_name(path, integrity, None);
        assert_eq!(held_name("/a.psi", integrity), "/a.psi\ndm-verity, signed");
        assert_eq!(held_name("/a.psi", None), "/a.psi");
        assert_eq!(
            super::held_name("/a.mstack", Some("a stack"), Some("8:1:2")),
            "/a.mstack\na stack\n8:1:2"
        );
        assert_eq!(
            super::held_name("/a.mstack", None, Some("8:1:2")),
            "/a.mstack\n\n8:1:2"
        );
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
                directive: key::ROOT_IMAGE.directive(),
                shown: String::new(),
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
