//! What the manager records of a unit, enough to go on after its own death; plain data.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::accept::{Served, Traffic};
use crate::cause::Cause;
use crate::config::RateLimit;
use crate::id::{Incarnation, JobId, Micros};
use crate::input::{ExitStatus, JobKind};
use crate::service::replace::Beside;
use crate::state::{State, UnitResult};

/// Everything about a unit that its file does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitSnapshot {
    /// The unit's name.
    pub name: Arc<str>,
    /// Its state.
    pub state: State,
    /// Its current or last run.
    pub incarnation: Incarnation,
    /// The highest number that a run had, where that is not this one.
    #[serde(default)]
    pub numbered: Incarnation,
    /// The run beside that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Box<Beside>>,
    /// How the last main process ended.
    pub main_status: Option<ExitStatus>,
    /// How the last run ended, until the next start.
    pub last_result: UnitResult,
    /// Automatic restarts since the last start by hand.
    pub restarts: u32,
    /// The starts that StartLimitIntervalSec= still looks at.
    pub starts: Window,
    /// The triggers that TriggerLimitIntervalSec= still looks at.
    pub triggers: Window,
    /// The jobs that other units' doings queued lately.
    pub followings: Window,
    /// The moments a client sees.
    pub stamps: Stamps,
    /// What a socket unit counts.
    #[serde(default)]
    pub traffic: Option<Box<Traffic>>,
    /// The connection that it is there for.
    #[serde(default)]
    pub served: Option<Box<Served>>,
    /// The kernel's table has it.
    #[serde(default)]
    pub in_table: bool,
    /// Its job.
    pub job: Option<JobSnapshot>,
    /// The highest job number this unit had.
    pub last_job: u32,
    /// Why it is in this state, newest first.
    pub cause: Vec<Cause>,
}

/// When the unit last left and entered the outer states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stamps {
    /// Left inactive or failed.
    pub inactive_exit: Micros,
    /// Entered active.
    pub active_enter: Micros,
    /// Left active.
    pub active_exit: Micros,
    /// Entered inactive or failed.
    pub inactive_enter: Micros,
    /// The last change of the inner state.
    pub change: Micros,
}

/// The events that a rate limit still counts: a window that opens with its first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Window {
    /// When it opened.
    pub begin: Micros,
    /// Events in it; 0: it is not open.
    pub count: u32,
}

impl Window {
    /// Counts an event; false where that is one more than allowed.
    #[must_use]
    pub fn admit(&mut self, now: Micros, limit: RateLimit) -> bool {
        if !limit.is_on() {
            return true;
        }
        if self.count == 0 || now > self.begin.after(limit.interval) {
            *self = Window {
                begin: now,
                count: 0,
            };
        }
        if self.count >= limit.burst {
            return false;
        }
        self.count += 1;
        true
    }
}

/// A queued or running job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSnapshot {
    /// Its number.
    pub id: JobId,
    /// What it does now; the second half of a restart is a start.
    pub kind: JobKind,
    /// Restart= queued it, so the restart count goes on.
    pub automatic: bool,
    /// How long what it replaces may drain, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Micros>,
    /// It runs.
    pub running: bool,
    /// When it was queued.
    pub queued: Micros,
    /// When it began to run.
    pub began: Option<Micros>,
    /// It does not wait for other units.
    pub ignore_order: bool,
    /// No other job takes its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub irreversible: bool,
    /// A condition test is under way.
    pub testing: bool,
    /// Why it exists, newest first.
    pub cause: Vec<Cause>,
}
