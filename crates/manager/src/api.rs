//! The API's socket: connections come in, calls go to those who can answer them.

use crate::connection::{Connection, Incoming, Peer};
use crate::manager::{Error, Manager, Stage, doing};
use crate::poll::{Ready, Token};
use keeper::protocol::Class;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use wire::{Call, Failure};

/// Connections at once; the descriptor table has room for them beside the services' own.
const CONNECTIONS_MAX: usize = 512;
/// Connections of all who are not root together: a user may have many numbers (subuid(5)), and must not keep root out.
const CONNECTIONS_OF_STRANGERS_MAX: usize = 384;
/// Connections of one user who is not root: nobody can keep the others out.
const CONNECTIONS_PER_USER_MAX: usize = 32;
/// The backlog of the listening socket.
const BACKLOG: i32 = 256;

/// A socket at a path, in place of what is left of an earlier one, to which everybody may connect.
pub(crate) fn listen_to_all(path: &Path, backlog: i32) -> std::io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    rustix::net::listen(&socket, backlog)?;
    Ok(socket)
}

impl Manager {
    /// Listens, on the socket that the keeper holds or on a new one that it will hold.
    pub(crate) fn open_api(&mut self, held: Option<OwnedFd>) -> Result<(), Error> {
        let socket = match held {
            Some(socket) => socket,
            None => self.make_api().map_err(doing("make the API's socket"))?,
        };
        self.poll
            .watch(&socket, Token::Api)
            .map_err(|errno| doing("watch the API's socket")(errno.into()))?;
        self.api = Some(socket);
        Ok(())
    }

    fn make_api(&mut self) -> std::io::Result<OwnedFd> {
        // What each may do is decided per method, by the kernel's word on who it is.
        let socket = listen_to_all(&self.directories.api(), BACKLOG)?;
        self.link
            .hold(Class::Api, "api", Rc::new(socket.try_clone()?));
        Ok(socket)
    }

    /// Somebody connects.
    pub(crate) fn on_api(&mut self) {
        let Some(api) = &self.api else { return };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match rustix::net::accept_with(api, flags) {
            Ok(socket) => socket,
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return,
            Err(errno) => return self.log(&format!("cannot accept a connection: {errno}")),
        };
        let number = self.poll.number();
        let Ok(connection) = Connection::new(number, socket, &self.poll) else {
            return;
        };
        let others = self.connections.values().map(|other| other.peer);
        if !has_room(&others.collect::<Vec<_>>(), connection.peer) {
            return;
        }
        self.connections.insert(number, connection);
        // The call is often here already: that saves a round.
        self.serve(number);
    }

    /// A client sent something, has room again, or hung up.
    pub(crate) fn on_client(&mut self, number: u32, event: Ready) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        if event.closed {
            connection.hang_up();
        } else if event.readable {
            self.serve(number);
        }
        if event.writable
            && let Some(connection) = self.connections.get_mut(&number)
        {
            connection.flush(&self.poll);
            self.serve_waiting(number);
        }
    }

    /// Sends what waits, and forgets who is gone, with what holds only as long as they are there.
    pub(crate) fn flush_connections(&mut self) {
        let (poll, leases, mounts) = (&self.poll, &self.aside.leases, &self.mounts);
        let mut over = Vec::new();
        self.connections.retain(|number, connection| {
            connection.flush(poll);
            if connection.is_gone() && (leases.has(*number) || mounts.are_ahead_for(*number)) {
                over.push(*number);
            }
            !connection.is_gone()
        });
        for number in over {
            self.end_lease(number);
            self.end_ahead(number);
        }
    }

    fn serve(&mut self, number: u32) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.receive();
        }
        self.serve_waiting(number);
    }

    /// Carries out calls that are there, until one has to wait.
    pub(crate) fn serve_waiting(&mut self, number: u32) {
        while let Some(incoming) = self
            .connections
            .get_mut(&number)
            .and_then(Connection::next_call)
        {
            let Incoming {
                call,
                more,
                descriptors,
            } = incoming;
            let result = call.and_then(|call| {
                self.allow(number, &call)?;
                self.call(number, call, more, descriptors)
            });
            if let (Err(failure), Some(connection)) = (result, self.connections.get_mut(&number)) {
                connection.refuse(&failure);
            }
        }
    }

    fn allow(&self, number: u32, call: &Call) -> Result<(), Failure> {
        let for_all = matches!(
            call,
            Call::GetInfo
                | Call::GetInterfaceDescription(_)
                | Call::ListUnits(_)
                | Call::ListJobs(_)
                | Call::Monitor(_)
                | Call::Describe(_)
                | Call::Status(_)
                | Call::Show(_)
        );
        if for_all || self.sees_all(number) {
            Ok(())
        } else {
            Err(Failure::AccessDenied {
                method: call.name().into(),
            })
        }
    }

    /// May the caller do everything, and see command lines, environments and settings?
    fn sees_all(&self, number: u32) -> bool {
        self.connections
            .get(&number)
            .is_some_and(|connection| connection.peer.owns)
    }

    /// Calls that change units are answered when their jobs are done; all others at once.
    fn call(
        &mut self,
        number: u32,
        call: Call,
        more: bool,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        use engine::JobKind;
        match call {
            Call::StartUnit(input) => self.queue_jobs(number, JobKind::Start, input),
            Call::StopUnit(input) => self.queue_jobs(number, JobKind::Stop, input),
            Call::RestartUnit(input) => self.queue_jobs(number, JobKind::Restart, input),
            Call::TryRestartUnit(input) => self.queue_jobs(number, JobKind::TryRestart, input),
            Call::ReloadUnit(input) => self.queue_jobs(number, JobKind::Reload, input),
            Call::ReloadOrRestartUnit(input) => self.reload_or_restart(number, input),
            Call::StartTransient(input) => self.start_transient(number, input, more, descriptors),
            Call::EnterSandbox(input) => self.enter_sandbox(number, &input.unit),
            Call::Clean(input) => self.clean(number, &input),
            Call::Monitor(input) => self.begin_monitor(number, input.names, more),
            other => self.call_at_once(number, other),
        }
    }

    fn call_at_once(&mut self, number: u32, call: Call) -> Result<(), Failure> {
        match call {
            Call::GetInfo => self.answer(number, &wire::service::info()),
            Call::GetInterfaceDescription(interface) => {
                self.answer(number, &wire::service::describe(&interface)?)
            }
            Call::Status(input) => {
                let reply = self.status(&input.names, self.sees_all(number))?;
                self.answer(number, &reply);
            }
            Call::Show(input) => {
                let reply = self.show(&input, self.sees_all(number))?;
                self.answer(number, &reply);
            }
            Call::ListUnits(input) => {
                let reply = self.list_units(&input, self.sees_all(number));
                if let Some(connection) = self.connections.get_mut(&number) {
                    connection.reply_written(reply);
                }
            }
            Call::ListJobs(input) => self.answer(number, &self.list_jobs(&input.names)),
            Call::Relations(input) => {
                let reply = self.relations(&input.names)?;
                self.answer(number, &reply);
            }
            Call::Cat(input) => {
                let reply = self.cat(&input.names)?;
                self.answer(number, &reply);
            }
            Call::Kill(input) => self
                .kill(&input)
                .map(|()| self.answer(number, &wire::Done {}))?,
            Call::ResetFailed(input) => self
                .reset_failed(&input.names)
                .map(|()| self.answer(number, &wire::Done {}))?,
            Call::TellTakenBack(input) => self
                .tell_taken_back(&input)
                .map(|()| self.answer(number, &wire::Done {}))?,
            Call::MountAhead(input) => self
                .mount_ahead(number, &input)
                .map(|()| self.answer(number, &wire::Done {}))?,
            Call::Freeze(input) => self
                .freeze_units(number, &input)
                .map(|()| self.answer(number, &wire::Done {}))?,
            Call::Reload(_) => self.reload(Some(number)),
            Call::Reexec(_) => {
                self.answer(number, &wire::Done {});
                self.reexec()?;
            }
            Call::Exit(input) => {
                let end = self.end_asked_for(&input)?;
                self.answer(number, &wire::Done {});
                self.end_as(end);
            }
            call @ (Call::SetEnvironment(_)
            | Call::UnsetEnvironment(_)
            | Call::ShowEnvironment(_)) => self.call_for_environment(number, call)?,
            Call::Explain(input) => {
                let reply = self.explain(&input.unit)?;
                self.answer(number, &reply);
            }
            Call::Describe(_) => self.answer(number, &self.describe()),
            other => {
                return Err(Failure::MethodNotFound {
                    method: other.name().into(),
                });
            }
        }
        Ok(())
    }

    fn call_for_environment(&mut self, number: u32, call: Call) -> Result<(), Failure> {
        match call {
            Call::SetEnvironment(input) => {
                crate::environment::set(&mut self.environment, &input.environment)?;
                self.keep_environment(number);
            }
            Call::UnsetEnvironment(input) => {
                crate::environment::unset(&mut self.environment, &input.environment);
                self.keep_environment(number);
            }
            Call::ShowEnvironment(_) => self.answer(number, &self.shown_environment()),
            other => {
                return Err(Failure::MethodNotFound {
                    method: other.name().into(),
                });
            }
        }
        Ok(())
    }

    /// The variables that every service gets.
    fn shown_environment(&self) -> wire::Environment {
        let variables = self.environment.iter();
        let environment = variables.map(|(name, value)| format!("{name}={value}"));
        wire::Environment {
            environment: environment.collect(),
        }
    }

    /// Answers a call for good.
    pub(crate) fn answer<T: serde::Serialize>(&mut self, number: u32, reply: &T) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.reply(reply);
        }
    }

    fn keep_environment(&mut self, number: u32) {
        if let Err(error) = crate::environment::write(&self.directories, &self.environment) {
            self.log(&format!("cannot record the environment: {error}"));
        }
        self.answer(number, &wire::Done {});
    }

    fn begin_monitor(
        &mut self,
        number: u32,
        patterns: Vec<String>,
        more: bool,
    ) -> Result<(), Failure> {
        if !more {
            return Err(Failure::ExpectedMore {});
        }
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.monitor = Some(patterns);
            let realtime_us = crate::clock::realtime_us();
            connection.event(&wire::Event {
                kind: "ready".into(),
                realtime_us,
                ..wire::Event::default()
            });
        }
        Ok(())
    }

    /// Can jobs be taken now?
    pub(crate) fn must_run(&self) -> Result<(), Failure> {
        match self.stage {
            Stage::Running if !self.keeper.adopt_only => Ok(()),
            _ => Err(Failure::NotNow {
                state: self.state_name().into(),
            }),
        }
    }
}

/// May one more connect beside the others?
fn has_room(others: &[Peer], peer: Peer) -> bool {
    if peer.owns {
        return others.len() < CONNECTIONS_MAX;
    }
    let strangers = others.iter().filter(|other| !other.owns);
    let of_user = strangers.clone().filter(|other| other.uid == peer.uid);
    of_user.count() < CONNECTIONS_PER_USER_MAX && strangers.count() < CONNECTIONS_OF_STRANGERS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_keeps_nobody_out_and_all_strangers_together_not_root() {
        let peer = |uid: u32| Peer {
            uid,
            owns: uid == 0,
        };
        let mut there: Vec<Peer> = Vec::new();
        let enter = |there: &mut Vec<Peer>, uid| {
            let enters = has_room(there, peer(uid));
            there.extend(enters.then(|| peer(uid)));
            enters
        };
        while enter(&mut there, 1000) {}
        assert_eq!(there.len(), CONNECTIONS_PER_USER_MAX);
        for uid in 100_000..101_000 {
            enter(&mut there, uid);
        }
        assert!(there.len() < CONNECTIONS_MAX);
        assert!(enter(&mut there, 0), "root is kept out");
        while enter(&mut there, 0) {}
        assert_eq!(there.len(), CONNECTIONS_MAX);
    }
}
