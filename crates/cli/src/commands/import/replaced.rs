//! `import --replace`: the portable that is here is noted whole, another takes its place, and it is back unless that one works.

use std::time::Duration;

use anyhow::Result;
use delivery::portables::{Held, Portable};

use super::{Import, set_up, settings};
use crate::commands::attach::kept_and_gone;
use crate::commands::start::InstallOptions;
use crate::commands::upgrade::{KEEP, begin, end_trial, healthy, note, tell_units, tidy};
use crate::context::Context;
use crate::failure::hint;
use crate::moving::arrived::Arrived;
use crate::moving::former::{self, Finder, go_back, start, stop};
use crate::moving::manifest::{DropIn, Manifest, Portable as Carried};
use crate::moving::put::Planted;
use crate::moving::{pack, places};
use crate::portable::listening::standing;
use crate::portable::proof::Trouble;
use crate::portable::{current_units, existing, held_in_trial, proof, purge, reattach, records};
use crate::terminal::{Paint, ask, can_ask, complain, directories, one_line, plain, say};

/// What is here, as it was looked at.
pub(super) struct Replaced {
    pub(super) known: Portable,
    ran: Vec<String>,
}

impl Replaced {
    /// Notes all of it, held as it is, before anything is changed.
    pub(super) fn note(
        &self,
        context: &Context,
        planted: &mut Planted<'_>,
        held: &Held,
        known: Option<&Portable>,
        coming: &[DropIn],
    ) -> Result<()> {
        let name = &self.known.name;
        let known = known.ok_or_else(|| {
            hint(
                format!("another command has removed {name} meanwhile"),
                "`coracle import` without --replace imports it",
            )
        })?;
        let former = former::of(context, known, &self.ran, coming)?;
        planted.begin_replacement(held, former)
    }

    /// What was set here holds no longer where what was set over there does.
    pub(super) fn forget_choices(&self, install: &mut InstallOptions) {
        install.choose_profile("default");
        install.choices.extensions = Some(Vec::new());
    }
}

/// Directories of a user that stays lie elsewhere than those of one that is another at each start, and a start that moves them can't be taken back.
pub(super) fn check_users(arrived: &Arrived, is_dynamic: bool) -> Result<()> {
    for directory in &arrived.manifest.directories {
        let public = directory.path.as_str();
        let (Some(wanted), Some(other)) = (
            places::real(public, is_dynamic),
            places::real(public, !is_dynamic),
        ) else {
            continue;
        };
        let is_private = wanted.to_str() != Some(public);
        let is_there = wanted == other && wanted.symlink_metadata().is_ok();
        if is_there && is_private != is_dynamic && !places::is_configuration(public) {
            let (here, coming) = match is_dynamic {
                true => ("a user that stays", "a dynamic one"),
                false => ("a dynamic user", "one that stays"),
            };
            return Err(hint(
                format!("{public} is of {here}, and what is imported has {coming}"),
                "nothing was changed; `coracle purge` removes what is here, and then it can be imported",
            ));
        }
    }
    Ok(())
}

impl Import {
    /// Takes the place of the portable that is here: stopped, exchanged, started, watched, and only then for good.
    pub(super) fn take_place(
        mut self,
        context: &Context,
        arrived: &Arrived,
        carried: &Carried,
    ) -> Result<u8> {
        let name = arrived.manifest.name.as_str();
        let _own = begin(context, name)?;
        let known = end_trial(context, existing(context, name)?)?;
        if known.held {
            return Err(hint(
                format!("{name} is held at {}", known.current),
                format!("`coracle unhold {name}` lets another version take its place"),
            ));
        }
        let here = settings(&pack::carried(context, &known)?);
        self.agree_to_replace(context, &known, arrived)?;
        let takes_settings = self.agree(name, carried, Some(&here))?;
        let ran = standing(context, purge::running(context, &known)?)?;
        let replaced = Replaced { known, ran };
        let planted = self.install(context, arrived, carried, takes_settings, Some(&replaced));
        let outcome = planted.and_then(|planted| {
            let planted = self.exchange(context, carried, planted, &replaced, takes_settings)?;
            let trouble = self.trouble(context, name, &replaced)?;
            if trouble.is_none() {
                planted.settle()?;
            }
            Ok(trouble)
        });
        match outcome {
            Ok(None) => {}
            Ok(Some(trouble)) => return taken_back(context, &replaced.known, &trouble),
            Err(error) => {
                after_failure(context, &replaced.known)?;
                return Err(error);
            }
        }
        let version = existing(context, name)?.current;
        if !replaced.ran.is_empty() || self.now {
            note(context, name, |portable| healthy(portable, &version))?;
        }
        tidy(context, name, KEEP)?;
        if !context.globals.quiet {
            say(&format!(
                "{} {} → {} with {}, set as {}",
                plain(name),
                plain(&replaced.known.current),
                plain(&version),
                directories(arrived.manifest.directories.len()),
                if takes_settings {
                    "over there"
                } else {
                    "before"
                }
            ));
        }
        Ok(0)
    }

    /// On a terminal it is asked for itself, unless the command line says what becomes of the settings, too, and nothing is to be asked.
    fn agree_to_replace(
        &self,
        context: &Context,
        known: &Portable,
        arrived: &Arrived,
    ) -> Result<()> {
        if self.as_exported || self.without_settings || !can_ask() {
            return Ok(());
        }
        let is_watched = self.now || !purge::running(context, known)?.is_empty();
        complain(&what_is_replaced(
            known,
            &arrived.manifest,
            is_watched.then_some(self.healthy_for),
        ));
        let name = plain(&known.name);
        if ask(&format!("replace {name} with all that it has stored?"))? {
            return Ok(());
        }
        Err(hint(
            format!("{name} stays at {}, and nothing was changed", known.current),
            format!(
                "`coracle export {name}` keeps a copy of what is here, with what it has stored"
            ),
        ))
    }

    /// With the record of the new one there, everything else of it, while nothing runs.
    fn exchange<'c>(
        &self,
        context: &Context,
        carried: &Carried,
        mut planted: Planted<'c>,
        replaced: &Replaced,
        takes_settings: bool,
    ) -> Result<Planted<'c>> {
        let name = replaced.known.name.as_str();
        // What a connection started meanwhile goes, too.
        let runs = purge::running(context, &existing(context, name)?)?;
        stop(context, name, &runs)?;
        let (held, mut portable) = held_in_trial(context, name)?;
        planted.check_own(&portable)?;
        planted.exchange()?;
        if takes_settings {
            records(context).remove_drop_ins(name)?;
            set_up(context, &mut portable, carried)?;
        }
        held.put(&portable)?;
        drop(held);
        reattach(context, &portable)?;
        purge::reload(context)?;
        Ok(planted)
    }

    /// Starts what ran, and with `--now` all of it; says what is wrong with it, if anything is.
    fn trouble(
        &self,
        context: &Context,
        name: &str,
        replaced: &Replaced,
    ) -> Result<Option<Trouble>> {
        let (mut units, _) = kept_and_gone(context, name, &replaced.ran)?;
        if self.now {
            units = current_units(&existing(context, name)?);
        }
        if units.is_empty() {
            return Ok(None);
        }
        let status = start(context, &units)?;
        let span = Duration::from_secs(self.healthy_for.into());
        proof::prove(context, name, &units, status, span)
    }
}

/// What an import is about to do to what is here, where it has to work for so many seconds; none: nothing of it is started.
fn what_is_replaced(known: &Portable, manifest: &Manifest, healthy_for_s: Option<u32>) -> String {
    let (name, current) = (plain(&known.name), plain(&known.current));
    let (version, stored) = (
        plain(&manifest.version),
        directories(manifest.directories.len()),
    );
    let until = match healthy_for_s {
        Some(seconds) => format!("the new one has worked for {seconds} s"),
        None => "the new one is in its place, as nothing of it runs".to_owned(),
    };
    format!(
        "{name} {current} is here. {name} {version} takes its place, and what is stored here is replaced by what the archive has ({stored}). What is here is kept until {until}, and then gone."
    )
}

fn taken_back(context: &Context, known: &Portable, trouble: &Trouble) -> Result<u8> {
    let text = format!(
        "what was imported is taken back, and {} {} comes back as it was: {}",
        plain(&known.name),
        plain(&known.current),
        one_line(&trouble.why)
    );
    complain(&format!("{} {text}", Paint::Yellow.on("warning:")));
    let back = go_back(context, &known.name, Finder::Command);
    // Also where that failed: what is told is why the new one did not stay.
    tell_units(context, Some(trouble), &text);
    back?;
    Ok(1)
}

/// Where nothing was begun there is nothing to go back to, and where the other one is proven it stays.
fn after_failure(context: &Context, known: &Portable) -> Result<()> {
    if records(context).former(&known.name)?.is_none() {
        return Ok(());
    }
    complain(&format!(
        "{} {} {} comes back as it was",
        Paint::Yellow.on("import failed:"),
        plain(&known.name),
        plain(&known.current)
    ));
    if let Err(error) = go_back(context, &known.name, Finder::Command) {
        let next = format!("`coracle start {}` goes on with that", known.name);
        crate::failure::tell(&hint(format!("not all of it is back: {error:#}"), next));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use delivery::portables::Trust;

    use super::*;
    use crate::moving::manifest::Kind;

    #[test]
    fn it_is_told_what_goes_and_when() {
        let mut known = Portable::new("boat".to_owned(), Trust::Signed);
        known.current = "1".to_owned();
        let manifest = Manifest::new(Kind::Export, "boat", "2");
        let told = |healthy_for_s| what_is_replaced(&known, &manifest, healthy_for_s);
        assert_eq!(
            told(Some(10)),
            "boat 1 is here. boat 2 takes its place, and what is stored here is replaced by what the archive has (0 directories). What is here is kept until the new one has worked for 10 s, and then gone."
        );
        assert!(told(None).contains("nothing of it runs, and then gone"));
    }
}
