//! `why`: how a unit came into its state, from the manager's own records.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use wire::UnitRelations;

use super::{Web, bullet};
use crate::context::Context;
use crate::failure::hint;
use crate::terminal::{Paint, one_line, say, say_json};
use crate::verbs::Run;

/// Units that are told of one question: a failure may have many fathers.
const TOLD_MAX: usize = 16;

/// Options of `why`.
#[derive(Args, Debug)]
pub(crate) struct Why {
    /// Units, patterns or portables
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
    /// How many of the last log lines of what failed to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5)]
    lines: usize,
}

/// What is told of one unit.
#[derive(Serialize, Debug, PartialEq, Eq)]
struct Told {
    unit: String,
    active: String,
    sub: String,
    result: String,
    /// From the nearest cause to the farthest.
    because: Vec<String>,
    /// Units that are up and need it.
    needed_by: Vec<String>,
    /// Units whose jobs come before its own.
    waits_for: Vec<String>,
    /// Why it was not started.
    unmet: Option<String>,
    /// Others that are to blame, told after it.
    see: Vec<String>,
}

impl Run for Why {
    fn run(self, context: &Context) -> Result<u8> {
        let names = crate::portable::units_of(context, &self.names)?;
        let web = Web::ask(context, &names)?;
        let names = meant(&web, &names);
        if names.is_empty() {
            return Err(hint(
                "no unit in memory has such a name",
                "`coracle list-units --all` lists them",
            ));
        }
        let told = explain(&web, &names);
        if context.globals.json {
            say_json(&told)?;
            return Ok(0);
        }
        for (index, one) in told.iter().enumerate() {
            if index > 0 {
                say("");
            }
            print(one);
            if one.active == "failed" && self.lines > 0 {
                super::super::logs::tail(context, &one.unit, self.lines, None)?;
            }
        }
        Ok(0)
    }
}

/// The units in memory that names and patterns mean.
fn meant(web: &Web, names: &[String]) -> Vec<String> {
    let full = |name: &String| crate::context::full_unit_name(name.clone());
    let is_meant = |unit: &&String| {
        let any = |name: &String| model::pattern::matches(name, unit) || full(name) == **unit;
        names.iter().any(any)
    };
    web.units.keys().filter(is_meant).cloned().collect()
}

/// The units, and then those that they name as failed, each once.
fn explain(web: &Web, names: &[String]) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    let mut known: BTreeSet<String> = names.iter().cloned().collect();
    let mut open: std::collections::VecDeque<String> = names.iter().cloned().collect();
    while let Some(name) = open.pop_front() {
        let Some(unit) = web.unit(&name) else {
            continue;
        };
        let see = others_to_blame(web, unit);
        // Those that were asked for are told all, whatever their number.
        for other in &see {
            if known.len() < names.len() + TOLD_MAX && known.insert(other.clone()) {
                open.push_back(other.clone());
            }
        }
        told.push(of_one(web, unit, see));
    }
    told
}

/// Units of its causes, and those that it needs, that failed.
fn others_to_blame(web: &Web, unit: &UnitRelations) -> Vec<String> {
    let has_failed = |name: &str| web.unit(name).is_some_and(|other| other.active == "failed");
    let named = unit.causes.iter().map(|cause| cause.unit.as_str());
    let needed = web.related(&unit.name, &["Requires", "BindsTo", "Requisite"]);
    let needed = needed.into_iter().filter(|_| unit.active != "active");
    let mut found: Vec<String> = Vec::new();
    for other in named.chain(needed) {
        if other != unit.name && has_failed(other) && !found.iter().any(|known| known == other) {
            found.push(other.to_owned());
        }
    }
    found
}

fn of_one(web: &Web, unit: &UnitRelations, see: Vec<String>) -> Told {
    let is_up = |name: &&str| {
        web.unit(name).is_some_and(|other| {
            matches!(other.active.as_str(), "active" | "activating" | "reloading")
        })
    };
    let needed_by = [
        "RequiredBy",
        "BoundBy",
        "RequisiteOf",
        "WantedBy",
        "UpheldBy",
    ];
    let needed_by = web.related(&unit.name, &needed_by).into_iter();
    let down = matches!(unit.active.as_str(), "inactive" | "failed");
    let first = unit.job.as_ref().map(|job| job.waits_for.as_slice());
    let first = first.unwrap_or_default();
    let comes_first = |other: &&UnitRelations| {
        let job = other.job.as_ref();
        job.is_some_and(|job| first.contains(&job.id))
    };
    Told {
        unit: unit.name.clone(),
        active: unit.active.clone(),
        sub: unit.sub.clone(),
        result: unit.result.clone(),
        because: unit.causes.iter().map(|cause| cause.text.clone()).collect(),
        needed_by: needed_by.filter(is_up).map(str::to_owned).collect(),
        waits_for: web
            .units
            .values()
            .filter(comes_first)
            .map(|other| other.name.clone())
            .collect(),
        unmet: unit.failed_condition.clone().filter(|_| down),
        see,
    }
}

fn print(told: &Told) {
    let result = match told.result.as_str() {
        "" | "success" => String::new(),
        result => format!(", {result}"),
    };
    let state = format!("{} ({}{result})", told.active, told.sub);
    let state = match told.active.as_str() {
        "failed" => Paint::Red.on(&state),
        "active" => Paint::Green.on(&state),
        _ => state,
    };
    say(&format!(
        "{} {} is {state}",
        bullet(&told.active),
        Paint::Bold.on(&one_line(&told.unit))
    ));
    let line = |text: String| say(&format!("  {}", one_line(&text)));
    if told.because.is_empty() {
        line("it has not been up since the instance was started".to_owned());
    }
    for (index, cause) in told.because.iter().enumerate() {
        let word = if index == 0 {
            "because"
        } else {
            "and that because"
        };
        line(format!("{word} {cause}"));
    }
    if let Some(unmet) = &told.unmet {
        line(format!("not started: {unmet}"));
    }
    if !told.waits_for.is_empty() {
        line(format!(
            "its job waits for those of {}",
            told.waits_for.join(", ")
        ));
    }
    if !told.needed_by.is_empty() {
        let verb = if told.active == "active" {
            "up and needed by"
        } else {
            "missed by"
        };
        line(format!("{verb} {}", told.needed_by.join(", ")));
    }
    if !told.see.is_empty() {
        line(format!("to blame: {}", told.see.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{unit, web};
    use super::*;

    fn failed(mut unit: UnitRelations, causes: &[(&str, &str)]) -> UnitRelations {
        unit.active = "failed".to_owned();
        unit.causes = causes
            .iter()
            .map(|(text, unit)| wire::CauseLink {
                text: (*text).to_owned(),
                unit: (*unit).to_owned(),
            })
            .collect();
        unit
    }

    #[test]
    fn a_failure_is_followed_to_who_is_to_blame_and_each_is_told_once() {
        let units = vec![
            failed(
                unit("web.service", &[("Requires", &["db.service"])], None),
                &[("the job of db.service failed", "db.service")],
            ),
            failed(
                unit(
                    "db.service",
                    &[
                        ("RequiredBy", &["web.service", "up.service"]),
                        ("Requires", &["web.service"]),
                    ],
                    None,
                ),
                &[(
                    "the main process of db.service exited with status 3",
                    "db.service",
                )],
            ),
            unit("up.service", &[], Some((1, 2))),
        ];
        let web = web(units);
        let told = explain(&web, &["web.service".to_owned()]);
        let names: Vec<_> = told.iter().map(|one| one.unit.as_str()).collect();
        assert_eq!(names, ["web.service", "db.service"]);
        let [first, second] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(first.see, ["db.service"]);
        assert_eq!(second.needed_by, ["up.service"]);
        assert_eq!(
            meant(&web, &["web".to_owned(), "up*".to_owned()]),
            ["up.service", "web.service"]
        );
    }
}
