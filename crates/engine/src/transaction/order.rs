//! Finds a cycle in the order of a transaction's jobs and breaks it, or tells it.

use std::collections::BTreeMap;

use crate::effect::Refusal;
use crate::engine::Engine;
use crate::id::UnitId;
use crate::input::JobKind;
use crate::transaction::{Transaction, merge};

/// Of two units in order, whose job goes first: true for the later unit's, because it stops.
pub(crate) fn later_goes_first(later: JobKind) -> bool {
    matches!(later, JobKind::Stop | JobKind::Restart)
}

impl Engine {
    /// Drops jobs that nothing needs until the order has no cycle.
    pub(crate) fn break_cycles(&self, plan: &mut Transaction) -> Result<(), Refusal> {
        while let Some(cycle) = self
            .find_cycle(plan, false)
            .or_else(|| self.find_cycle(plan, true))
        {
            let told = self.tell(plan, &cycle);
            let places: BTreeMap<UnitId, usize> = plan
                .wishes
                .iter()
                .enumerate()
                .filter(|(_, wish)| !wish.gone)
                .map(|(at, wish)| (wish.unit, at))
                .collect();
            let droppable = cycle
                .iter()
                .rev()
                .filter_map(|unit| places.get(unit).copied());
            let victim = droppable
                .into_iter()
                .find(|at| plan.wishes.get(*at).is_some_and(|wish| !wish.matters));
            let dropped = victim.is_some_and(|at| plan.drop_with_dependents(at));
            if !dropped {
                return Err(Refusal::Cycle(told));
            }
            let dropped = victim
                .and_then(|at| plan.wishes.get(at))
                .map(|wish| (wish.unit, wish.kind));
            if let Some((unit, kind)) = dropped {
                let job = format!("{}/{}", self.name(unit), kind.name());
                plan.notes.push((
                    unit,
                    format!("Job {job} dropped to break an ordering cycle: {told}"),
                ));
            }
            plan.collect_garbage();
        }
        Ok(())
    }

    fn tell(&self, plan: &Transaction, cycle: &[UnitId]) -> String {
        let kind = |unit: UnitId| {
            plan.wishes
                .iter()
                .find(|wish| wish.unit == unit && !wish.gone)
                .map(|wish| wish.kind)
        };
        let queued = |unit: UnitId| self.unit(unit).job.as_ref().map(|job| job.kind);
        let job = |unit: &UnitId| {
            let kind = kind(*unit)
                .or_else(|| queued(*unit))
                .map_or("start", JobKind::name);
            format!("{}/{kind}", self.name(*unit))
        };
        let closing = cycle.first().map(job);
        cycle
            .iter()
            .map(job)
            .chain(closing)
            .collect::<Vec<_>>()
            .join(" after ")
    }

    /// A list of units of which each one's job waits for that of the next, and the last one's for the first.
    /// `restarted`: as things will be when all restarts have become starts.
    fn find_cycle(&self, plan: &Transaction, restarted: bool) -> Option<Vec<UnitId>> {
        let wishes = plan.wishes.iter().filter(|wish| !wish.gone);
        let mut kinds: BTreeMap<UnitId, JobKind> = self
            .jobs
            .values()
            .filter_map(|unit| Some((*unit, self.unit(*unit).job.as_ref()?.kind)))
            .collect();
        for wish in wishes {
            let queued = kinds
                .get(&wish.unit)
                .and_then(|queued| merge(*queued, wish.kind));
            let kind = queued
                .and_then(|kind| self.collapse(wish.unit, kind))
                .unwrap_or(wish.kind);
            kinds.insert(wish.unit, kind);
        }
        if restarted {
            kinds
                .values_mut()
                .filter(|kind| **kind == JobKind::Restart)
                .for_each(|kind| *kind = JobKind::Start);
        }
        let mut done: BTreeMap<UnitId, bool> = BTreeMap::new();
        for start in kinds.keys() {
            let mut path: Vec<(UnitId, Vec<UnitId>)> = Vec::new();
            self.open(&kinds, &mut done, &mut path, *start);
            while let Some((unit, waiting)) = path.last_mut() {
                let unit = *unit;
                let Some(next) = waiting.pop() else {
                    done.insert(unit, true);
                    path.pop();
                    continue;
                };
                if done.get(&next) == Some(&false) {
                    let cycle = path.iter().map(|(unit, _)| *unit);
                    return Some(cycle.skip_while(|unit| *unit != next).collect());
                }
                self.open(&kinds, &mut done, &mut path, next);
            }
        }
        None
    }

    fn open(
        &self,
        kinds: &BTreeMap<UnitId, JobKind>,
        done: &mut BTreeMap<UnitId, bool>,
        path: &mut Vec<(UnitId, Vec<UnitId>)>,
        unit: UnitId,
    ) {
        if done.contains_key(&unit) {
            return;
        }
        done.insert(unit, false);
        path.push((unit, self.waits_on(unit, kinds)));
    }

    /// The units whose jobs must be over before this one's begins.
    fn waits_on(&self, unit: UnitId, kinds: &BTreeMap<UnitId, JobKind>) -> Vec<UnitId> {
        let Some(own) = kinds.get(&unit) else {
            return Vec::new();
        };
        let before = self
            .predecessors(unit)
            .filter(|other| kinds.contains_key(other) && !later_goes_first(*own));
        let after = self
            .successors(unit)
            .filter(|other| kinds.get(other).copied().is_some_and(later_goes_first));
        before.chain(after).collect()
    }
}
