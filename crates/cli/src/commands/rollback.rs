//! `rollback`: a version that was seen to work comes again.

use anyhow::Result;
use clap::Args;
use delivery::portables::Portable;
use model::version::compare;

use super::attach::renew;
use super::jobs::Drain;
use super::upgrade::{back_to, begin, detached, note};
use crate::context::Context;
use crate::failure::hint;
use crate::portable::listening::{Listening, standing};
use crate::portable::{current_units, existing, is_attached, meant, none_here, proof, purge};
use crate::terminal::{plain, say};
use crate::verbs::Run;

/// Options of `rollback`.
#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// A portable that is here
    #[arg(value_name = "NAME")]
    name: String,
    /// A version that is stored and was seen to work [default: the newest such below the current one]
    #[arg(value_name = "VERSION")]
    version: Option<String>,
    /// How long what runs may finish what it is at, where the former version can start beside it [default: as the unit says]
    #[arg(long, value_name = "TIME")]
    drain: Option<String>,
}

impl Run for Rollback {
    fn run(self, context: &Context) -> Result<u8> {
        let drain = Drain::of(self.drain.as_deref())?;
        let name = meant(context, &self.name)?.ok_or_else(|| none_here(&self.name))?;
        let name = name.name.as_str();
        let _own = begin(context, name)?;
        let portable = existing(context, name)?;
        let current = portable.current.as_str();
        if !is_attached(context, &portable)? {
            return Err(hint(
                detached(&portable),
                format!("`coracle attach {name}` attaches it, and what is attached can go back"),
            ));
        }
        let target = self.target(&portable)?;
        let units = current_units(&portable);
        let mut ran = standing(context, purge::running(context, &portable)?)?;
        if ran.is_empty() && have_failed(context, &units)? {
            ran.clone_from(&units);
        }
        let open = Listening::of(context, &ran)?;
        back_to(context, name, &target, &units)?;
        note(context, name, |portable| {
            if let Some(version) = portable.versions.get_mut(current) {
                version.taken_back = Some("the administrator went back from it".to_owned());
            }
        })?;
        let status = if ran.is_empty() {
            0
        } else {
            renew(context, name, &ran, Some(&open), Some(drain))?
        };
        say(&format!(
            "{} {} → {}",
            plain(name),
            plain(current),
            plain(&target)
        ));
        Ok(status)
    }
}

/// Whether one of the units failed, where a manager is there that knows.
fn have_failed(context: &Context, units: &[String]) -> Result<bool> {
    if context.connect_if_running()?.is_none() {
        return Ok(false);
    }
    let now = proof::status(context, units)?;
    Ok(now.iter().any(|unit| unit.active == "failed"))
}

impl Rollback {
    fn target(&self, portable: &Portable) -> Result<String> {
        let (name, current) = (&portable.name, &portable.current);
        let is_below = |version: &String| portable.is_withdrawn(version);
        let Some(wanted) = &self.version else {
            let good = portable.versions.iter();
            let good = good.filter(|(version, known)| {
                known.healthy && compare(version, current).is_lt() && !is_below(version)
            });
            let newest = good
                .map(|(version, _)| version)
                .max_by(|a, b| compare(a, b));
            return newest.cloned().ok_or_else(|| {
                hint(
                    format!("there is no version of {name} below {current} to go back to that was seen to work here"),
                    format!("`coracle versions {name}` lists those that are stored"),
                )
            });
        };
        let next = format!("`coracle versions {name}` lists those that are stored");
        let refused = |why: String| Err(hint(why, next.clone()));
        match portable.versions.get(wanted) {
            None => refused(format!("{name} {wanted} is not stored here")),
            Some(_) if wanted == current => {
                refused(format!("{name} {wanted} is the current version"))
            }
            Some(_) if is_below(wanted) => {
                refused(format!("{name} {wanted} was withdrawn by its maker"))
            }
            Some(version) if !version.healthy => {
                refused(format!("{name} {wanted} was never seen to work here"))
            }
            Some(_) => Ok(wanted.clone()),
        }
    }
}
