//! What a side has done with a case, in words that the two can be compared by.

use std::collections::{BTreeMap, BTreeSet};

use super::case::Case;
use super::side::Line;

/// What was seen after a deed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) deed: String,
    /// The command's exit status.
    pub(super) status: i32,
    /// By unit: its states, its result, and how often it restarted by itself.
    pub(super) states: BTreeMap<String, String>,
    /// Unit, kind and state of each job.
    pub(super) jobs: Vec<String>,
    /// By unit: what its processes did since the deed before.
    pub(super) events: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) moments: Vec<Moment>,
    /// Where the order that After= and Before= demand was not kept.
    pub(super) breaches: BTreeSet<String>,
    pub(super) never_rests: bool,
}

/// The first thing that both say differently: where, and what.
pub(super) fn difference(theirs: &Story, ours: &Story) -> Option<[String; 2]> {
    for (theirs, ours) in theirs.moments.iter().zip(&ours.moments) {
        if theirs != ours {
            let at = theirs.deed.clone();
            return Some(of_moments(theirs, ours).map(|what| format!("after {at}: {what}")));
        }
    }
    let told = |story: &Story| match story.breaches.is_empty() {
        true => "the order is kept".to_owned(),
        false => story
            .breaches
            .iter()
            .cloned()
            .collect::<Vec<_>>()
            .join(", "),
    };
    (theirs != ours).then(|| [told(theirs), told(ours)])
}

fn of_moments(theirs: &Moment, ours: &Moment) -> [String; 2] {
    if theirs.deed != ours.deed {
        return [theirs.deed.clone(), ours.deed.clone()];
    }
    let mut cells = [Vec::new(), Vec::new()];
    let mut tell = |values: [String; 2]| {
        if values[0] != values[1] {
            for (cell, value) in cells.iter_mut().zip(values) {
                cell.push(value);
            }
        }
    };
    tell([theirs, ours].map(|moment| format!("status {}", moment.status)));
    tell([theirs, ours].map(|moment| format!("jobs [{}]", moment.jobs.join(", "))));
    for unit in theirs.states.keys() {
        let state = |moment: &Moment| moment.states.get(unit).cloned().unwrap_or_default();
        tell([theirs, ours].map(|moment| format!("{unit} {}", state(moment))));
    }
    let units: BTreeSet<&String> = theirs.events.keys().chain(ours.events.keys()).collect();
    for unit in units {
        let events = |moment: &Moment| {
            moment
                .events
                .get(unit)
                .cloned()
                .unwrap_or_default()
                .join(", ")
        };
        tell([theirs, ours].map(|moment| format!("{unit}: [{}]", events(moment))));
    }
    cells.map(|cell| cell.join("; "))
}

/// Where a unit was on its way when one that comes after it began, or the other way round when they went.
pub(super) fn breaches(case: &Case, log: &[Line]) -> BTreeSet<String> {
    let order = case.order();
    let (mut starting, mut stopping) = (BTreeSet::new(), BTreeSet::new());
    let mut found = BTreeSet::new();
    for line in log {
        let unit = line.unit.as_str();
        let begins = line.event == "begins";
        let goes = line.event == "is asked to end" || begins && line.role == "stop";
        if begins
            && ["condition", "pre", "main"].contains(&line.role.as_str())
            && !starting.contains(unit)
        {
            for (first, _) in order
                .iter()
                .filter(|(first, then)| *then == unit && starting.contains(first))
            {
                found.insert(format!("{unit} starts while {first} does"));
            }
        }
        if goes && !stopping.contains(unit) {
            for (_, then) in order
                .iter()
                .filter(|(first, then)| *first == unit && stopping.contains(then))
            {
                found.insert(format!("{unit} stops while {then} does"));
            }
        }
        if goes {
            stopping.insert(unit);
        } else if begins && ["condition", "pre", "main"].contains(&line.role.as_str()) {
            stopping.remove(unit);
            starting.insert(unit);
        }
        let kind = kind_of(case, unit);
        let is_up = match line.role.as_str() {
            "main" if begins => matches!(kind, "simple" | "exec"),
            "main" => line.event.starts_with("ends") || line.event == super::actor::READY,
            "stop-post" => true,
            _ => false,
        };
        if is_up {
            starting.remove(unit);
        }
        if line.event.starts_with("ends") && ["main", "child"].contains(&line.role.as_str()) {
            stopping.remove(unit);
        }
    }
    found
}

fn kind_of<'a>(case: &'a Case, name: &str) -> &'a str {
    let unit = case.units.iter().find(|unit| unit.name == name);
    let mut lines = unit.into_iter().flat_map(|unit| &unit.lines);
    let kind = lines.find_map(|(_, line)| line.strip_prefix("Type="));
    kind.unwrap_or("simple")
}
