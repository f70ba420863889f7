//! Unit states, jobs, transactions and restart policy: a pure machine, `Engine::step(now, Input) -> Effects`.
//!
//! It sees unit ids, states, jobs and time as it is told; it never sees paths, descriptors, clocks or randomness.
//! After a manager's death: `step(Configure)` for every unit, `restore` for every record, `step(Alive | Exited)` for what
//! the keeper has, `step(InventoryComplete)`.

#![forbid(unsafe_code)]

mod accept;
mod automount;
mod cause;
mod cleaning;
mod config;
mod convert;
mod defer;
mod device;
mod effect;
mod engine;
mod graph;
mod id;
mod input;
mod jitter;
mod job_mode;
mod jobs;
mod path;
mod processes;
mod relate;
mod restore;
mod result;
mod scope;
mod service;
mod slice;
mod snapshot;
mod socket;
mod state;
mod sub_state;
mod timer;
mod transaction;
mod transition;
mod trigger;
mod unit;

pub use accept::{Served, Traffic};
pub use automount::{AutomountConfig, AutomountPhase, AutomountRun};
pub use cause::{CHAIN_LINKS, Cause, Chain};
pub use cleaning::{Cleaning, NotClean};
pub use config::*;
pub use effect::*;
pub use engine::Engine;
pub use id::{Incarnation, JobId, Micros, ProcessKey, Signal, UnitId};
pub use input::*;
pub use path::{Mark, PathConfig, PathPhase, PathRun, PathTrigger, Watch};
pub use service::health::{Health, HealthConfig, HealthFailure, HealthRun, Probe};
pub use service::replace::{Beside, Stage};
pub use snapshot::{JobSnapshot, Stamps, UnitSnapshot, Window};
pub use state::*;
pub use timer::{Elapse, Moment, Reckoned, TimerConfig, TimerPhase, TimerRun};
