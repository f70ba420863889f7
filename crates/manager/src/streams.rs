//! The descriptors of a start: standard streams, listening sockets, the image.

use crate::manager::Manager;
use crate::namespaces::Joining;
use crate::planning::Prepared;
use crate::start::Handed;
use engine::{Role, Spawn, UnitId};
use keeper::protocol::{Class, NAME_BYTES_MAX};
use model::key;
use model::value::{LogFacility, MAX_LOG_PATTERNS, StandardInput, StandardOutput};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, socketpair};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use wire::Failure;

impl Manager {
    /// Everything that a start passes on, in the order in which the executor gets it.
    pub(crate) fn hand_over(
        &mut self,
        spawn: &Spawn,
        prepared: &Prepared,
        joining: &Joining,
    ) -> Result<Handed, Failure> {
        let mut handed = Handed::default();
        let unit = spawn.process.unit;
        if spawn.role == Role::Main {
            self.hand_sockets(unit, &mut handed);
            let entry = self.units.get(&unit);
            for stored in entry.into_iter().flat_map(|entry| &entry.store) {
                handed.push(plan::Role::Stored, stored.name(), stored.carrier());
            }
        }
        if matches!(spawn.role, Role::StartPost | Role::Stop) {
            self.hand_own_sockets(unit, &mut handed);
        }
        let mut log = None;
        let mut images = self.image_descriptors(spawn.process, prepared)?.into_iter();
        for role in prepared.plan.roles() {
            let descriptor = match role {
                plan::Role::Input => self.input(unit)?,
                plan::Role::Output | plan::Role::Error => self.output(spawn, role, &mut log)?,
                // Those that are missing have no descriptor, and no step.
                plan::Role::Image => match images.next() {
                    Some(image) => image,
                    None => continue,
                },
                plan::Role::Service
                | plan::Role::Stored
                | plan::Role::MadeNetwork
                | plan::Role::MadeAhead
                | plan::Role::MadeFiles
                | plan::Role::NetworkNamespace
                | plan::Role::IpcNamespace
                | plan::Role::UserNamespace => {
                    return Err(Failure::Internal {
                        message: format!(
                            "the plan asks for a descriptor ({role:?}) that nobody makes"
                        ),
                    });
                }
            };
            handed.push(role, "", descriptor);
        }
        for (role, namespace) in &joining.namespaces {
            handed.push(*role, "", Rc::clone(namespace));
        }
        if joining.joined == 0
            && handed.passed.len() < plan::frame::MAX_DESCRIPTORS
            && let Some((role, made)) = self.made_ahead(prepared)
        {
            handed.push(role, "", made);
        }
        Ok(handed)
    }

    /// The sockets of the socket units that trigger this service or that it names, with their names.
    fn hand_sockets(&self, unit: UnitId, handed: &mut Handed) {
        let non_blocking = self
            .units
            .get(&unit)
            .is_some_and(|entry| entry.unit.is_set(key::NON_BLOCKING.directive()));
        if let Some((name, connection)) = self.connection_of(unit) {
            if let Err(errno) = set_non_blocking(&connection, non_blocking) {
                let text = format!("the mode of its connection can't be set: {errno}");
                self.log_about(unit, &text);
            }
            return handed.push(plan::Role::Service, &name, connection);
        }
        for socket_unit in self.engine.sockets_of(unit) {
            let Some(entry) = self.units.get(&socket_unit) else {
                continue;
            };
            let name = socket_name(entry);
            for socket in &entry.sockets {
                if let Err(errno) = set_non_blocking(socket, non_blocking) {
                    let text = format!(
                        "the mode of a socket of {} can't be set: {errno}",
                        entry.name
                    );
                    self.log_about(unit, &text);
                }
                handed.push(plan::Role::Service, &name, Rc::clone(socket));
            }
        }
    }

    /// PassFileDescriptorsToExec=: a socket unit's own commands get its sockets.
    fn hand_own_sockets(&self, unit: UnitId, handed: &mut Handed) {
        let entry = self.units.get(&unit);
        let asking = entry.filter(|entry| entry.unit.value(&key::PASS_FILE_DESCRIPTORS_TO_EXEC));
        let Some(entry) = asking else { return };
        let name = socket_name(entry);
        for socket in &entry.sockets {
            handed.push(plan::Role::Service, &name, Rc::clone(socket));
        }
    }

    /// A socket by the name of its unit or of FileDescriptorName=.
    fn named_socket(&self, unit: UnitId, name: Option<&str>) -> Option<Rc<OwnedFd>> {
        if let Some((own, connection)) = self.connection_of(unit) {
            return Some(connection).filter(|_| name.is_none_or(|name| name == own));
        }
        let sockets = self
            .engine
            .sockets_of(unit)
            .into_iter()
            .filter_map(|id| self.units.get(&id));
        let mut matching =
            sockets.filter(|entry| name.is_none_or(|name| socket_name(entry) == name));
        matching.find_map(|entry| entry.sockets.first().map(Rc::clone))
    }

    fn given(&self, unit: UnitId, stream: usize) -> Option<Rc<OwnedFd>> {
        self.units
            .get(&unit)?
            .transient
            .as_ref()?
            .stdio
            .get(stream)?
            .clone()
    }

    fn input(&self, unit: UnitId) -> Result<Rc<OwnedFd>, Failure> {
        let input = self
            .units
            .get(&unit)
            .map(|entry| entry.unit.value(&key::STANDARD_INPUT))
            .unwrap_or_default();
        let found = self.given(unit, 0).or_else(|| match &input {
            StandardInput::Socket => self.named_socket(unit, None),
            StandardInput::Descriptor(name) => self.named_socket(unit, Some(name)),
            _ => None,
        });
        found.ok_or_else(|| self.no_descriptor(unit, "StandardInput"))
    }

    fn output(
        &mut self,
        spawn: &Spawn,
        role: plan::Role,
        log: &mut Option<Rc<OwnedFd>>,
    ) -> Result<Rc<OwnedFd>, Failure> {
        let unit = spawn.process.unit;
        if spawn.role == Role::Health {
            if let Some(stream) = log {
                return Ok(Rc::clone(stream));
            }
            let stream = self.probe_output(spawn.process).map_err(|errno| {
                self.internal(unit, "make the output of a probe", &errno.into())
            })?;
            *log = Some(Rc::clone(&stream));
            return Ok(stream);
        }
        let (stream, key, directive) = match role {
            plan::Role::Error => (2, &key::STANDARD_ERROR, "StandardError"),
            _ => (1, &key::STANDARD_OUTPUT, "StandardOutput"),
        };
        if let Some(given) = self.given(unit, stream) {
            return Ok(given);
        }
        let wanted = self
            .units
            .get(&unit)
            .map(|entry| entry.unit.value(key))
            .unwrap_or_default();
        let found = match &wanted {
            StandardOutput::Socket => self.named_socket(unit, None),
            StandardOutput::Descriptor(name) => self.named_socket(unit, Some(name)),
            _ => None,
        };
        match found {
            Some(found) => Ok(found),
            None if matches!(
                wanted,
                StandardOutput::Socket | StandardOutput::Descriptor(_)
            ) =>
            {
                Err(self.no_descriptor(unit, directive))
            }
            None => self.log_stream(spawn, log),
        }
    }

    /// A stream into the log; the keeper holds the end that is read, so that no line is lost with us.
    fn log_stream(
        &mut self,
        spawn: &Spawn,
        log: &mut Option<Rc<OwnedFd>>,
    ) -> Result<Rc<OwnedFd>, Failure> {
        if let Some(stream) = log {
            return Ok(Rc::clone(stream));
        }
        let unit = spawn.process.unit;
        let made = log_pair()
            .map_err(|errno| self.internal(unit, "make a stream into the log", &errno.into()))?;
        let (service, reader) = made;
        let extra = self
            .keep_extra_fields(unit)
            .map_err(|error| self.internal(unit, "keep the fields of LogExtraFields=", &error))?;
        if let Some(name) = self.stream_name(spawn, extra.as_deref()) {
            self.link.hold(Class::Log, &name, Rc::new(reader));
        }
        let service = Rc::new(service);
        *log = Some(Rc::clone(&service));
        Ok(service)
    }

    /// What the log process knows of a stream; its form is the journal crate's `stream` module's. The moment tells it from one that the
    /// manager before us made for the same process and had no time to use: two of one name would be one stream, which ends with the
    /// first.
    fn stream_name(&self, spawn: &Spawn, extra: Option<&str>) -> Option<String> {
        let entry = self.units.get(&spawn.process.unit)?;
        let run = entry
            .runs
            .iter()
            .find(|run| run.incarnation == spawn.process.incarnation.0)?;
        let unit = &entry.unit;
        let mut name = format!(
            "{}|{}|{}|n={}.{:x}",
            entry.name,
            run.incarnation,
            run.invocation_text(),
            spawn.process.serial,
            crate::clock::monotonic().0
        );
        if let Some(level) = unit.get(&key::SYSLOG_LEVEL) {
            name.push_str(&format!("|priority={}", crate::own_log::priority(level)));
        }
        if let Some(facility) = unit.get(&key::SYSLOG_FACILITY) {
            name.push_str(&format!("|facility={}", facility_number(*facility)));
        }
        if let Some(level) = unit.get(&key::LOG_LEVEL_MAX) {
            name.push_str(&format!("|max={}", crate::own_log::priority(level)));
        }
        if !unit.value(&key::SYSLOG_LEVEL_PREFIX) {
            name.push_str("|prefix=no");
        }
        if let Some(portable) = &entry.origin.portable {
            name.push_str(&format!("|portable={}", escape(portable)));
        }
        if let Some(namespace) = unit.get(&key::LOG_NAMESPACE) {
            name.push_str(&format!("|namespace={}", escape(&namespace.0)));
        }
        let (burst, interval) = (
            &key::LOG_RATE_LIMIT_BURST,
            &key::LOG_RATE_LIMIT_INTERVAL_SEC,
        );
        if unit.is_set(burst.directive()) || unit.is_set(interval.directive()) {
            let interval = unit.value(interval).micros();
            // Either of them, when it is zero, says that there is no limit.
            let burst = if interval == 0 { 0 } else { unit.value(burst) };
            name.push_str(&format!("|burst={burst}|interval={interval}"));
        }
        // After what every unit can have, and before what is cut to fit.
        if let Some(extra) = extra {
            name.push_str(&format!("|extra={extra}"));
        }
        if let Some(identifier) = unit.get(&key::SYSLOG_IDENTIFIER) {
            push_fitting(&mut name, "|id=", identifier);
        }
        Some(name)
    }

    /// Puts the fields that a unit gives its entries where the log process finds them: a name that the keeper holds has no room for
    /// them. The file is named by what is in it.
    fn keep_extra_fields(&self, unit: UnitId) -> std::io::Result<Option<String>> {
        let Some(content) = self.units.get(&unit).and_then(|entry| extra(&entry.unit)) else {
            return Ok(None);
        };
        let name = extra_name(&content);
        let directory = self.directories.extra_fields();
        let path = directory.join(&name);
        if path.exists() {
            // Images choose what is in theirs.
            if std::fs::read(&path)? != content {
                return Err(std::io::Error::other(
                    "the extra fields of another unit have the same number: change a letter of them",
                ));
            }
        } else {
            std::fs::create_dir_all(&directory)?;
            std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700))?;
            let staged = directory.join("new");
            std::fs::write(&staged, &content)?;
            std::fs::rename(&staged, &path)?;
        }
        Ok(Some(name))
    }

    /// Removes the fields of units that are gone.
    pub(crate) fn forget_extra_fields(&self) {
        let files = std::fs::read_dir(self.directories.extra_fields());
        let mut files = files.into_iter().flatten().flatten().peekable();
        if files.peek().is_none() {
            return;
        }
        let used: Vec<String> = self
            .units
            .values()
            .filter(|entry| entry.origin.load != crate::entry::LoadState::NotFound)
            .filter_map(|entry| Some(extra_name(&extra(&entry.unit)?)))
            .collect();
        for file in files {
            let is_used = |name: &str| used.iter().any(|one| one == name);
            if !file.file_name().to_str().is_some_and(is_used) {
                match std::fs::remove_file(file.path()) {
                    // In memory, and of no harm.
                    Ok(()) | Err(_) => {}
                }
            }
        }
    }

    fn no_descriptor(&self, unit: UnitId, directive: &str) -> Failure {
        let name = self.name_of(unit);
        Failure::Refused {
            unit: name,
            directive: directive.into(),
            message: "names a descriptor that is not there".into(),
        }
    }
}

/// The number of a facility (syslog(3)): after ftp, 11, four are nobody's.
fn facility_number(facility: LogFacility) -> u8 {
    let place = facility as u8;
    if facility < LogFacility::Local0 {
        place
    } else {
        place + 4
    }
}

/// What a unit's file of fields and patterns holds; none where it gives none.
fn extra(unit: &model::Unit) -> Option<Vec<u8>> {
    let fields = unit.get(&key::LOG_EXTRA_FIELDS).into_iter().flatten();
    let fields = fields.cloned();
    let patterns = unit.get(&key::LOG_FILTER_PATTERNS).into_iter().flatten();
    let patterns = patterns.take(MAX_LOG_PATTERNS).map(|pattern| {
        let mark = if pattern.is_denied { '~' } else { '+' };
        format!("{mark}{}", pattern.expression)
    });
    let parts = fields.chain(patterns);
    let content: Vec<u8> = parts
        .flat_map(|part| part.into_bytes().into_iter().chain([0]))
        .collect();
    Some(content).filter(|content| !content.is_empty())
}

fn extra_name(content: &[u8]) -> String {
    format!("{:016x}", crate::directories::hash(content))
}

/// A service waits in accept(2) unless it asked not to: the mode belongs to the socket, not to a descriptor of it.
pub(crate) fn set_non_blocking(socket: &OwnedFd, wanted: bool) -> Result<(), rustix::io::Errno> {
    let mut flags = rustix::fs::fcntl_getfl(socket)?;
    flags.set(rustix::fs::OFlags::NONBLOCK, wanted);
    rustix::fs::fcntl_setfl(socket, flags)
}

/// The name of a socket unit's descriptors in `$LISTEN_FDNAMES`.
pub(crate) fn socket_name(entry: &crate::entry::Entry) -> String {
    entry
        .unit
        .get(&key::FILE_DESCRIPTOR_NAME)
        .cloned()
        .unwrap_or_else(|| entry.name.to_string())
}

/// Bytes of output that may wait for the log process before the service has to.
const LOG_BUFFER_BYTES: i32 = 8 << 20;

/// The service's end and the end that is read.
fn log_pair() -> Result<(OwnedFd, OwnedFd), kernel::Errno> {
    let (service, reader) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::shutdown(&service, Shutdown::Read)?;
    // Before the first byte: what was written earlier would come without its writer.
    kernel::socket::set_pass_credentials(&reader, true)?;
    match kernel::socket::set_pass_descriptors(&reader, false) {
        // An older kernel passes them on; the log process then closes them aside.
        Ok(()) | Err(_) => {}
    }
    match kernel::socket::set_send_buffer(&service, LOG_BUFFER_BYTES) {
        // A smaller buffer only makes a loud service wait earlier.
        Ok(()) | Err(_) => {}
    }
    Ok((service, reader))
}

/// `%`, `|` and control bytes of a stream name's values.
fn escape(text: &str) -> String {
    text.chars().map(escaped).collect()
}

fn escaped(c: char) -> String {
    match c {
        '%' | '|' | '\0'..='\x1f' | '\x7f' => format!("%{:02X}", u32::from(c)),
        _ => c.into(),
    }
}

/// Adds as much of a value, which may have any length, as the keeper keeps of a name; so it has to be the last one.
fn push_fitting(name: &mut String, key: &str, value: &str) {
    if name.len() + key.len() > NAME_BYTES_MAX {
        return;
    }
    name.push_str(key);
    for c in value.chars().map(escaped) {
        if name.len() + c.len() > NAME_BYTES_MAX {
            return;
        }
        name.push_str(&c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_where_a_letter_ends() {
        for (taken, value, expected) in [
            (NAME_BYTES_MAX - 9, "a|b", "|id=a%7Cb"),
            (NAME_BYTES_MAX - 8, "a|b", "|id=a%7C"),
            (NAME_BYTES_MAX - 7, "a|b", "|id=a"),
            (NAME_BYTES_MAX - 5, "äb", "|id="),
            (NAME_BYTES_MAX - 3, "ab", ""),
        ] {
            let mut name = "n".repeat(taken);
            push_fitting(&mut name, "|id=", value);
            assert_eq!(name.get(taken..), Some(expected), "{taken}");
        }
    }
}
