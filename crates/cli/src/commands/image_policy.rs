//! `image-policy`: what texts of RootImagePolicy= and its kin come to for each partition.

use anyhow::Result;
use clap::Args;
use model::text::{TextForm as _, Verbatim};
use model::value::{Allowed, Designator, ImagePolicy};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::failure::{WithHint, tell};
use crate::terminal::{one_line, say, say_json};
use crate::verbs::Run;

/// Options of `image-policy`.
#[derive(Args, Debug)]
pub(crate) struct Policies {
    /// Image policies, as `root=signed+absent:usr=verity` or `*`
    #[arg(required = true, value_name = "POLICY", allow_hyphen_values = true)]
    policies: Vec<String>,
}

impl Run for Policies {
    fn run(self, context: &Context) -> Result<u8> {
        let mut values = Vec::new();
        let mut status = 0;
        for (index, text) in self.policies.iter().enumerate() {
            let policy = ImagePolicy::parse_with(text, &Verbatim).or_hint(
                || format!("{text:?} is no image policy"),
                "policies are `*`, `-`, `~` or rules such as `root=signed+absent:usr=verity:=ignore`",
            );
            match policy {
                Ok(policy) if context.globals.json => values.push(fields(text, &policy)),
                Ok(policy) => show(index > 0, text, &policy),
                Err(error) => {
                    tell(&error);
                    values.push(json!({ "policy": text, "error": error.to_string() }));
                    status = 1;
                }
            }
        }
        if context.globals.json {
            say_json(&values)?;
        }
        Ok(status)
    }
}

/// What a flag has to be, in a word.
fn must(is_on: Option<bool>) -> &'static str {
    match is_on {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
}

/// Each partition, and last what is not said of one, with what may be.
fn rows(policy: &ImagePolicy) -> Vec<(&'static str, Allowed)> {
    let all = Designator::ALL.into_iter();
    let mut rows: Vec<_> = all.map(|one| (one.name(), policy.allows(one))).collect();
    rows.push(("default", policy.default_flags()));
    rows
}

fn show(follows_another: bool, text: &str, policy: &ImagePolicy) {
    if follows_another {
        say("");
    }
    let field = |name: &str, value: &str| say(&format!("{name:>12}: {}", one_line(value)));
    field("Text", text);
    field("Normal form", &policy.normalized());
    field("Spelled out", &policy.spelled_out());
    say(&format!(
        "{:16} {:9} {:6} {:40} MAY BE",
        "PARTITION", "READ-ONLY", "GROWS", "FILE SYSTEM"
    ));
    for (name, allowed) in rows(policy) {
        say(&format!(
            "{name:16} {:9} {:6} {:40} {}",
            must(allowed.read_only()),
            must(allowed.grows()),
            allowed.kinds(),
            allowed.modes()
        ));
    }
}

fn fields(text: &str, policy: &ImagePolicy) -> Value {
    let partitions: Map<String, Value> = rows(policy)
        .into_iter()
        .map(|(name, allowed)| {
            let may_be = json!({
                "modes": allowed.modes(),
                "read_only": must(allowed.read_only()),
                "grows": must(allowed.grows()),
                "file_systems": allowed.kinds(),
            });
            (name.to_owned(), may_be)
        })
        .collect();
    json!({
        "policy": text,
        "normalized": policy.normalized(),
        "spelled_out": policy.spelled_out(),
        "partitions": partitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_told_partition_by_partition() {
        let policy = ImagePolicy("root=signed+read-only-on+erofs:=absent".to_owned());
        let told = fields("text", &policy);
        assert_eq!(told["normalized"], "root=signed+read-only-on+erofs:=absent");
        let row = |name: &str| {
            let cells = ["modes", "read_only", "grows", "file_systems"];
            cells.map(|cell| told["partitions"][name][cell].clone())
        };
        assert_eq!(row("root"), ["signed", "yes", "-", "erofs"]);
        assert_eq!(row("root-verity-sig"), ["unprotected", "yes", "-", "-"]);
        assert_eq!(row("swap"), ["absent", "-", "-", "-"]);
        assert_eq!(row("default"), ["absent", "-", "-", "-"]);
    }
}
