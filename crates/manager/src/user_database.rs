//! The socket on which dynamic users are looked up by name and number, for libnss-systemd: everybody may, and nobody is waited for.
//!
//! It is made with the first dynamic user, is held by the keeper over our death, and goes with the instance.

use crate::manager::Manager;
use crate::poll::{Ready, Token};
use keeper::protocol::Class;
use model::sorted::{Map, Set};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use wire::frame::{Filled, Inbox};
use wire::user_database::{Asked, CALL_BYTES_MAX, Found, answer};

/// Where those who look users up look for sockets; the name of one is that of the service (nss-systemd(8)).
const DIRECTORY: &str = "/run/systemd/userdb";
const SERVICE: &str = "io.coracle.DynamicUser";
/// The name under which the keeper holds the socket.
pub(crate) const HELD: &str = "user-database";
/// Connections at once; each is short.
const CONNECTIONS_MAX: usize = 64;
/// Those of one user.
const CONNECTIONS_OF_ONE_MAX: usize = 16;
const BACKLOG: i32 = 128;

/// The socket and its connections.
#[derive(Default)]
pub(crate) struct UserDatabase {
    socket: Option<Rc<OwnedFd>>,
    clients: Map<u32, Client>,
    /// Those that have asked more than was answered in this round. Nothing more is read from them before that is answered, and the poll does
    /// not know them meanwhile.
    asking: Set<u32>,
    /// It could not be made, which was told.
    is_given_up: bool,
}

struct Client {
    socket: OwnedFd,
    inbox: Inbox,
    uid: u32,
    /// Nothing more comes: it is gone when what came is answered.
    has_ended: bool,
    /// Calls of it may be read and not answered: it is one of those asking.
    is_behind: bool,
}

/// Whose time is over when one more of this user comes, of all by their age, each with its user: the oldest of that user's where it has as
/// many as one may have, else, where all are as many as there may be, the oldest of whoever has most. Nobody's idle connections end others'.
fn leaving(clients: &[(u32, u32)], comes: u32) -> Option<u32> {
    let count = |uid: u32| clients.iter().filter(|(_, of)| *of == uid).count();
    let oldest = |uid: u32| clients.iter().find(|(_, of)| *of == uid);
    let greediest = || {
        let mut most = None;
        for (_, uid) in clients {
            if most.is_none_or(|most| count(*uid) > count(most)) {
                most = Some(*uid);
            }
        }
        most
    };
    let whose = if count(comes) >= CONNECTIONS_OF_ONE_MAX {
        Some(comes)
    } else if clients.len() >= CONNECTIONS_MAX {
        greediest()
    } else {
        None
    };
    oldest(whose?).map(|(number, _)| *number)
}

impl Manager {
    /// The name of the service, which tells the instances of a host apart.
    fn user_service(&self) -> String {
        if self.directories.are_default() {
            return SERVICE.into();
        }
        format!("{SERVICE}.{}", self.directories.cgroup_name())
    }

    fn user_socket(&self) -> PathBuf {
        Path::new(DIRECTORY).join(self.user_service())
    }

    /// Whether any run has a dynamic user.
    pub(crate) fn has_dynamic_users(&self) -> bool {
        let mut runs = self.units.values().flat_map(|entry| &entry.runs);
        runs.any(|run| run.user.as_ref().is_some_and(|user| user.dynamic))
    }

    /// Sees to it that dynamic users are found. What can't be made is told once: services run without it.
    pub(crate) fn serve_users(&mut self) {
        if self.aside.users.socket.is_some() || self.aside.users.is_given_up {
            return;
        }
        if let Err(error) = self.make_user_socket() {
            self.aside.users.is_given_up = true;
            let path = self.user_socket();
            self.log(&format!(
                "dynamic users are not found by name on this host: {} can't be made: {error}",
                path.display()
            ));
        }
    }

    fn make_user_socket(&mut self) -> std::io::Result<()> {
        let path = self.user_socket();
        std::fs::create_dir_all(DIRECTORY)?;
        let socket = crate::api::listen_to_all(&path, BACKLOG)?;
        self.adopt_user_socket(socket)?;
        if let Some(socket) = &self.aside.users.socket {
            self.link.hold(Class::Api, HELD, Rc::clone(socket));
        }
        Ok(())
    }

    /// Listens on what the keeper held.
    pub(crate) fn adopt_user_socket(&mut self, socket: OwnedFd) -> std::io::Result<()> {
        self.poll.watch(&socket, Token::Users)?;
        self.aside.users.socket = Some(Rc::new(socket));
        Ok(())
    }

    /// The instance ends.
    pub(crate) fn end_users(&mut self) {
        if self.aside.users.socket.take().is_none() {
            return;
        }
        let removed = std::fs::remove_file(self.user_socket());
        let both = [Path::new(DIRECTORY), Path::new("/run/systemd")];
        for result in std::iter::once(removed).chain(both.map(std::fs::remove_dir)) {
            match result {
                // Others have theirs there.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Somebody connects.
    pub(crate) fn on_users(&mut self) {
        let Some(socket) = &self.aside.users.socket else {
            return;
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = rustix::net::accept_with(&**socket, flags) else {
            return;
        };
        let Ok(peer) = rustix::net::sockopt::socket_peercred(&socket) else {
            return;
        };
        let uid = peer.uid.as_raw();
        // The oldest has had its time: it is answered as soon as it asks.
        let clients = self.aside.users.clients.iter();
        let clients: Vec<(u32, u32)> = clients
            .map(|(number, client)| (*number, client.uid))
            .collect();
        if let Some(oldest) = leaving(&clients, uid) {
            self.drop_user_client(oldest);
        }
        let number = self.poll.number();
        if self.poll.watch(&socket, Token::UserClient(number)).is_err() {
            return;
        }
        let inbox = Inbox::new(CALL_BYTES_MAX);
        let client = Client {
            socket,
            inbox,
            uid,
            has_ended: false,
            is_behind: false,
        };
        self.aside.users.clients.insert(number, client);
        self.serve_user_client(number);
    }

    /// A client sent something, or hung up.
    pub(crate) fn on_user_client(&mut self, number: u32, event: Ready) {
        if event.closed && !event.readable {
            return self.drop_user_client(number);
        }
        // What was told before it had to wait is no turn of its own.
        if !self.aside.users.asking.contains(&number) {
            self.serve_user_client(number);
        }
    }

    /// Reads once, where nothing read before waits for its answer, and answers.
    fn serve_user_client(&mut self, number: u32) {
        let Some(mut client) = self.aside.users.clients.remove(&number) else {
            return;
        };
        let was_behind = client.is_behind;
        if !client.has_ended && !was_behind {
            let filled = client.inbox.fill(&client.socket, RecvFlags::DONTWAIT);
            client.has_ended = !matches!(filled, Ok(Filled::Some | Filled::WouldBlock));
        }
        let is_open =
            self.answer_user_client(&mut client) && self.await_turn(number, &client, was_behind);
        // What anybody passed along is of no use.
        kernel::aside::close(client.inbox.take_descriptors());
        if is_open {
            self.aside.users.clients.insert(number, client);
        } else {
            self.poll.forget(&client.socket);
            kernel::message::retire(&client.socket);
        }
    }

    /// Answers what is there, up to a number; false where that was the last of it.
    fn answer_user_client(&self, client: &mut Client) -> bool {
        /// Answers in one round: others have their turn.
        const ANSWERS_MAX: usize = 16;
        let service = self.user_service();
        client.is_behind = false;
        for _ in 0..ANSWERS_MAX {
            let call = match client.inbox.frame() {
                Ok(Some(call)) => call,
                Ok(None) => return !client.has_ended,
                // Too long to be a call.
                Err(_) => return false,
            };
            let found = answer(call, &service, |asked, is_group| {
                self.dynamic_user_of(asked, is_group)
            });
            if !found.is_some_and(|answer| send(&client.socket, &answer)) {
                return false;
            }
        }
        client.is_behind = true;
        true
    }

    /// Who is behind has its next turn without being read from; everybody else, when something comes. False where that can't be.
    fn await_turn(&mut self, number: u32, client: &Client, was_behind: bool) -> bool {
        if client.is_behind {
            self.aside.users.asking.insert(number);
        }
        match (was_behind, client.is_behind) {
            (false, true) => self.poll.forget(&client.socket),
            (true, false) => {
                let token = Token::UserClient(number);
                return self.poll.watch(&client.socket, token).is_ok();
            }
            _ => {}
        }
        true
    }

    /// Whether somebody's calls have waited for this round.
    pub(crate) fn has_asking_users(&self) -> bool {
        !self.aside.users.asking.is_empty()
    }

    /// Goes on where the last round ended.
    pub(crate) fn answer_asking_users(&mut self) {
        let asking = std::mem::take(&mut self.aside.users.asking);
        for number in asking.iter() {
            self.serve_user_client(*number);
        }
    }

    fn drop_user_client(&mut self, number: u32) {
        if let Some(client) = self.aside.users.clients.remove(&number) {
            self.poll.forget(&client.socket);
            kernel::message::retire(&client.socket);
        }
    }

    fn dynamic_user_of(&self, asked: Asked<'_>, is_group: bool) -> Option<Found> {
        let runs = self.units.values().flat_map(|entry| &entry.runs);
        let mut users = runs
            .filter_map(|run| run.user.as_ref())
            .filter(|user| user.dynamic && (!is_group || user.gid == user.uid));
        let found = users.find(|user| {
            let number = if is_group { user.gid } else { user.uid };
            asked.name.is_none_or(|name| name == user.name)
                && asked.number.is_none_or(|asked| asked == number)
        })?;
        Some(Found {
            name: found.name.clone(),
            uid: found.uid,
            gid: found.gid,
        })
    }
}

/// All of it, or none: an answer is small, and who does not read has no use for it.
fn send(socket: &OwnedFd, bytes: &[u8]) -> bool {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match rustix::net::send(socket, bytes, flags) {
            Err(Errno::INTR) => {}
            sent => return sent == Ok(bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CONNECTIONS_MAX, CONNECTIONS_OF_ONE_MAX, leaving};

    #[test]
    fn nobodys_connections_end_those_of_others() {
        let mut clients = vec![(1, 7)];
        let of_one = u32::try_from(CONNECTIONS_OF_ONE_MAX).unwrap();
        clients.extend((2..2 + of_one).map(|number| (number, 8)));
        assert_eq!(leaving(&clients, 8), Some(2), "its own oldest goes");
        assert_eq!(leaving(&clients, 9), None, "there is room");
        let all = u32::try_from(CONNECTIONS_MAX).unwrap();
        clients.extend((2 + of_one..=all).map(|number| (number, number + 100)));
        assert_eq!(clients.len(), CONNECTIONS_MAX);
        assert_eq!(leaving(&clients, 9), Some(2), "who has most gives way");
        assert_eq!(leaving(&clients, 7), Some(2));
        assert_eq!(leaving(&[], 7), None);
    }
}
