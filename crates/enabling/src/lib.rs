//! Which links result when units are enabled, masked, linked or preset, and what a unit's links say of it; changes nothing itself.
//!
//! A [`Work`] reads a [`load::Tree`] and collects [`Change`]s; the later ones of one work see the earlier ones. Who made it applies them.
//! The rules are those of systemctl(1), systemd.unit(5) and systemd.preset(5).

mod change;
mod disable;
mod draft;
mod enable;
mod find;
mod names;
mod places;
mod preset;
mod revert;
mod section;
mod state;

use load::{SpecifierContext, Tree};

pub use change::{Change, Notice, Outcome, Problem};
pub use places::Places;
pub use preset::{Decision, Presets, Scope};
pub use state::State;

use draft::Draft;

/// How a change is to be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// In the directory that is gone after a reboot.
    pub runtime: bool,
    /// Over links that lead elsewhere.
    pub force: bool,
}

/// Changes in the making.
pub struct Work<'a> {
    places: &'a Places,
    context: &'a SpecifierContext,
    draft: Draft<'a>,
    outcome: Outcome,
}

impl<'a> Work<'a> {
    /// Nothing is changed yet.
    #[must_use]
    pub fn new(places: &'a Places, context: &'a SpecifierContext, tree: &'a dyn Tree) -> Self {
        Self {
            places,
            context,
            draft: Draft::new(tree),
            outcome: Outcome::default(),
        }
    }

    /// What came of it.
    #[must_use]
    pub fn finish(self) -> Outcome {
        self.outcome
    }
}
