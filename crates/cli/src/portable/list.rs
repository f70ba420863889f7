//! `list`: the portables that are here.

use std::borrow::Cow;

use anyhow::Result;
use clap::Args;
use delivery::portables::{Portable, Trust};
use serde::Serialize;
use wire::ListUnitsRequest;
use wire::methods::ListUnits;

use super::places::Offer;
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
    trust: Option<Trust>,
    profile: String,
    extensions: Vec<String>,
    runtime: bool,
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
                state: state(context, &portable)?,
                revoked: super::show::revoked(context, &portable)?
                    .map(|said| said.digest.to_string()),
                trust: Some(portable.trust),
                profile: portable.profile,
                extensions: portable
                    .extensions
                    .into_iter()
                    .map(|layer| layer.file)
                    .collect(),
                runtime: portable.runtime,
                signer: portable.signer.map(|signer| signer.name),
                grants: portable.grants.iter().map(ToString::to_string).collect(),
                versions: portable.versions.into_keys().collect(),
                name: portable.name,
                version: portable.current,
                origin: portable.origin,
                at_boot: portable.enabled,
            });
        }
        let offers = super::places::offers(context)?;
        let is_here = |offer: &Offer| {
            let origin = offer.path.display().to_string();
            let same =
                |line: &Line| line.name == offer.name && line.versions.contains(&offer.version);
            lines.iter().any(|line| same(line) || line.origin == origin)
        };
        let offered: Vec<Line> = offers
            .into_iter()
            .filter(|offer| !is_here(offer))
            .map(offered)
            .collect();
        lines.extend(offered);
        let columns: &[listing::Column<Line>] = &[
            ("PORTABLE", |line| Cow::Borrowed(&line.name)),
            ("VERSION", |line| Cow::Borrowed(&line.version)),
            ("STATE", |line| match (&line.revoked, line.runtime) {
                (Some(_), _) => format!("{}, REVOKED", line.state).into(),
                (None, true) => format!("{}, until reboot", line.state).into(),
                (None, false) => Cow::Borrowed(&line.state),
            }),
            ("SIGNER", |line| {
                Cow::Borrowed(match (&line.signer, line.trust) {
                    (Some(signer), _) => signer,
                    (None, None | Some(Trust::Signed)) => "-",
                    (None, Some(Trust::Digest)) => "(nobody; by its digest)",
                    (None, Some(Trust::Insecure)) => "(nobody; --insecure)",
                    (None, Some(Trust::Directory)) => "(nobody; a directory)",
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

/// A line of what lies in a place and was never attached.
fn offered(offer: Offer) -> Line {
    Line {
        name: offer.name,
        version: offer.version,
        state: "available".to_owned(),
        signer: None,
        trust: None,
        profile: String::new(),
        extensions: Vec::new(),
        runtime: false,
        revoked: None,
        grants: Vec::new(),
        origin: offer.path.display().to_string(),
        at_boot: false,
        versions: Vec::new(),
    }
}

/// `detached`, or the gravest state of its units: failed, active, activating, inactive.
///
/// # Errors
/// When the manager can't be asked.
pub(crate) fn state(context: &Context, portable: &Portable) -> Result<String> {
    if !super::is_attached(context, portable)? {
        return Ok("detached".to_owned());
    }
    let units = super::current_units(portable);
    // No name would mean all units of the host.
    if units.is_empty() {
        return Ok("inactive".to_owned());
    }
    let Some(mut client) = context.connect_if_running()? else {
        return Ok("inactive".to_owned());
    };
    let request = ListUnitsRequest {
        names: units,
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
