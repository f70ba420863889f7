//! Who is related to whom: every relation is kept at both ends, the far end as its inverse.

use std::sync::Arc;

use crate::config::{Relation, UnitConfig};
use crate::effect::Action;
use crate::engine::Engine;
use crate::id::UnitId;
use crate::transaction::order::later_goes_first;
use crate::unit::{Job, Unit};

/// One end of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) relation: Relation,
    pub(crate) end: End,
    pub(crate) other: UnitId,
}

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// This unit's configuration says it.
    Ours,
    /// The other's configuration says it of us.
    Theirs,
}

impl Engine {
    /// The other units at one end of a relation, in order of ids.
    pub(crate) fn related(
        &self,
        id: UnitId,
        relation: Relation,
        end: End,
    ) -> impl Iterator<Item = UnitId> + '_ {
        let edges = &self.unit(id).edges;
        let first = edges.partition_point(|edge| (edge.relation, edge.end) < (relation, end));
        let edges = edges.get(first..).unwrap_or_default().iter();
        edges
            .take_while(move |edge| (edge.relation, edge.end) == (relation, end))
            .map(|edge| edge.other)
    }

    /// As `related`, collected, for loops that change the engine.
    pub(crate) fn all_related(
        &self,
        id: UnitId,
        pairs: &[(Relation, End)],
    ) -> Vec<(Relation, UnitId)> {
        let pairs = pairs.iter();
        pairs
            .flat_map(|(relation, end)| {
                self.related(id, *relation, *end)
                    .map(|other| (*relation, other))
            })
            .collect()
    }

    /// The units after which this one is ordered.
    pub(crate) fn predecessors(&self, id: UnitId) -> impl Iterator<Item = UnitId> + '_ {
        let said = self
            .related(id, Relation::After, End::Ours)
            .chain(self.related(id, Relation::Before, End::Theirs));
        let implied = self
            .related(id, Relation::TargetAfter, End::Ours)
            .filter(move |other| {
                !self.has_edge(id, Relation::Before, End::Ours, *other)
                    && !self.has_edge(id, Relation::After, End::Theirs, *other)
            });
        said.chain(implied)
    }

    /// The units that are ordered after this one.
    pub(crate) fn successors(&self, id: UnitId) -> impl Iterator<Item = UnitId> + '_ {
        let said = self
            .related(id, Relation::Before, End::Ours)
            .chain(self.related(id, Relation::After, End::Theirs));
        let implied = self
            .related(id, Relation::TargetAfter, End::Theirs)
            .filter(move |other| {
                !self.has_edge(id, Relation::After, End::Ours, *other)
                    && !self.has_edge(id, Relation::Before, End::Theirs, *other)
            });
        said.chain(implied)
    }

    /// The units whose jobs come first.
    pub(crate) fn stand_before<'a>(
        &'a self,
        id: UnitId,
        job: &Job,
    ) -> impl Iterator<Item = UnitId> + use<'a> {
        let kind_of = |other: UnitId| self.unit(other).job.as_ref().map(|job| job.kind);
        let (has_order, waits) = (!job.ignore_order, !later_goes_first(job.kind));
        let before = self
            .predecessors(id)
            .filter(move |other| has_order && waits && kind_of(*other).is_some());
        let after = self
            .successors(id)
            .filter(move |other| has_order && kind_of(*other).is_some_and(later_goes_first));
        before.chain(after)
    }

    /// The units whose jobs this unit's job waits for; none where it has no job or the job runs.
    pub fn waits_for(&self, unit: UnitId) -> Vec<UnitId> {
        let job = self.get(unit).and_then(|unit| unit.job.as_deref());
        let waiting = job.filter(|job| !job.running);
        let waiting = waiting.into_iter();
        waiting
            .flat_map(|job| self.stand_before(unit, job))
            .collect()
    }

    fn has_edge(&self, id: UnitId, relation: Relation, end: End, other: UnitId) -> bool {
        self.unit(id)
            .edges
            .binary_search(&Edge {
                relation,
                end,
                other,
            })
            .is_ok()
    }

    /// The unit of this name; made where it is new.
    pub(crate) fn intern(&mut self, name: &Arc<str>) -> UnitId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.units.push(Unit::default());
            UnitId(u32::try_from(self.units.len() - 1).unwrap_or(u32::MAX))
        });
        self.names.insert(Arc::clone(name), id);
        self.unit_unrecorded(id).name = Arc::clone(name);
        id
    }

    /// Takes a unit's configuration in, for the first time or again.
    pub(crate) fn configure(&mut self, mut config: UnitConfig) {
        let id = self.intern(&Arc::clone(&config.name));
        config.name = self.name(id);
        let unit = self.unit_unrecorded(id);
        unit.forgotten = false;
        if let Some(old) = unit
            .config
            .as_ref()
            .filter(|_| !unit.state.active().is_down())
        {
            // What runs is stopped by the rules of its own kind, whatever the file has become.
            if std::mem::discriminant(&old.kind) != std::mem::discriminant(&config.kind)
                || config.load != crate::config::Load::Loaded
            {
                config.kind = old.kind.clone();
            }
        }
        self.disconnect(id);
        for (relation, name) in &mut config.relations {
            let other = self.intern(name);
            *name = self.name(other);
            if other != id {
                self.connect(
                    id,
                    Edge {
                        relation: *relation,
                        end: End::Ours,
                        other,
                    },
                );
                self.connect(
                    other,
                    Edge {
                        relation: *relation,
                        end: End::Theirs,
                        other: id,
                    },
                );
            }
        }
        self.unit_unrecorded(id).edges.shrink_to_fit();
        self.unit_unrecorded(id).config = Some(Arc::new(config));
        self.idle_anew(id);
        self.keep_deadline(id);
    }

    fn connect(&mut self, id: UnitId, edge: Edge) {
        let edges = &mut self.unit_unrecorded(id).edges;
        if let Err(place) = edges.binary_search(&edge) {
            edges.insert(place, edge);
        }
    }

    /// Takes back what a unit's configuration says of others.
    fn disconnect(&mut self, id: UnitId) {
        let edges = std::mem::take(&mut self.unit_unrecorded(id).edges);
        let (ours, theirs): (Vec<Edge>, Vec<Edge>) =
            edges.into_iter().partition(|edge| edge.end == End::Ours);
        self.unit_unrecorded(id).edges = theirs;
        for edge in ours {
            let mirror = Edge {
                relation: edge.relation,
                end: End::Theirs,
                other: id,
            };
            // Every unit names some targets: theirs are long lists.
            let others = &mut self.unit_unrecorded(edge.other).edges;
            if let Ok(place) = others.binary_search(&mirror) {
                others.remove(place);
            }
            self.free_if_unnamed(edge.other);
        }
    }

    /// Drops the record of a unit whose file is gone, once it is idle.
    pub(crate) fn drop_forgotten(&mut self, id: UnitId) {
        if !self.unit(id).forgotten || !self.unit(id).is_idle() {
            return;
        }
        self.disconnect(id);
        let unit = self.unit_unrecorded(id);
        // The run counter stays, so that late events of this unit never fit a later one with the same id.
        let kept = Unit {
            name: Arc::clone(&unit.name),
            edges: std::mem::take(&mut unit.edges),
            incarnation: unit.incarnation.max(unit.numbered),
            timer: unit.timer,
            last_job: unit.last_job,
            ..Unit::default()
        };
        *unit = kept;
        self.emit(Action::Removed(id));
        self.free_if_unnamed(id);
    }

    fn free_if_unnamed(&mut self, id: UnitId) {
        let unit = self.unit(id);
        if unit.config.is_none()
            && unit.edges.is_empty()
            && unit.is_idle()
            && self.names.get(&unit.name) == Some(&id)
        {
            let name = self.name(id);
            self.names.remove(&name);
            self.free.push(id);
        }
    }
}
