//! The channel to the keeper: commands wait in a queue until the records they rest on are written.

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

/// A command that waits for the records.
enum Queued {
    Spawn(Box<NewProcess>),
    Hold {
        class: Class,
        name: String,
        descriptor: Rc<OwnedFd>,
    },
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
    Shutdown {
        status: u8,
    },
}

/// The manager's side of the channel.
pub(crate) struct Link {
    channel: Channel,
    queue: Vec<Queued>,
    waits_for_room: bool,
}

impl Link {
    pub(crate) fn new(channel: OwnedFd, poll: &Poll) -> Result<Self, kernel::Errno> {
        poll.watch(&channel, Token::Keeper)?;
        Ok(Self {
            channel: Channel::new(channel),
            queue: Vec::new(),
            waits_for_room: false,
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

    /// Queues a descriptor for the keeper to hold.
    pub(crate) fn hold(&mut self, class: Class, name: &str, descriptor: Rc<OwnedFd>) {
        self.queue.push(Queued::Hold {
            class,
            name: name.into(),
            descriptor,
        });
    }

    /// Queues the closing of a held descriptor.
    pub(crate) fn drop_held(&mut self, class: Class, name: &str) {
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
    pub(crate) fn shut_down(&mut self, status: u8) {
        self.queue.push(Queued::Shutdown { status });
    }

    /// Does anything wait for the records?
    pub(crate) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Sends what is queued; what does not fit waits for room.
    pub(crate) fn flush(&mut self, poll: &Poll) -> Result<(), ChannelError> {
        for queued in std::mem::take(&mut self.queue) {
            send(&mut self.channel, queued)?;
        }
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
        Queued::Hold {
            class,
            name,
            descriptor,
        } => channel.send(
            &Command::Hold {
                class,
                name: name.as_bytes(),
            },
            &[descriptor.as_fd()],
        ),
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
        Queued::Shutdown { status } => {
            let command = Command::Shutdown {
                leave_children: false,
                timeout_ms: LAST_CHILDREN_TIMEOUT_MS,
                status,
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
