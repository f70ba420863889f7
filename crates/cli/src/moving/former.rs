//! What a portable was before another one took its place: noted before anything is changed, and back where the other one is not proven.

use anyhow::Result;
use delivery::moving::Former;
use delivery::portables::Portable;
use delivery::store::Store;
use wire::NamesRequest;
use wire::methods::{ResetFailed, StartUnit};

use super::manifest::DropIn;
use super::put;
use crate::commands::jobs::{self, JobOptions};
use crate::context::Context;
use crate::failure::{Hint, hint};
use crate::portable::{existing, held_in_trial, is_attached, purge, reattach, records};
use crate::terminal::{Paint, complain, plain};
use crate::unit_files::{Root, UnitFiles};

/// Everything of a portable that another one replaces, but its directories. Of drop-ins, those that are there and those that come.
///
/// # Errors
/// When it can't be read.
pub(crate) fn of(
    context: &Context,
    portable: &Portable,
    ran: &[String],
    coming: &[DropIn],
) -> Result<Former> {
    let files = UnitFiles::open(context, &Root::default())?;
    let home = &files.places.config;
    let version = portable.versions.get(&portable.current);
    let units = version.map_or(&[][..], |version| &version.units);
    let mut drop_ins = Vec::new();
    for unit in units {
        let there = super::pack::drop_ins_in(home, unit)?.into_iter();
        drop_ins.extend(there.map(|(path, text)| (path, Some(text))));
    }
    for drop_in in coming {
        let path = put::drop_in_path(home, drop_in);
        if !drop_ins.iter().any(|(there, _)| *there == path) {
            drop_ins.push((path, None));
        }
    }
    Ok(Former {
        record: portable.clone(),
        attached: is_attached(context, portable)?,
        ran: ran.to_vec(),
        boot: journal::time::boot_id()?,
        drop_ins,
        made: Vec::new(),
    })
}

/// Who finds what was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finder {
    /// A command: what ran in this boot is started again.
    Command,
    /// A boot, which starts what is to start.
    Boot,
}

/// Goes on with what was cut of a portable, by a power cut or a signal: an exchange to its end, a replacement back. The portable is being upgraded by
/// the caller, so that nobody else is at it.
///
/// # Errors
/// When something can't be moved, attached or started.
pub(crate) fn recover(context: &Context, name: &str, finder: Finder) -> Result<()> {
    let records = records(context);
    let Some(former) = records.former(name)? else {
        records.end_exchange(name)?;
        return Ok(());
    };
    complain(&format!(
        "{} an import that was to replace {} was cut: {} comes back as it was, and it can be imported again",
        Paint::Yellow.on("warning:"),
        plain(name),
        plain(&former.record.current)
    ));
    go_back(context, name, finder)
}

/// The same at boot and before a start, unless another command is at the portable now, which is said by true; what can't be done is told, and done
/// by whoever comes next.
pub(crate) fn recover_unless_busy(context: &Context, name: &str, finder: Finder) -> bool {
    let records = records(context);
    let recover = || -> Result<bool> {
        if !records.is_exchanging(name)? {
            return Ok(false);
        }
        match records.upgrading(name)? {
            Some(_own) => recover(context, name, finder).map(|()| false),
            None => Ok(true),
        }
    };
    recover().unwrap_or_else(|error| {
        let next = format!("`coracle start {name}` goes on with it, once that is mended");
        let what = format!("an exchange of what {name} has stored was cut, and is not ended yet");
        crate::failure::tell(&error.context(Hint::new(what, next)));
        false
    })
}

/// Makes all that was noted so again, and starts what ran of it.
///
/// # Errors
/// As [`recover`].
pub(crate) fn go_back(context: &Context, name: &str, finder: Finder) -> Result<()> {
    let records = records(context);
    let Some(former) = records.former(name)? else {
        return Ok(());
    };
    let mut runs = purge::running(context, &existing(context, name)?)?;
    runs.extend(purge::running(context, &former.record)?);
    runs.sort_by_key(|unit| (!unit.ends_with(".socket"), unit.clone()));
    runs.dedup();
    stop(context, name, &runs)?;
    records.turn_back(name)?;
    attach_again(context, name, &former)?;
    for path in &former.made {
        if path.symlink_metadata().is_ok() {
            put::mark(context, name, path)?;
        }
    }
    records.end_exchange(name)?;
    let ran_now = finder == Finder::Command && former.boot == journal::time::boot_id()?;
    if !ran_now || former.ran.is_empty() {
        return Ok(());
    }
    if let Some(mut client) = context.connect_if_running()? {
        let names = former.ran.clone();
        client.call(ResetFailed, &NamesRequest { names })?;
    }
    match start(context, &former.ran)? {
        0 => Ok(()),
        _ => Err(hint(
            format!("{name} is as it was, and does not start"),
            format!("`coracle status {name}` and `coracle logs {name}` say why"),
        )),
    }
}

fn attach_again(context: &Context, name: &str, former: &Former) -> Result<()> {
    let store = Store::open(&context.directories.state)?;
    let (held, record) = held_in_trial(context, name)?;
    held.link_extensions(&record.extensions, |digest| store.path(digest))?;
    held.drop_other_links(&record.extensions)?;
    if former.attached {
        return reattach(context, &record);
    }
    delivery::attached::detach(&context.directories.state, name)?;
    purge::reload(context)
}

/// Stops what runs of a portable whose directories are exchanged.
///
/// # Errors
/// When it can't be stopped.
pub(crate) fn stop(context: &Context, name: &str, units: &[String]) -> Result<()> {
    if units.is_empty() || jobs::stop(context, units, &JobOptions::replacing())? == 0 {
        return Ok(());
    }
    Err(hint(
        format!("{name} can't be stopped, so what it has stored stays as it was"),
        format!("`coracle status {name}` shows what still runs"),
    ))
}

/// Starts units, where there are any.
///
/// # Errors
/// When no manager can be asked.
pub(crate) fn start(context: &Context, units: &[String]) -> Result<u8> {
    if units.is_empty() {
        return Ok(0);
    }
    jobs::queue(context, StartUnit, units, &JobOptions::replacing())
}
