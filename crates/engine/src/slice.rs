//! How many units of a slice may be up, or on their way, at once.

use crate::effect::JobResult;
use crate::engine::Engine;
use crate::graph::End;
use crate::id::UnitId;
use crate::jobs::Move;
use crate::state::ActiveState;
use crate::{config::Relation, id::JobId};

/// Slices in each other: a name has 255 bytes, and each level takes two.
const DEPTH_MAX: u32 = 128;

/// Units of a slice, by how far they are.
#[derive(Debug, Clone, Copy, Default)]
struct Members {
    /// Up, or on their way.
    active: u32,
    /// On their way.
    activating: u32,
}

/// How many units in a slice, and in the slices in it, may be up or on their way; nothing bounds what is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Concurrency {
    /// ConcurrencyHardMax=: one more is refused.
    pub hard: Option<u32>,
    /// ConcurrencySoftMax=: one more waits.
    pub soft: Option<u32>,
    /// ActivatingConcurrencyMax=: one more waits until fewer are on their way up.
    pub activating: Option<u32>,
}

impl Engine {
    /// What keeps a unit from its start for as long as its slices have as many units as they may; none: nothing does.
    pub(crate) fn held_by_slice(&mut self, id: UnitId) -> Option<Move> {
        let bounded: Vec<(UnitId, Concurrency)> = self.bounded_slices(id).collect();
        for (slice, bound) in bounded {
            let members = self.members(slice, DEPTH_MAX);
            let is_full = |most: Option<u32>, now: u32| most.is_some_and(|most| now >= most);
            if is_full(bound.hard, members.active) {
                let (unit, slice) = (self.name(id), self.name(slice));
                let text =
                    format!("{unit}: {slice} has as many units as ConcurrencyHardMax= allows.");
                self.log(id, text);
                return Some(Move::Over(JobResult::Concurrency));
            }
            if is_full(bound.soft, members.active) || is_full(bound.activating, members.activating)
            {
                return Some(Move::Again);
            }
        }
        None
    }

    /// The slices around a unit that bound their units. A slice is no unit of its slices.
    fn bounded_slices(&self, id: UnitId) -> impl Iterator<Item = (UnitId, Concurrency)> + '_ {
        let first = match self.unit(id).config.as_deref() {
            Some(config) if is_slice(&config.name) => None,
            _ => self.slice_of(id),
        };
        let around = std::iter::successors(first, |slice| self.slice_of(*slice));
        around.take(DEPTH_MAX as usize).filter_map(|slice| {
            let config = self.unit(slice).config.as_deref()?;
            Some((slice, **config.concurrency.as_ref()?))
        })
    }

    fn slice_of(&self, id: UnitId) -> Option<UnitId> {
        let slice = self.unit(id).config.as_deref()?.slice.as_ref()?;
        self.names.get(slice).copied()
    }

    /// The units in a slice, with those in the slices in it.
    fn members(&self, slice: UnitId, depth: u32) -> Members {
        let mut found = Members::default();
        let name = &self.unit(slice).name;
        for other in self.related(slice, Relation::Requires, End::Theirs) {
            let Some(config) = self.unit(other).config.as_deref() else {
                continue;
            };
            if config.slice.as_ref() != Some(name) {
                continue;
            }
            if is_slice(&config.name) && depth > 0 {
                let inner = self.members(other, depth - 1);
                found.active += inner.active;
                found.activating += inner.activating;
                continue;
            }
            let state = self.active(other);
            found.activating += u32::from(state == ActiveState::Activating);
            found.active += u32::from(state == ActiveState::Activating || state.is_up());
        }
        found
    }

    /// A unit came up or went down: others of its slices may have waited for that.
    pub(crate) fn wake_slices(&mut self, id: UnitId) {
        let slices: Vec<UnitId> = self.bounded_slices(id).map(|(slice, _)| slice).collect();
        for slice in slices {
            let jobs = self.waiting_in(slice, DEPTH_MAX);
            self.ready.extend(jobs);
        }
    }

    fn waiting_in(&self, slice: UnitId, depth: u32) -> Vec<JobId> {
        let mut found = Vec::new();
        for other in self.related(slice, Relation::Requires, End::Theirs) {
            let unit = self.unit(other);
            if is_slice(&unit.name) && depth > 0 {
                found.extend(self.waiting_in(other, depth - 1));
            }
            let waiting = unit.job.as_deref().filter(|job| !job.running);
            found.extend(waiting.map(|job| job.id));
        }
        found
    }
}

fn is_slice(name: &str) -> bool {
    name.ends_with(".slice")
}
