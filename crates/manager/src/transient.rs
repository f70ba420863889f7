//! Units that clients make at run time: properties as lines, a command taken literally, descriptors for its streams.

use crate::entry::{Entry, LoadState, Origin, Transient};
use crate::loading::diagnostic;
use crate::manager::Manager;
use crate::pending::{Manner, job_mode};
use crate::record::TransientRecord;
use engine::{Input, UnitId};
use keeper::protocol::Class;
use load::load_text;
use model::value::{ExecCommand, ExecCommands, StandardInput, StandardOutput};
use model::{Directive, Unit, UnitKind, UnitName, key};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use wire::{Failure, TransientRequest};

/// Properties of one unit.
const PROPERTIES_MAX: usize = 4096;
/// Words of a command; the kernel's own limit is on bytes.
const WORDS_MAX: usize = 65_536;

impl Manager {
    /// Makes a unit and starts it.
    pub(crate) fn start_transient(
        &mut self,
        client: u32,
        input: TransientRequest,
        more: bool,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        let mode = job_mode(&input.mode)?;
        self.must_run()?;
        check_command(&input.command)?;
        let manner = Manner {
            wait: input.wait,
            no_block: input.no_block,
            single: true,
            announces: more,
        };
        if input.again
            && let Some(unit) = self.same_transient(&input)?
        {
            self.join_one(client, unit, manner);
            return Ok(());
        }
        let name = self.transient_name(&input.unit)?;
        if !input.command.is_empty() && name.kind() != UnitKind::Service {
            return Err(Failure::NotSupported {
                unit: name.to_string(),
                message: format!("{name}: only a service runs a command"),
            });
        }
        if (name.kind() == UnitKind::Scope) == input.processes.is_empty() {
            return Err(Failure::NotSupported {
                unit: name.to_string(),
                message: format!("{name}: a scope, and only a scope, takes processes over"),
            });
        }
        let record = TransientRecord {
            text: text_of(&name, &input.properties)?,
            command: input.command.clone(),
            collect: input.collect,
            awaited: !input.no_block,
        };
        let (stdio, processes) = take_descriptors(&input, descriptors)?;
        let started = match input.starts.is_empty() {
            true => None,
            false => Some(self.make_started(&name, &input)?),
        };
        let held = stdio.clone();
        let transient = Transient {
            record,
            stdio,
            processes,
        };
        let made = self.make_transient(&name, transient).and_then(|unit| {
            let checked = self.check_startable(unit, input.allow_unenforced);
            checked
                .map(|()| unit)
                .inspect_err(|_| self.inputs.push_back(Input::Forget(unit)))
        });
        let unit = match made {
            Ok(unit) => unit,
            Err(failure) => {
                self.inputs.extend(started.map(Input::Forget));
                return Err(failure);
            }
        };
        // Only now: what is refused must not keep a client waiting for the end of its streams.
        self.hold_stdio(&name, &held);
        self.queue_one(client, unit, mode, manner);
        Ok(())
    }

    /// Makes the service that a unit of a request starts. It goes when that does.
    fn make_started(
        &mut self,
        trigger: &UnitName,
        input: &TransientRequest,
    ) -> Result<UnitId, Failure> {
        check_command(&input.started_command)?;
        let name = self.transient_name(&input.starts)?;
        let starts = matches!(
            trigger.kind(),
            UnitKind::Timer | UnitKind::Path | UnitKind::Socket
        );
        if name.kind() != UnitKind::Service || !starts {
            return Err(Failure::NotSupported {
                unit: trigger.to_string(),
                message: format!(
                    "{trigger} can't start {name}: a timer, a path or a socket unit starts a service"
                ),
            });
        }
        let text = text_of(&name, &input.started_properties)?;
        let command = input.started_command.clone();
        let transient = Transient::alone(text, command, input.collect);
        let unit = self.make_transient(&name, transient)?;
        // What starts later must not be refused then.
        let checked = self.check_startable(unit, input.allow_unenforced);
        checked.inspect_err(|_| self.inputs.push_back(Input::Forget(unit)))?;
        self.dirty.insert(unit);
        Ok(unit)
    }

    fn transient_name(&self, asked: &str) -> Result<UnitName, Failure> {
        if asked.is_empty() {
            let mut number = [0; 8];
            let drawn = rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty());
            drawn.map_err(|errno| Failure::Internal {
                message: format!("cannot make a name: {errno}"),
            })?;
            return self.parse_name(&format!("run-{}.service", crate::run::hex(&number)));
        }
        let name = self.parse_name(asked)?;
        let busy = |entry: &Entry| {
            let up = self
                .engine
                .state(entry.id)
                .is_some_and(|state| !state.active().is_down());
            entry.origin.load != LoadState::NotFound
                && (entry.transient.is_none() || up || self.engine.job(entry.id).is_some())
        };
        let on_disk = || self.loader.load(&name).state != load::LoadState::NotFound;
        match self.entry(name.as_str()) {
            Some(entry) if busy(entry) => Err(Failure::UnitExists {
                unit: name.to_string(),
            }),
            None if on_disk() => Err(Failure::UnitExists {
                unit: name.to_string(),
            }),
            _ => Ok(name),
        }
    }

    /// Gives a client's streams to the keeper, where they outlive this process.
    fn hold_stdio(&mut self, name: &UnitName, stdio: &[Option<Rc<OwnedFd>>; 3]) {
        for (stream, descriptor) in stdio.iter().enumerate() {
            if let Some(descriptor) = descriptor {
                self.link.hold(
                    Class::Other,
                    &stdio_name(name, stream),
                    Rc::clone(descriptor),
                );
            }
        }
    }

    /// Puts a unit made at run time into memory.
    pub(crate) fn make_transient(
        &mut self,
        name: &UnitName,
        transient: Transient,
    ) -> Result<UnitId, Failure> {
        let (mut unit, diagnostics) = self.read_transient(name, &transient.record.text)?;
        if !transient.record.command.is_empty() {
            unit.set(
                &key::EXEC_START,
                ExecCommands(vec![literal(&transient.record.command)]),
            );
        }
        let is_typeless = unit.get(&key::SERVICE_TYPE).is_none();
        let [input, output, error] = &transient.stdio;
        if input.is_some() {
            unit.set(
                &key::STANDARD_INPUT,
                StandardInput::Descriptor("stdin".into()),
            );
        }
        for (given, key, name) in [
            (output, &key::STANDARD_OUTPUT, "stdout"),
            (error, &key::STANDARD_ERROR, "stderr"),
        ] {
            if given.is_some() {
                unit.set(key, StandardOutput::Descriptor(name.into()));
            }
        }
        self.configure(
            name.clone(),
            unit,
            Origin {
                diagnostics,
                is_typeless,
                ..Origin::default()
            },
        );
        self.load_named();
        self.find_file_of_slice(name);
        let id = self
            .engine
            .id(name.as_str())
            .ok_or_else(|| Failure::NoSuchUnit {
                unit: name.to_string(),
            })?;
        if let Some(entry) = self.units.get_mut(&id) {
            entry.transient = Some(Box::new(transient));
            (entry.last, entry.failure) = (None, None);
        }
        Ok(id)
    }

    /// A unit's text as a unit, and what is without effect in it.
    fn read_transient(
        &mut self,
        name: &UnitName,
        text: &str,
    ) -> Result<(Unit, Vec<wire::Diagnostic>), Failure> {
        if let Some(unit) = self.later.recent.unit(name, text) {
            return Ok((unit, Vec::new()));
        }
        let context = self.loader.context();
        let loaded = load_text(name, Path::new(""), text.as_bytes(), context);
        if let Some(failure) = defect(&loaded, text) {
            return Err(failure);
        }
        if loaded.diagnostics.is_empty() {
            self.later.recent.keep_unit(text, &loaded.unit);
        }
        let told = loaded.diagnostics.iter();
        let told = told.map(|one| diagnostic(Some(name.as_str()), one));
        Ok((loaded.unit, told.collect()))
    }

    /// Forgets units made at run time that are down; one that failed stays for people to see, unless its maker said otherwise. Answers
    /// whether there were some. Their clients have heard of their ends: a record that goes too early would make a client that
    /// lost its manager ask for a second run.
    pub(crate) fn collect_transients(&mut self) -> bool {
        self.stop_waiting_for_clients();
        let (awaited, units, own_log) = (&self.awaited, &self.units, &self.own_log);
        let mut ended = Vec::new();
        self.ended_transients.retain(|unit| {
            // Its record goes, too, and with it what is not said yet.
            let name = units.get(unit).map(|entry| entry.name.as_str());
            let stays = awaited.covers(unit) || name.is_some_and(|name| own_log.has_words_of(name));
            if !stays {
                ended.push(*unit);
            }
            stays
        });
        for id in ended {
            let Some(state) = self.engine.state(id) else {
                continue;
            };
            if !matches!(state, engine::State::Dead | engine::State::Failed { .. }) {
                continue;
            }
            // A client that reads until the end of its stream waits for this one, too, where the unit stays for people to see.
            self.close_streams(id);
            if self.is_finished_transient(id) {
                // What it started had waited for it.
                let started = self.engine.started_by(id);
                self.ended_transients.extend(started);
                self.inputs.push_back(Input::Forget(id));
            } else if self.is_forgotten_failure(id) {
                self.inputs.push_back(Input::ResetFailed(id));
            }
        }
        let found = !self.inputs.is_empty();
        self.advance();
        found
    }

    /// Lets a client's streams go.
    fn close_streams(&mut self, id: UnitId) {
        let Some(entry) = self.units.get_mut(&id) else {
            return;
        };
        let Some(transient) = &mut entry.transient else {
            return;
        };
        for (stream, given) in transient.stdio.iter_mut().enumerate() {
            if given.take().is_some() {
                self.link
                    .drop_held(Class::Other, &stdio_name(&entry.name, stream));
            }
        }
    }

    /// CollectMode=inactive-or-failed, of a unit that has a file: it is as if it had never run.
    fn is_forgotten_failure(&self, id: UnitId) -> bool {
        let entry = self.units.get(&id);
        entry.is_some_and(|entry| entry.transient.is_none() && entry.collects_failed())
            && matches!(self.engine.state(id), Some(engine::State::Failed { .. }))
            && self.engine.job(id).is_none()
    }

    fn is_finished_transient(&self, id: UnitId) -> bool {
        let Some(entry) = self.units.get(&id) else {
            return false;
        };
        let Some(transient) = &entry.transient else {
            return false;
        };
        let Some(state) = self.engine.state(id) else {
            return false;
        };
        let over = match state {
            engine::State::Dead => true,
            engine::State::Failed { .. } => transient.record.collect || entry.collects_failed(),
            _ => false,
        };
        over && self.engine.job(id).is_none() && !self.engine.has_trigger(id)
    }
}

/// A client's streams, and the processes of a scope.
type Given = ([Option<Rc<OwnedFd>>; 3], Vec<Rc<OwnedFd>>);

/// The descriptors that a request names.
fn take_descriptors(input: &TransientRequest, descriptors: Vec<OwnedFd>) -> Result<Given, Failure> {
    let shared: Vec<Rc<OwnedFd>> = descriptors.into_iter().map(Rc::new).collect();
    let bad = |parameter: &str| Failure::InvalidParameter {
        parameter: format!("{parameter}: no such descriptor came along"),
    };
    let one = |index: u32, parameter: &str| {
        let found = shared.get(index as usize).map(Rc::clone);
        found.ok_or_else(|| bad(parameter))
    };
    let take = |index: Option<u32>, parameter| index.map(|index| one(index, parameter)).transpose();
    if input.processes.len() > crate::scope::PROCESSES_MAX {
        return Err(Failure::InvalidParameter {
            parameter: format!("processes: more than {}", crate::scope::PROCESSES_MAX),
        });
    }
    let processes = input.processes.iter();
    Ok((
        [
            take(input.stdin, "stdin")?,
            take(input.stdout, "stdout")?,
            take(input.stderr, "stderr")?,
        ],
        processes
            .map(|index| one(*index, "processes"))
            .collect::<Result<_, _>>()?,
    ))
}

/// How the names of clients' streams begin.
pub(crate) const STDIO: &str = "stdio|";

/// The name under which the keeper holds a client's stream.
pub(crate) fn stdio_name(unit: &UnitName, stream: usize) -> String {
    format!("{STDIO}{unit}|{stream}")
}

/// A command whose words are what they are.
fn literal(words: &[String]) -> ExecCommand {
    let path = words.first().cloned().unwrap_or_default();
    ExecCommand {
        path,
        argv: words.to_vec(),
        no_env: true,
        ..ExecCommand::default()
    }
}

/// Properties as a unit file's text; the table knows the section of each.
pub(crate) fn text_of(name: &UnitName, properties: &[String]) -> Result<String, Failure> {
    if properties.len() > PROPERTIES_MAX {
        return Err(Failure::InvalidParameter {
            parameter: format!("properties: more than {PROPERTIES_MAX}"),
        });
    }
    let (mut text, mut current) = (String::new(), String::new());
    for property in properties {
        let bad = |message: &str| Failure::BadProperty {
            property: property.clone(),
            message: message.into(),
        };
        if property.contains(['\n', '\r', '\0']) {
            return Err(bad("it has more than one line"));
        }
        if property.ends_with('\\') {
            return Err(bad(
                "it ends with a backslash, which would join it with the next one; leave the backslash out",
            ));
        }
        let (key, value) = property
            .split_once('=')
            .ok_or_else(|| bad("it is no Directive=value"))?;
        let (section, directive) =
            place(name.kind(), key.trim()).ok_or_else(|| bad(&unknown(name.kind(), key.trim())))?;
        if section != current {
            text.push_str(&format!("[{section}]\n"));
            section.clone_into(&mut current);
        }
        text.push_str(&format!("{directive}={value}\n"));
    }
    Ok(text)
}

/// The section of a directive, given as `Directive` or `Section.Directive`.
fn place(kind: UnitKind, key: &str) -> Option<(&'static str, &str)> {
    let (wanted, name) = key
        .split_once('.')
        .map_or((None, key), |(section, name)| (Some(section), name));
    Directive::named(name).find_map(|directive| {
        let section = directive.room().section_of(kind)?;
        wanted
            .is_none_or(|wanted| wanted == section)
            .then_some((section, name))
    })
}

/// Says that there is no such directive, and which one may have been meant.
fn unknown(kind: UnitKind, key: &str) -> String {
    let (_, name) = key.split_once('.').unwrap_or(("", key));
    let kind = kind.suffix();
    if Directive::named(name).next().is_some() {
        return format!("a {kind} unit has no such directive");
    }
    load::nearest_directive(name).map_or_else(
        || "there is no such directive".to_owned(),
        |nearest| format!("there is no such directive: did you mean {nearest}=?"),
    )
}

/// Why the lines make no unit. Nobody reads a client's lines but now, so a value that a file's reader would ignore is refused, too; a
/// line that is only without effect is told to the client.
fn defect(loaded: &load::Loaded, text: &str) -> Option<Failure> {
    let wrong = |line: u32, message: &str| Failure::BadProperty {
        property: property_at(text, line),
        message: message.to_owned(),
    };
    let ignored = loaded.ignored.first();
    let errors = &mut loaded.diagnostics.iter();
    ignored
        .map(|ignored| wrong(ignored.line, &ignored.reason))
        .or_else(|| {
            let error = errors.find(|one| one.severity == load::Severity::Error)?;
            Some(wrong(error.line, &error.message))
        })
}

fn property_at(text: &str, line: u32) -> String {
    text.lines()
        .nth(line.saturating_sub(1) as usize)
        .unwrap_or_default()
        .to_owned()
}

/// Refuses what no execve(2) takes.
fn check_command(words: &[String]) -> Result<(), Failure> {
    match words.len() > WORDS_MAX || words.iter().any(|word| word.contains('\0')) {
        true => Err(Failure::InvalidParameter {
            parameter: "command".into(),
        }),
        false => Ok(()),
    }
}

/// The unit as a file would have it, for `cat`.
pub(crate) fn print(entry: &Entry) -> String {
    let unit: &Unit = &entry.unit;
    let (mut text, mut current) = (String::new(), "");
    for (directive, _) in unit.iter() {
        let section = directive.room().section_of(unit.kind()).unwrap_or_default();
        if section != current {
            text.push_str(&format!("[{section}]\n"));
            current = section;
        }
        for value in settings::print(unit, directive) {
            text.push_str(&format!("{}={value}\n", directive.name()));
        }
    }
    text
}
