//! How units are tied, for those who ask: each relation by the name that properties have for it at this end.

use crate::entry::Entry;
use crate::manager::Manager;
use engine::{Micros, Relation, UnitId};
use std::collections::BTreeMap;
use wire::{CauseLink, Failure, Related, RelationsReply, UnitRelations};

/// A relation, its name where the unit says it, and where others say it of the unit.
const NAMES: &[(Relation, &str, &str)] = &[
    (Relation::Requires, "Requires", "RequiredBy"),
    (Relation::Requisite, "Requisite", "RequisiteOf"),
    (Relation::Wants, "Wants", "WantedBy"),
    (Relation::BindsTo, "BindsTo", "BoundBy"),
    (Relation::PartOf, "PartOf", "ConsistsOf"),
    (Relation::Upholds, "Upholds", "UpheldBy"),
    (Relation::Conflicts, "Conflicts", "ConflictedBy"),
    (Relation::OnFailure, "OnFailure", "OnFailureOf"),
    (Relation::OnSuccess, "OnSuccess", "OnSuccessOf"),
    (
        Relation::PropagatesReloadTo,
        "PropagatesReloadTo",
        "ReloadPropagatedFrom",
    ),
    (
        Relation::ReloadPropagatedFrom,
        "ReloadPropagatedFrom",
        "PropagatesReloadTo",
    ),
    (
        Relation::PropagatesStopTo,
        "PropagatesStopTo",
        "StopPropagatedFrom",
    ),
    (
        Relation::StopPropagatedFrom,
        "StopPropagatedFrom",
        "PropagatesStopTo",
    ),
    (Relation::Triggers, "Triggers", "TriggeredBy"),
    (
        Relation::JoinsNamespaceOf,
        "JoinsNamespaceOf",
        "JoinsNamespaceOf",
    ),
];

impl Manager {
    /// The units in memory, for who owns the instance: the more there are the longer the loop is at it. What belongs to those that
    /// are named in full is loaded before.
    pub(crate) fn relations(&mut self, names: &[String]) -> Result<RelationsReply, Failure> {
        self.select_existing(names)?;
        let began = self.startup();
        let units = self
            .sorted()
            .filter_map(|entry| self.unit_relations(entry))
            .collect();
        Ok(RelationsReply {
            began_monotonic_us: moment(began),
            units,
        })
    }

    fn unit_relations(&self, entry: &Entry) -> Option<UnitRelations> {
        let status = self.engine.state(entry.id)?;
        let snapshot = self.engine.snapshot(entry.id)?;
        let stamps = snapshot.stamps;
        let chain = self.engine.cause(entry.id);
        let link = |cause| CauseLink {
            text: crate::causes::sentence(cause),
            unit: cause.unit().to_string(),
        };
        let related = self.related_to(entry.id).into_iter();
        Some(UnitRelations {
            name: entry.name.to_string(),
            description: crate::status::description(entry, true).into_owned(),
            load: entry.origin.load.name().into(),
            active: status.active().name().into(),
            sub: status.sub().name().into(),
            result: crate::status::result_of(status, snapshot.last_result).into(),
            job: self.job_in_order(entry),
            relations: related
                .map(|(relation, units)| Related {
                    relation: relation.into(),
                    units,
                })
                .collect(),
            causes: chain.links().iter().map(link).collect(),
            failed_condition: entry.unmet.as_deref().map(str::to_owned),
            inactive_exit_monotonic_us: moment(stamps.inactive_exit),
            active_enter_monotonic_us: moment(stamps.active_enter),
            active_exit_monotonic_us: moment(stamps.active_exit),
            inactive_enter_monotonic_us: moment(stamps.inactive_enter),
        })
    }

    /// All relations of a unit, by their names at its end; the order with what is implied.
    pub(crate) fn related_to(&self, id: UnitId) -> BTreeMap<&'static str, Vec<String>> {
        let ours = NAMES
            .iter()
            .map(|(relation, name, _)| (*name, self.engine.relations(id, *relation, false)));
        let theirs = NAMES
            .iter()
            .map(|(relation, _, name)| (*name, self.engine.relations(id, *relation, true)));
        let order = [("After", false), ("Before", true)]
            .map(|(name, later)| (name, self.engine.ordered(id, later)));
        let mut found: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (name, units) in ours.chain(theirs).chain(order) {
            let names = units.into_iter().filter_map(|id| self.engine.unit_name(id));
            found
                .entry(name)
                .or_default()
                .extend(names.map(str::to_owned));
        }
        found.retain(|_, names| {
            model::order::sort(names);
            names.dedup();
            !names.is_empty()
        });
        found
    }
}

/// A moment that was; zero is none.
fn moment(moment: Micros) -> Option<u64> {
    (moment.0 > 0).then_some(moment.0)
}
