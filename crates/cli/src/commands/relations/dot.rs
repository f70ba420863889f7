//! `dot`: the units in memory as a graph for graphviz(7).

use anyhow::Result;
use clap::Args;
use model::pattern::matches;

use super::Web;
use crate::context::Context;
use crate::terminal::say_text;
use crate::verbs::Run;

/// The relations of the graph: their names, the colours of their edges, and whether they say only an order.
const DRAWN: &[(&str, &str, bool)] = &[
    ("Requires", "#1b1b1b", false),
    ("Requisite", "#1f4e9c", false),
    ("BindsTo", "#6a2fa0", false),
    ("Wants", "#8a8a8a", false),
    ("Upholds", "#00777a", false),
    ("Conflicts", "#c0392b", false),
    ("After", "#2e8b3d", true),
];

/// Options of `dot`.
#[derive(Args, Debug)]
pub(crate) struct Dot {
    /// Only edges that begin or end at units of these names
    #[arg(value_name = "PATTERN")]
    names: Vec<String>,
    /// Only the order
    #[arg(long, conflicts_with = "require")]
    order: bool,
    /// Only what is needed
    #[arg(long)]
    require: bool,
    /// Only edges that begin at units of this name
    #[arg(long, value_name = "PATTERN")]
    from_pattern: Vec<String>,
    /// Only edges that end at units of this name
    #[arg(long, value_name = "PATTERN")]
    to_pattern: Vec<String>,
}

impl Run for Dot {
    fn run(self, context: &Context) -> Result<u8> {
        let web = Web::ask(context, &[])?;
        say_text(&self.graph(&web));
        let colours = DRAWN
            .iter()
            .filter(|(_, _, is_order)| self.draws(*is_order))
            .map(|(relation, colour, _)| format!("{relation} {colour}"))
            .collect::<Vec<_>>();
        context.narrate(&format!("the colours: {}", colours.join(", ")));
        context.narrate("`coracle dot | dot -Tsvg > units.svg` makes a picture");
        Ok(0)
    }
}

impl Dot {
    fn draws(&self, is_order: bool) -> bool {
        if is_order { !self.require } else { !self.order }
    }

    fn graph(&self, web: &Web) -> String {
        let mut text = String::from(
            "digraph units {\n\trankdir=LR;\n\tnode [shape=box, fontname=\"sans-serif\", fontsize=11];\n",
        );
        let drawn = DRAWN
            .iter()
            .filter(|(_, _, is_order)| self.draws(*is_order));
        for (relation, colour, _) in drawn {
            for from in web.units.keys() {
                for to in web.related(from, &[relation]) {
                    if self.wants(from, to) {
                        text.push_str(&format!(
                            "\t{} -> {} [color=\"{colour}\"];\n",
                            quoted(from),
                            quoted(to)
                        ));
                    }
                }
            }
        }
        text.push_str("}\n");
        text
    }

    fn wants(&self, from: &str, to: &str) -> bool {
        let any = |patterns: &[String], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
        };
        (any(&self.names, from) || any(&self.names, to))
            && any(&self.from_pattern, from)
            && any(&self.to_pattern, to)
    }
}

/// A name as graphviz reads it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{unit, web};
    use super::*;

    #[test]
    fn edges_are_those_that_were_asked_for_and_names_are_quoted() {
        let web = web(vec![
            unit(
                "a\\x2db.service",
                &[
                    ("After", &["c.service"]),
                    ("Wants", &["c.service", "d.service"]),
                    ("Before", &["e.service"]),
                ],
                None,
            ),
            unit("c.service", &[("Requires", &["d.service"])], None),
        ]);
        let options = |names: &[&str], require| Dot {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            order: false,
            require,
            from_pattern: Vec::new(),
            to_pattern: Vec::new(),
        };
        let edges = |options: Dot| {
            let text = options.graph(&web);
            let edges = text.lines().filter(|line| line.contains("->"));
            edges
                .map(|line| {
                    line.trim()
                        .split(" [")
                        .next()
                        .unwrap_or_default()
                        .to_owned()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            edges(options(&["a*"], false)),
            [
                "\"a\\\\x2db.service\" -> \"c.service\"",
                "\"a\\\\x2db.service\" -> \"d.service\"",
                "\"a\\\\x2db.service\" -> \"c.service\"",
            ]
        );
        let mut some = options(&[], true);
        some.from_pattern.push("c.*".to_owned());
        assert_eq!(edges(some), ["\"c.service\" -> \"d.service\""]);
    }
}
