//! `list`: the portables that are here.

use std::borrow::Cow;

use anyhow::Result;
use clap::Args;
use delivery::portables::Trust;
use serde::Serialize;
use wire::ListUnitsRequest;
use wire::methods::ListUnits;

use super::records;
use crate::context::Context;
use crate::listing;
use crate::verbs::Run;

/// Options of `list`.
#[derive(Args, Debug)]
pub(crate) struct List {}

/// One line.
#[derive(Serialize)]
struct Line {
    name: String,
    version: String,
    state: String,
    signer: Option<String>,
    trust: Trust,
    revoked: Option<String>,
    grants: Vec<String>,
    origin: String,
    at_boot: bool,
    versions: Vec<String>,
}

impl Run for List {
    fn run(self, context: &Context) -> Result<u8> {
        let mut lines = Vec::new();
        for portable in records(context).list()? {
            lines.push(Line {
                state: state(context, &super::current_units(&portable), &portable.name)?,
                revoked: super::show::revoked(context, &portable)?
                    .map(|said| said.digest.to_string()),
                trust: portable.trust,
                signer: portable.signer.map(|signer| signer.name),
                grants: portable.grants.iter().map(ToString::to_string).collect(),
                versions: portable.versions.into_keys().collect(),
                name: portable.name,
                version: portable.current,
                origin: portable.origin,
                at_boot: portable.enabled,
            });
        }
        let columns: &[listing::Column<Line>] = &[
            ("PORTABLE", |line| Cow::Borrowed(&line.name)),
            ("VERSION", |line| Cow::Borrowed(&line.version)),
            ("STATE", |line| match line.revoked {
                Some(_) => format!("{}, REVOKED", line.state).into(),
                None => Cow::Borrowed(&line.state),
            }),
            ("SIGNER", |line| {
                Cow::Borrowed(match (&line.signer, line.trust) {
                    (Some(signer), _) => signer,
                    (None, Trust::Signed) => "-",
                    (None, Trust::Digest) => "(nobody; by its digest)",
                    (None, Trust::Insecure) => "(nobody; --insecure)",
                    (None, Trust::Directory) => "(nobody; a directory)",
                })
            }),
            ("GRANTS", |line| match line.grants.as_slice() {
                [] => Cow::Borrowed("-"),
                grants => grants.join(",").into(),
            }),
            ("FROM", |line| Cow::Borrowed(&line.origin)),
        ];
        listing::print(&lines, columns, &context.globals)?;
        Ok(0)
    }
}

/// `detached`, or the gravest state of its units: failed, active, activating, inactive.
fn state(context: &Context, units: &[String], name: &str) -> Result<String> {
    if delivery::attached::units(&context.directories.state, name)?.is_empty() {
        return Ok("detached".to_owned());
    }
    let Some(mut client) = context.connect_if_running()? else {
        return Ok("inactive".to_owned());
    };
    let request = ListUnitsRequest {
        names: units.to_vec(),
        all: true,
        ..ListUnitsRequest::default()
    };
    let states: Vec<String> = client
        .call(ListUnits, &request)?
        .units
        .into_iter()
        .map(|unit| unit.active)
        .collect();
    let gravest = [
        "failed",
        "activating",
        "deactivating",
        "active",
        "reloading",
    ]
    .into_iter()
    .find(|state| states.iter().any(|unit| unit == state));
    Ok(gravest.unwrap_or("inactive").to_owned())
}
