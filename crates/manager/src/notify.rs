//! The notification sockets: one per run that has one; a message is peeked, heard, recorded, and only then consumed.

use crate::cgroup::{is_in_group, member};
use crate::entry::Entry;
use crate::manager::Manager;
use crate::notice::{MESSAGE_BYTES_MAX, Message};
use crate::poll::Token;
use crate::run::Run;
use engine::{Incarnation, Input, UnitId};
use keeper::protocol::Class;
use kernel::Errno;
use kernel::message::{Credentials, Descriptors, ReceiveOptions, receive};
use model::sorted::Map;
use model::value::{NotifyAccess, ServiceType, TimeSpan};
use model::{Unit, key};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A run's socket.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    pub(crate) unit: UnitId,
    pub(crate) incarnation: u64,
    socket: Rc<OwnedFd>,
    /// Somebody was not heard, and the log has it: once, as a flood would drown what else the manager says.
    complained: bool,
}

/// All notification sockets.
#[derive(Debug, Default)]
pub(crate) struct Notifications {
    sockets: Map<u32, NotifySocket>,
    /// Sockets whose first message was heard in this round.
    heard: Vec<u32>,
    /// Sockets of runs that are over; what is left in their queues goes when that is on record.
    over: Vec<Rc<OwnedFd>>,
}

impl Notifications {
    /// Was anything heard in this round?
    pub(crate) fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Was something heard there in this round?
    pub(crate) fn was_heard(&self, number: u32) -> bool {
        self.heard.contains(&number)
    }

    /// Takes the messages that were heard out of their queues; they are on record now.
    pub(crate) fn consume(&mut self) {
        for socket in self.over.drain(..) {
            kernel::message::retire(&*socket);
        }
        let (mut buffer, mut descriptors) = ([0; 1], Descriptors::default());
        for number in std::mem::take(&mut self.heard) {
            if let Some(entry) = self.sockets.get(&number) {
                match receive(
                    &*entry.socket,
                    &mut buffer,
                    &mut descriptors,
                    ReceiveOptions::default(),
                ) {
                    Ok(_) | Err(_) => {}
                }
                descriptors.close_aside();
            }
        }
    }
}

/// Who may speak for a unit; a service that must say that it is ready has to be heard.
pub(crate) fn access(unit: &Unit) -> NotifyAccess {
    let said = unit.value(&key::NOTIFY_ACCESS);
    let kind = unit.value(&key::SERVICE_TYPE);
    let must_be_heard = matches!(kind, ServiceType::Notify | ServiceType::NotifyReload)
        || watchdog_us(unit).is_some()
        || unit.value(&key::FILE_DESCRIPTOR_STORE_MAX) > 0;
    if said == NotifyAccess::None && must_be_heard {
        NotifyAccess::Main
    } else {
        said
    }
}

/// How long a service may be silent, in microseconds; nothing where it need not speak (WatchdogSec=).
pub(crate) fn watchdog_us(unit: &Unit) -> Option<u64> {
    let span = unit.value(&key::WATCHDOG_SEC);
    Some(span.micros()).filter(|us| *us != 0 && span != TimeSpan::INFINITY)
}

/// The path of a unit's socket: short, as the kernel takes 108 bytes.
pub(crate) fn path(directory: &Path, key: u64) -> PathBuf {
    directory.join(format!("{key:016x}"))
}

/// Where a run's socket can be found when the next run has its path, and it may have it again.
fn kept_name(path: &Path, incarnation: u64) -> PathBuf {
    path.with_extension(incarnation.to_string())
}

/// The parts of a name in that directory: the unit's key, and the run of a socket that is kept.
fn parts(name: &str) -> (&str, Option<&str>) {
    name.split_once('.')
        .map_or((name, None), |(key, run)| (key, Some(run)))
}

fn keep_name(path: &Path, incarnation: u64) -> std::io::Result<()> {
    match std::fs::hard_link(path, kept_name(path, incarnation)) {
        // A manager before us had got as far.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        kept => kept,
    }
}

/// The name under which the keeper holds it.
fn held_name(unit: &str, incarnation: u64) -> String {
    format!("{unit}|{incarnation}")
}

impl Manager {
    /// Makes the socket of a new run, if the unit is heard at all.
    pub(crate) fn open_notify(
        &mut self,
        unit: UnitId,
        incarnation: u64,
        owner: (u32, u32),
    ) -> std::io::Result<Option<u32>> {
        let Some(entry) = self.units.get(&unit) else {
            return Ok(None);
        };
        if access(&entry.unit) == NotifyAccess::None {
            return Ok(None);
        }
        let path = path(&self.directories.notify(), entry.key);
        let name = held_name(entry.name.as_str(), incarnation);
        let earlier = entry.runs.iter().rev();
        let mut earlier =
            earlier.filter(|run| run.notify.is_some() && run.incarnation < incarnation);
        if let Some(run) = earlier.next() {
            keep_name(&path, run.incarnation)?;
        }
        let socket = Rc::new(make_socket(&path, owner, changes_user(&entry.unit))?);
        self.link.hold(Class::Notify, &name, Rc::clone(&socket));
        Ok(Some(self.watch_notify(unit, incarnation, socket)?))
    }

    fn watch_notify(
        &mut self,
        unit: UnitId,
        incarnation: u64,
        socket: Rc<OwnedFd>,
    ) -> Result<u32, Errno> {
        let number = self.poll.number();
        self.poll.watch(&*socket, Token::Notify(number))?;
        self.notifications.sockets.insert(
            number,
            NotifySocket {
                unit,
                incarnation,
                socket,
                complained: false,
            },
        );
        Ok(number)
    }

    /// Takes a socket back that the keeper held.
    pub(crate) fn adopt_notify(&mut self, name: &str, socket: OwnedFd) {
        let place = name
            .rsplit_once('|')
            .and_then(|(unit, number)| Some((self.engine.id(unit)?, number.parse::<u64>().ok()?)));
        let known =
            place.filter(|(unit, number)| self.run_mut(*unit, Incarnation(*number)).is_some());
        let Some((unit, incarnation)) = known else {
            self.notifications.over.push(Rc::new(socket));
            return self.link.drop_held(Class::Notify, name);
        };
        match self.watch_notify(unit, incarnation, Rc::new(socket)) {
            Ok(number) => {
                if let Some(run) = self.run_mut(unit, Incarnation(incarnation)) {
                    run.notify = Some(number);
                }
            }
            Err(errno) => self.log(&format!(
                "cannot watch the notification socket {name}: {errno}"
            )),
        }
    }

    /// Makes the sockets anew of runs whose sockets went with a keeper, under the path that their services know, and removes the paths
    /// of runs that came to nothing. Nobody waits at a path where nobody will ever answer.
    pub(crate) fn mend_notify(&mut self) {
        let mut lost = Vec::new();
        for entry in self.units.values() {
            if let Some(run) = entry.runs.last().filter(|run| run.notify.is_none()) {
                let owner = run
                    .user
                    .as_ref()
                    .map_or((0, 0), |user| (user.uid, user.gid));
                lost.push((entry.id, run.incarnation, owner));
            }
        }
        for (unit, incarnation, owner) in lost {
            match self.open_notify(unit, incarnation, owner) {
                Ok(number) => {
                    if let Some(run) = self.run_mut(unit, Incarnation(incarnation)) {
                        run.notify = number;
                    }
                }
                Err(error) => {
                    self.log_about(unit, &format!("its notification socket is lost: {error}"))
                }
            }
        }
        let found = std::fs::read_dir(self.directories.notify());
        for path in found.into_iter().flatten().flatten() {
            let key = path.file_name();
            let (key, kept) = key.to_str().map_or(("", None), parts);
            let key = u64::from_str_radix(key, 16).ok();
            let entry = key.and_then(|key| self.units.get(self.by_key.get(&key)?));
            let is_heard = |run: &Run| {
                run.notify.is_some() && kept.is_none_or(|kept| run.incarnation.to_string() == kept)
            };
            if !entry.is_some_and(|entry| entry.runs.iter().any(is_heard)) {
                match crate::leftovers::remove_file(&path.path()) {
                    // Nobody is told of it, the next run takes the place over, and at the end the directory goes.
                    Ok(()) | Err(_) => {}
                }
            }
        }
    }

    /// Closes a run's socket; its path goes unless a newer run has taken it.
    pub(crate) fn close_notify(&mut self, unit: UnitId, number: u32) {
        let Some(closed) = self.notifications.sockets.remove(&number) else {
            return;
        };
        self.poll.forget(&*closed.socket);
        self.notifications.over.push(Rc::clone(&closed.socket));
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        self.link.drop_held(
            Class::Notify,
            &held_name(entry.name.as_str(), closed.incarnation),
        );
        let own = path(&self.directories.notify(), entry.key);
        match std::fs::remove_file(kept_name(&own, closed.incarnation)) {
            // Mostly there is none.
            Ok(()) | Err(_) => {}
        }
        let newer = self
            .notifications
            .sockets
            .values()
            .any(|other| other.unit == unit);
        if !newer {
            match std::fs::remove_file(own) {
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// The path is this run's again, as what was to replace it came to nothing.
    pub(crate) fn take_notify_back(&mut self, unit: UnitId, incarnation: u64) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        let own = path(&self.directories.notify(), entry.key);
        match std::fs::rename(kept_name(&own, incarnation), own) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => self.log_about(
                unit,
                &format!("what it says is not heard any more, as its notification socket can't have its name again: {error}"),
            ),
            Ok(()) | Err(_) => {}
        }
    }

    /// A service says something.
    pub(crate) fn on_notify(&mut self, number: u32) {
        if self.notifications.heard.contains(&number) {
            return;
        }
        let Some(socket) = self.notifications.sockets.get(&number) else {
            return;
        };
        let (unit, incarnation) = (socket.unit, socket.incarnation);
        let (mut buffer, mut descriptors) = ([0; MESSAGE_BYTES_MAX], Descriptors::default());
        let options = ReceiveOptions {
            peek: true,
            wait: false,
        };
        let received = match receive(&*socket.socket, &mut buffer, &mut descriptors, options) {
            Ok(received) => received,
            Err(_) => return,
        };
        let sender = received.credentials.filter(|_| !received.truncated);
        let may_speak = sender.is_some_and(|sender| self.may_speak(unit, incarnation, sender));
        if let Some(sender) = sender
            && !may_speak
            && self.is_being_born(unit, incarnation, sender.pid)
        {
            descriptors.close_aside();
            return;
        }
        self.notifications.heard.push(number);
        let Some(sender) = sender else {
            return descriptors.close_aside();
        };
        if !may_speak {
            descriptors.close_aside();
            if self.is_of_earlier_run(unit, incarnation, sender.pid) || !self.complains(number) {
                return;
            }
            let text = format!(
                "process {} of user {} is not heard: NotifyAccess= does not allow it",
                sender.pid, sender.uid
            );
            return self.log_about(unit, &text);
        }
        let mut message = Message::read(buffer.get(..received.bytes).unwrap_or_default());
        let named = self.whom_it_names(unit, number, &mut message, &mut descriptors);
        if message.removes {
            self.remove_stored(unit, &message.storing.name);
        } else if message.stores {
            self.store(unit, incarnation, &message.storing, &mut descriptors);
        }
        descriptors.close_aside();
        self.hear(unit, incarnation, message);
        drop(named);
    }

    /// Is it said that somebody was not heard? Once per socket.
    pub(crate) fn complains(&mut self, socket: u32) -> bool {
        let known = self.notifications.sockets.get_mut(&socket);
        known.is_some_and(|one| !std::mem::replace(&mut one.complained, true))
    }

    /// Is this a child of the keeper's of which the keeper has not told yet? A service can be faster than its parent: it is heard in
    /// another round.
    fn is_being_born(&mut self, unit: UnitId, incarnation: u64, pid: u32) -> bool {
        let keeper = self.keeper.pid;
        let Some(run) = self.run_mut(unit, Incarnation(incarnation)) else {
            return false;
        };
        let mut processes = run.processes.iter();
        let is_awaited = processes.any(|one| one.pid.is_none() && one.ended.is_none());
        is_awaited && !is_process(run, pid, |_| true) && crate::run::is_child(pid, keeper)
    }

    fn hear(&mut self, unit: UnitId, incarnation: u64, message: Message) {
        // What is beside the current run says nothing of the unit.
        if !self.engine.is_current(unit, Incarnation(incarnation)) {
            return;
        }
        let Message {
            mut notice,
            status,
            errno,
            access,
            ..
        } = message;
        if let Some(run) = self.run_mut(unit, Incarnation(incarnation))
            && access.is_some()
        {
            run.access = access;
            self.dirty.insert(unit);
        }
        notice.main_pid = notice
            .main_pid
            .filter(|pid| self.is_other_main(unit, incarnation, *pid));
        let Some(entry) = self.units.get_mut(&unit) else {
            return;
        };
        if status.is_some() || errno.is_some() {
            let last = entry.last_mut();
            last.status_text = status
                .filter(|text| !text.is_empty())
                .or(last.status_text.take());
            last.status_errno = errno.or(last.status_errno);
            self.dirty.insert(unit);
        }
        self.inputs.push_back(Input::Notify {
            unit,
            incarnation: Incarnation(incarnation),
            message: notice,
        });
    }

    /// Is this a process of the unit that is not its main process now?
    pub(crate) fn is_other_main(&mut self, unit: UnitId, incarnation: u64, pid: u32) -> bool {
        let main = self.serials(unit, engine::Target::Main);
        let Some(run) = self
            .units
            .get_mut(&unit)
            .and_then(|entry| entry.run(incarnation))
        else {
            return false;
        };
        let is_main = run
            .processes
            .iter()
            .any(|one| main.contains(&one.serial) && one.visible_pid() == Some(pid));
        let group = run.cgroup.clone();
        !is_main && group.is_some_and(|group| member(pid, &group).is_some())
    }

    /// Does, or did, this process belong to a run that had the socket's path before?
    fn is_of_earlier_run(&self, unit: UnitId, incarnation: u64, pid: u32) -> bool {
        let runs = self.units.get(&unit).map(|entry| &entry.runs);
        let mut runs = runs.into_iter().flatten();
        let inherits = |run: &&Run| run.incarnation == incarnation && run.inherits_notify;
        if !runs.clone().any(|run| inherits(&run)) {
            return false;
        }
        let has = |run: &Run| {
            let group = run.cgroup.as_ref();
            is_process(run, pid, |_| true) || group.is_some_and(|group| is_in_group(pid, group))
        };
        runs.any(|run| run.incarnation != incarnation && has(run))
            || crate::cgroup::groups_of(pid).is_err()
    }

    fn may_speak(&mut self, unit: UnitId, incarnation: u64, sender: Credentials) -> bool {
        let mains = self.serials(unit, engine::Target::Main);
        let Some(entry) = self.units.get_mut(&unit) else {
            return false;
        };
        let access = access(&entry.unit);
        let Some(run) = entry.run(incarnation) else {
            return false;
        };
        match run.access.unwrap_or(access) {
            NotifyAccess::None => false,
            NotifyAccess::Main => is_process(run, sender.pid, |serial| mains.contains(&serial)),
            NotifyAccess::Exec => is_process(run, sender.pid, |_| true),
            NotifyAccess::All => speaks_for_all(run, sender),
        }
    }
}

fn is_process(run: &Run, pid: u32, serial: impl Fn(u32) -> bool) -> bool {
    run.processes
        .iter()
        .any(|one| serial(one.serial) && (one.pid == Some(pid) || one.payload == Some(pid)))
}

/// Any process of the run's group. One that has ended since it spoke can't be asked for its group any more; the socket belongs
/// to this run alone, so the user decides, unless it is one that an earlier run may have spoken to.
fn speaks_for_all(run: &Run, sender: Credentials) -> bool {
    let uid = run.user.as_ref().map_or(0, |user| user.uid);
    let Some(group) = &run.cgroup else {
        return is_process(run, sender.pid, |_| true);
    };
    match crate::cgroup::groups_of(sender.pid) {
        Ok(_) => is_in_group(sender.pid, group),
        Err(_) => sender.uid == uid && !run.inherits_notify,
    }
}

/// May what the unit starts as root become another user by itself? By the capability, or by a file with the bit of set-user-ID.
fn changes_user(unit: &Unit) -> bool {
    /// Of capabilities(7).
    const SETUID: u32 = 7;
    let kept = unit.value(&key::CAPABILITY_BOUNDING_SET);
    kept.contains(SETUID) || !unit.value(&key::NO_NEW_PRIVILEGES)
}

fn make_socket(
    path: &Path,
    (uid, gid): (u32, u32),
    changes_user: bool,
) -> std::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    kernel::socket::set_pass_credentials(&socket, true)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // What starts as root may become any user by itself, of which nobody knows now. Who may speak is asked of each message, whoever can
    // send one; nobody else can list the names.
    let mode = if uid == 0 && changes_user {
        0o666
    } else {
        0o600
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    if uid != 0 {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    Ok(socket)
}

impl Entry {
    /// The path of the unit's notification socket, if it has one.
    pub(crate) fn notify_path(&self, directory: &Path) -> Option<PathBuf> {
        self.notifies().then(|| path(directory, self.key))
    }

    /// May the unit send notifications?
    pub(crate) fn notifies(&self) -> bool {
        access(&self.unit) != NotifyAccess::None
    }
}
