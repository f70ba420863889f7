//! Who owns the names of services (BusName=): a connection to the message bus for as long as a service that has one is on its way up, or up.
//! A bus that goes or is late is tried again.

use crate::manager::Manager;
use crate::poll::{Ready, Token};
use bus::{Address, Defect, Event, Session};
use engine::{Incarnation, Input, Micros, Notice, UnitId};
use model::sorted::Set;
use model::value::ServiceType;
use model::{UnitKind, key};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// Pauses between tries, in microseconds: of the first and the longest.
const PAUSE_US: u64 = 100_000;
const PAUSE_US_MAX: u64 = 5_000_000;
/// Bytes taken in one round: others have their turn, whatever users of the bus send.
const ROUND_BYTES: usize = 64 << 10;
/// The variable that says where the bus is (D-Bus Specification): as services have it.
const VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";
/// Units by which a bus may have come.
const BUS_UNITS: [&str; 4] = [
    "dbus.service",
    "dbus.socket",
    "dbus-broker.service",
    "dbus-daemon.service",
];

/// The names of services, and the connection by which their owners are known.
#[derive(Default)]
pub(crate) struct BusNames {
    units: BTreeMap<String, Set<UnitId>>,
    connection: Option<Connection>,
    /// When it is tried again.
    pub(crate) retry: Option<Micros>,
    pause_us: u64,
    /// Units whose log has it that the bus can't be reached.
    told: Set<UnitId>,
}

struct Connection {
    session: Session,
    socket: OwnedFd,
    number: u32,
    since: Micros,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{VARIABLE}= says {0:?}, which names no socket")]
    Address(String),
    #[error("{0}")]
    System(#[from] Errno),
    #[error("it has closed the connection")]
    Closed,
    #[error("{0}")]
    Defect(#[from] Defect),
}

impl Manager {
    /// A unit was loaded, or loaded again: it may have a name, or another one.
    pub(crate) fn note_bus_name(&mut self, unit: UnitId) {
        let name = self.bus_name(unit);
        if name.is_none() && self.aside.bus_names.units.is_empty() {
            return;
        }
        let has_it = |known: &str| Some(known) == name.as_deref();
        self.forget_bus_name(unit, has_it);
        let Some(name) = name else { return };
        let names = &mut self.aside.bus_names;
        let units = names.units.entry(name.clone()).or_default();
        if units.insert(unit)
            && units.len() == 1
            && let Some(connection) = &mut names.connection
        {
            connection.session.watch(&name);
            self.flush_bus();
        }
    }

    /// The unit has none of these names any more but those that stay.
    pub(crate) fn forget_bus_name(&mut self, unit: UnitId, stays: impl Fn(&str) -> bool) {
        let names = &mut self.aside.bus_names;
        names.told.remove(&unit);
        let gone = names.units.extract_if(.., |name, units| {
            !stays(name) && units.remove(&unit) && units.is_empty()
        });
        let gone: Vec<_> = gone.collect();
        let Some(connection) = &mut names.connection else {
            return;
        };
        for (name, _) in &gone {
            connection.session.unwatch(name);
        }
        if !gone.is_empty() {
            self.flush_bus();
        }
    }

    fn bus_name(&self, unit: UnitId) -> Option<String> {
        let entry = self.units.get(&unit)?;
        let is_service = entry.name.kind() == UnitKind::Service;
        let name = entry.unit.get(&key::BUS_NAME).filter(|_| is_service)?;
        (!name.is_empty()).then(|| name.clone())
    }

    /// A unit is in another state: one with a name needs the bus while it is up, and one that brings the bus makes the next try worth while now.
    pub(crate) fn follow_bus_name(&mut self, unit: UnitId) {
        let names = &self.aside.bus_names;
        if names.units.is_empty() {
            return;
        }
        if names.connection.is_some() {
            if self.bus_name(unit).is_some() && !self.needs_bus() {
                self.aside.bus_names.connection = None;
            }
            return;
        }
        let name = self.engine.unit_name(unit).unwrap_or_default();
        let is_bus = BUS_UNITS.contains(&name) && self.needs_bus();
        let begins = || names.retry.is_none() && self.is_named_and_up(unit);
        if is_bus || begins() {
            self.aside.bus_names.pause_us = PAUSE_US;
            self.aside.bus_names.retry = Some(crate::clock::monotonic());
        }
    }

    fn is_named_and_up(&self, unit: UnitId) -> bool {
        let state = self.engine.state(unit);
        state.is_some_and(|state| !state.active().is_down()) && self.bus_name(unit).is_some()
    }

    fn needs_bus(&self) -> bool {
        let mut units = self.aside.bus_names.units.values().flat_map(Set::iter);
        units.any(|unit| self.is_named_and_up(*unit))
    }

    /// All units that are up were taken over: those that have a name need the bus.
    pub(crate) fn adopt_bus_names(&mut self) {
        if self.needs_bus() {
            self.aside.bus_names.pause_us = PAUSE_US;
            self.aside.bus_names.retry = Some(crate::clock::monotonic());
        }
    }

    /// Connects, where it is time to.
    pub(crate) fn end_pause_of_bus(&mut self, now: Micros) {
        let names = &self.aside.bus_names;
        let is_due = names.retry.is_some_and(|moment| moment <= now);
        if !is_due || self.stage == crate::manager::Stage::Adopting {
            return;
        }
        self.aside.bus_names.retry = None;
        if self.aside.bus_names.connection.is_some() || !self.needs_bus() {
            return;
        }
        match self.connect_to_bus() {
            Ok(connection) => {
                self.aside.bus_names.connection = Some(connection);
                self.flush_bus();
            }
            Err(lost) => self.lose_bus(&lost),
        }
    }

    fn bus_address(&self) -> &str {
        let said = self.environment.get(VARIABLE);
        said.map_or(bus::SYSTEM, String::as_str)
    }

    /// Nothing of this waits: a bus that takes nobody in now is tried again.
    fn connect_to_bus(&mut self) -> Result<Connection, Lost> {
        let text = self.bus_address();
        let address = bus::address(text).ok_or_else(|| Lost::Address(text.into()))?;
        let address = match address {
            Address::Path(path) => SocketAddrUnix::new(path)?,
            Address::Abstract(name) => SocketAddrUnix::new_abstract_name(&name)?,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::STREAM;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
        rustix::net::connect(&socket, &address)?;
        let mut session = Session::new(rustix::process::geteuid().as_raw());
        for name in self.aside.bus_names.units.keys() {
            session.watch(name);
        }
        let number = self.poll.number();
        self.poll.watch(&socket, Token::Bus(number))?;
        Ok(Connection {
            session,
            socket,
            number,
            since: crate::clock::monotonic(),
        })
    }

    /// The connection is over: services that are up stay up, as far as anybody knows.
    fn lose_bus(&mut self, lost: &Lost) {
        let now = crate::clock::monotonic();
        let names = &mut self.aside.bus_names;
        let lasted = |one: Connection| one.since.after(Micros(PAUSE_US_MAX)) <= now;
        if names.connection.take().is_some_and(lasted) {
            // It was well: it is tried again at once, and what is told then is news. One that takes us in and closes is no better than none.
            names.pause_us = PAUSE_US;
            names.told.clear();
        }
        if !self.needs_bus() {
            return;
        }
        let pause = self.aside.bus_names.pause_us.max(PAUSE_US);
        self.aside.bus_names.pause_us = pause.saturating_mul(2).min(PAUSE_US_MAX);
        self.aside.bus_names.retry = Some(now.after(Micros(pause)));
        let address = self.bus_address().to_owned();
        let names = self.aside.bus_names.units.iter();
        let named: Vec<(String, UnitId)> = names
            .flat_map(|(name, units)| units.iter().map(|unit| (name.clone(), *unit)))
            .collect();
        for (name, unit) in named {
            if self.needs_bus_name(unit)
                && self.is_named_and_up(unit)
                && self.aside.bus_names.told.insert(unit)
            {
                let text = format!(
                    "who owns {name} is not known: the message bus at {address} can't be asked: {lost}; it is asked again and again, and is to be started if it does not run"
                );
                self.log_as(crate::own_log::WARNING, unit, &text);
            }
        }
    }

    fn needs_bus_name(&self, unit: UnitId) -> bool {
        let entry = self.units.get(&unit);
        entry.is_some_and(|entry| ServiceType::of(&entry.unit) == ServiceType::Dbus)
    }

    /// The bus says something, or has room.
    pub(crate) fn on_bus(&mut self, number: u32, event: Ready) {
        let connection = self.aside.bus_names.connection.as_mut();
        let Some(connection) = connection.filter(|known| known.number == number) else {
            return;
        };
        if event.readable {
            let mut events = Vec::new();
            let received = receive(connection, &mut events);
            for event in events {
                self.hear_of_bus_name(event);
            }
            if let Err(lost) = received {
                return self.lose_bus(&lost);
            }
        }
        self.flush_bus();
    }

    fn flush_bus(&mut self) {
        let Some(connection) = &mut self.aside.bus_names.connection else {
            return;
        };
        let outcome = send(connection).and_then(|()| {
            let has_more = !connection.session.output().is_empty();
            let token = Token::Bus(connection.number);
            self.poll.rewatch(&connection.socket, token, true, has_more)
        });
        if let Err(errno) = outcome {
            self.lose_bus(&errno.into());
        }
    }

    fn hear_of_bus_name(&mut self, event: Event) {
        let name = match &event {
            Event::Owner { name, .. }
            | Event::Process { name, .. }
            | Event::Refused { name, .. } => name,
            // We take no name.
            Event::Owned => return,
        };
        let units = self.aside.bus_names.units.get(name).into_iter();
        let units: Vec<UnitId> = units.flat_map(Set::iter).copied().collect();
        for unit in units {
            match &event {
                Event::Owner { name, owner } => self.bus_name_changed(unit, name, owner.as_deref()),
                Event::Process { pid, .. } => self.owner_is_main(unit, *pid),
                Event::Refused { name, error } => {
                    let text = format!("the message bus does not tell who owns {name}: {error}");
                    self.log_as(crate::own_log::WARNING, unit, &text);
                }
                Event::Owned => {}
            }
        }
    }

    fn bus_name_changed(&mut self, unit: UnitId, name: &str, owner: Option<&str>) {
        if self.needs_bus_name(unit) {
            let is_owned = owner.is_some();
            return self.inputs.push_back(Input::BusName { unit, is_owned });
        }
        // Of other types the owner is the main process.
        if let Some(owner) = owner
            && let Some(connection) = &mut self.aside.bus_names.connection
        {
            connection.session.ask_process(name, owner);
        }
    }

    /// As if the service had named it by MAINPID=: only a process of its own can be.
    fn owner_is_main(&mut self, unit: UnitId, pid: u32) {
        let entry = self.units.get(&unit);
        let run = entry.and_then(|entry| entry.current_run());
        let Some(incarnation) = run.map(|run| run.incarnation) else {
            return;
        };
        if self.is_other_main(unit, incarnation, pid) {
            let message = Notice {
                main_pid: Some(pid),
                ..Notice::default()
            };
            self.inputs.push_back(Input::Notify {
                unit,
                incarnation: Incarnation(incarnation),
                message,
            });
        }
    }
}

fn receive(connection: &mut Connection, events: &mut Vec<Event>) -> Result<(), Lost> {
    let (mut piece, mut left) = ([0; 4096], ROUND_BYTES);
    while left > 0 {
        match rustix::io::read(&connection.socket, &mut piece) {
            Ok(0) => return Err(Lost::Closed),
            Ok(count) => {
                let bytes = piece.get(..count).unwrap_or_default();
                events.extend(connection.session.receive(bytes)?);
                left = left.saturating_sub(count);
            }
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn send(connection: &mut Connection) -> Result<(), Errno> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    while !connection.session.output().is_empty() {
        match rustix::net::send(&connection.socket, connection.session.output(), flags) {
            Ok(count) => connection.session.sent(count),
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
