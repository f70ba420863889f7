//! `list-units` and `list-jobs`.

use std::borrow::Cow;

use anyhow::{Context as _, Result};
use clap::Args;
use model::tables::states;
use wire::listing::{UnitLine, UnitLines};
use wire::methods::{ListJobs as ListJobsMethod, ListUnits as ListUnitsMethod};
use wire::{ListUnitsRequest, NamesRequest};

use crate::context::Context;
use crate::failure::hint;
use crate::listing;
use crate::terminal::{one_line, say};
use crate::verbs::Run;

/// Options of `list-units`.
#[derive(Args, Debug)]
pub(crate) struct ListUnits {
    /// Names or patterns
    #[arg(value_name = "PATTERN")]
    names: Vec<String>,
    /// Inactive ones too
    #[arg(short, long)]
    all: bool,
    /// Only units in one of these load, active or sub states
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<String>,
    /// Only units of these kinds, such as service or socket
    #[arg(short = 't', long = "type", value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Only units that failed
    #[arg(long)]
    failed: bool,
}

impl Run for ListUnits {
    fn run(mut self, context: &Context) -> Result<u8> {
        let is_none = |kind: &&String| model::UnitKind::from_suffix(kind).is_none();
        if let Some(kind) = self.kinds.iter().find(is_none) {
            return Err(hint(
                format!("{kind:?} is no kind of unit"),
                "kinds are the suffixes of units, such as service, socket and target",
            ));
        }
        let is_none = |state: &&String| !states::all().any(|known| known == *state);
        if let Some(state) = self.state.iter().find(is_none) {
            let known: Vec<&str> = states::all().collect();
            return Err(hint(
                format!("{state:?} is no state of a unit"),
                format!("states are {}", known.join(", ")),
            ));
        }
        if self.failed {
            self.state.push("failed".to_owned());
        }
        let request = ListUnitsRequest {
            names: self.names,
            states: self.state,
            kinds: self.kinds,
            all: self.all,
        };
        let text = context.connect()?.call_text(ListUnitsMethod, &request)?;
        let reply: UnitLines<'_> =
            serde_json::from_str(text.get()).context("the manager's answer can't be read")?;
        let columns: &[listing::Column<UnitLine<'_>>] = &[
            ("UNIT", |unit| Cow::Borrowed(&unit.name)),
            ("LOAD", |unit| Cow::Borrowed(&unit.load)),
            ("ACTIVE", |unit| Cow::Borrowed(&unit.active)),
            ("SUB", |unit| Cow::Borrowed(&unit.sub)),
            ("DESCRIPTION", |unit| Cow::Borrowed(&unit.description)),
        ];
        listing::print_counted(&reply.units, columns, context, "unit")?;
        Ok(0)
    }
}

/// Options of `list-jobs`.
#[derive(Args, Debug)]
pub(crate) struct ListJobs {
    /// Names or patterns
    #[arg(value_name = "PATTERN")]
    names: Vec<String>,
    /// Tell the jobs that each waits for, too
    #[arg(long)]
    after: bool,
    /// Tell the jobs that wait for each, too
    #[arg(long)]
    before: bool,
}

impl ListJobs {
    /// Each job, and below it those that it waits for and those that wait for it.
    fn print_order(&self, jobs: &[wire::JobSummary], all: &[wire::JobSummary]) {
        for job in jobs {
            say(&told(job));
            let before = all
                .iter()
                .filter(|other| self.after && job.waits_for.contains(&other.id));
            let after = all
                .iter()
                .filter(|other| self.before && other.waits_for.contains(&job.id));
            before.for_each(|other| say(&format!("  waits for {}", told(other))));
            after.for_each(|other| say(&format!("  comes before {}", told(other))));
        }
    }
}

/// A job in one line.
fn told(job: &wire::JobSummary) -> String {
    format!(
        "job {}: {} {} ({})",
        job.id,
        job.kind,
        one_line(&job.unit),
        job.state
    )
}

impl Run for ListJobs {
    fn run(self, context: &Context) -> Result<u8> {
        let jobs = match context.connect_to_what_runs()? {
            Some(mut client) => {
                let names = self.names.clone();
                let mut ask = |names| -> Result<_> {
                    Ok(client.call(ListJobsMethod, &NamesRequest { names })?.jobs)
                };
                let jobs = ask(names)?;
                if !context.globals.json && (self.after || self.before) {
                    self.print_order(&jobs, &ask(Vec::new())?);
                    return Ok(0);
                }
                jobs
            }
            None => Vec::new(),
        };
        let columns: &[listing::Column<wire::JobSummary>] = &[
            ("JOB", |job| job.id.to_string().into()),
            ("UNIT", |job| Cow::Borrowed(&job.unit)),
            ("TYPE", |job| Cow::Borrowed(&job.kind)),
            ("STATE", |job| Cow::Borrowed(&job.state)),
        ];
        listing::print(&jobs, columns, &context.globals)?;
        Ok(0)
    }
}
