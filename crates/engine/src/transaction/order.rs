//! Finds a cycle in the order of a transaction's jobs and breaks it, or tells it.

use model::sorted::Map;

use crate::effect::Refusal;
use crate::engine::Engine;
use crate::id::UnitId;
use crate::input::JobKind;
use crate::transaction::web::Web;
use crate::transaction::{Transaction, Wish, merge};

/// Of two units in order, whose job goes first: true for the later unit's, because it stops.
pub(crate) fn later_goes_first(later: JobKind) -> bool {
    matches!(later, JobKind::Stop | JobKind::Restart)
}

impl Engine {
    /// Drops jobs that nothing needs until the order has no cycle.
    pub(crate) fn break_cycles(&self, plan: &mut Transaction) -> Result<(), Refusal> {
        let mut web = Web::of(plan);
        let places: Map<UnitId, usize> = plan
            .wishes
            .iter()
            .enumerate()
            .filter(|(_, wish)| !wish.gone)
            .map(|(at, wish)| (wish.unit, at))
            .collect();
        // A job that is dropped leaves only fewer ways, unless the unit has one in the queue that counts again: then all is looked at anew.
        let queued = |wish: &Wish| self.unit(wish.unit).job.is_some();
        let looks_anew = plan.wishes.iter().any(queued);
        let (mut now, mut then) = (Search::default(), Search::default());
        while let Some(cycle) = self
            .find_cycle(plan, &places, &mut now, false)
            .or_else(|| self.find_cycle(plan, &places, &mut then, true))
        {
            if looks_anew {
                (now, then) = (Search::default(), Search::default());
            }
            let told = self.tell(plan, &places, &cycle);
            let droppable = cycle
                .iter()
                .rev()
                .filter_map(|unit| places.get(unit).copied())
                .filter(|at| !plan.is_gone(*at));
            let victim = droppable
                .into_iter()
                .find(|at| plan.wishes.get(*at).is_some_and(|wish| !wish.matters));
            let dropped = victim.is_some_and(|at| plan.drop_from(&mut web, at));
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
        }
        Ok(())
    }

    fn tell(&self, plan: &Transaction, places: &Map<UnitId, usize>, cycle: &[UnitId]) -> String {
        let kind = |unit: UnitId| {
            let wish = plan.wishes.get(*places.get(&unit)?);
            wish.filter(|wish| !wish.gone).map(|wish| wish.kind)
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
    fn find_cycle(
        &self,
        plan: &Transaction,
        places: &Map<UnitId, usize>,
        search: &mut Search,
        restarted: bool,
    ) -> Option<Vec<UnitId>> {
        let kinds = Kinds {
            engine: self,
            plan,
            places,
            restarted,
        };
        // The installed jobs had no cycle, so a new one passes through a wish.
        let starts = places.iter().skip(search.begun);
        for (start, at) in starts {
            if !plan.is_gone(*at)
                && let Some(cycle) = search.from(&kinds, *start)
            {
                return Some(cycle);
            }
            search.begun += 1;
        }
        None
    }

    /// What a wish makes of the job that the unit has.
    fn merged_kind(&self, unit: UnitId, wished: JobKind) -> JobKind {
        let queued = self
            .unit(unit)
            .job
            .as_ref()
            .and_then(|job| merge(job.kind, wished));
        queued
            .and_then(|kind| self.collapse(unit, kind))
            .unwrap_or(wished)
    }
}

/// A search for cycles, which goes on where it found one.
#[derive(Default)]
struct Search {
    /// How many units it has begun at and found nothing more from.
    begun: usize,
    /// By unit.
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    New,
    /// On the way from where the search began.
    Open,
    /// No cycle is reached from it.
    Done,
}

impl Search {
    fn from(&mut self, kinds: &Kinds<'_>, start: UnitId) -> Option<Vec<UnitId>> {
        let mut path: Vec<(UnitId, Vec<UnitId>)> = Vec::new();
        self.open(kinds, &mut path, start);
        while let Some((unit, waiting)) = path.last_mut() {
            let unit = *unit;
            let Some(next) = waiting.pop() else {
                *self.mark(unit) = Mark::Done;
                path.pop();
                continue;
            };
            if *self.mark(next) == Mark::Open {
                // What is on the way may be found to lead elsewhere once the cycle is broken.
                path.iter()
                    .for_each(|(unit, _)| *self.mark(*unit) = Mark::New);
                let cycle = path.iter().map(|(unit, _)| *unit);
                return Some(cycle.skip_while(|unit| *unit != next).collect());
            }
            self.open(kinds, &mut path, next);
        }
        None
    }

    fn open(&mut self, kinds: &Kinds<'_>, path: &mut Vec<(UnitId, Vec<UnitId>)>, unit: UnitId) {
        let mark = self.mark(unit);
        if *mark == Mark::New {
            *mark = Mark::Open;
            path.push((unit, kinds.waits_on(unit)));
        }
    }

    fn mark(&mut self, unit: UnitId) -> &mut Mark {
        let at = usize::try_from(unit.0).unwrap_or_default();
        if self.marks.len() <= at {
            self.marks.resize(at + 1, Mark::New);
        }
        #[allow(clippy::indexing_slicing, reason = "it was made just before")]
        &mut self.marks[at]
    }
}

/// The jobs as they will be when the transaction is installed.
struct Kinds<'a> {
    engine: &'a Engine,
    plan: &'a Transaction,
    places: &'a Map<UnitId, usize>,
    restarted: bool,
}

impl Kinds<'_> {
    fn of(&self, unit: UnitId) -> Option<JobKind> {
        let wish = || self.plan.wishes.get(*self.places.get(&unit)?);
        let wished = wish()
            .filter(|wish| !wish.gone)
            .map(|wish| self.engine.merged_kind(unit, wish.kind));
        let queued = || self.engine.unit(unit).job.as_ref().map(|job| job.kind);
        let kind = wished.or_else(queued)?;
        Some(if self.restarted && kind == JobKind::Restart {
            JobKind::Start
        } else {
            kind
        })
    }

    /// The units whose jobs must be over before this one's begins.
    fn waits_on(&self, unit: UnitId) -> Vec<UnitId> {
        let Some(own) = self.of(unit) else {
            return Vec::new();
        };
        let before = self.engine.predecessors(unit);
        let before = before.filter(|other| self.of(*other).is_some() && !later_goes_first(own));
        let after = self.engine.successors(unit);
        let after = after.filter(|other| self.of(*other).is_some_and(later_goes_first));
        before.chain(after).collect()
    }
}
