//! From a typed unit to its steps: one planner per family of directives, merged into the order of [`Step`].

use model::{Directive, Facts, Position, Unit};

use crate::NO_DIRECTIVE;
use crate::code::{Field, Writer};
use crate::frame::Role;
use crate::step::{Asked, Step};

mod draft;

/// What the manager knows about a unit's place, beside the unit and the host's facts.
pub struct Situation<'a> {
    /// How Coracle runs here.
    pub position: Position,
    /// The runtime directory, absolute.
    pub runtime_dir: &'a str,
    /// The notification socket of this unit on the host, absolute, when it has one.
    pub notify_socket: Option<&'a str>,
    /// The profile made the pid namespace: a stub stays PID 1 and the payload is its child.
    pub stub: bool,
    /// Whether the table lets this directive be reduced where it can't be applied.
    pub may_reduce: &'a dyn Fn(Directive) -> bool,
}

/// A restriction that could not be applied in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduction {
    /// Which.
    pub directive: Directive,
    /// What is missing, a clause without a capital and a full stop.
    pub reason: String,
}

/// The unit can't be started as it asks to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{directive} can't be applied: {why}")]
pub struct Refusal {
    /// What asks for it.
    pub directive: Directive,
    /// What is missing, a clause without a capital and a full stop.
    pub why: String,
}

/// The steps of a unit, the same for each of its starts.
#[derive(Debug, Clone, Default)]
pub struct SpawnPlan {
    /// Encoded [`Asked`]s in order.
    pub(crate) steps: Vec<Vec<u8>>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) unset_environment: Vec<String>,
    pub(crate) search_path: Vec<String>,
    pub(crate) credentials: Vec<String>,
    pub(crate) notify_path: Option<String>,
    pub(crate) reductions: Vec<Reduction>,
    pub(crate) pid_namespace: bool,
}

impl SpawnPlan {
    /// Restrictions that are applied in part or not at all.
    pub fn reductions(&self) -> &[Reduction] {
        &self.reductions
    }

    /// Whether the keeper clones the executor into a new pid namespace.
    pub fn pid_namespace(&self) -> bool {
        self.pid_namespace
    }

    /// Whether a stub stays in front of the payload: then the main process is the sender of [`crate::report::Report::Payload`].
    pub fn has_stub(&self) -> bool {
        self.steps().any(|asked| asked.step == Step::Stub)
    }

    /// The descriptors that the steps ask the manager for; service descriptors (sockets, fd store) come on top.
    pub fn roles(&self) -> Vec<Role> {
        self.steps().filter_map(|asked| role_of(&asked.step)).collect()
    }

    /// The steps in order.
    pub fn steps(&self) -> impl Iterator<Item = Asked<'_>> {
        self.steps.iter().filter_map(|bytes| Asked::take(&mut crate::code::Reader::new(bytes)).ok())
    }
}
