//! `detach` takes a portable's units away, `purge` everything that it ever left.

use anyhow::Result;
use clap::Args;
use delivery::portables::{Portable, mark_until_reboot};
use delivery::purge::{self, Directories, Places};
use delivery::store::Store;
use wire::Done;
use wire::methods::Reload;

use super::{Dynamic, existing, existing_held, held_in_trial, records};
use crate::commands::jobs::{self, JobOptions};
use crate::context::Context;
use crate::failure::hint;
use crate::moving::former::{Finder, recover_unless_busy};
use crate::moving::places::of_host;
use crate::terminal::{one_line, plain, say};
use crate::verbs::Run;

/// Options of `detach`.
#[derive(Args, Debug)]
pub(crate) struct Detach {
    /// The portable: its name, or the image or directory that it came from
    #[arg(value_name = "WHAT")]
    name: String,
    /// Stop its units first
    #[arg(long)]
    now: bool,
    /// Forget that it starts at boot, so that attaching it again does not bring that back
    #[arg(long)]
    enable: bool,
}

/// Options of `purge`.
#[derive(Args, Debug)]
pub(crate) struct Purge {
    /// The portable
    #[arg(value_name = "NAME")]
    name: String,
    /// Drop the remembered line too: name, signer and highest version
    #[arg(long)]
    forget: bool,
}

impl Purge {
    /// Of this portable; also of what is remembered of it.
    pub(crate) fn of(name: &str, forget: bool) -> Purge {
        Purge {
            name: name.to_owned(),
            forget,
        }
    }
}

/// Says what was done, unless nobody wants to know.
fn tell(context: &Context, line: &str) {
    if !context.globals.quiet {
        say(&plain(line));
    }
}

impl Run for Detach {
    fn run(self, context: &Context) -> Result<u8> {
        let meant = super::meant(context, &self.name)?;
        let name = meant.map_or_else(|| self.name.clone(), |portable| portable.name);
        let (held, mut portable) = existing_held(context, &name)?;
        if self.now {
            stop(context, &portable.name, patterns(&portable))?;
        } else if let Some(unit) = running(context, &portable)?.first() {
            return Err(hint(
                format!("{unit} runs"),
                format!("`coracle detach --now {}` stops it first", portable.name),
            ));
        }
        for unit in delivery::attached::detach(&context.directories.state, &portable.name)? {
            tell(context, &format!("detached {unit}"));
        }
        if self.enable || portable.runtime {
            portable.enabled &= !self.enable;
            portable.runtime = false;
            held.put(&portable)?;
            mark_until_reboot(&context.directories.runtime, &portable.name, false)?;
        }
        reload(context)?;
        Ok(0)
    }
}

impl Run for Purge {
    fn run(self, context: &Context) -> Result<u8> {
        let known = records(context);
        if known.get(&self.name)?.is_none() {
            return self.forget_only(context);
        }
        // Also what a restore or an import has left beside.
        if recover_unless_busy(context, &self.name, Finder::Boot) {
            return Err(hint(
                format!(
                    "another command exchanges what {} has stored, and would leave some of it behind",
                    self.name
                ),
                "nothing was removed; wait for its end",
            ));
        }
        let (held, portable) = held_in_trial(context, &self.name)?;
        stop(context, &portable.name, patterns(&portable))?;
        let directories = directories(&portable);
        for unit in delivery::attached::detach(&context.directories.state, &portable.name)? {
            tell(context, &format!("removed unit {unit}"));
        }
        reload(context)?;
        // What another command started since the first look; from here on there is nothing to start.
        stop(context, &portable.name, patterns(&portable))?;
        let places = places(context);
        for path in purge::paths(&portable.name, &directories, &places) {
            if purge::is_of_host(&path, &portable, &places) {
                tell(
                    context,
                    &format!(
                        "kept {}: {} did not make it",
                        path.display(),
                        plain(&portable.name)
                    ),
                );
            } else if purge::remove(&path)? {
                tell(context, &format!("removed {}", path.display()));
            }
        }
        for path in of_host(&portable) {
            let (name, path) = (plain(&portable.name), one_line(path));
            tell(
                context,
                &format!("kept {path}: it is the host's, and {name} might write to it"),
            );
        }
        mark_until_reboot(&places.runtime, &portable.name, false)?;
        held.remove()?;
        collect(context)?;
        if self.forget {
            known.forget(&portable.name)?;
        } else {
            context.narrate(&format!("remembered: {}, who signed it and its highest version, so that neither another's nor an older one takes its place (--forget drops it)", plain(&portable.name)));
        }
        Ok(0)
    }
}

/// Removes the images that no portable has any more.
fn collect(context: &Context) -> Result<()> {
    let store = Store::open(&context.directories.state)?;
    for digest in store.collect(|| super::referenced(context))? {
        tell(context, &format!("removed image sha256:{}", digest.hex()));
    }
    Ok(())
}

impl Purge {
    /// What was purged before can still be forgotten.
    fn forget_only(&self, context: &Context) -> Result<u8> {
        let known = records(context);
        self.tidy(context)?;
        if !self.forget || known.remembered(&self.name)?.is_none() {
            return existing(context, &self.name).map(|_| 0);
        }
        known.forget(&self.name)?;
        say(&format!("forgot {}", plain(&self.name)));
        Ok(0)
    }
}

impl Purge {
    /// Removes what an attach or a purge left that was cut short: what has no record.
    fn tidy(&self, context: &Context) -> Result<()> {
        let own = &context.directories;
        // Nothing is made to look into.
        if !own.state.exists() {
            return Ok(());
        }
        let held = records(context).hold(&self.name)?;
        if held.get()?.is_none() {
            let units = delivery::attached::units(&own.state, &self.name)?;
            let names: Vec<String> = units.iter().map(|unit| pattern(unit)).collect();
            stop(context, &self.name, names.clone())?;
            for unit in delivery::attached::detach(&own.state, &self.name)? {
                tell(context, &format!("removed unit {unit}"));
            }
            if !units.is_empty() {
                reload(context)?;
                stop(context, &self.name, names)?;
            }
            mark_until_reboot(&own.runtime, &self.name, false)?;
            held.remove()?;
        }
        collect(context)
    }
}

/// How often what runs of a portable is stopped again: a connection may have started one more instance before its socket closed.
const STOP_ROUNDS: u32 = 8;

/// Stops what runs of a portable; where no manager runs, nothing does.
fn stop(context: &Context, portable: &str, names: Vec<String>) -> Result<()> {
    for _ in 0..STOP_ROUNDS {
        let units = running_of(context, names.clone())?;
        if units.is_empty() {
            return Ok(());
        }
        stop_units(context, portable, &units)?;
    }
    Err(can_not_stop(portable))
}

fn stop_units(context: &Context, portable: &str, units: &[String]) -> Result<()> {
    let options = JobOptions {
        job_mode: "replace".to_owned(),
        ..JobOptions::default()
    };
    match jobs::stop(context, units, &options)? {
        0 => Ok(()),
        _ => Err(can_not_stop(portable)),
    }
}

fn can_not_stop(portable: &str) -> anyhow::Error {
    hint(
        format!("{portable} can't be stopped"),
        format!("`coracle status {portable}` shows what still runs"),
    )
}

/// What runs of a portable or is to, sockets first: units of its older versions and instances of its templates, too.
///
/// # Errors
/// When the manager can't be asked.
pub(crate) fn running(context: &Context, portable: &Portable) -> Result<Vec<String>> {
    running_of(context, patterns(portable))
}

fn running_of(context: &Context, names: Vec<String>) -> Result<Vec<String>> {
    let Some(mut client) = context.connect_if_running()? else {
        return Ok(Vec::new());
    };
    // No name would mean all units of the host.
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let request = wire::ListUnitsRequest {
        names,
        ..wire::ListUnitsRequest::default()
    };
    let reply = client.call(wire::methods::ListUnits, &request)?;
    let up = |unit: &wire::UnitSummary| {
        unit.job.is_some() || !matches!(unit.active.as_str(), "inactive" | "failed")
    };
    let mut units: Vec<String> = reply
        .units
        .into_iter()
        .filter(up)
        .map(|unit| unit.name)
        .collect();
    units.sort_by_key(|unit| !unit.ends_with(".socket"));
    Ok(units)
}

/// The names of all units that any version of a portable has or had; a template's stands for its instances.
fn patterns(portable: &Portable) -> Vec<String> {
    let units = portable
        .versions
        .values()
        .flat_map(|version| &version.units);
    units.map(|unit| pattern(unit)).collect()
}

fn pattern(unit: &str) -> String {
    unit.replace("@.", "@*.")
}

/// Tells a manager that units came or went; where none runs, none needs to know.
///
/// # Errors
/// When the manager can't be talked to.
pub(crate) fn reload(context: &Context) -> Result<()> {
    if let Some(mut client) = context.connect_if_running()? {
        client.call(Reload, &Done {})?;
    }
    Ok(())
}

/// The directories that were the portable's own, of all its versions; what the host had before it is not among them.
fn directories(portable: &Portable) -> Directories {
    let grants: Vec<String> = portable.grants.iter().map(ToString::to_string).collect();
    let units = portable
        .versions
        .values()
        .flat_map(|version| &version.units);
    let dynamic = Dynamic::of(units.map(String::as_str), grants.iter().map(String::as_str));
    let below = |home: &str| {
        let own = portable.directories.iter();
        // What a host's package has under the name of one since then is not the portable's.
        let came_later = |path: &&String| dynamic.is_some_and(|dynamic| dynamic.is_foreign(path));
        own.filter(|path| portable.marked.contains(*path) || !came_later(path))
            .filter_map(|path| path.strip_prefix(home)?.strip_prefix('/'))
            .map(str::to_owned)
            .collect()
    };
    let names = portable.versions.values();
    let names = names.flat_map(|version| version.units.iter());
    let timers = names
        .filter(|name| name.ends_with(".timer"))
        .cloned()
        .collect();
    Directories {
        state: below(STATE_HOME),
        cache: below(CACHE_HOME),
        logs: below(LOGS_HOME),
        runtime: below(RUNTIME_HOME),
        configuration: below(CONFIG_HOME),
        timers,
    }
}

const STATE_HOME: &str = "/var/lib";
const CACHE_HOME: &str = "/var/cache";
const LOGS_HOME: &str = "/var/log";
pub(super) const RUNTIME_HOME: &str = "/run";
pub(super) const CONFIG_HOME: &str = "/etc";

pub(crate) fn places(context: &Context) -> Places {
    let own = &context.directories;
    Places {
        runtime: own.runtime.clone(),
        state: own.state.clone(),
        config: own.config.clone(),
        state_home: STATE_HOME.into(),
        cache_home: CACHE_HOME.into(),
        logs_home: LOGS_HOME.into(),
        runtime_home: RUNTIME_HOME.into(),
        config_home: CONFIG_HOME.into(),
    }
}
