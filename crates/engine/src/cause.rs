//! Why something happened: a short chain of links, newest first, carried by every effect and state.

use std::rc::Rc;

use crate::config::Relation;
use crate::effect::Role;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, JobId, Micros};
use crate::input::{ExitStatus, JobKind};

/// Links kept per chain; older ones are cut, so that a restart loop does not grow memory.
pub const CHAIN_LINKS: usize = 8;

/// One link: what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// A client asked for a job.
    Asked {
        /// The unit named.
        unit: Arc<str>,
        /// What was asked.
        kind: JobKind,
    },
    /// A client asked to remove what the unit left.
    Cleaned {
        /// The unit named.
        unit: Arc<str>,
    },
    /// A client asked for a signal.
    Signalled {
        /// The unit named.
        unit: Arc<str>,
    },
    /// A job of `by` pulled this one in.
    PulledIn {
        /// The unit whose job did it.
        by: Arc<str>,
        /// By which relation.
        relation: Relation,
    },
    /// A process ended.
    Exited {
        /// The unit it belonged to.
        unit: Arc<str>,
        /// The run it belonged to.
        incarnation: Incarnation,
        /// What it was there for.
        role: Role,
        /// How it ended.
        status: ExitStatus,
    },
    /// A process could not be made, or its executor could not finish.
    SpawnFailed {
        /// The unit it would have belonged to.
        unit: Arc<str>,
        /// What it would have been there for.
        role: Role,
    },
    /// A deadline passed.
    TimedOut {
        /// The unit that waited.
        unit: Arc<str>,
        /// When.
        at: Micros,
    },
    /// The kernel killed a process for lack of memory.
    OutOfMemory {
        /// The unit.
        unit: Arc<str>,
    },
    /// The name of a service of Type=dbus was taken on the bus, or is nobody's any more.
    BusName {
        /// The unit.
        unit: Arc<str>,
        /// Somebody owns it.
        is_owned: bool,
    },
    /// The service itself said so (READY=1, STOPPING=1 …).
    Notified {
        /// The unit that spoke.
        unit: Arc<str>,
    },
    /// Restart= decided to start it again.
    AutoRestart {
        /// The unit.
        unit: Arc<str>,
        /// How many restarts since the last start by hand.
        count: u32,
    },
    /// Traffic arrived at a socket.
    Traffic {
        /// The socket unit.
        socket: Arc<str>,
    },
    /// A timer's moment came.
    Elapsed {
        /// The timer unit.
        timer: Arc<str>,
    },
    /// What a path unit waits for is so.
    Watched {
        /// The path unit.
        path: Arc<str>,
        /// What was found.
        what: Arc<str>,
    },
    /// Somebody entered the place of an automount unit.
    Entered {
        /// The automount unit.
        automount: Arc<str>,
        /// Who, in the adapter's words.
        who: Arc<str>,
    },
    /// Nobody was at the place of an automount unit for its time.
    Idle {
        /// The automount unit.
        automount: Arc<str>,
    },
    /// A unit changed its state and this one follows.
    Followed {
        /// The unit that changed.
        unit: Arc<str>,
        /// The relation that ties them.
        relation: Relation,
    },
    /// A job ended badly and took this one along.
    JobFailed {
        /// The job.
        job: JobId,
        /// Its unit.
        unit: Arc<str>,
    },
    /// A limit was reached.
    LimitHit {
        /// The unit.
        unit: Arc<str>,
    },
    /// The sockets could not be opened, or were closed from outside.
    Sockets {
        /// The socket unit.
        unit: Arc<str>,
    },
    /// Its probes failed too often.
    Unhealthy {
        /// The unit.
        unit: Arc<str>,
    },
    /// A version of it did not work and was taken back.
    TakenBack {
        /// The unit.
        unit: Arc<str>,
    },
    /// The kernel's table has it, or has it no more, and none of our commands did that.
    Table {
        /// The mount or the swap.
        unit: Arc<str>,
        /// It is there.
        is_there: bool,
    },
    /// The device came, or went.
    Device {
        /// The device.
        unit: Arc<str>,
        /// It is there.
        is_there: bool,
    },
    /// Restored after the manager came back.
    Adopted {
        /// The unit.
        unit: Arc<str>,
    },
}

impl Cause {
    /// The unit that it is about.
    pub fn unit(&self) -> &Arc<str> {
        match self {
            Cause::Asked { unit, .. }
            | Cause::Cleaned { unit }
            | Cause::Signalled { unit }
            | Cause::PulledIn { by: unit, .. }
            | Cause::Exited { unit, .. }
            | Cause::SpawnFailed { unit, .. }
            | Cause::TimedOut { unit, .. }
            | Cause::OutOfMemory { unit }
            | Cause::BusName { unit, .. }
            | Cause::Notified { unit }
            | Cause::AutoRestart { unit, .. }
            | Cause::Traffic { socket: unit }
            | Cause::Elapsed { timer: unit }
            | Cause::Watched { path: unit, .. }
            | Cause::Entered {
                automount: unit, ..
            }
            | Cause::Idle { automount: unit }
            | Cause::Followed { unit, .. }
            | Cause::JobFailed { unit, .. }
            | Cause::LimitHit { unit }
            | Cause::Sockets { unit }
            | Cause::Unhealthy { unit }
            | Cause::TakenBack { unit }
            | Cause::Table { unit, .. }
            | Cause::Device { unit, .. }
            | Cause::Adopted { unit } => unit,
        }
    }
}

/// A chain of causes, newest first, at most [`CHAIN_LINKS`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain(Option<Rc<[Cause]>>);

impl Chain {
    /// A chain of one link.
    pub fn root(cause: Cause) -> Chain {
        Chain(Some(Rc::new([cause])))
    }

    /// This chain with a newer link.
    #[must_use]
    pub fn and(&self, cause: Cause) -> Chain {
        if self.links().first() == Some(&cause) {
            return self.clone();
        }
        let links = std::iter::once(cause).chain(self.links().iter().cloned());
        Chain(Some(links.take(CHAIN_LINKS).collect()))
    }

    /// The links, newest first.
    pub fn links(&self) -> &[Cause] {
        self.0.as_deref().unwrap_or_default()
    }

    /// A chain from links that a snapshot kept.
    pub fn from_links(links: &[Cause]) -> Chain {
        Chain((!links.is_empty()).then(|| links.iter().take(CHAIN_LINKS).cloned().collect()))
    }
}
