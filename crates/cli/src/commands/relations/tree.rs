//! `list-dependencies`: who needs whom, as a tree.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{Web, bullet, names_or_default};
use crate::context::Context;
use crate::terminal::{one_line, say_all, say_json};
use crate::verbs::Run;

const FORWARD: &[&str] = &[
    "Requires",
    "Requisite",
    "Wants",
    "ConsistsOf",
    "BindsTo",
    "Upholds",
];
const REVERSE: &[&str] = &[
    "RequiredBy",
    "RequisiteOf",
    "WantedBy",
    "PartOf",
    "BoundBy",
    "UpheldBy",
];

/// Options of `list-dependencies`.
#[derive(Args, Debug)]
pub(crate) struct ListDependencies {
    /// Units or portables; none: the target that the instance comes up with
    #[arg(value_name = "UNIT")]
    names: Vec<String>,
    /// Those that need the unit, instead of those that it needs
    #[arg(long)]
    reverse: bool,
    /// Those after which the unit is ordered
    #[arg(long, conflicts_with_all = ["before", "reverse"])]
    after: bool,
    /// Those that are ordered after the unit
    #[arg(long, conflicts_with = "reverse")]
    before: bool,
    /// Go on below units that are no targets, too
    #[arg(short, long)]
    all: bool,
    /// Names alone, moved in by two blanks for each step
    #[arg(long)]
    plain: bool,
    /// Only units in one of these states
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only units of these kinds, such as service or socket
    #[arg(short = 't', long = "type", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<String>,
}

/// One line of the tree.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Line {
    unit: String,
    /// Steps from the unit that was asked for.
    depth: usize,
    active: String,
    sub: String,
    /// It stands above or elsewhere in the tree: what is below it is not told again.
    repeated: bool,
    /// For each step, whether more follow on it.
    #[serde(skip)]
    goes_on: Vec<bool>,
}

impl Run for ListDependencies {
    fn run(self, context: &Context) -> Result<u8> {
        let names = names_or_default(context, &self.names)?;
        let web = Web::ask(context, &names)?;
        let lines: Vec<Line> = names
            .iter()
            .flat_map(|name| self.tree(&web, name))
            .collect();
        if context.globals.json {
            say_json(&lines)?;
            return Ok(0);
        }
        say_all(lines.iter().map(|line| self.drawn(line)));
        Ok(0)
    }
}

impl ListDependencies {
    fn relations(&self) -> &'static [&'static str] {
        match (self.after, self.before, self.reverse) {
            (true, _, _) => &["After"],
            (_, true, _) => &["Before"],
            (_, _, true) => REVERSE,
            _ => FORWARD,
        }
    }

    /// The tree below a unit, each unit opened once.
    fn tree(&self, web: &Web, top: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut opened = std::collections::BTreeSet::from([top.to_owned()]);
        // What is to be told, the next last.
        let mut open: Vec<(String, Vec<bool>)> = vec![(top.to_owned(), Vec::new())];
        while let Some((name, goes_on)) = open.pop() {
            let is_top = goes_on.is_empty();
            let expands = is_top || self.all || name.ends_with(".target");
            let below = match expands {
                true => self.wanted(web, &name),
                false => Vec::new(),
            };
            let repeated = !is_top && !below.is_empty() && !opened.insert(name.clone());
            if !repeated {
                for (place, other) in below.iter().enumerate().rev() {
                    let more = place + 1 < below.len();
                    let goes_on = goes_on.iter().copied().chain([more]).collect();
                    open.push(((*other).to_owned(), goes_on));
                }
            }
            let unit = web.unit(&name);
            lines.push(Line {
                depth: goes_on.len(),
                active: unit.map_or("inactive", |unit| &unit.active).to_owned(),
                sub: unit.map_or("not-found", |unit| &unit.sub).to_owned(),
                unit: name,
                repeated,
                goes_on,
            });
        }
        lines
    }

    fn wanted<'a>(&self, web: &'a Web, name: &str) -> Vec<&'a str> {
        let is_of_kind = |name: &str| {
            let kind = name.rsplit_once('.').map(|(_, kind)| kind);
            self.kinds.is_empty()
                || kind.is_some_and(|kind| self.kinds.iter().any(|one| one == kind))
        };
        let is_in_state = |name: &str| {
            let unit = web.unit(name);
            let is = |state: &String| {
                unit.is_some_and(|unit| [&unit.load, &unit.active, &unit.sub].contains(&state))
            };
            self.state.is_empty() || self.state.iter().any(is)
        };
        let mut names = web.related(name, self.relations());
        names.retain(|name| is_of_kind(name) && is_in_state(name));
        names
    }

    fn drawn(&self, line: &Line) -> String {
        let name = one_line(&line.unit);
        let note = match (line.sub.as_str(), line.repeated) {
            ("not-found", _) => " (not found)",
            (_, true) => " …",
            _ => "",
        };
        if self.plain {
            return format!("{}{name}{note}", "  ".repeat(line.depth));
        }
        let Some((last, above)) = line.goes_on.split_last() else {
            return format!("{} {name}{note}", bullet(&line.active));
        };
        let above: String = above
            .iter()
            .map(|more| if *more { "│ " } else { "  " })
            .collect();
        let branch = if *last { "├─" } else { "└─" };
        format!("{} {above}{branch}{name}{note}", bullet(&line.active))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{unit, web};
    use super::*;
    use clap::{Command, FromArgMatches};

    fn drawn(options: &[&str], top: &str) -> Vec<String> {
        let units = vec![
            unit(
                "top.target",
                &[("Wants", &["a.service", "mid.target"])],
                Some((1, 2)),
            ),
            unit(
                "mid.target",
                &[("Requires", &["a.service", "gone.service"])],
                None,
            ),
            // A circle.
            unit(
                "a.service",
                &[("Wants", &["b.service"]), ("WantedBy", &["top.target"])],
                None,
            ),
            unit("b.service", &[("Requires", &["a.service"])], None),
        ];
        let command = ListDependencies::augment_args(Command::new("list-dependencies"));
        let matches = command.get_matches_from(["list-dependencies"].iter().chain(options));
        let Ok(options) = ListDependencies::from_arg_matches(&matches) else {
            panic!("{matches:?}");
        };
        let lines = options.tree(&web(units), top);
        let plain = |line: &Line| anstream::adapter::strip_str(&options.drawn(line)).to_string();
        lines.iter().map(plain).collect()
    }

    #[test]
    fn targets_are_opened_and_others_where_all_is_asked() {
        assert_eq!(
            drawn(&[], "top.target"),
            [
                "● top.target",
                "○ ├─a.service",
                "○ └─mid.target",
                "○   ├─a.service",
                "○   └─gone.service (not found)",
            ]
        );
        assert_eq!(
            drawn(&["--all"], "top.target"),
            [
                "● top.target",
                "○ ├─a.service",
                "○ │ └─b.service",
                "○ │   └─a.service …",
                "○ └─mid.target",
                "○   ├─a.service …",
                "○   └─gone.service (not found)",
            ]
        );
    }

    #[test]
    fn it_goes_the_other_way_and_leaves_out_what_nobody_asked_for() {
        assert_eq!(
            drawn(&["--reverse", "--plain"], "a.service"),
            ["a.service", "  top.target"]
        );
        assert_eq!(
            drawn(&["--type=target"], "top.target"),
            ["● top.target", "○ └─mid.target"]
        );
        assert_eq!(drawn(&["--state=failed"], "top.target"), ["● top.target"]);
    }
}
