//! `clean`: what a unit that is down has left is removed by a worker, `coracle worker clean PATH…`, which can write nowhere else.
//!
//! Its standard input is a socket to us, on which it says what stays: `{"error": …}`. It dies with the manager: the next one begins anew,
//! as what is gone already is fine.

use crate::entry::Entry;
use crate::manager::Manager;
use crate::opener::CLEAN_COMMAND;
use crate::start::report_pair;
use engine::{Input, NotClean, State, UnitId};
use keeper::protocol::{ChildKey, Exit};
use kernel::message::{Descriptors, ReceiveOptions, receive};
use model::sorted::Map;
use model::text::Verbatim;
use model::value::{ExecCommand, ExecCommands, StandardInput, StandardOutput};
use model::{Resource, Resources, Unit, UnitName, key};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use wire::Failure;

/// Bytes of a worker's answer.
const ANSWER_BYTES_MAX: usize = 4096;
/// What the worker can do: it removes what belongs to others, and nothing else.
const SANDBOX: &[(&str, &str)] = &[
    (
        "CapabilityBoundingSet",
        "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER",
    ),
    ("NoNewPrivileges", "yes"),
    ("PrivateNetwork", "yes"),
    ("ProtectSystem", "strict"),
    (
        "ReadWritePaths",
        "-/etc -/run -/var/cache -/var/lib -/var/log",
    ),
    ("RestrictNamespaces", "yes"),
    ("SystemCallFilter", "@system-service"),
];

/// Removals under way, and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Cleaners {
    working: Map<UnitId, Cleaner>,
    /// Clients that wait for a unit.
    waiting: Vec<(u32, UnitId)>,
}

impl Cleaners {
    fn take(&mut self, key: ChildKey) -> Option<(UnitId, Cleaner)> {
        let mut working = self.working.iter();
        let unit = working.find_map(|(unit, one)| (one.key == key).then_some(*unit));
        drop(working);
        let unit = unit?;
        Some((unit, self.working.remove(&unit)?))
    }
}

#[derive(Debug)]
struct Cleaner {
    key: ChildKey,
    socket: Rc<OwnedFd>,
}

/// What a worker says.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Answer {
    error: Option<String>,
}

impl Manager {
    /// Has what a unit left removed; the client hears when that is done.
    pub(crate) fn clean(&mut self, client: u32, input: &wire::CleanRequest) -> Result<(), Failure> {
        self.must_run()?;
        let what = Resources::read(input.what.iter().map(String::as_str)).map_err(|error| {
            Failure::InvalidParameter {
                parameter: format!("what: {error}"),
            }
        })?;
        let unit = self.find_or_load(&input.unit)?;
        let failed = |manager: &Self, message: &str| Failure::NotCleaned {
            unit: manager.name_of(unit),
            message: message.into(),
        };
        self.engine
            .may_clean(unit, what.bits())
            .map_err(|why| failed(self, told(why)))?;
        let entry = self.units.get(&unit);
        let has_stamp = self.has_stamp(unit, what);
        let has_store =
            what.has(Resource::FdStore) && entry.is_some_and(|one| !one.store.is_empty());
        if !has_stamp
            && !has_store
            && entry.is_none_or(|entry| self.left_by(entry, what).is_empty())
        {
            let words: Vec<&str> = what.words().collect();
            let message = format!("it keeps nothing of these kinds: {}", words.join(", "));
            return Err(failed(self, &message));
        }
        let what = what.bits();
        self.inputs.push_back(Input::Clean { unit, what });
        self.aside.cleaners.waiting.push((client, unit));
        self.advance();
        Ok(())
    }

    /// What of a unit's directories is to be removed, as paths. What the host has under the name of a portable's is not the portable's.
    fn left_by(&self, entry: &Entry, what: Resources) -> Vec<String> {
        let mut named = self.in_situation(entry, |situation| {
            plan::directories(&entry.unit, situation, what)
        });
        let is_own = self.is_own(entry);
        named.retain(|path| is_own(Path::new(path)));
        named
    }

    /// Whether what has a name of a unit's is the unit's, and not what the host had or came to have there.
    pub(crate) fn is_own(&self, entry: &Entry) -> impl Fn(&Path) -> bool + use<> {
        let is_dynamic = entry.unit.value(&key::DYNAMIC_USER);
        let portable = entry.origin.portable.as_deref();
        let own = portable.map(|name| crate::portable::Own::of(&self.directories, name));
        move |path| own.as_ref().is_none_or(|own| own.has(path, is_dynamic))
    }

    /// Where it is noted what a start of a unit makes on the host.
    pub(crate) fn marks_for(&self, entry: &Entry) -> Vec<String> {
        let portable = entry.origin.portable.iter();
        let marks = portable.flat_map(|name| crate::portable::marks(&self.directories, name));
        marks
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    }

    /// Starts the worker.
    pub(crate) fn begin_cleaning(&mut self, unit: UnitId, what: u8) {
        if self.aside.cleaners.working.contains_key(&unit) {
            return;
        }
        if let Err(failure) = self.try_clean(unit, Resources::of_bits(what)) {
            self.end_of_cleaning(unit, Some(failure.to_string()));
        }
    }

    fn try_clean(&mut self, unit: UnitId, what: Resources) -> Result<(), Failure> {
        let Some(entry) = self.units.get(&unit) else {
            return Ok(());
        };
        let (paths, label) = (self.left_by(entry, what), entry.name.to_string());
        let failed = |manager: &Self, error: std::io::Error| {
            manager.internal(unit, "start the worker that cleans", &error)
        };
        crate::quotas::lift(&paths).map_err(|errno| {
            self.internal(unit, "lift the quota of what is removed", &errno.into())
        })?;
        if what.has(Resource::FdStore) {
            self.let_store_go(unit);
        }
        self.remove_stamp(unit, what)
            .map_err(|error| self.internal(unit, "forget when it elapsed", &error))?;
        let worker = worker_unit(&paths).map_err(|error| failed(self, error))?;
        let plan = self.plan_worker(&worker)?;
        let (socket, theirs) = report_pair(false).map_err(|errno| failed(self, errno.into()))?;
        let key = ChildKey {
            unit: crate::directories::hash(label.as_bytes()),
            incarnation: crate::clock::monotonic().0,
            command: CLEAN_COMMAND,
        };
        self.spawn_worker(key, "coracle-clean", &plan, theirs)
            .map_err(|error| failed(self, error))?;
        self.aside
            .cleaners
            .working
            .insert(unit, Cleaner { key, socket });
        Ok(())
    }

    /// The time is over, or the unit is to stop.
    pub(crate) fn end_cleaner(&mut self, unit: UnitId) {
        match self.aside.cleaners.working.get(&unit) {
            Some(cleaner) => self.link.signal(cleaner.key, engine::Signal::KILL.0.into()),
            None => self.inputs.push_back(Input::Cleaned(unit)),
        }
    }

    /// There is no process for a worker. Gives false if it is none of these.
    pub(crate) fn on_cleaner_failed(&mut self, key: ChildKey, errno: i32) -> bool {
        if let Some((unit, _)) = self.aside.cleaners.take(key) {
            let why = std::io::Error::from_raw_os_error(errno);
            let message = format!("the keeper cannot start the worker that removes: {why}");
            self.end_of_cleaning(unit, Some(message));
        }
        key.command == CLEAN_COMMAND
    }

    /// A worker ended. Gives false if it is none of these.
    pub(crate) fn on_cleaner_exited(&mut self, key: ChildKey, exit: Exit) -> bool {
        let Some((unit, cleaner)) = self.aside.cleaners.take(key) else {
            return key.command == CLEAN_COMMAND;
        };
        let is_ending =
            matches!(self.engine.state(unit), Some(State::Cleaning(cleaning)) if cleaning.ending);
        let error = match (answer(&cleaner.socket).error, exit) {
            (Some(error), _) => Some(error),
            (None, Exit::Code(0)) => None,
            (None, _) if is_ending => Some(
                "it was ended before all was removed, by a stop or by TimeoutCleanSec=; the rest goes with the next `coracle clean`".into(),
            ),
            (None, exit) => Some(format!("the worker that removes ended with {exit:?}")),
        };
        self.end_of_cleaning(unit, error);
        true
    }

    /// Tells the engine, and then those who wait.
    fn end_of_cleaning(&mut self, unit: UnitId, error: Option<String>) {
        let failure = error.map(|message| Failure::NotCleaned {
            unit: self.name_of(unit),
            message,
        });
        match &failure {
            Some(failure) => self.log_as(crate::own_log::ERROR, unit, &failure.to_string()),
            None => self.tell_of(crate::own_log::INFO, unit, "cleaned"),
        }
        self.inputs.push_back(Input::Cleaned(unit));
        let is_for = |(_, waits_for): &mut (u32, UnitId)| *waits_for == unit;
        let clients: Vec<u32> = self
            .aside
            .cleaners
            .waiting
            .extract_if(.., is_for)
            .map(|(client, _)| client)
            .collect();
        for client in clients {
            let Some(connection) = self.connections.get_mut(&client) else {
                continue;
            };
            match &failure {
                Some(failure) => connection.refuse(failure),
                None => connection.reply(&wire::Done {}),
            }
            self.serve_waiting(client);
        }
    }
}

fn told(why: NotClean) -> &'static str {
    match why {
        NotClean::Busy => {
            "it is up, on its way, or failed: `coracle stop` or `coracle reset-failed` it first"
        }
        NotClean::Unsupported => "units of its kind keep nothing, or it has no file",
    }
}

fn answer(socket: &OwnedFd) -> Answer {
    let (mut buffer, mut descriptors) = ([0; ANSWER_BYTES_MAX], Descriptors::default());
    let options = ReceiveOptions::default();
    match receive(socket, &mut buffer, &mut descriptors, options) {
        Ok(received) => {
            let bytes = buffer.get(..received.bytes).unwrap_or_default();
            serde_json::from_slice(bytes).unwrap_or_default()
        }
        // It said nothing.
        Err(_) => Answer::default(),
    }
}

/// The worker as a unit, so that it is planned like every other process.
fn worker_unit(paths: &[String]) -> std::io::Result<Unit> {
    let broken = |error: model::ParseError| std::io::Error::other(error.to_string());
    let mut unit = Unit::new(UnitName::new("coracle-clean.service").map_err(broken)?);
    for (name, value) in SANDBOX {
        settings::apply(&mut unit, "Service", name, value, &Verbatim)
            .map_err(|error| std::io::Error::other(format!("{name}: {error:?}")))?;
    }
    let arguments: Vec<&str> = ["worker", "clean"]
        .into_iter()
        .chain(paths.iter().map(String::as_str))
        .collect();
    let program = crate::image::worker_program()?;
    let mut command = ExecCommand::new(&program.to_string_lossy(), &arguments);
    command.no_env = true;
    unit.set(&key::EXEC_START, ExecCommands(vec![command]));
    let input = StandardInput::Descriptor("socket".into());
    unit.set(&key::STANDARD_INPUT, input);
    unit.set(&key::STANDARD_OUTPUT, StandardOutput::Null);
    unit.set(&key::STANDARD_ERROR, StandardOutput::Null);
    Ok(unit)
}
