//! `blame` and `critical-chain`: what the time of coming up was spent on.

use std::borrow::Cow;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{Web, coming_up, names_or_default, span};
use crate::context::Context;
use crate::listing;
use crate::terminal::{Paint, one_line, say_all, say_json};
use crate::verbs::Run;

/// Options of `blame`.
#[derive(Args, Debug)]
pub(crate) struct Blame {}

/// Options of `critical-chain`.
#[derive(Args, Debug)]
pub(crate) struct CriticalChain {
    /// Units or portables; none: the target that the instance comes up with
    #[arg(value_name = "UNIT")]
    names: Vec<String>,
    /// Follow those, too, that were up at most this long before the last
    #[arg(long, value_name = "SPAN", default_value = "0", value_parser = fuzz)]
    fuzz: u64,
}

fn fuzz(text: &str) -> Result<u64, String> {
    match model::value::TimeSpan::parse_in(text, crate::moment::SECOND_US) {
        Ok(span) => Ok(span.0),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Serialize, Debug, PartialEq, Eq)]
struct Took {
    unit: String,
    us: u64,
}

impl Run for Blame {
    fn run(self, context: &Context) -> Result<u8> {
        let rows = blame(&Web::ask(context, &[])?);
        let columns: &[listing::Column<Took>] = &[
            ("TOOK", |row| span(row.us).into()),
            ("UNIT", |row| Cow::Borrowed(&row.unit)),
        ];
        listing::print(&rows, columns, &context.globals)?;
        Ok(0)
    }
}

/// Each unit that took time to come up, the longest first. Targets only wait for others.
fn blame(web: &Web) -> Vec<Took> {
    let timed = web
        .units
        .values()
        .filter(|unit| !unit.name.ends_with(".target"));
    let timed = timed.filter_map(|unit| Some((unit, coming_up(unit)?)));
    let mut rows: Vec<Took> = timed
        .filter(|(_, (_, took))| *took > 0)
        .map(|(unit, (_, us))| Took {
            unit: unit.name.clone(),
            us,
        })
        .collect();
    rows.sort_by(|one, other| (other.us, &one.unit).cmp(&(one.us, &other.unit)));
    rows
}

/// One link, from the last to the first.
#[derive(Serialize, Debug, PartialEq, Eq)]
struct Link {
    unit: String,
    depth: usize,
    /// When it was up, from the start of the instance.
    up_us: Option<u64>,
    /// What it took to come up.
    took_us: Option<u64>,
}

impl Run for CriticalChain {
    fn run(self, context: &Context) -> Result<u8> {
        let names = names_or_default(context, &self.names)?;
        let web = Web::ask(context, &names)?;
        let mut links = Vec::new();
        for name in &names {
            follow(&web, name, self.fuzz, &mut links);
        }
        if context.globals.json {
            say_json(&links)?;
            return Ok(0);
        }
        context.narrate("@ when the unit was up, from the start of the instance; + what it took");
        say_all(links.iter().map(drawn));
        Ok(0)
    }
}

/// From a unit back to those that it waited for: of all after which it is ordered, those that were up last before it began.
fn follow(web: &Web, top: &str, fuzz_us: u64, links: &mut Vec<Link>) {
    let mut told = std::collections::BTreeSet::new();
    let mut open = vec![(top.to_owned(), 0)];
    while let Some((name, depth)) = open.pop() {
        if !told.insert(name.clone()) {
            continue;
        }
        let times = web.unit(&name).and_then(coming_up);
        links.push(Link {
            depth,
            up_us: times.map(|(began, took)| (began + took).saturating_sub(web.began_us)),
            took_us: times.map(|(_, took)| took).filter(|took| *took > 0),
            unit: name.clone(),
        });
        let until = times.map_or(u64::MAX, |(began, _)| began);
        let up = |other: &str| {
            let (began, took) = web.unit(other).and_then(coming_up)?;
            Some(began + took).filter(|up| *up <= until)
        };
        let mut before: Vec<(u64, &str)> = web
            .related(&name, &["After"])
            .into_iter()
            .filter_map(|other| Some((up(other)?, other)))
            .collect();
        before.sort_unstable();
        let last = before.last().map(|(up, _)| *up);
        let late = before
            .into_iter()
            .filter(|(up, _)| last.is_some_and(|last| up.saturating_add(fuzz_us) >= last));
        // The last of them is told first; of several that were up at the same moment one is enough.
        let late: Vec<_> = late.collect();
        let first = if fuzz_us == 0 {
            late.len().saturating_sub(1)
        } else {
            0
        };
        let late = late.into_iter().skip(first);
        open.extend(late.map(|(_, other)| (other.to_owned(), depth + 1)));
    }
}

fn drawn(link: &Link) -> String {
    let branch = match link.depth {
        0 => String::new(),
        depth => format!("{}└─", "  ".repeat(depth - 1)),
    };
    let up = match link.up_us {
        Some(us) => format!(" @{}", span(us)),
        None => " (not up)".to_owned(),
    };
    let took = link
        .took_us
        .map(|us| Paint::Red.on(&format!(" +{}", span(us))));
    let name = one_line(&link.unit);
    format!("{branch}{name}{up}{}", took.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{unit, web};
    use super::*;

    /// A target that waited for two services, the later of which waited for a third.
    fn boot() -> Web {
        web(vec![
            unit(
                "top.target",
                &[("After", &["early.service", "late.service", "never.service"])],
                Some((5_000_000, 5_000_000)),
            ),
            unit("early.service", &[], Some((1_000_000, 2_000_000))),
            unit(
                "late.service",
                &[("After", &["first.service"])],
                Some((3_000_000, 5_000_000)),
            ),
            unit("first.service", &[], Some((1_000_000, 2_500_000))),
            unit("never.service", &[], None),
        ])
    }

    #[test]
    fn who_took_longest_comes_first_and_who_took_nothing_not_at_all() {
        let rows = blame(&boot());
        let rows: Vec<_> = rows.iter().map(|row| (row.unit.as_str(), row.us)).collect();
        assert_eq!(
            rows,
            [
                ("late.service", 2_000_000),
                ("first.service", 1_500_000),
                ("early.service", 1_000_000),
            ]
        );
    }

    #[test]
    fn the_chain_goes_by_who_was_up_last() {
        let drawn_with = |fuzz_us| -> Vec<String> {
            let mut links = Vec::new();
            follow(&boot(), "top.target", fuzz_us, &mut links);
            let plain = |link| anstream::adapter::strip_str(&drawn(link)).to_string();
            links.iter().map(plain).collect()
        };
        assert_eq!(
            drawn_with(0),
            [
                "top.target @4s",
                "└─late.service @4s +2s",
                "  └─first.service @1.5s +1.5s",
            ]
        );
        assert_eq!(drawn_with(3_000_000).len(), 4);
        let mut links = Vec::new();
        follow(&boot(), "never.service", 0, &mut links);
        assert_eq!(
            links.iter().map(drawn).collect::<Vec<_>>(),
            ["never.service (not up)"]
        );
    }
}
