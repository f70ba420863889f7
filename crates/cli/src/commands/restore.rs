//! `restore`: what a portable had stored, from an archive, in place of what it has.

use anyhow::Result;
use clap::Args;

use super::jobs::{self, JobOptions};
use crate::context::Context;
use crate::failure::hint;
use crate::moving::arrived::Arrived;
use crate::moving::former::{start, stop};
use crate::moving::manifest::Kind;
use crate::moving::places;
use crate::moving::put::Planted;
use crate::portable::listening::standing;
use crate::portable::{Dynamic, existing, meant, none_here, purge};
use crate::terminal::{directories, plain, say};
use crate::verbs::Run;

/// Options of `restore`.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// A portable that is here
    #[arg(value_name = "NAME")]
    name: String,
    /// An archive of `backup` or `export`; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Most bytes that may come out of it, such as 500M [default: 60G]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<String>,
}

impl Run for Restore {
    fn run(self, context: &Context) -> Result<u8> {
        let portable = meant(context, &self.name)?.ok_or_else(|| none_here(&self.name))?;
        let name = portable.name;
        let _own = super::upgrade::begin(context, &name)?;
        let portable = existing(context, &name)?;
        let arrived = Arrived::open(context, &self.file, self.max_size.as_deref(), Kind::Backup)?;
        if arrived.manifest.name != name {
            return Err(hint(
                format!(
                    "this is what {} had stored, and not {name}",
                    plain(&arrived.manifest.name)
                ),
                "nothing was changed; name the portable that it is of",
            ));
        }
        let version = portable.versions.get(&portable.current);
        let units = version.into_iter().flat_map(|version| &version.units);
        let grants: Vec<String> = portable.grants.iter().map(ToString::to_string).collect();
        let dynamic = Dynamic::of(units.map(String::as_str), grants.iter().map(String::as_str));
        let is_roots = places::runs_as_root(context, &portable)?;
        let mut planted = Planted::write(
            context,
            &arrived,
            Some(&portable),
            dynamic.is_some(),
            is_roots,
        )?;
        planted.check_own(&portable)?;
        let ran = purge::running(context, &portable)?;
        let again = standing(context, ran.clone())?;
        stop(context, &name, &ran)?;
        let exchanged = planted.exchange();
        let started = start(context, &again);
        exchanged?;
        if started? != 0 {
            jobs::stop(context, &again, &JobOptions::replacing())?;
            planted.turn_back()?;
            start(context, &again)?;
            return Err(hint(
                format!(
                    "{name} does not start with what was restored, so what it had stored before is back"
                ),
                format!("`coracle logs {name}` tells why"),
            ));
        }
        let count = directories(arrived.manifest.directories.len());
        planted.settle()?;
        if !context.globals.quiet {
            say(&format!("restored {count} of {}", plain(&name)));
        }
        Ok(0)
    }
}
