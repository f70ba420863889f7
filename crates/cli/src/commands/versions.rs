//! `versions`, `hold`, `unhold`, `gc`: what is stored of portables, and what stays.

use std::borrow::Cow;

use anyhow::Result;
use clap::Args;
use delivery::channel::Moment;
use delivery::portables::{Portable, Version};
use delivery::store::Store;
use model::version::compare;
use serde::Serialize;

use super::upgrade::{KEEP, note};
use crate::context::Context;
use crate::listing;
use crate::portable::{meant, none_here, records, referenced};
use crate::terminal::{one_line, plain, say, size};
use crate::verbs::Run;

/// Options of `versions`.
#[derive(Args, Debug)]
pub(crate) struct Versions {
    /// A portable that is here
    #[arg(value_name = "NAME")]
    name: String,
}

/// One line.
#[derive(Serialize)]
struct Line {
    version: String,
    state: &'static str,
    installed: String,
    bytes: Option<u64>,
    image: String,
    taken_back: Option<String>,
}

impl Run for Versions {
    fn run(self, context: &Context) -> Result<u8> {
        let portable = meant(context, &self.name)?.ok_or_else(|| none_here(&self.name))?;
        let store = Store::open(&context.directories.state)?;
        let mut lines: Vec<Line> = portable
            .versions
            .iter()
            .map(|(number, version)| line(&store, &portable, number, version))
            .collect();
        lines.sort_by(|a, b| compare(&b.version, &a.version));
        listing::print(
            &lines,
            &[
                ("VERSION", |line| Cow::Borrowed(&line.version)),
                ("STATE", |line| Cow::Borrowed(line.state)),
                ("INSTALLED", |line| Cow::Borrowed(&line.installed)),
                ("SIZE", |line| {
                    line.bytes.map_or("-".to_owned(), size).into()
                }),
                ("IMAGE", |line| Cow::Borrowed(&line.image)),
                ("WHY", |line| {
                    Cow::Borrowed(line.taken_back.as_deref().unwrap_or_default())
                }),
            ],
            &context.globals,
        )?;
        Ok(0)
    }
}

fn line(store: &Store, portable: &Portable, number: &str, version: &Version) -> Line {
    let length = |digest| store.path(&digest).metadata().ok().map(|found| found.len());
    Line {
        version: number.to_owned(),
        state: state(portable, number, version),
        installed: Moment(version.installed_us / 1_000_000).to_string(),
        bytes: version.image.and_then(length),
        image: version.image.map_or_else(
            || {
                let directory = version.directory.as_ref();
                directory.map_or("-".to_owned(), |path| path.display().to_string())
            },
            |digest| digest.to_string(),
        ),
        taken_back: version.taken_back.clone(),
    }
}

/// `current`, `on trial` (it has not proven yet that it works), `healthy` (it was seen to work), `taken back`, or `stored`.
fn state(portable: &Portable, number: &str, version: &Version) -> &'static str {
    match version {
        _ if portable.current == number && portable.trial.is_some() => "on trial",
        _ if portable.current == number && portable.held => "current, held",
        _ if portable.current == number => "current",
        Version {
            taken_back: Some(_),
            ..
        } => "taken back",
        Version { healthy: true, .. } => "healthy",
        _ => "stored",
    }
}

/// Options of `hold` and `unhold`.
#[derive(Args, Debug)]
pub(crate) struct Hold {
    /// Portables that are here
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// The same.
#[derive(Args, Debug)]
pub(crate) struct Unhold {
    /// Portables that are here
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Run for Hold {
    fn run(self, context: &Context) -> Result<u8> {
        set_held(context, &self.names, true)
    }
}

impl Run for Unhold {
    fn run(self, context: &Context) -> Result<u8> {
        set_held(context, &self.names, false)
    }
}

fn set_held(context: &Context, names: &[String], held: bool) -> Result<u8> {
    for word in names {
        let portable = meant(context, word)?.ok_or_else(|| none_here(word))?;
        note(context, &portable.name, |portable| portable.held = held)?;
    }
    Ok(0)
}

/// Options of `gc`.
#[derive(Args, Debug)]
pub(crate) struct Gc {
    /// How many versions of each portable stay
    #[arg(long, value_name = "NUMBER", default_value_t = KEEP, value_parser = clap::value_parser!(u16).range(1..=256))]
    keep: u16,
}

impl Run for Gc {
    fn run(self, context: &Context) -> Result<u8> {
        let keep = usize::from(self.keep);
        for portable in records(context).list()? {
            let name = portable.name.as_str();
            // What is being upgraded needs the version that it may have to go back to.
            let Some(_own) = records(context).upgrading(name)? else {
                context.narrate(&format!(
                    "{} is being upgraded and stays as it is",
                    plain(name)
                ));
                continue;
            };
            let mut gone = Vec::new();
            note(context, name, |portable| gone = portable.keep_newest(keep))?;
            for version in gone {
                say(&format!("{} {}", plain(name), one_line(&version)));
            }
        }
        let store = Store::open(&context.directories.state)?;
        let removed = store.collect(|| referenced(context))?;
        if !context.globals.quiet {
            context.narrate(&format!("{} images removed", removed.len()));
        }
        Ok(0)
    }
}
