//! What ties units: the verbs that draw it, order it by time and explain with it.

pub(crate) mod chain;
pub(crate) mod dot;
pub(crate) mod plot;
pub(crate) mod tree;
pub(crate) mod why;

use std::collections::BTreeMap;

use anyhow::Result;
use model::value::TimeSpan;
use wire::methods::Relations;
use wire::{NamesRequest, UnitRelations};

use crate::context::Context;
use crate::terminal::Paint;
use crate::unit_files::{Root, UnitFiles};

/// The units in memory, by name.
pub(super) struct Web {
    units: BTreeMap<String, UnitRelations>,
    /// When the instance was started, in microseconds since the boot without sleep.
    began_us: u64,
}

impl Web {
    /// Asks the manager for all units, those that are named and what belongs to them among them.
    fn ask(context: &Context, names: &[String]) -> Result<Web> {
        let names = names.to_vec();
        let reply = context
            .connect()?
            .call(Relations, &NamesRequest { names })?;
        Ok(Web::new(reply))
    }

    fn new(reply: wire::RelationsReply) -> Web {
        let units = reply.units.into_iter();
        Web {
            units: units.map(|unit| (unit.name.clone(), unit)).collect(),
            began_us: reply.began_monotonic_us.unwrap_or_default(),
        }
    }

    fn unit(&self, name: &str) -> Option<&UnitRelations> {
        self.units.get(name)
    }

    /// The units at the other end of some relations, sorted, each once.
    fn related<'a>(&'a self, name: &str, relations: &[&str]) -> Vec<&'a str> {
        let all = self.unit(name).map(|unit| unit.relations.as_slice());
        let all = all.unwrap_or_default().iter();
        let ends = all.filter(|related| relations.contains(&related.relation.as_str()));
        let mut names: Vec<&str> = ends
            .flat_map(|related| related.units.iter().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The names in full; the target that the instance comes up with where none is given.
fn names_or_default(context: &Context, names: &[String]) -> Result<Vec<String>> {
    if names.is_empty() {
        let files = UnitFiles::open(context, &Root::default())?;
        let target = files.work().default_target();
        return Ok(vec![target.unwrap_or_else(|_| "default.target".to_owned())]);
    }
    crate::portable::units_of(context, names)
}

/// The sign of a unit's state.
pub(crate) fn bullet(active: &str) -> String {
    match active {
        "active" | "reloading" => Paint::Green.on("●"),
        "failed" => Paint::Red.on("×"),
        "activating" | "deactivating" => Paint::Yellow.on("●"),
        _ => "○".to_owned(),
    }
}

/// A span of so many microseconds, to the millisecond where it has some.
fn span(us: u64) -> String {
    let shown = if us >= 1000 { us / 1000 * 1000 } else { us };
    let text = TimeSpan(shown).to_string();
    match text.strip_suffix('s') {
        Some(seconds) if seconds.contains('.') => {
            format!("{}s", seconds.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// When a unit left `inactive`, and how long it took to come up, or to do its work and go down; none where it has not.
fn coming_up(unit: &UnitRelations) -> Option<(u64, u64)> {
    let began = unit.inactive_exit_monotonic_us?;
    let until = |moment: Option<u64>| moment?.checked_sub(began);
    let took = until(unit.active_enter_monotonic_us)
        .or_else(|| until(unit.active_exit_monotonic_us))
        .or_else(|| until(unit.inactive_enter_monotonic_us))?;
    Some((began, took))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{Related, RelationsReply};

    /// A unit with relations, and the moments when it left inactive and became active.
    pub(super) fn unit(
        name: &str,
        relations: &[(&str, &[&str])],
        moments: Option<(u64, u64)>,
    ) -> UnitRelations {
        let related = relations.iter().map(|(relation, units)| Related {
            relation: (*relation).to_owned(),
            units: units.iter().map(|unit| (*unit).to_owned()).collect(),
        });
        UnitRelations {
            name: name.to_owned(),
            description: name.to_owned(),
            load: "loaded".to_owned(),
            active: if moments.is_some() {
                "active"
            } else {
                "inactive"
            }
            .to_owned(),
            relations: related.collect(),
            inactive_exit_monotonic_us: moments.map(|(began, _)| began),
            active_enter_monotonic_us: moments.map(|(_, up)| up),
            ..UnitRelations::default()
        }
    }

    pub(super) fn web(units: Vec<UnitRelations>) -> Web {
        Web::new(RelationsReply {
            began_monotonic_us: Some(1_000_000),
            units,
        })
    }

    #[test]
    fn what_ended_before_it_was_up_took_until_its_end() {
        let mut one = unit("a.service", &[], Some((5, 9)));
        assert_eq!(coming_up(&one), Some((5, 4)));
        // Up before, and begun again.
        one.active_enter_monotonic_us = Some(3);
        one.inactive_enter_monotonic_us = Some(12);
        assert_eq!(coming_up(&one), Some((5, 7)));
        one.inactive_exit_monotonic_us = None;
        assert_eq!(coming_up(&one), None);
    }

    #[test]
    fn spans_are_as_short_as_they_are_exact() {
        for (us, expected) in [
            (0, "0"),
            (999, "999us"),
            (1_999, "1ms"),
            (1_500_000, "1.5s"),
            (60_000_000, "1min"),
            (61_030_200, "1min 1.03s"),
        ] {
            assert_eq!(span(us), expected);
        }
    }

    #[test]
    fn ends_of_several_relations_are_one_list() {
        let web = web(vec![unit(
            "a.target",
            &[
                ("Wants", &["c.service", "b.service"]),
                ("Requires", &["b.service"]),
            ],
            None,
        )]);
        assert_eq!(
            web.related("a.target", &["Wants", "Requires"]),
            ["b.service", "c.service"]
        );
        assert!(web.related("b.service", &["Wants"]).is_empty());
    }
}
