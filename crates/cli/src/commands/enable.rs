//! The verbs that change which unit files are found, and which units start with which.

use anyhow::Result;
use clap::{Args, ValueEnum};
use enabling::{Problem, Scope, Work};
use wire::methods::StopUnit;

use super::jobs::{self, JobOptions};
use crate::context::Context;
use crate::failure::hint;
use crate::unit_files::{ChangeOptions, UnitFiles, ending, name_or_path, names};
use crate::verbs::Run;

/// What goes with the change of a unit's links, at once.
#[derive(Clone, Copy, PartialEq)]
enum Now {
    Nothing,
    Start,
    Stop,
}

/// Which part of the presets is done.
#[derive(ValueEnum, Debug, Clone, Copy, Default)]
enum PresetMode {
    /// Enable and disable
    #[default]
    Full,
    /// Only enable
    EnableOnly,
    /// Only disable
    DisableOnly,
}

impl PresetMode {
    fn scope(self) -> Scope {
        match self {
            PresetMode::Full => Scope::Full,
            PresetMode::EnableOnly => Scope::EnableOnly,
            PresetMode::DisableOnly => Scope::DisableOnly,
        }
    }
}

/// Options of `enable` and `reenable`.
#[derive(Args, Debug)]
pub(crate) struct Enable {
    /// Units, or paths of unit files
    #[arg(required = true, value_name = "UNIT")]
    units: Vec<String>,
    /// Start them, too
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    change: ChangeOptions,
}

/// Options of `reenable`.
#[derive(Args, Debug)]
pub(crate) struct Reenable {
    #[command(flatten)]
    enable: Enable,
}

/// Options of `disable`.
#[derive(Args, Debug)]
pub(crate) struct Disable {
    /// Units
    #[arg(required = true, value_name = "UNIT")]
    units: Vec<String>,
    /// Stop them, too
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    change: ChangeOptions,
}

/// Options of `mask`.
#[derive(Args, Debug)]
pub(crate) struct Mask {
    #[command(flatten)]
    disable: Disable,
}

/// Options of `unmask`.
#[derive(Args, Debug)]
pub(crate) struct Unmask {
    /// Units
    #[arg(required = true, value_name = "UNIT")]
    units: Vec<String>,
    #[command(flatten)]
    change: ChangeOptions,
}

/// Options of `revert`.
#[derive(Args, Debug)]
pub(crate) struct Revert {
    #[command(flatten)]
    unmask: Unmask,
}

/// Options of `link`.
#[derive(Args, Debug)]
pub(crate) struct Link {
    /// Paths of unit files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    change: ChangeOptions,
}

/// Options of `preset`.
#[derive(Args, Debug)]
pub(crate) struct Preset {
    /// Units
    #[arg(required = true, value_name = "UNIT")]
    units: Vec<String>,
    /// What of the presets is done
    #[arg(long, value_enum, value_name = "MODE", default_value = "full")]
    preset_mode: PresetMode,
    /// Start those that are enabled then, and stop the others
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    change: ChangeOptions,
}

/// Options of `preset-all`.
#[derive(Args, Debug)]
pub(crate) struct PresetAll {
    /// What of the presets is done
    #[arg(long, value_enum, value_name = "MODE", default_value = "full")]
    preset_mode: PresetMode,
    #[command(flatten)]
    change: ChangeOptions,
}

/// Options of `add-wants` and `add-requires`.
#[derive(Args, Debug)]
pub(crate) struct AddWants {
    /// The target, or another unit
    #[arg(value_name = "TARGET")]
    target: String,
    /// Units that are started with it
    #[arg(required = true, value_name = "UNIT")]
    units: Vec<String>,
    #[command(flatten)]
    change: ChangeOptions,
}

/// Options of `add-requires`.
#[derive(Args, Debug)]
pub(crate) struct AddRequires {
    #[command(flatten)]
    add: AddWants,
}

/// Options of `set-default`.
#[derive(Args, Debug)]
pub(crate) struct SetDefault {
    /// The target
    #[arg(value_name = "TARGET")]
    target: String,
    #[command(flatten)]
    change: ChangeOptions,
}

type Step<'a> = &'a dyn Fn(&mut Work) -> Result<(), Problem>;

/// Makes changes, whatever comes of the last of them, and has the manager see them. Says whether all went well, and whether any unit
/// says how it is enabled.
fn change(context: &Context, options: &ChangeOptions, step: Step) -> Result<(bool, bool)> {
    let files = UnitFiles::open(context, &options.root)?;
    let mut work = files.work();
    let ended = step(&mut work);
    let outcome = work.finish();
    let has_rules = outcome.has_rules;
    let has_changes = !outcome.changes.is_empty();
    let is_well = files.apply(context, outcome)?;
    if has_changes && !options.no_reload {
        files.reload(context)?;
    }
    ended.map_err(ending)?;
    Ok((is_well, has_rules || has_changes))
}

fn status(is_well: bool) -> u8 {
    u8::from(!is_well)
}

/// `--now` is for units that a manager can start here.
fn check_now(now: bool, options: &ChangeOptions) -> Result<()> {
    if now && options.root.is_given() {
        return Err(hint(
            "--now is not for another system's units",
            "leave out --now, or --root",
        ));
    }
    Ok(())
}

fn act(context: &Context, now: Now, units: &[String]) -> Result<u8> {
    let units: Vec<String> = units
        .iter()
        .map(|unit| unit.rsplit('/').next().unwrap_or_default().to_owned())
        .collect();
    match now {
        Now::Nothing => Ok(0),
        Now::Start => jobs::start(context, &units, &JobOptions::replacing()),
        Now::Stop => jobs::queue(context, StopUnit, &units, &JobOptions::replacing()),
    }
}

fn paths(texts: &[String]) -> Result<Vec<String>> {
    texts.iter().map(|text| name_or_path(text)).collect()
}

/// Enables a unit of the instance's.
///
/// # Errors
/// When the links can't be made.
pub(crate) fn enable(context: &Context, unit: &str) -> Result<()> {
    let units = [unit.to_owned()];
    let options = ChangeOptions::default();
    change(context, &options, &|work| {
        work.enable(&units, options.options())
    })?;
    Ok(())
}

/// Disables a unit of the instance's.
///
/// # Errors
/// When the links can't be removed.
pub(crate) fn disable(context: &Context, unit: &str) -> Result<()> {
    let units = [unit.to_owned()];
    let options = ChangeOptions::default();
    change(context, &options, &|work| {
        work.disable(&units, options.options())
    })?;
    Ok(())
}

impl Enable {
    fn run(&self, context: &Context, again: bool) -> Result<u8> {
        check_now(self.now, &self.change)?;
        let units = paths(&self.units)?;
        let options = self.change.options();
        let (is_well, has_rules) = change(context, &self.change, &|work| match again {
            true => work.reenable(&units, options),
            false => work.enable(&units, options),
        })?;
        if is_well && !has_rules {
            context.narrate(
                "nothing to enable: no [Install] section says what these units start with. Others may want them, or start them by \
                 socket, timer or name",
            );
        }
        let now = if self.now { Now::Start } else { Now::Nothing };
        Ok(match is_well {
            true => act(context, now, &units)?,
            false => 1,
        })
    }
}

impl Run for Enable {
    fn run(self, context: &Context) -> Result<u8> {
        Enable::run(&self, context, false)
    }
}

impl Run for Reenable {
    fn run(self, context: &Context) -> Result<u8> {
        Enable::run(&self.enable, context, true)
    }
}

impl Run for Disable {
    fn run(self, context: &Context) -> Result<u8> {
        check_now(self.now, &self.change)?;
        let units = names(&self.units);
        let options = self.change.options();
        let (is_well, has_rules) =
            change(context, &self.change, &|work| work.disable(&units, options))?;
        if is_well && !has_rules {
            context.narrate(
                "nothing to disable: no [Install] section says what these units start with, and no link leads to them",
            );
        }
        let now = if self.now { Now::Stop } else { Now::Nothing };
        Ok(status(is_well).max(act(context, now, &units)?))
    }
}

impl Run for Mask {
    fn run(self, context: &Context) -> Result<u8> {
        let Disable {
            units,
            now,
            change: options,
        } = self.disable;
        check_now(now, &options)?;
        let units = names(&units);
        let (is_well, _) = change(context, &options, &|work| {
            work.mask(&units, options.options());
            Ok(())
        })?;
        let now = if now { Now::Stop } else { Now::Nothing };
        Ok(status(is_well).max(act(context, now, &units)?))
    }
}

impl Run for Unmask {
    fn run(self, context: &Context) -> Result<u8> {
        let (units, options) = (names(&self.units), self.change.options());
        let done = change(context, &self.change, &|work| work.unmask(&units, options))?;
        Ok(status(done.0))
    }
}

impl Run for Revert {
    fn run(self, context: &Context) -> Result<u8> {
        let units = names(&self.unmask.units);
        let done = change(context, &self.unmask.change, &|work| work.revert(&units))?;
        Ok(status(done.0))
    }
}

impl Run for Link {
    fn run(self, context: &Context) -> Result<u8> {
        let absolute = |text: &String| Ok(std::path::absolute(text)?.display().to_string());
        let paths = self.paths.iter().map(absolute);
        let (paths, options) = (paths.collect::<Result<Vec<_>>>()?, self.change.options());
        let done = change(context, &self.change, &|work| work.link(&paths, options))?;
        Ok(status(done.0))
    }
}

impl Run for Preset {
    fn run(self, context: &Context) -> Result<u8> {
        check_now(self.now, &self.change)?;
        let (units, options) = (names(&self.units), self.change.options());
        let scope = self.preset_mode.scope();
        let done = change(context, &self.change, &|work| {
            work.preset(&units, scope, options)
        })?;
        if !self.now || !done.0 {
            return Ok(status(done.0));
        }
        let files = UnitFiles::open(context, &self.change.root)?;
        let work = files.work();
        let is_on = |unit: &&String| work.state(unit).is_ok_and(|state| state.is_enabled());
        let (on, off): (Vec<_>, Vec<_>) = units.iter().partition(is_on);
        let own = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>();
        let started = act(context, Now::Start, &own(on))?;
        Ok(started.max(act(context, Now::Stop, &own(off))?))
    }
}

impl Run for PresetAll {
    fn run(self, context: &Context) -> Result<u8> {
        let (scope, options) = (self.preset_mode.scope(), self.change.options());
        let done = change(context, &self.change, &|work| {
            work.preset_all(scope, options)
        })?;
        Ok(status(done.0))
    }
}

fn add(context: &Context, add: &AddWants, requires: bool) -> Result<u8> {
    let target = names(std::slice::from_ref(&add.target)).concat();
    let units = names(&add.units);
    let done = change(context, &add.change, &|work| {
        work.add(&target, &units, requires, add.change.options())
    })?;
    Ok(status(done.0))
}

impl Run for AddWants {
    fn run(self, context: &Context) -> Result<u8> {
        add(context, &self, false)
    }
}

impl Run for AddRequires {
    fn run(self, context: &Context) -> Result<u8> {
        add(context, &self.add, true)
    }
}

impl Run for SetDefault {
    fn run(self, context: &Context) -> Result<u8> {
        let target = match crate::context::is_full_unit_name(&self.target) {
            true => self.target.clone(),
            false => format!("{}.target", self.target),
        };
        let done = change(context, &self.change, &|work| work.set_default(&target))?;
        Ok(status(done.0))
    }
}
