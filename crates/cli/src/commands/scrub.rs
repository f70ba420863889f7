//! `scrub`: hashes what is stored again, so that what the disk changed is found before it runs.

use std::borrow::Cow;

use anyhow::Result;
use clap::Args;
use delivery::digest::Digest;
use delivery::portables::Portable;
use delivery::store::{Error, Store};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{hint, tell};
use crate::listing;
use crate::portable::{meant, none_here, records};
use crate::progress::{bar, show};
use crate::terminal::size;
use crate::verbs::Run;

/// Options of `scrub`.
#[derive(Args, Debug)]
pub(crate) struct Scrub {
    /// Portables that are here, with all of their versions and what is laid over them; without any, all stored images
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// An image, and who uses it.
#[derive(Debug, PartialEq, Eq)]
struct Used {
    digest: Digest,
    by: Vec<String>,
    /// Where it came from, where that is known.
    origin: Option<String>,
}

/// One line.
#[derive(Serialize)]
struct Line {
    image: String,
    state: &'static str,
    bytes: Option<u64>,
    used_by: Vec<String>,
    why: Option<String>,
}

impl Run for Scrub {
    fn run(self, context: &Context) -> Result<u8> {
        let store = Store::open(&context.directories.state)?;
        let portables = self.portables(context)?;
        for (portable, version) in directories(&portables) {
            context.narrate(&format!(
                "{portable} {version} is a directory, whose content is recorded nowhere"
            ));
        }
        let mut used = images(&portables);
        if self.names.is_empty() {
            for digest in store.list()? {
                if !used.iter().any(|one| one.digest == digest) {
                    let (by, origin) = (Vec::new(), None);
                    used.push(Used { digest, by, origin });
                }
            }
        }
        let bar = bar(context);
        let lines: Vec<Line> = used.iter().map(|one| scrubbed(&store, one, &bar)).collect();
        bar.finish_and_clear();
        for (line, one) in lines.iter().zip(&used) {
            complain(line, one);
        }
        let are_whole = lines.iter().all(|line| line.why.is_none());
        if !context.globals.quiet || context.globals.json {
            print(&lines, context)?;
        }
        Ok(u8::from(!are_whole))
    }
}

impl Scrub {
    fn portables(&self, context: &Context) -> Result<Vec<Portable>> {
        if self.names.is_empty() {
            return Ok(records(context).list()?);
        }
        let named = |name: &String| meant(context, name)?.ok_or_else(|| none_here(name));
        self.names.iter().map(named).collect()
    }
}

/// Versions that are directories.
fn directories(portables: &[Portable]) -> impl Iterator<Item = (&str, &str)> {
    portables.iter().flat_map(|portable| {
        let versions = portable.versions.iter();
        versions
            .filter(|(_, version)| version.directory.is_some())
            .map(|(number, _)| (portable.name.as_str(), number.as_str()))
    })
}

/// The images of portables, each once.
fn images(portables: &[Portable]) -> Vec<Used> {
    let mut all: Vec<Used> = Vec::new();
    let mut add = |digest: Digest, by: String, origin: Option<&String>| {
        let known = all.iter_mut().find(|one| one.digest == digest);
        match known {
            Some(known) => {
                known.by.push(by);
                known.origin = known.origin.take().or_else(|| origin.cloned());
            }
            None => all.push(Used {
                digest,
                by: vec![by],
                origin: origin.cloned(),
            }),
        }
    };
    for portable in portables {
        let name = &portable.name;
        for (number, version) in &portable.versions {
            // Where the others came from is not recorded.
            let origin = (*number == portable.current).then_some(&portable.origin);
            if let Some(digest) = version.image {
                add(digest, format!("{name} {number}"), origin);
            }
        }
        for layer in &portable.extensions {
            if let Some(digest) = layer.image {
                add(digest, format!("{name} ({})", layer.file), None);
            }
        }
    }
    all
}

fn scrubbed(store: &Store, used: &Used, bar: &ProgressBar) -> Line {
    let digest = used.digest;
    let length = store.path(&digest).metadata().map(|found| found.len());
    let all = length.as_ref().map_or(0, |length| *length);
    let outcome = store.scrub(&digest, &|done| show(bar, "hash", done, all));
    let state = match &outcome {
        Ok(_) => "whole",
        Err(Error::Missing { .. }) => "missing",
        Err(Error::Changed { .. }) => "damaged",
        Err(_) => "unreadable",
    };
    Line {
        image: digest.to_string(),
        state,
        bytes: length.ok(),
        used_by: used.by.clone(),
        why: outcome
            .err()
            .map(|error| format!("{:#}", anyhow::Error::from(error))),
    }
}

/// Says what is wrong with an image, whose it is, and how it comes again.
fn complain(line: &Line, used: &Used) {
    let Some(why) = &line.why else { return };
    let whose = match used.by.as_slice() {
        [] => "no portable uses it".to_owned(),
        by => format!("it is of {}", by.join(", ")),
    };
    let next = match (&used.origin, used.by.is_empty()) {
        (Some(origin), _) => format!(
            "what runs from it may meet the damage; attach it again from where it came from, {origin}"
        ),
        (None, false) => {
            "attach it again from where it came from; `coracle gc` removes versions that are not needed".to_owned()
        }
        (None, true) => "`coracle gc` removes it".to_owned(),
    };
    tell(&hint(format!("{why}: {whose}"), next));
}

fn print(lines: &[Line], context: &Context) -> Result<()> {
    let columns: &[listing::Column<Line>] = &[
        ("IMAGE", |line| Cow::Borrowed(&line.image)),
        ("STATE", |line| Cow::Borrowed(line.state)),
        ("SIZE", |line| {
            line.bytes.map_or("-".to_owned(), size).into()
        }),
        ("USED BY", |line| match line.used_by.as_slice() {
            [] => Cow::Borrowed("-"),
            by => by.join(", ").into(),
        }),
    ];
    listing::print(lines, columns, &context.globals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_several_use_is_hashed_once() {
        let digests = ["one", "two", "three"].map(|text| Digest::of(text.as_bytes()));
        let portable = |name: &str, versions: &[(&str, usize)]| -> Portable {
            let versions: serde_json::Map<_, _> = versions
                .iter()
                .map(|(number, image)| {
                    let version = serde_json::json!({
                        "image": digests[*image], "directory": null, "root_hash": null, "units": [], "installed_us": 1
                    });
                    ((*number).to_owned(), version)
                })
                .collect();
            let record = serde_json::json!({
                "name": name, "current": "2", "versions": versions, "signer": null, "trust": "insecure",
                "origin": format!("/srv/{name}.psi"), "grants": [],
                "extensions": [{ "file": "debug.raw", "image": digests[2] }]
            });
            serde_json::from_value(record).unwrap()
        };
        let found = images(&[
            portable("boat", &[("1", 0), ("2", 1)]),
            portable("ship", &[("2", 0)]),
        ]);
        let expected = [
            (0, vec!["boat 1", "ship 2"], Some("/srv/ship.psi")),
            (1, vec!["boat 2"], Some("/srv/boat.psi")),
            (2, vec!["boat (debug.raw)", "ship (debug.raw)"], None),
        ];
        let expected = expected.map(|(image, by, origin)| Used {
            digest: digests[image],
            by: by.into_iter().map(str::to_owned).collect(),
            origin: origin.map(str::to_owned),
        });
        assert_eq!(found, expected);
    }
}
