//! `attach` installs a portable without starting it, `reattach` replaces what is attached, `is-attached` tells what is.

use anyhow::Result;
use clap::Args;
use delivery::portables::Portable;
use serde::Serialize;
use wire::methods::{RestartUnit, StartUnit};

use super::jobs::{self, Drain, JobOptions};
use super::start::{Attaching, InstallOptions, Start};
use crate::context::Context;
use crate::failure::hint;
use crate::portable::listening::{Listening, standing};
use crate::portable::source::{self, Source};
use crate::portable::{is_attached, list, meant, none_here, purge};
use crate::terminal::{complain, plain, say, say_json};
use crate::verbs::Run;

/// Options of `attach`: those of `start` that are about installing, and when it starts.
#[derive(Args, Debug)]
pub(crate) struct Attach {
    /// The portable: an http or https address, an image, a directory, or the name of one that is here or offered
    #[arg(value_name = "WHAT")]
    what: String,
    /// Attach only the units of these names, or whose names begin so, followed by `.`, `-` or `@` [default: all]
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Start it now
    #[arg(long)]
    now: bool,
    /// Start it at every boot
    #[arg(long)]
    enable: bool,
    /// Attach it until the next reboot only
    #[arg(long)]
    runtime: bool,
    #[command(flatten)]
    install: InstallOptions,
}

impl Run for Attach {
    fn run(mut self, context: &Context) -> Result<u8> {
        check_prefixes(&self.what, &self.prefixes)?;
        let source = source::of(context, &self.what)?;
        if let Source::Unit(word) = &source {
            return Err(nothing_to_attach(context, word));
        }
        self.install.choices.prefixes = Some(self.prefixes);
        self.install.choices.runtime = Some(self.runtime);
        // What is not named is not laid over it; a reattach keeps what is.
        self.install.choices.extensions = Some(Vec::new());
        let attaching = Attaching {
            now: self.now,
            enable: self.enable,
        };
        Start::attach(context, source, self.install, attaching)
    }
}

/// What looks like a second portable is no unit's name.
fn check_prefixes(what: &str, prefixes: &[String]) -> Result<()> {
    let is_image = |word: &&String| {
        word.contains('/') || [".raw", ".psi"].iter().any(|ending| word.ends_with(ending))
    };
    match prefixes.iter().find(is_image) {
        None => Ok(()),
        Some(word) => Err(hint(
            format!("{word} is no unit's name: after the portable come names of its units"),
            format!(
                "one portable is attached at a time: `coracle attach {what}`, then `coracle attach {word}`"
            ),
        )),
    }
}

/// Where was looked for a name, and by which rule.
fn nothing_to_attach(context: &Context, word: &str) -> anyhow::Error {
    let places = context.directories.portable_path.display().to_string();
    let places = match places.as_str() {
        "" => "this instance has no directories of images (--portable-path)".to_owned(),
        places => format!(
            "there is no {word}.raw, {word}_VERSION.raw, {word}.psi, {word}.v or directory {word} in {places}"
        ),
    };
    hint(
        format!("there is no portable {word:?} here, and {places}"),
        "name an image by its path or address; `coracle list` lists what is here and what is offered",
    )
}

/// Options of `reattach`.
#[derive(Args, Debug)]
pub(crate) struct Reattach {
    /// The portable: its name, for the newest version that is offered, or an address, an image or a directory of another version
    #[arg(value_name = "WHAT")]
    what: String,
    /// Attach only the units of these names, or whose names begin so [default: as before]
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Restart what runs of it, or start it where nothing does
    #[arg(long)]
    now: bool,
    /// With --now, how long what runs may finish what it is at, where the new version can start beside it [default: as the unit says]
    #[arg(long, value_name = "TIME", requires = "now")]
    drain: Option<String>,
    /// Start it at every boot
    #[arg(long)]
    enable: bool,
    /// Keep it attached until the next reboot only
    #[arg(long)]
    runtime: bool,
    #[command(flatten)]
    install: InstallOptions,
}

impl Run for Reattach {
    fn run(mut self, context: &Context) -> Result<u8> {
        check_prefixes(&self.what, &self.prefixes)?;
        // What can't be read is told before anything is done.
        let drain = Drain::of(self.drain.as_deref())?;
        let known = match meant(context, &self.what)? {
            Some(known) if is_attached(context, &known)? => Some(known),
            _ => None,
        };
        let Some(known) = known else {
            return Err(hint(
                format!(
                    "{} is not attached, so nothing of it can be replaced",
                    self.what
                ),
                format!(
                    "`coracle attach {}` attaches it; `coracle list` lists what is",
                    self.what
                ),
            ));
        };
        let source = match source::of(context, &self.what)? {
            Source::Stored(_) | Source::Unit(_) => source::newest(context, &known)?,
            other => other,
        };
        let ran = standing(context, purge::running(context, &known)?)?;
        if !self.prefixes.is_empty() {
            self.install.choices.prefixes = Some(self.prefixes);
        }
        self.install.choices.runtime = self.runtime.then_some(true);
        self.install.choices.must_be = Some(known.name.clone());
        let attaching = Attaching {
            now: self.now && ran.is_empty(),
            enable: self.enable,
        };
        let listening = Listening::of(context, &ran)?;
        let status = Start::attach(context, source, self.install, attaching)?;
        let renewal = self.now.then_some(&listening);
        let renewed = renew(context, &known.name, &ran, renewal, Some(drain))?;
        Ok(status.max(renewed))
    }
}

/// Which of the units that ran the attached files have, instances of their templates among them, and which they no longer have.
///
/// # Errors
/// When it can't be read what is attached.
pub(super) fn kept_and_gone(
    context: &Context,
    name: &str,
    ran: &[String],
) -> Result<(Vec<String>, Vec<String>)> {
    let units = delivery::attached::units(&context.directories.state, name)?;
    let is_there = |unit: &String| {
        let template = unit
            .parse()
            .ok()
            .and_then(|unit: model::UnitName| unit.template());
        units.contains(unit)
            || template.is_some_and(|template| units.iter().any(|one| *one == template.as_str()))
    };
    Ok(ran.iter().cloned().partition(is_there))
}

/// What ran goes on from the new files, and what these no longer have ends, where that is wanted now; sockets that were `open` stay so where the files still
/// ask for them so. With a drain time services that allow it are replaced, not stopped before.
pub(super) fn renew(
    context: &Context,
    name: &str,
    ran: &[String],
    open: Option<&Listening>,
    replace: Option<Drain>,
) -> Result<u8> {
    let (kept, gone) = kept_and_gone(context, name, ran)?;
    let Some(open) = open else {
        if !ran.is_empty() {
            context.narrate(&format!(
                "{} still from what was attached before: `coracle restart {name}` changes that",
                plain(&match ran {
                    [one] => format!("{one} runs"),
                    several => format!("{} run", several.join(", ")),
                })
            ));
        }
        return Ok(0);
    };
    let options = JobOptions {
        job_mode: "replace".to_owned(),
        replace,
        ..JobOptions::default()
    };
    let mut status = 0;
    if !gone.is_empty() {
        status = jobs::stop(context, &gone, &options)?;
    }
    let kept = open.to_restart(context, &kept)?;
    if !kept.is_empty() {
        status = status.max(restart(context, &kept, &options)?);
        if status == 0 && !context.globals.quiet {
            say(&plain(&format!("restarted {}", kept.join(", "))));
        }
    }
    Ok(status)
}

/// A socket does not come up beside a service that runs without it: where one is among them all go down first, sockets before the services that they would start again.
fn restart(context: &Context, units: &[String], options: &JobOptions) -> Result<u8> {
    let (mut sockets, mut others): (Vec<String>, Vec<String>) =
        (units.iter().cloned()).partition(|unit| unit.ends_with(".socket"));
    if sockets.is_empty() {
        return jobs::queue(context, RestartUnit, units, options);
    }
    let mut status = jobs::stop(context, &sockets, options)?;
    // No name would be wrong use.
    if !others.is_empty() {
        status = status.max(jobs::stop(context, &others, options)?);
    }
    sockets.append(&mut others);
    Ok(status.max(jobs::queue(context, StartUnit, &sockets, options)?))
}

/// Options of `is-attached`.
#[derive(Args, Debug)]
pub(crate) struct IsAttached {
    /// The portable: its name, or the image or directory that it came from
    #[arg(value_name = "WHAT")]
    what: String,
}

/// What is known here, and attached.
const ATTACHED: u8 = 0;
const DETACHED: u8 = 1;
/// As `status` has it for units that are not there.
const NO_SUCH: u8 = 4;

/// The answer to a program.
#[derive(Serialize)]
struct Answer<'a> {
    name: &'a str,
    version: &'a str,
    state: &'a str,
    attached: bool,
}

impl Run for IsAttached {
    fn run(self, context: &Context) -> Result<u8> {
        let Some(portable) = meant(context, &self.what)? else {
            return nothing_known(context, &self.what);
        };
        let state = state(context, &portable)?;
        let is_attached = state != "detached";
        if context.globals.json {
            say_json(&Answer {
                name: &portable.name,
                version: &portable.current,
                state: &state,
                attached: is_attached,
            })?;
        } else if !context.globals.quiet {
            say(&state);
        }
        Ok(if is_attached { ATTACHED } else { DETACHED })
    }
}

/// What is only offered is not attached; of anything else it can't be said.
fn nothing_known(context: &Context, what: &str) -> Result<u8> {
    let is_offered = !matches!(source::of(context, what), Ok(Source::Unit(_)) | Err(_));
    if !is_offered {
        complain(&none_here(what).to_string());
        return Ok(NO_SUCH);
    }
    if context.globals.json {
        say_json(&Answer {
            name: what,
            version: "",
            state: "detached",
            attached: false,
        })?;
    } else if !context.globals.quiet {
        say("detached");
    }
    Ok(DETACHED)
}

/// `detached`, or `attached`, `enabled` (it starts at boot) or `running`, with `-runtime` where that ends with the next reboot.
fn state(context: &Context, portable: &Portable) -> Result<String> {
    if !is_attached(context, portable)? {
        return Ok("detached".to_owned());
    }
    let units = list::state(context, portable)?;
    let word = match units.as_str() {
        "active" | "activating" | "deactivating" | "reloading" => "running",
        _ if portable.enabled => "enabled",
        _ => "attached",
    };
    let ending = if portable.runtime { "-runtime" } else { "" };
    Ok(format!("{word}{ending}"))
}
