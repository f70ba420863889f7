//! Names of things as numbers: units, incarnations, processes, jobs; and time as it comes in from outside.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A unit's place in this engine. It does not survive a manager restart; names do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(pub u32);

/// One run of a unit, counted from 1; 0 means that it never ran. A late event of run 6 cannot touch run 7.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// A job, unique while records of its unit live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u32);

/// One process of a unit: the serial counts the processes of an incarnation from 1 and serves as the keeper's command number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// The unit it belongs to.
    pub unit: UnitId,
    /// The run it belongs to.
    pub incarnation: Incarnation,
    /// Which process of that run.
    pub serial: u32,
}

/// Microseconds: a point of the monotonic clock that keeps counting over a manager restart, or a span; `INFINITY` never comes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Micros(pub u64);

impl Micros {
    /// The time that never comes, the span that never ends.
    pub const INFINITY: Micros = Micros(u64::MAX);

    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Micros {
        Micros(seconds.saturating_mul(1_000_000))
    }

    /// The point `span` later; infinity stays infinity.
    #[must_use]
    pub const fn after(self, span: Micros) -> Micros {
        Micros(self.0.saturating_add(span.0))
    }

    /// Whether it never comes.
    pub const fn is_infinite(self) -> bool {
        self.0 == u64::MAX
    }

    /// The point `span` from now, or nothing where the span is infinite.
    #[must_use]
    pub fn deadline(self, span: Micros) -> Option<Micros> {
        (!span.is_infinite()).then(|| self.after(span))
    }
}

/// A signal's number, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signal(pub u8);

impl Signal {
    /// Hangup.
    pub const HUP: Signal = Signal(1);
    /// Interrupt.
    pub const INT: Signal = Signal(2);
    /// Abort.
    pub const ABRT: Signal = Signal(6);
    /// Kill.
    pub const KILL: Signal = Signal(9);
    /// Broken pipe.
    pub const PIPE: Signal = Signal(13);
    /// Terminate.
    pub const TERM: Signal = Signal(15);
    /// Continue.
    pub const CONT: Signal = Signal(18);
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_infinite() {
            return f.write_str("infinity");
        }
        write!(f, "{}.{:03}s", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {}", self.0)
    }
}
