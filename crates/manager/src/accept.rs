//! Accept=yes: connections are accepted here, held by the keeper at once, and given to instances of a template.
//!
//! The keeper has a connection before anything is decided about it. If this manager dies, the next one finds it by its name: it belongs
//! to the instance that is on record, or, where none is, is served as if it had just come. The record of an instance goes only after the
//! keeper was told to let the connection go, so that none is served twice.

mod peer;

use crate::entry::{Entry, LoadState};
use crate::manager::Manager;
use engine::{Incarnation, Input, UnitId};
use keeper::protocol::Class;
use kernel::Errno;
use model::{UnitName, key};
use peer::Peer;
use rustix::net::{SocketFlags, accept_with, sockopt};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// How the names of held connections begin; then come the socket unit and the instance.
pub(crate) const HELD: &str = "connection|";

/// The connection of an instance.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The socket unit that it came to.
    socket: String,
    descriptor: Rc<OwnedFd>,
}

/// A connection between the accept and its instance.
struct Arrived {
    unit: UnitId,
    number: u32,
    socket: UnitName,
    instance: String,
    source: Arc<str>,
    descriptor: Rc<OwnedFd>,
}

/// What is under way.
#[derive(Default)]
pub(crate) struct Accepting {
    /// The engine has not decided yet.
    arriving: Option<Arrived>,
    /// It is to be served.
    taken: Option<Arrived>,
    /// Instances that are down, to be forgotten.
    ended: Vec<UnitId>,
    /// Names of instances that failed and are kept for people to see, the oldest first.
    failed: VecDeque<String>,
}

impl Manager {
    /// A watched socket of a unit with Accept=yes has connections.
    pub(crate) fn on_connections(&mut self, watch: u32, unit: UnitId, socket: &OwnedFd) {
        /// Connections that are accepted before others have their turn.
        const AT_ONCE_MAX: usize = 16;
        let Some(snapshot) = self.engine.snapshot(unit) else {
            return;
        };
        let incarnation = snapshot.incarnation;
        for _ in 0..AT_ONCE_MAX {
            // The poll limit, a stop or a failure ends the watch.
            let is_watched = self.listening.contains_key(&watch);
            if !is_watched || !self.engine.takes_connections(unit, incarnation) {
                return;
            }
            match accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(connection) => self.on_accepted(unit, incarnation, connection),
                Err(Errno::AGAIN) => return,
                Err(errno) if is_passing(errno) => {}
                Err(errno) => {
                    self.log_about(unit, &format!("a connection can't be accepted: {errno}"));
                    return self
                        .inputs
                        .push_back(Input::SocketsFailed { unit, incarnation });
                }
            }
        }
    }

    fn on_accepted(&mut self, unit: UnitId, incarnation: Incarnation, connection: OwnedFd) {
        let Some(socket) = self.units.get(&unit).map(|entry| entry.name.clone()) else {
            return;
        };
        // Who is gone again needs no service.
        let Ok(peer) = Peer::of(&connection) else {
            return retire(&connection);
        };
        let number = self.engine.traffic_of(unit).accepted;
        let arrived = Arrived {
            unit,
            number,
            instance: peer.instance(number),
            source: peer.source().into(),
            socket,
            descriptor: Rc::new(connection),
        };
        let name = held_name(arrived.socket.as_str(), &arrived.instance);
        self.link
            .hold(Class::Other, &name, Rc::clone(&arrived.descriptor));
        // At once: what is only ours is lost with us. A channel that broke is met again at the end of the round.
        match self.link.send_holds(&self.poll) {
            Ok(_) | Err(_) => {}
        }
        let source = Arc::clone(&arrived.source);
        self.aside.accepting.arriving = Some(arrived);
        self.inputs.push_back(Input::Connection {
            unit,
            incarnation,
            number,
            source,
        });
        self.advance();
        if let Some(taken) = self.aside.accepting.taken.take() {
            self.serve_connection(taken);
        }
    }

    /// The engine wants it served.
    pub(crate) fn take_connection(&mut self, number: u32) {
        let arriving = self.aside.accepting.arriving.take();
        self.aside.accepting.taken = arriving.filter(|arrived| arrived.number == number);
    }

    /// The engine does not want it.
    pub(crate) fn refuse_connection(&mut self) {
        if let Some(arrived) = self.aside.accepting.arriving.take() {
            self.close_connection(
                arrived.socket.as_str(),
                &arrived.instance,
                &arrived.descriptor,
            );
        }
    }

    /// Loads the instance and gives it the connection.
    fn serve_connection(&mut self, taken: Arrived) {
        let unit = taken.unit;
        let name = instance_name(&taken.socket, &taken.instance);
        let loaded = name.and_then(|name| {
            let id = self.find_or_load(name.as_str()).ok()?;
            self.units.get(&id).map(|entry| (id, entry.origin.load))
        });
        let Some((instance, LoadState::Loaded)) = loaded else {
            let template = taken.socket.connection_template();
            let template = template.map_or_else(|_| "a template".into(), |name| name.to_string());
            let text = format!(
                "{}: {template} can't be loaded for a connection.",
                taken.socket
            );
            self.log_about(unit, &text);
            self.close_connection(taken.socket.as_str(), &taken.instance, &taken.descriptor);
            if let Some((instance, _)) = loaded {
                self.inputs.push_back(Input::Forget(instance));
            }
            return self.inputs.push_back(Input::ConnectionLost(unit));
        };
        self.set_passing(unit, &taken.descriptor);
        if let Some(entry) = self.units.get_mut(&instance) {
            entry.is_of_connection = true;
            entry.connection = Some(Connection {
                socket: taken.socket.to_string(),
                descriptor: taken.descriptor,
            });
        }
        self.inputs.push_back(Input::ConnectionReady {
            unit,
            number: taken.number,
            instance,
            source: taken.source,
        });
        self.advance();
    }

    /// What the kernel does not pass on from a listening socket in the file system, or an abstract one, to its connections.
    fn set_passing(&self, unit: UnitId, connection: &OwnedFd) {
        let Some(entry) = self.units.get(&unit).filter(|_| is_local(connection)) else {
            return;
        };
        let settings = plan::connection_settings(&entry.unit);
        for setting in settings.settings().iter().flatten() {
            let (
                directive,
                plan::step::Setting::Option {
                    level,
                    name,
                    forced,
                    value,
                },
            ) = setting
            else {
                continue;
            };
            let done = kernel::listening::set_forced(connection, level, (name, forced), value);
            if let Err(errno) = done {
                let name = model::Directive::from_index(directive.into());
                let name = name.map_or("an option", |directive| directive.name());
                let text = format!("{name} of a connection can't be set: {errno}");
                self.log_about(entry.id, &text);
            }
        }
    }

    /// The instance is idle: nobody needs its connection.
    pub(crate) fn release_connection(&mut self, instance: UnitId) {
        let Some(entry) = self.units.get_mut(&instance) else {
            return;
        };
        let own = entry.name.instance().unwrap_or_default().to_owned();
        let connection = entry.connection.take();
        self.aside.accepting.ended.push(instance);
        if let Some(Connection { socket, descriptor }) = connection {
            self.close_connection(&socket, &own, &descriptor);
        }
    }

    fn close_connection(&mut self, socket: &str, instance: &str, connection: &OwnedFd) {
        retire(connection);
        self.link
            .drop_held(Class::Other, &held_name(socket, instance));
    }

    /// An instance is down: it is forgotten, unless there is something to see of it.
    pub(crate) fn note_ended(&mut self, unit: UnitId) {
        let entry = self.units.get(&unit);
        if entry.is_some_and(|entry| entry.is_of_connection) {
            self.aside.accepting.ended.push(unit);
        }
    }

    /// Forgets instances that are down. Of those that failed the newest stay for people to see. Answers whether there were some. While
    /// the channel has no room the keeper may have their connections still.
    pub(crate) fn collect_instances(&mut self) -> bool {
        /// Whoever makes services fail must not fill the memory.
        const FAILED_MAX: usize = 64;
        if self.link.waits_for_room() {
            return false;
        }
        let mut later = Vec::new();
        for id in std::mem::take(&mut self.aside.accepting.ended) {
            let Some(entry) = self.units.get(&id).filter(|entry| entry.is_of_connection) else {
                continue;
            };
            let name = entry.name.to_string();
            let is_over = entry.connection.is_none() && self.engine.job(id).is_none();
            match self.engine.state(id) {
                // Its record goes, too, and with it what is not said yet.
                Some(engine::State::Dead | engine::State::Failed { .. })
                    if is_over && self.own_log.has_words_of(&name) =>
                {
                    later.push(id);
                }
                Some(engine::State::Dead) if is_over => self.inputs.push_back(Input::Forget(id)),
                Some(engine::State::Failed { .. }) if is_over => {
                    self.aside.accepting.failed.retain(|known| *known != name);
                    self.aside.accepting.failed.push_back(name);
                }
                _ => {}
            }
        }
        self.aside.accepting.ended = later;
        while self.aside.accepting.failed.len() > FAILED_MAX {
            let oldest = self.aside.accepting.failed.pop_front();
            let known = oldest.and_then(|name| self.entry(&name));
            let id = known
                .filter(|entry| entry.is_of_connection)
                .map(|entry| entry.id);
            let is_failed =
                |id: &UnitId| matches!(self.engine.state(*id), Some(engine::State::Failed { .. }));
            self.inputs.extend(id.filter(is_failed).map(Input::Forget));
        }
        let found = !self.inputs.is_empty();
        self.advance();
        found
    }

    /// Connections that the keeper held for the manager before us, after the records are read: those of instances that are on record.
    /// Answers the others, which nobody serves yet.
    pub(crate) fn adopt_connections(
        &mut self,
        held: Vec<(String, OwnedFd)>,
    ) -> Vec<(String, OwnedFd)> {
        let mut unserved = Vec::new();
        for (name, descriptor) in held {
            let parts = parse_held(&name);
            let instance = parts
                .as_ref()
                .and_then(|(socket, own)| instance_name(socket, own));
            let known = instance.and_then(|name| self.engine.id(name.as_str()));
            let known = known.filter(|id| self.units.contains_key(id));
            match (parts, known) {
                (Some((socket, _)), Some(id)) if self.engine.served(id).is_some() => {
                    if let Some(entry) = self.units.get_mut(&id) {
                        entry.connection = Some(Connection {
                            socket: socket.to_string(),
                            descriptor: Rc::new(descriptor),
                        });
                    }
                }
                (Some(_), None) => unserved.push((name, descriptor)),
                // Its end is on record.
                _ => {
                    retire(&descriptor);
                    self.link.drop_held(Class::Other, &name);
                }
            }
        }
        let instances = self.units.values().filter(|entry| entry.is_of_connection);
        self.aside
            .accepting
            .ended
            .extend(instances.map(|entry| entry.id));
        unserved
    }

    /// Serves what was accepted and of which nothing else is known.
    pub(crate) fn serve_again(&mut self, unserved: Vec<(String, OwnedFd)>) {
        for (name, descriptor) in unserved {
            let parts = parse_held(&name);
            let unit = parts
                .as_ref()
                .and_then(|(socket, _)| self.engine.id(socket.as_str()));
            let unit = unit.filter(|unit| self.units.contains_key(unit));
            let (Some((socket, instance)), Some(unit), Ok(peer)) =
                (parts, unit, Peer::of(&descriptor))
            else {
                retire(&descriptor);
                self.link.drop_held(Class::Other, &name);
                continue;
            };
            let number = instance
                .split('-')
                .next()
                .and_then(|number| number.parse().ok());
            self.serve_connection(Arrived {
                unit,
                number: number.unwrap_or_default(),
                socket,
                instance,
                source: peer.source().into(),
                descriptor: Rc::new(descriptor),
            });
        }
    }

    /// The connection of an instance, with the name that its descriptor has.
    pub(crate) fn connection_of(&self, instance: UnitId) -> Option<(String, Rc<OwnedFd>)> {
        let connection = self.units.get(&instance)?.connection.as_ref()?;
        let socket = self.entry(&connection.socket);
        let name = socket.and_then(|entry| entry.unit.get(&key::FILE_DESCRIPTOR_NAME).cloned());
        let name = name.unwrap_or_else(|| "connection".into());
        Some((name, Rc::clone(&connection.descriptor)))
    }

    /// Without the template of its services a socket with Accept=yes would take connections in vain.
    pub(crate) fn check_template(&mut self, unit: UnitId) -> Result<(), wire::Failure> {
        let Some(entry) = self.units.get(&unit) else {
            return Ok(());
        };
        let any = instance_name(&entry.name, "0");
        let Some(any) = any.filter(|_| entry.unit.value(&key::ACCEPT)) else {
            return Ok(());
        };
        let name = entry.name.clone();
        if self.load_anew(&any).state == load::LoadState::Loaded {
            return Ok(());
        }
        let template = name.connection_template();
        Err(wire::Failure::Refused {
            unit: name.to_string(),
            directive: key::ACCEPT.directive().name().into(),
            message: template.map_or_else(
                |_| "its template can't be loaded".into(),
                |name| format!("its template {name} can't be loaded"),
            ),
        })
    }

    /// What clients see of a socket unit.
    pub(crate) fn socket_status(&self, entry: &Entry) -> wire::SocketStatus {
        let traffic = self.engine.traffic_of(entry.id);
        wire::SocketStatus {
            listen: crate::status::listening(entry),
            accept: entry.unit.value(&key::ACCEPT),
            accepted: u64::from(traffic.accepted),
            connections: u64::from(self.engine.connections_of(entry.id)),
            refused: u64::from(traffic.refused),
        }
    }

    /// $REMOTE_ADDR, $REMOTE_PORT and $SO_COOKIE of an instance.
    pub(crate) fn remote_environment(&self, instance: UnitId) -> Vec<String> {
        let connection = self
            .units
            .get(&instance)
            .and_then(|entry| entry.connection.as_ref());
        let Some(Connection { descriptor, .. }) = connection else {
            return Vec::new();
        };
        // Who hung up meanwhile has no address any more.
        let peer = Peer::of(descriptor);
        let mut variables = peer.map_or_else(|_| Vec::new(), |peer| peer.environment());
        let cookie = sockopt::socket_cookie(descriptor).ok();
        variables.extend(cookie.map(|cookie| format!("SO_COOKIE={cookie}")));
        variables
    }
}

fn instance_name(socket: &UnitName, instance: &str) -> Option<UnitName> {
    let template = socket.connection_template().ok()?;
    template.with_instance(instance).ok()
}

fn held_name(socket: &str, instance: &str) -> String {
    format!("{HELD}{socket}|{instance}")
}

fn parse_held(name: &str) -> Option<(UnitName, String)> {
    let (socket, instance) = name.strip_prefix(HELD)?.rsplit_once('|')?;
    Some((UnitName::new(socket).ok()?, instance.to_owned()))
}

/// Errors that are the connection's and not the listening socket's (accept(2)).
fn is_passing(errno: Errno) -> bool {
    [
        Errno::INTR,
        Errno::CONNABORTED,
        Errno::NETDOWN,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::NETUNREACH,
        Errno::TIMEDOUT,
        Errno::PERM,
    ]
    .contains(&errno)
}

fn is_local(socket: &OwnedFd) -> bool {
    sockopt::socket_domain(socket) == Ok(rustix::net::AddressFamily::UNIX)
}

/// Sees to it that closing the connection holds nobody up, whatever its service and its peer made of it.
fn retire(connection: &OwnedFd) {
    if is_local(connection) {
        kernel::message::retire(connection);
    }
    match sockopt::set_socket_linger(connection, None) {
        // What can't linger does not.
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_connection_is_known_by_its_name() {
        for (socket, instance) in [
            ("web.socket", "0-17-127.0.0.1:80-127.0.0.1:4711"),
            ("web@x.socket", "3-4-::1:80-::1:4711"),
        ] {
            let name = held_name(socket, instance);
            assert!(name.len() <= keeper::protocol::NAME_BYTES_MAX);
            let (found, own) = parse_held(&name).expect("its parts");
            assert_eq!((found.as_str(), own.as_str()), (socket, instance));
            let unit = instance_name(&found, &own).expect("a name");
            assert_eq!(unit.as_str(), format!("web@{instance}.service"));
        }
        assert_eq!(parse_held("connection|nothing"), None);
    }
}
