//! The machine: one `step` per event, and what a client may look at between steps.

use crate::cause::Chain;
use crate::config::UnitConfig;
use crate::effect::Effects;
use crate::id::{Micros, UnitId};
use crate::input::Input;
use crate::snapshot::{JobSnapshot, UnitSnapshot};
use crate::state::State;

/// All units and their jobs.
#[derive(Debug, Default)]
pub struct Engine {}

impl Engine {
    /// An engine without units.
    pub fn new() -> Engine {
        Engine::default()
    }

    /// Takes one event in and says what is to be done. `now` never goes back.
    pub fn step(&mut self, now: Micros, input: Input) -> Effects {
        let _ = (now, input);
        Effects::default()
    }

    /// The unit of this name, if it was configured or is named by one that was.
    pub fn id(&self, name: &str) -> Option<UnitId> {
        let _ = name;
        None
    }

    /// The configuration, unless the unit is only named by others.
    pub fn config(&self, unit: UnitId) -> Option<&UnitConfig> {
        let _ = unit;
        None
    }

    /// The state.
    pub fn state(&self, unit: UnitId) -> Option<&State> {
        let _ = unit;
        None
    }

    /// Why it is in this state.
    pub fn cause(&self, unit: UnitId) -> Chain {
        let _ = unit;
        Chain::default()
    }

    /// The unit's job.
    pub fn job(&self, unit: UnitId) -> Option<JobSnapshot> {
        let _ = unit;
        None
    }

    /// Every unit, by id.
    pub fn units(&self) -> impl Iterator<Item = UnitId> + '_ {
        std::iter::empty()
    }

    /// Names that relations mention and that were never configured: load and configure them, again until there are none.
    pub fn unresolved(&self) -> Vec<std::sync::Arc<str>> {
        Vec::new()
    }

    /// The socket units whose sockets this service gets: up, and triggering it; by name.
    pub fn sockets_of(&self, service: UnitId) -> Vec<UnitId> {
        let _ = service;
        Vec::new()
    }

    /// What to record of a unit, after every step that named it in `StateChanged`, before the step's effects are carried out.
    pub fn snapshot(&self, unit: UnitId) -> Option<UnitSnapshot> {
        let _ = unit;
        None
    }

    /// Puts a unit back where it was; configure it first, then report `Alive` and `Exited`, then `InventoryComplete`.
    pub fn restore(&mut self, snapshot: UnitSnapshot) {
        let _ = snapshot;
    }
}
