//! `upgrade`: another version takes the place of the current one, and goes again where it does not work.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use delivery::channel::{Release, Seen, place_of};
use delivery::portables::{Portable, Upgrading};
use delivery::store::Store;
use serde::Serialize;
use wire::methods::{ResetFailed, TellTakenBack};
use wire::{NamesRequest, TakenBackRequest, UnitStatus};

use super::attach::{kept_and_gone, renew};
use super::jobs::{self, Drain, JobOptions};
use super::start::{Attaching, InstallOptions, Start};
use crate::context::Context;
use crate::failure::hint;
use crate::moving::former::{Finder, recover};
use crate::portable::listening::{Listening, standing};
use crate::portable::proof::Trouble;
use crate::portable::source::{self, Offered, Source};
use crate::portable::{
    channel, existing, existing_held, is_attached, meant, none_here, offered, proof, purge,
    records, referenced, schedule,
};
use crate::terminal::{Paint, complain, one_line, plain, say, say_json, size};
use crate::verbs::Run;

/// How many versions of a portable are kept where nothing else is said.
pub(super) const KEEP: u16 = 3;

/// Options of `upgrade`.
#[derive(Args, Debug)]
pub(crate) struct Upgrade {
    /// Portables that are here
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "reschedule"])]
    names: Vec<String>,
    /// All portables that came from an address and are not held
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// As the timer does it: not while a default route goes over an interface that delivery.toml has among its metered ones
    #[arg(long, requires = "all")]
    automatic: bool,
    /// Take the schedule in delivery.toml over into coracle-upgrade.timer, and upgrade nothing
    #[arg(long, conflicts_with_all = ["names", "all"])]
    reschedule: bool,
    /// Tell what is new, and change nothing
    #[arg(long)]
    check: bool,
    /// Try a version again that was taken back
    #[arg(long)]
    retry: bool,
    /// How long the new version has to work before it stays, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    healthy_for: u32,
    /// How many versions are kept
    #[arg(long, value_name = "NUMBER", default_value_t = KEEP, value_parser = clap::value_parser!(u16).range(2..=256))]
    keep: u16,
    /// How long what runs may finish what it is at, where the new version can start beside it [default: as the unit says]
    #[arg(long, value_name = "TIME")]
    drain: Option<String>,
    #[command(flatten)]
    install: InstallOptions,
}

/// What `--check --json` tells of one portable.
#[derive(Serialize)]
struct News<'a> {
    name: &'a str,
    version: &'a str,
    newest: Option<&'a str>,
    bytes: Option<u64>,
    passed_over: &'a [String],
}

impl Run for Upgrade {
    fn run(self, context: &Context) -> Result<u8> {
        // What can't be read is told before anything is done.
        Drain::of(self.drain.as_deref())?;
        if self.reschedule {
            schedule::take_over(context, true)?;
            return Ok(0);
        }
        if self.automatic
            && let Some(interface) = schedule::metered(context)?
        {
            say(&format!(
                "nothing is upgraded: the default route goes over {}, which is metered",
                plain(&interface)
            ));
            return Ok(0);
        }
        if !self.all {
            let mut status = 0;
            for word in &self.names {
                let portable = meant(context, word)?.ok_or_else(|| none_here(word))?;
                status = status.max(self.one(context, &portable.name)?);
            }
            return Ok(status);
        }
        let mut status = 0;
        for portable in records(context).list()? {
            if portable.held {
                context.narrate(&format!(
                    "{} is held at {}",
                    plain(&portable.name),
                    plain(&portable.current)
                ));
                continue;
            }
            if !channel::is_address(&portable.origin) {
                continue;
            }
            // One that can't be upgraded does not keep the others from it.
            let outcome = self.one(context, &portable.name);
            status = status.max(outcome.unwrap_or_else(|error| {
                crate::failure::tell(
                    &error.context(format!("{} stays at {}", portable.name, portable.current)),
                );
                1
            }));
        }
        Ok(status)
    }
}

impl Upgrade {
    fn one(&self, context: &Context, name: &str) -> Result<u8> {
        let own = begin(context, name)?;
        // What another command did before is seen, and from here on none upgrades it.
        let portable = existing(context, name)?;
        if portable.held && !self.check {
            return Err(hint(
                format!("{name} is held at {}", portable.current),
                format!("`coracle unhold {name}` lets it be upgraded again"),
            ));
        }
        if !self.check && !is_attached(context, &portable)? {
            say(&format!(
                "{}, and stays so: `coracle attach {name}` attaches it",
                detached(&portable)
            ));
            return Ok(0);
        }
        let portable = if self.check {
            portable
        } else {
            end_trial(context, portable)?
        };
        let store = Store::open(&context.directories.state)?;
        let Some((source, newly)) = self.newer(context, &store, &portable)? else {
            return Ok(0);
        };
        drop(store);
        self.replace(context, &portable, (source, newly), &own)
    }

    /// What is newer than what is here, where it is to be taken; says so where that is nothing.
    fn newer(
        &self,
        context: &Context,
        store: &Store,
        portable: &Portable,
    ) -> Result<Option<(Source, Option<Seen>)>> {
        if !channel::is_address(&portable.origin) {
            let offer = self.offered(context, portable)?;
            return Ok(offer.map(|source| (source, None)));
        }
        let name = plain(&portable.name);
        let install = self.install.of_kept(portable);
        let found = channel::look(
            context,
            store,
            portable,
            install.fetch(),
            self.install.accept_signer(),
        )?;
        let (newest, passed) = offered::newer(&found.index, &portable.current);
        if self.check {
            self.tell(context, portable, newest, &passed)?;
            return Ok(None);
        }
        for passed in &passed {
            context.narrate(&format!("passed over: {}", one_line(passed)));
        }
        let Some(release) = newest else {
            say(&format!(
                "{name} {} is the newest",
                plain(&portable.current)
            ));
            return Ok(None);
        };
        let stored = portable.versions.get(&release.version);
        if let Some(why) = stored.and_then(|version| version.taken_back.as_ref())
            && !self.retry
        {
            say(&format!(
                "{name} stays at {}: {} was taken back ({}); --retry tries it again",
                plain(&portable.current),
                plain(&release.version),
                one_line(why)
            ));
            return Ok(None);
        }
        if stored.is_some_and(|version| version.image == Some(release.image.digest)) {
            let stored = Source::Version(portable.name.clone(), release.version.clone());
            return Ok(Some((stored, found.newly)));
        }
        let part = offered::smaller(release).clone();
        let source = Source::Release(Box::new(Offered {
            url: place_of(&found.url, &part).context("the channel has no address")?,
            part,
            release: release.clone(),
            origin: portable.origin.clone(),
        }));
        Ok(Some((source, found.newly)))
    }

    /// The same for what came from no address: there are only the places of images on this host.
    fn offered(&self, context: &Context, portable: &Portable) -> Result<Option<Source>> {
        let (name, current) = (plain(&portable.name), plain(&portable.current));
        let offer = source::newer(context, portable)?;
        if self.check && context.globals.json {
            say_json(&News {
                name: &portable.name,
                version: &portable.current,
                newest: offer.as_ref().map(|offer| offer.version.as_str()),
                bytes: None,
                passed_over: &[],
            })?;
            return Ok(None);
        }
        match offer {
            Some(offer) if self.check => {
                let (version, path) = (plain(&offer.version), offer.path.display());
                say(&format!(
                    "{name} {current} → {version} · {}",
                    plain(&path.to_string())
                ));
            }
            Some(offer) => return Ok(Some(source::of_offer(context, &portable.name, offer))),
            None => say(&format!(
                "{name} {current} came from {}, so there is no address to ask for a newer one, and no place of images here has one",
                one_line(&portable.origin)
            )),
        }
        Ok(None)
    }

    fn tell(
        &self,
        context: &Context,
        portable: &Portable,
        newest: Option<&Release>,
        passed: &[String],
    ) -> Result<()> {
        if context.globals.json {
            return say_json(&News {
                name: &portable.name,
                version: &portable.current,
                newest: newest.map(|release| release.version.as_str()),
                bytes: newest.map(|release| offered::smaller(release).bytes),
                passed_over: passed,
            });
        }
        let (name, current) = (plain(&portable.name), plain(&portable.current));
        say(&match newest {
            Some(release) => format!(
                "{name} {current} → {} · {}",
                plain(&release.version),
                size(offered::smaller(release).bytes)
            ),
            None => format!("{name} {current} is the newest"),
        });
        for passed in passed {
            say(&format!("  passed over: {}", one_line(passed)));
        }
        Ok(())
    }

    /// Puts the new version in the place of the current one, and lets it stay once it has worked for its time.
    fn replace(
        &self,
        context: &Context,
        portable: &Portable,
        (source, newly): (Source, Option<Seen>),
        _own: &Upgrading,
    ) -> Result<u8> {
        let (name, from) = (portable.name.as_str(), portable.current.as_str());
        let ran = standing(context, purge::running(context, portable)?)?;
        if !ran.is_empty() {
            let now = proof::status(context, &ran)?;
            if !now
                .iter()
                .any(|unit| proof::trouble(unit, u32::MAX).is_some())
            {
                note(context, name, |portable| healthy(portable, from))?;
            }
        }
        let open = Listening::of(context, &ran)?;
        let former = invocations(context, &ran)?;
        let mut install = self.install.of_kept(portable);
        install.choices.must_be = Some(name.to_owned());
        install.choices.trial = (!ran.is_empty()).then(|| from.to_owned());
        install.choices.returns = matches!(source, Source::Version(..));
        (install.choices.is_attached, install.choices.seen) = (true, newly);
        if let Err(error) = Start::attach(context, source, install, Attaching::default()) {
            // Where the units are the new ones already and the record is not, they are those of the record again.
            crate::portable::reattach(context, &existing(context, name)?)?;
            return Err(error);
        }
        let to = existing(context, name)?.current;
        if ran.is_empty() {
            tidy(context, name, self.keep)?;
            say(&format!(
                "{} {} → {} · nothing of it runs, so nothing was restarted",
                plain(name),
                plain(from),
                plain(&to)
            ));
            return Ok(0);
        }
        if let Some(why) = self.trouble(context, name, &ran, &open)? {
            // Who still runs as before was not stopped, and need not start again.
            let now = invocations(context, &ran)?;
            let changed =
                |unit: &String| !former.contains_key(unit) || former.get(unit) != now.get(unit);
            let ran: Vec<String> = ran.into_iter().filter(changed).collect();
            take_back(context, name, from, &ran, Some(&why))?;
            return Ok(1);
        }
        note(context, name, |portable| {
            portable.trial = None;
            healthy(portable, &to);
        })?;
        tidy(context, name, self.keep)?;
        say(&format!("{} {} → {}", plain(name), plain(from), plain(&to)));
        Ok(0)
    }

    /// What is wrong with the new version, if anything is.
    fn trouble(
        &self,
        context: &Context,
        name: &str,
        ran: &[String],
        open: &Listening,
    ) -> Result<Option<Trouble>> {
        let (kept, gone) = kept_and_gone(context, name, ran)?;
        if let Some(unit) = gone.first() {
            let version = existing(context, name)?.current;
            let why = format!(
                "{unit} ran, and {version} does not have it (stop it before, where nobody needs it, and say --retry)"
            );
            return Ok(Some(Trouble {
                unit: unit.clone(),
                why,
                has_failed: false,
            }));
        }
        let drain = Drain::of(self.drain.as_deref())?;
        let status = renew(context, name, ran, Some(open), Some(drain))?;
        let span = Duration::from_secs(self.healthy_for.into());
        proof::prove(context, name, &kept, status, span)
    }
}

/// Keeps so many versions, and of the others neither records nor images.
///
/// # Errors
/// When the record or the store can't be changed.
pub(super) fn tidy(context: &Context, name: &str, keep: u16) -> Result<()> {
    let keep = usize::from(keep);
    note(context, name, |portable| drop(portable.keep_newest(keep)))?;
    Store::open(&context.directories.state)?.collect(|| referenced(context))?;
    Ok(())
}

/// The invocations of the units that run.
fn invocations(context: &Context, units: &[String]) -> Result<BTreeMap<String, String>> {
    let now = proof::status(context, units)?.into_iter();
    let invocation = |unit: UnitStatus| Some((unit.name, unit.service?.invocation_id?));
    Ok(now
        .filter(|unit| unit.active != "inactive" && unit.active != "failed")
        .filter_map(invocation)
        .collect())
}

/// Begins an upgrade, which nobody else is at. What was cut before is gone on with.
///
/// # Errors
/// When another command is, or that can't be gone on with.
pub(super) fn begin(context: &Context, name: &str) -> Result<Upgrading> {
    let own = records(context).upgrading(name)?.ok_or_else(|| {
        hint(
            format!("another command is upgrading {name}"),
            "wait for its end; it changes nothing more after that",
        )
    })?;
    recover(context, name, Finder::Command)?;
    Ok(own)
}

pub(super) fn healthy(portable: &mut Portable, version: &str) {
    if let Some(version) = portable.versions.get_mut(version) {
        (version.healthy, version.taken_back) = (true, None);
    }
}

/// Changes a record.
pub(super) fn note(
    context: &Context,
    name: &str,
    change: impl FnOnce(&mut Portable),
) -> Result<()> {
    let (held, known) = existing_held(context, name)?;
    let mut changed = known.clone();
    change(&mut changed);
    if changed != known {
        held.put(&changed)?;
    }
    Ok(())
}

/// Goes back from a version whose proof was interrupted, by a power cut as a rule: whether it works nobody knows.
///
/// # Errors
/// When the former version is gone or can't be attached.
pub(super) fn end_trial(context: &Context, portable: Portable) -> Result<Portable> {
    let Some(from) = &portable.trial else {
        return Ok(portable);
    };
    let ran = standing(context, purge::running(context, &portable)?)?;
    take_back(context, &portable.name, from, &ran, None)?;
    existing(context, &portable.name)
}

/// The same at boot, where no upgrade is under way; says whether there is a version that may be started. Why not is told.
///
/// # Errors
/// As [`end_trial`].
pub(super) fn end_trial_at_boot(context: &Context, name: &str) -> Result<bool> {
    if existing(context, name)?.trial.is_none() {
        return Ok(true);
    }
    let Some(_own) = records(context).upgrading(name)? else {
        return Ok(true);
    };
    let portable = existing(context, name)?;
    let withdrawn = portable.trial.as_deref();
    let withdrawn = withdrawn.is_some_and(|former| portable.is_withdrawn(former));
    match end_trial(context, portable) {
        Err(error) if withdrawn => {
            crate::failure::tell(&error.context(format!("{name} is not started")));
            Ok(false)
        }
        other => other.map(|_| true),
    }
}

pub(super) fn detached(portable: &Portable) -> String {
    let (name, current) = (plain(&portable.name), plain(&portable.current));
    format!("{name} {current} is detached")
}

/// The former version again; why the newer one went is recorded, so that it is not tried again by itself.
fn take_back(
    context: &Context,
    name: &str,
    from: &str,
    ran: &[String],
    trouble: Option<&Trouble>,
) -> Result<()> {
    let known = existing(context, name)?;
    let why = trouble.map(|trouble| trouble.why.as_str());
    let said = why.unwrap_or("its proof was interrupted");
    if known.is_withdrawn(from) {
        let told = stop(context, &known, (from, ran), (why, said));
        tell_units(context, trouble, &told.to_string());
        return Err(told);
    }
    let newer = known.current;
    let text = format!(
        "{} {} is taken back, {} comes again: {}",
        plain(name),
        plain(&newer),
        plain(from),
        one_line(said)
    );
    complain(&format!("{} {text}", Paint::Yellow.on("warning:")));
    let going_back = || {
        let open = Listening::of(context, ran)?;
        back_to(context, name, from, ran)?;
        note(context, name, |portable| take_from(portable, &newer, why))?;
        match ran.is_empty() {
            true => Ok(0),
            false => renew(context, name, ran, Some(&open), Some(Drain::default())),
        }
    };
    let status = going_back();
    // Whatever became of that: it is what did not work that is told of.
    tell_units(context, trouble, &text);
    match status? {
        0 => Ok(()),
        _ => Err(hint(
            format!("{name} {from} does not start either"),
            format!("`coracle status {name}` and `coracle logs {name}` say why"),
        )),
    }
}

/// Puts it into the log of the unit that did not work, and lets its OnFailure= follow where it has not. What can't be told changes nothing of
/// what was done.
pub(super) fn tell_units(context: &Context, trouble: Option<&Trouble>, text: &str) {
    let Some(trouble) = trouble else { return };
    let told = || -> Result<()> {
        if let Some(mut client) = context.connect_if_running()? {
            let request = TakenBackRequest {
                unit: trouble.unit.clone(),
                text: format!("{text}."),
                follows: !trouble.has_failed,
            };
            client.call(TellTakenBack, &request)?;
        }
        Ok(())
    };
    if let Err(error) = told() {
        let follows = match trouble.has_failed {
            true => "",
            false => ", and its OnFailure= does not follow",
        };
        let unit = plain(&trouble.unit);
        let lost = format!("what happened is not in the log of {unit}{follows}");
        crate::failure::tell(&error.context(lost));
    }
}

/// Stops what has not proven that it works and has nothing to go back to, as the version before it was withdrawn.
fn stop(
    context: &Context,
    portable: &Portable,
    (from, ran): (&str, &[String]),
    (why, said): (Option<&str>, &str),
) -> anyhow::Error {
    let (name, newer) = (&portable.name, &portable.current);
    let stopped = || {
        note(context, name, |portable| {
            portable.trial = None;
            take_from(portable, newer, why);
        })?;
        let options = JobOptions {
            job_mode: "replace".to_owned(),
            ..JobOptions::default()
        };
        match ran.is_empty() || jobs::stop(context, ran, &options)? == 0 {
            true => Ok(()),
            false => Err(anyhow::anyhow!("{name} can't be stopped")),
        }
    };
    let told = hint(
        format!(
            "{name} {newer} is stopped ({said}), and {from} was withdrawn by its maker and does not come again"
        ),
        format!(
            "`coracle upgrade {name}` brings a newer version; `coracle start {name}` starts this one nevertheless"
        ),
    );
    match stopped() {
        Ok(()) => told,
        Err(error) => error.context(told.to_string()),
    }
}

/// Records why a version went, where that was its fault.
fn take_from(portable: &mut Portable, version: &str, why: Option<&str>) {
    if let (Some(version), Some(why)) = (portable.versions.get_mut(version), why) {
        version.taken_back = Some(why.to_owned());
        version.healthy = false;
    }
}

/// Attaches a version that is stored, with what was granted to it. What failed may start again at once.
pub(super) fn back_to(context: &Context, name: &str, version: &str, ran: &[String]) -> Result<()> {
    if let Some(mut client) = context.connect_if_running()?
        && !ran.is_empty()
    {
        let names = ran.to_vec();
        client.call(ResetFailed, &NamesRequest { names })?;
    }
    let mut install = InstallOptions::default();
    install.choices.must_be = Some(name.to_owned());
    install.choices.returns = true;
    install.choices.former_maker = true;
    install.choices.is_attached = true;
    let source = Source::Version(name.to_owned(), version.to_owned());
    Start::attach(context, source, install, Attaching::default())?;
    Ok(())
}
