//! The channel to the keeper: commands wait in a queue until the records they rest on are written. What a record rests on goes first:
//! a descriptor that only we have is lost with us.

use crate::actions::Ending;
use crate::poll::{Poll, Token};
use keeper::client::{Channel, ChannelError};
use keeper::protocol::{ChildKey, Class, Command, Event, LABEL_BYTES_MAX, Spawn};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// A process that the keeper is to start.
#[derive(Debug)]
pub(crate) struct NewProcess {
    pub(crate) key: ChildKey,
    pub(crate) role: u32,
    pub(crate) label: String,
    pub(crate) new_pid_namespace: bool,
    pub(crate) plan: OwnedFd,
    pub(crate) cgroup: Option<OwnedFd>,
    pub(crate) report: OwnedFd,
    pub(crate) child: Vec<Rc<OwnedFd>>,
    /// The manager's end of the report: the keeper keeps a copy for the next manager.
    pub(crate) kept: Rc<OwnedFd>,
}

/// A descriptor for which the records wait.
struct Held {
    class: Class,
    name: String,
    descriptor: Rc<OwnedFd>,
}

/// A command that waits for the records.
enum Queued {
    Spawn(Box<NewProcess>),
    Drop {
        class: Class,
        name: String,
    },
    Reap(ChildKey),
    Signal {
        key: ChildKey,
        signal: i32,
    },
    Watch {
        key: ChildKey,
        role: u32,
        pid: u32,
        pidfd: OwnedFd,
    },
    Inventory,
    RestartManager(Option<OwnedFd>),
    Reexec,
    Shutdown(Ending),
}

/// The manager's side of the channel.
pub(crate) struct Link {
    channel: Channel,
    holds: Vec<Held>,
    queue: Vec<Queued>,
    waits_for_room: bool,
    /// Among what waits for room may be a descriptor for which the records wait.
    holds_wait: bool,
}

impl Link {
    pub(crate) fn new(channel: OwnedFd, poll: &Poll) -> Result<Self, kernel::Errno> {
        poll.watch(&channel, Token::Keeper)?;
        Ok(Self {
            channel: Channel::new(channel),
            holds: Vec::new(),
            queue: Vec::new(),
            waits_for_room: false,
            holds_wait: false,
        })
    }

    /// The next event, if one is there, with its descriptors.
    pub(crate) fn receive(&mut self) -> Result<Option<(Event<'_>, Vec<OwnedFd>)>, ChannelError> {
        let Some((event, descriptors)) = self.channel.receive()? else {
            return Ok(None);
        };
        let descriptors = std::iter::from_fn(|| descriptors.take()).collect();
        Ok(Some((event, descriptors)))
    }

    /// Queues a new process.
    pub(crate) fn spawn(&mut self, process: NewProcess) {
        self.queue.push(Queued::Spawn(Box::new(process)));
    }

    /// Queues a descriptor for the keeper to hold, before all that waits for the records. It takes the place of one of that name.
    pub(crate) fn hold(&mut self, class: Class, name: &str, descriptor: Rc<OwnedFd>) {
        self.queue.retain(
            |queued| !matches!(queued, Queued::Drop { class: of, name: known } if *of == class && known == name),
        );
        self.holds.push(Held {
            class,
            name: name.into(),
            descriptor,
        });
    }

    /// Queues the closing of a held descriptor.
    pub(crate) fn drop_held(&mut self, class: Class, name: &str) {
        self.holds
            .retain(|held| held.class != class || held.name != name);
        self.queue.push(Queued::Drop {
            class,
            name: name.into(),
        });
    }

    /// Queues forgetting a child whose end is on record.
    pub(crate) fn reap(&mut self, key: ChildKey) {
        self.queue.push(Queued::Reap(key));
    }

    /// Queues a signal for a child whose descriptor we do not have yet.
    pub(crate) fn signal(&mut self, key: ChildKey, signal: i32) {
        self.queue.push(Queued::Signal { key, signal });
    }

    /// Queues watching a process that the keeper did not start.
    pub(crate) fn watch(&mut self, key: ChildKey, role: u32, pid: u32, pidfd: OwnedFd) {
        self.queue.push(Queued::Watch {
            key,
            role,
            pid,
            pidfd,
        });
    }

    /// Queues the question for everything that the keeper has.
    pub(crate) fn ask_inventory(&mut self) {
        self.queue.push(Queued::Inventory);
    }

    /// Queues the wish for a successor, of another executable where one is given.
    pub(crate) fn ask_successor(&mut self, executable: Option<OwnedFd>) {
        self.queue.push(Queued::RestartManager(executable));
    }

    /// Queues the wish that the keeper executes itself anew, as the program that it has; it loses nothing.
    pub(crate) fn ask_new_keeper(&mut self) {
        self.queue.push(Queued::Reexec);
    }

    /// Queues the end of the keeper.
    pub(crate) fn shut_down(&mut self, ending: Ending) {
        self.queue.push(Queued::Shutdown(ending));
    }

    /// Does something that the records wait for have no room in the channel?
    pub(crate) fn holds_wait(&self) -> bool {
        self.holds_wait
    }

    /// Does something that was sent wait for room in the channel?
    pub(crate) fn waits_for_room(&self) -> bool {
        self.waits_for_room
    }

    /// Does anything wait for the records?
    pub(crate) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Sends the descriptors that are to be held. False: there is no room now, and no record may say yet that they are there; the
    /// channel tells when there is.
    pub(crate) fn send_holds(&mut self, poll: &Poll) -> Result<bool, ChannelError> {
        if self.holds.is_empty() && !self.holds_wait {
            return Ok(true);
        }
        for Held {
            class,
            name,
            descriptor,
        } in std::mem::take(&mut self.holds)
        {
            let name = name.as_bytes();
            self.channel
                .send(&Command::Hold { class, name }, &[descriptor.as_fd()])?;
        }
        self.push(poll)?;
        self.holds_wait = self.waits_for_room;
        Ok(!self.holds_wait)
    }

    /// Sends what is queued; what does not fit waits for room.
    pub(crate) fn flush(&mut self, poll: &Poll) -> Result<(), ChannelError> {
        for queued in std::mem::take(&mut self.queue) {
            send(&mut self.channel, queued)?;
        }
        self.push(poll)
    }

    fn push(&mut self, poll: &Poll) -> Result<(), ChannelError> {
        let waits = self.channel.has_waiting() && !self.channel.flush()?;
        if waits != self.waits_for_room {
            self.waits_for_room = waits;
            poll.rewatch(&self.channel, Token::Keeper, true, waits)?;
        }
        Ok(())
    }
}

fn send(channel: &mut Channel, queued: Queued) -> Result<(), ChannelError> {
    /// Between SIGTERM and SIGKILL for what is left when all units are stopped.
    const LAST_CHILDREN_TIMEOUT_MS: u32 = 10_000;
    match queued {
        Queued::Spawn(process) => spawn(channel, &process),
        Queued::Drop { class, name } => channel.send(
            &Command::Drop {
                class,
                name: name.as_bytes(),
            },
            &[],
        ),
        Queued::Reap(key) => channel.send(&Command::Reap { key }, &[]),
        Queued::Signal { key, signal } => channel.send(&Command::Signal { key, signal }, &[]),
        Queued::Watch {
            key,
            role,
            pid,
            pidfd,
        } => channel.send(&Command::Watch { key, role, pid }, &[pidfd.as_fd()]),
        Queued::Inventory => channel.send(&Command::Inventory, &[]),
        Queued::RestartManager(executable) => {
            let descriptors: Vec<BorrowedFd<'_>> = executable.iter().map(AsFd::as_fd).collect();
            channel.send(&Command::RestartManager, &descriptors)
        }
        Queued::Reexec => channel.send(&Command::Reexec, &[]),
        Queued::Shutdown(ending) => {
            let command = Command::Shutdown {
                leave_children: false,
                timeout_ms: LAST_CHILDREN_TIMEOUT_MS,
                status: ending.status,
                power: ending.power,
                argument: ending.argument.as_bytes(),
            };
            channel.send(&command, &[])
        }
    }
}

fn spawn(channel: &mut Channel, process: &NewProcess) -> Result<(), ChannelError> {
    let child: Vec<BorrowedFd<'_>> = process.child.iter().map(|one| one.as_fd()).collect();
    let request = Spawn {
        key: process.key,
        role: process.role,
        new_pid_namespace: process.new_pid_namespace,
        own_executor: false,
        cgroup: process.cgroup.is_some(),
        kept: 1,
        label: cut(&process.label),
    };
    let with = keeper::client::SpawnDescriptors {
        executor: None,
        plan: process.plan.as_fd(),
        cgroup: process.cgroup.as_ref().map(AsFd::as_fd),
        report: process.report.as_fd(),
        child: &child,
        kept: &[process.kept.as_fd()],
    };
    channel.spawn(request, with)
}

fn cut(label: &str) -> &[u8] {
    let bytes = label.as_bytes();
    bytes.get(..LABEL_BYTES_MAX).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Link, Poll};
    use keeper::protocol::{ChildKey, Class, Command, MESSAGE_BYTES_MAX};
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
    use std::os::fd::OwnedFd;
    use std::rc::Rc;

    /// A link with the keeper's end of it.
    fn link() -> (Link, Poll, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a channel");
        let poll = Poll::new().expect("an epoll descriptor");
        (Link::new(ours, &poll).expect("a link"), poll, theirs)
    }

    fn descriptor() -> Rc<OwnedFd> {
        Rc::new(std::fs::File::open("/dev/null").expect("a file").into())
    }

    /// What the keeper is told next.
    fn told(keeper: &OwnedFd) -> Option<String> {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let (count, _) = recv(keeper, &mut bytes, RecvFlags::empty()).ok()?;
        Some(match Command::decode(&bytes[..count]).expect("a command") {
            Command::Hold { name, .. } => format!("hold {}", String::from_utf8_lossy(name)),
            Command::Drop { name, .. } => format!("drop {}", String::from_utf8_lossy(name)),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn what_is_to_be_held_goes_before_the_records_and_all_else_after_them() {
        let (mut link, poll, keeper) = link();
        link.drop_held(Class::Notify, "old");
        link.reap(ChildKey::default());
        link.hold(Class::Notify, "new", descriptor());
        assert!(link.send_holds(&poll).expect("the channel is open"));
        assert_eq!(told(&keeper).as_deref(), Some("hold new"));
        assert_eq!(told(&keeper), None);
        link.flush(&poll).expect("the channel is open");
        assert_eq!(told(&keeper).as_deref(), Some("drop old"));
        assert!(told(&keeper).is_some_and(|reap| reap.starts_with("Reap")));
    }

    #[test]
    fn the_last_word_about_a_name_counts() {
        let (mut link, poll, keeper) = link();
        link.drop_held(Class::Listen, "a");
        link.hold(Class::Listen, "a", descriptor());
        link.hold(Class::Listen, "b", descriptor());
        link.drop_held(Class::Listen, "b");
        link.send_holds(&poll).expect("the channel is open");
        link.flush(&poll).expect("the channel is open");
        assert_eq!(told(&keeper).as_deref(), Some("hold a"));
        assert_eq!(told(&keeper).as_deref(), Some("drop b"));
        assert_eq!(told(&keeper), None);
    }

    #[test]
    fn records_wait_as_long_as_the_keeper_has_no_room_for_what_they_rest_on() {
        let (mut link, poll, keeper) = link();
        while !link.waits_for_room {
            link.reap(ChildKey::default());
            link.flush(&poll).expect("the channel is open");
        }
        let has_room = |link: &mut Link| link.send_holds(&poll).expect("the channel is open");
        assert!(has_room(&mut link), "nothing is to be held");
        link.hold(Class::Notify, "socket", descriptor());
        assert!(!has_room(&mut link));
        while let Some(command) = told(&keeper) {
            assert!(command.starts_with("Reap"), "{command}");
        }
        assert!(has_room(&mut link));
        assert!(told(&keeper).is_some_and(|reap| reap.starts_with("Reap")));
        assert_eq!(told(&keeper).as_deref(), Some("hold socket"));
    }
}
