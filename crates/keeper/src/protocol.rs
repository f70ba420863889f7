//! The messages between the keeper and its clients, the manager and the log process.
//!
//! One message is one seqpacket datagram: a fixed header, a body whose shape follows from the kind, and descriptors in
//! SCM_RIGHTS. Both ends are this file on one machine, so numbers are in native byte order. Commands go to the keeper,
//! events come from it. What a command names by `ChildKey` it may repeat: the answer is the same and nothing happens twice.

use core::fmt;

mod command;
mod event;
mod text;

pub use text::{Reader, Writer};

/// First four bytes of every message.
pub const MAGIC: u32 = u32::from_ne_bytes(*b"crcl");
/// The layout of header and bodies; a keeper answers another version with `Refused` and goes on.
pub const VERSION: u16 = 1;
/// Largest message in bytes: a header, a held name and its length fit.
pub const MESSAGE_BYTES_MAX: usize = 640;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 48;
/// Most descriptors in one message: below the kernel's SCM_MAX_FD of 253.
pub const DESCRIPTORS_MAX: usize = 240;
/// Most descriptors that the keeper keeps with one child for the manager.
pub const KEPT_MAX: usize = 4;
/// Longest name of a held descriptor in bytes: a unit's name of 255 and what the log needs beside it.
pub const NAME_BYTES_MAX: usize = 480;
/// Longest label of a child in bytes; it is the first argument of the executor, seen in `ps`.
pub const LABEL_BYTES_MAX: usize = 64;

/// Names one child for good: the unit, its run, and the number of the command that asked for the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildKey {
    /// The manager's key of the unit, stable over its own restarts.
    pub unit: u64,
    /// The run of that unit.
    pub incarnation: u64,
    /// The command number of the `Spawn` or `Watch`.
    pub command: u64,
}

/// What kind of descriptor is held, which decides who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Class {
    /// A listening socket of a socket unit.
    Listen = 1,
    /// A notification socket.
    Notify = 2,
    /// An output stream; forwarded to the log process.
    Log = 3,
    /// A descriptor that a service stored.
    FdStore = 4,
    /// A detached mount or a namespace that holds one.
    Mount = 5,
    /// The API's listening socket, or a client's connection that must outlive the manager.
    Api = 6,
    /// The manager's end of an executor's report.
    Report = 7,
    /// Anything else that the manager wants back; the name says what.
    Other = 8,
}

impl Class {
    /// The class of a number from the wire.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        [
            Self::Listen,
            Self::Notify,
            Self::Log,
            Self::FdStore,
            Self::Mount,
            Self::Api,
            Self::Report,
            Self::Other,
        ]
        .into_iter()
        .find(|class| *class as u16 == number)
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// A signal ended it.
    Killed {
        /// The signal.
        signal: i32,
        /// Whether it dumped core.
        dumped: bool,
    },
    /// It is gone, but its status belonged to another parent.
    Unknown,
}

/// A request for a process. Descriptors go along in the order executor (with `own_executor`), plan, cgroup (with
/// `cgroup`), report, the child's, the kept ones; `client::SpawnDescriptors` lays them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spawn<'a> {
    /// Names the child.
    pub key: ChildKey,
    /// The manager's word for what the process is to the unit; handed back with every event.
    pub role: u32,
    /// The first process of a new pid namespace.
    pub new_pid_namespace: bool,
    /// The message carries an executor; otherwise the keeper's own is run.
    pub own_executor: bool,
    /// The message carries a cgroup directory, into which the child is born.
    pub cgroup: bool,
    /// How many of the last descriptors stay with the keeper, at most [`KEPT_MAX`].
    pub kept: u8,
    /// For people and `ps`, at most [`LABEL_BYTES_MAX`] bytes.
    pub label: &'a [u8],
}

/// What a client asks of the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Starts a process. Answer: `Spawned` or `SpawnFailed`; for a key that is known, the child that exists.
    Spawn(Spawn<'a>),
    /// Sends a signal to a child's process.
    Signal {
        /// The child.
        key: ChildKey,
        /// The signal's number.
        signal: i32,
    },
    /// The exit status is recorded: forget the child and what is kept with it.
    Reap {
        /// The child.
        key: ChildKey,
    },
    /// Watches a process that the keeper did not start (MAINPID=); its pidfd goes along.
    Watch {
        /// Names it from now on.
        key: ChildKey,
        /// The manager's word for what it is.
        role: u32,
        /// Its process id.
        pid: u32,
    },
    /// Keeps the descriptor that goes along; one of the same class and name is replaced.
    Hold {
        /// Decides who gets it back.
        class: Class,
        /// Unique within the class, at most [`NAME_BYTES_MAX`] bytes.
        name: &'a [u8],
    },
    /// Closes a held descriptor; one that is not there is fine.
    Drop {
        /// Its class; the log process may drop only [`Class::Log`].
        class: Class,
        /// Its name.
        name: &'a [u8],
    },
    /// Asks for everything. Answer: `Child` and `Held` for each, `InventoryEnd`, then `Exited` for each dead child.
    Inventory,
    /// This manager is about to exit and wants a successor at once; a new executable may go along.
    RestartManager,
    /// The keeper executes itself anew with its inventory; a new executable may go along.
    Reexec,
    /// Ends the keeper.
    Shutdown {
        /// Leaves the children running instead of ending them.
        leave_children: bool,
        /// How long children have between SIGTERM and SIGKILL, in milliseconds.
        timeout_ms: u32,
        /// The keeper's own exit status.
        status: u8,
        /// What the first process does with the machine at its very end: a number of [`kernel::power::Power`]; 0: nothing.
        power: u8,
        /// For the firmware, at a restart.
        argument: &'a [u8],
    },
}

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState {
    /// It runs.
    Running,
    /// It ended, and waits for `Reap`.
    Exited(Exit),
}

/// What the keeper tells a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// First message on every channel; its descriptor is the keeper's executor.
    Hello {
        /// The keeper's process id.
        pid: u32,
        /// How often this process was started before; 0 for the first.
        restarts: u32,
        /// The keeper is the first process of its pid namespace.
        init: bool,
        /// Crashes were too many: adopt what runs, start nothing by yourself.
        adopt_only: bool,
        /// It does with the machine what `Shutdown` says; keepers of earlier versions refuse that.
        power: bool,
    },
    /// The process runs the executor; its pidfd goes along.
    Spawned {
        /// The child.
        key: ChildKey,
        /// The manager's word from the command.
        role: u32,
        /// Its process id as the keeper sees it.
        pid: u32,
    },
    /// There is no process.
    SpawnFailed {
        /// What was asked for.
        key: ChildKey,
        /// The manager's word from the command.
        role: u32,
        /// Why not.
        errno: i32,
    },
    /// A child ended. Said once to each manager, and again to its successor, until `Reap`.
    Exited {
        /// The child.
        key: ChildKey,
        /// The manager's word from the command.
        role: u32,
        /// Its process id.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
    /// Inventory: a child. Descriptors: its pidfd, then the kept ones.
    Child {
        /// The child.
        key: ChildKey,
        /// The manager's word from the command.
        role: u32,
        /// Its process id.
        pid: u32,
        /// What it is doing.
        state: ChildState,
        /// Not started by the keeper but watched.
        watched: bool,
        /// The label from its `Spawn`.
        label: &'a [u8],
    },
    /// Inventory, or news for the log process: a held descriptor, which goes along.
    Held {
        /// Its class.
        class: Class,
        /// Its name.
        name: &'a [u8],
    },
    /// The inventory is complete.
    InventoryEnd,
    /// The keeper got a signal that means something to the manager.
    SignalReceived {
        /// The signal's number.
        signal: i32,
    },
    /// A command was not carried out.
    Refused {
        /// The number of its kind on the wire, as far as it could be read.
        kind: u16,
        /// Its key, as far as it could be read.
        key: ChildKey,
        /// Why.
        errno: i32,
    },
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its header and body say, or longer.
    Length,
    /// Not our magic number.
    Magic,
    /// A version that this build does not speak.
    Version(u16),
    /// A kind that does not exist in this direction.
    Kind(u16),
    /// A field holds what it cannot hold.
    Field,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(formatter, "the message has another length than it says"),
            Self::Magic => write!(formatter, "the message is not one of the keeper's protocol"),
            Self::Version(version) => write!(
                formatter,
                "the message has protocol version {version}, this build speaks {VERSION}"
            ),
            Self::Kind(kind) => write!(
                formatter,
                "there is no message of kind {kind} in this direction"
            ),
            Self::Field => write!(
                formatter,
                "a field of the message holds an impossible value"
            ),
        }
    }
}

impl std::error::Error for Malformed {}

/// The numbers of the kinds on the wire.
mod kind {
    pub(super) const SPAWN: u16 = 1;
    pub(super) const SIGNAL: u16 = 2;
    pub(super) const REAP: u16 = 3;
    pub(super) const WATCH: u16 = 4;
    pub(super) const HOLD: u16 = 5;
    pub(super) const DROP: u16 = 6;
    pub(super) const INVENTORY: u16 = 7;
    pub(super) const RESTART_MANAGER: u16 = 8;
    pub(super) const REEXEC: u16 = 9;
    pub(super) const SHUTDOWN: u16 = 10;

    pub(super) const HELLO: u16 = 101;
    pub(super) const SPAWNED: u16 = 102;
    pub(super) const SPAWN_FAILED: u16 = 103;
    pub(super) const EXITED: u16 = 104;
    pub(super) const CHILD: u16 = 105;
    pub(super) const HELD: u16 = 106;
    pub(super) const INVENTORY_END: u16 = 107;
    pub(super) const SIGNAL_RECEIVED: u16 = 108;
    pub(super) const REFUSED: u16 = 109;
}

/// Bits of the header's flags.
mod flag {
    pub(super) const NEW_PID_NAMESPACE: u32 = 1;
    pub(super) const OWN_EXECUTOR: u32 = 2;
    pub(super) const CGROUP: u32 = 4;
    pub(super) const LEAVE_CHILDREN: u32 = 1;
    pub(super) const INIT: u32 = 1;
    pub(super) const ADOPT_ONLY: u32 = 2;
    pub(super) const POWER: u32 = 4;
    pub(super) const WATCHED: u32 = 1;
}

/// The part that all messages share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The kind's number.
    pub kind: u16,
    /// The child, or only its command number where no child is meant.
    pub key: ChildKey,
    flags: u32,
    body_bytes: u32,
}

impl Header {
    /// Reads the header alone, so that even a message that cannot be understood can be answered.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u32()? != MAGIC {
            return Err(Malformed::Magic);
        }
        let version = reader.u16()?;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let kind = reader.u16()?;
        let key = ChildKey {
            command: reader.u64()?,
            unit: reader.u64()?,
            incarnation: reader.u64()?,
        };
        let flags = reader.u32()?;
        let body_bytes = reader.u32()?;
        let _reserved = reader.u64()?;
        if bytes.len() != HEADER_BYTES.saturating_add(body_bytes as usize) {
            return Err(Malformed::Length);
        }
        Ok(Self {
            kind,
            key,
            flags,
            body_bytes,
        })
    }

    fn has(self, bit: u32) -> bool {
        self.flags & bit != 0
    }
}

/// One encoded message, in a buffer of fixed size: encoding allocates nothing.
pub struct Encoded {
    bytes: [u8; MESSAGE_BYTES_MAX],
    used: usize,
}

impl Encoded {
    /// The message's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    fn build(kind: u16, key: ChildKey, flags: u32, body: impl FnOnce(&mut Writer<'_>)) -> Self {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let (head, tail) = bytes.split_at_mut(HEADER_BYTES);
        let mut writer = Writer::new(tail);
        body(&mut writer);
        let body_bytes = writer.used();
        let mut writer = Writer::new(head);
        writer.u32(MAGIC);
        writer.u16(VERSION);
        writer.u16(kind);
        writer.u64(key.command);
        writer.u64(key.unit);
        writer.u64(key.incarnation);
        writer.u32(flags);
        writer.u32(u32::try_from(body_bytes).unwrap_or_default());
        writer.u64(0);
        Self {
            bytes,
            used: HEADER_BYTES + body_bytes,
        }
    }
}

const fn bit(condition: bool, bit: u32) -> u32 {
    if condition { bit } else { 0 }
}

fn decode_class(body: &mut Reader<'_>) -> Result<Class, Malformed> {
    Class::from_number(body.u16()?).ok_or(Malformed::Field)
}

#[cfg(test)]
mod tests;
