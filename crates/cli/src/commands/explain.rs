//! `explain DIRECTIVE` prints its row, `explain --plan UNIT` the steps of its start.

use anyhow::Result;
use clap::Args;
use wire::OneUnit;
use wire::methods::Explain as ExplainMethod;

use crate::context::Context;
use crate::failure::hint;
use crate::listing;
use crate::terminal::{Paint, plain, say, say_json};
use crate::verbs::Run;

/// Options of `explain`.
#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// Directives, with or without `=`; `notify.conf`, `delivery.toml` or a key of that; none: a list of all directives
    #[arg(value_name = "DIRECTIVE")]
    directives: Vec<String>,
    /// Print the steps by which this unit would be started now
    #[arg(long, value_name = "UNIT", conflicts_with = "directives")]
    plan: Option<String>,
}

impl Run for Explain {
    fn run(self, context: &Context) -> Result<u8> {
        if let Some(unit) = self.plan {
            return plan(context, unit);
        }
        if self.directives.is_empty() {
            return list(context);
        }
        if let [name] = self.directives.as_slice()
            && let Some(text) = about_file(name)
        {
            match context.globals.json {
                true => say_json(&text)?,
                false => say(text.trim_end()),
            }
            return Ok(0);
        }
        let mut rows: Vec<&settings::Row> = Vec::new();
        for name in &self.directives {
            rows.extend(named(name.trim_end_matches('='))?);
        }
        if context.globals.json {
            let values: Vec<_> = rows.into_iter().map(crate::reference::json).collect();
            say_json(&values)?;
            return Ok(0);
        }
        for (index, row) in rows.into_iter().enumerate() {
            if index > 0 {
                say("");
            }
            say(crate::reference::text(row).trim_end());
        }
        Ok(0)
    }
}

/// What is told of a file of the administrator's, or of one of its keys.
fn about_file(name: &str) -> Option<String> {
    match name {
        load::notify::FILE => Some(super::notify_about::ABOUT_FILE.to_owned()),
        delivery::policy::FILE => Some(delivery::policy::about()),
        key => {
            let mut keys = delivery::policy::KEYS.iter();
            keys.find(|known| known.name == key).map(|key| key.text())
        }
    }
}

/// Every directive on a line.
fn list(context: &Context) -> Result<u8> {
    let rows: Vec<serde_json::Value> = settings::TABLE.iter().map(crate::reference::json).collect();
    let columns: &[listing::Column<serde_json::Value>] = &[
        ("DIRECTIVE", |row| listing::text(row, "name")),
        ("SECTIONS", |row| listing::text(row, "sections")),
        ("SUMMARY", |row| listing::text(row, "summary")),
    ];
    listing::print(&rows, columns, &context.globals)?;
    Ok(0)
}

fn plan(context: &Context, unit: String) -> Result<u8> {
    let reply = context.connect()?.call(ExplainMethod, &OneUnit { unit })?;
    if context.globals.json {
        say_json(&reply)?;
        return Ok(0);
    }
    for (index, step) in reply.steps.iter().enumerate() {
        let directive = if step.directive.is_empty() {
            String::new()
        } else {
            Paint::Dim.on(&format!("  {}=", step.directive))
        };
        say(&format!(
            "{:>3}  {:<18} {}{directive}",
            index + 1,
            step.step,
            plain(&step.text)
        ));
    }
    for reduction in &reply.reductions {
        say(&format!(
            "{} {}= {}",
            Paint::Yellow.on("reduced:"),
            reduction.directive,
            plain(&reduction.reason)
        ));
    }
    for refusal in &reply.refusals {
        say(&format!(
            "{} {}= {}",
            Paint::Red.on("refused:"),
            refusal.directive,
            plain(&refusal.reason)
        ));
    }
    Ok(u8::from(!reply.refusals.is_empty()))
}

/// The rows of a directive: several sections may have one of that name.
fn named(name: &str) -> Result<Vec<&'static settings::Row>> {
    let rows: Vec<&'static settings::Row> = settings::rows_named(name).collect();
    if rows.is_empty() {
        let nearest = load::nearest_directive(name).map_or_else(
            || "`coracle explain` lists the names".to_owned(),
            |nearest| format!("did you mean {nearest}=?"),
        );
        return Err(hint(format!("there is no directive {name}="), nearest));
    }
    Ok(rows)
}
