//! `security`: how exposed services are, line by line.

use anyhow::Result;
use clap::Args;
use model::{Unit, UnitKind};
use std::os::unix::fs::MetadataExt;
use wire::methods::{Cat, ListUnits};
use wire::{ListUnitsRequest, NamesRequest};

use crate::context::{Context, Directories};
use crate::exposure::{Line, Score, Subject, tenths};
use crate::failure::hint;
use crate::listing;
use crate::terminal::{Paint, say, say_json};
use crate::verbs::Run;

/// The highest score, in tenths.
const EXPOSURE_MAX: u32 = 100;

/// Options of `security`.
#[derive(Args, Debug)]
pub(crate) struct Security {
    /// Services, portables, or paths of unit files; none: all services
    #[arg(value_name = "UNIT")]
    units: Vec<String>,
    /// Read files, and ask no manager what is loaded
    #[arg(long)]
    offline: bool,
    /// Fail where a service's exposure is above this, in tenths: 0 to 100
    #[arg(long, value_name = "N", default_value_t = EXPOSURE_MAX, value_parser = clap::value_parser!(u32).range(0..=100))]
    threshold: u32,
}

impl Run for Security {
    fn run(self, context: &Context) -> Result<u8> {
        let (units, is_whole) = self.chosen(context)?;
        let is_of_user = is_of_user(&context.directories);
        let mut scores = Vec::new();
        for unit in units {
            scores.push(Subject::new(unit, is_of_user).score());
        }
        if context.globals.json {
            say_json(&scores)?;
        } else if self.units.is_empty() {
            overview(context, &scores)?;
        } else {
            for (index, score) in scores.iter().enumerate() {
                if index > 0 {
                    say("");
                }
                whole(context, score)?;
            }
        }
        let is_above = |score: &Score| score.exposure > self.threshold;
        Ok(u8::from(!is_whole || scores.iter().any(is_above)))
    }
}

impl Security {
    /// The units, and whether there is none of them that could not be had; that is told.
    fn chosen(&self, context: &Context) -> Result<(Vec<Unit>, bool)> {
        let (mut units, mut is_whole) = (Vec::new(), true);
        if self.units.is_empty() {
            for name in self.all(context)? {
                match self.found(context, &name) {
                    Ok(loaded) if loaded.state == load::LoadState::Loaded => {
                        units.push(loaded.unit);
                    }
                    // What has no file any more, or a wrong one, is left out where nobody asked for it by name.
                    Ok(_) => {}
                    Err(error) => {
                        crate::failure::tell(&error.context(format!("{name} has no score")));
                        is_whole = false;
                    }
                }
            }
            return Ok((units, is_whole));
        }
        for given in &self.units {
            if given.contains('/') {
                units.push(service(crate::check::from_file(given.as_ref())?.unit)?);
                continue;
            }
            let names = if self.offline {
                vec![given.clone()]
            } else {
                crate::portable::units_of(context, std::slice::from_ref(given))?
            };
            for name in names {
                units.push(service(self.named(context, &name)?)?);
            }
        }
        Ok((units, is_whole))
    }

    /// The names of all services: those in memory, or those that have files.
    fn all(&self, context: &Context) -> Result<Vec<String>> {
        if self.offline {
            let loader = crate::check::loader(context);
            let names = loader.names();
            let services =
                names.filter(|name| name.kind() == UnitKind::Service && !name.is_template());
            return Ok(services.map(ToString::to_string).collect());
        }
        let request = ListUnitsRequest {
            names: Vec::new(),
            states: Vec::new(),
            kinds: vec!["service".to_owned()],
            all: true,
        };
        let units = context.connect()?.call(ListUnits, &request)?.units;
        let loaded = units.into_iter().filter(|unit| unit.load == "loaded");
        Ok(loaded.map(|unit| unit.name).collect())
    }

    fn named(&self, context: &Context, name: &str) -> Result<Unit> {
        let loaded = self.found(context, name)?;
        let unit = loaded.unit.name().to_string();
        match loaded.state {
            load::LoadState::Loaded => Ok(loaded.unit),
            load::LoadState::NotFound => Err(wire::Failure::NoSuchUnit { unit }.into()),
            state => Err(hint(
                format!("{unit} is {state}"),
                format!("`coracle verify {name}` says what is wrong"),
            )),
        }
    }

    /// A unit by its files, with the drop-ins by which a portable's was judged; one without files here as the manager has it, line by
    /// line.
    fn found(&self, context: &Context, name: &str) -> Result<load::Loaded> {
        let loaded = crate::check::from_path(context, name)?;
        if loaded.state != load::LoadState::NotFound || self.offline {
            return Ok(loaded);
        }
        let name = loaded.unit.name().clone();
        let names = vec![name.to_string()];
        let files = match context.connect()?.call(Cat, &NamesRequest { names }) {
            Ok(reply) => reply.files,
            Err(wire::ClientError::Failure(wire::Failure::NoSuchUnit { .. })) => return Ok(loaded),
            Err(error) => return Err(error.into()),
        };
        let texts = files.into_iter().map(|file| file.text + "\n");
        let text = texts.collect::<String>();
        let path = name.as_str().as_ref();
        let context = crate::check::specifiers();
        Ok(load::load_text(&name, path, text.as_bytes(), &context))
    }
}

/// Nothing in an instance of a user has privileges: its owner says so, whoever asks.
fn is_of_user(directories: &Directories) -> bool {
    let places = [&directories.runtime, &directories.config];
    let owner = places.iter().find_map(|path| path.metadata().ok());
    owner.is_some_and(|owner| owner.uid() != 0)
}

/// Other kinds of units start nothing, or what a service would.
fn service(unit: Unit) -> Result<Unit> {
    if unit.kind() == UnitKind::Service {
        return Ok(unit);
    }
    Err(hint(
        format!(
            "{} is no service, and only services have a score",
            unit.name()
        ),
        "name the service that it belongs to",
    ))
}

fn overview(context: &Context, scores: &[Score]) -> Result<()> {
    let columns: &[listing::Column<Score>] = &[
        ("UNIT", |score| score.unit.as_str().into()),
        ("EXPOSURE", |score| tenths(score.exposure).into()),
        ("RATING", |score| score.rating.into()),
    ];
    listing::print(scores, columns, &context.globals)
}

fn whole(context: &Context, score: &Score) -> Result<()> {
    let columns: &[listing::Column<Line>] = &[
        ("", |line| mark(line).into()),
        ("DIRECTIVE", |line| line.name.into()),
        ("REASON", |line| line.reason.as_str().into()),
        ("WEIGHT", |line| line.weight.to_string().into()),
        ("EXPOSURE", |line| match line.badness {
            Some(badness) if badness > 0 => tenths(line.exposure).into(),
            _ => "".into(),
        }),
    ];
    listing::print(&score.lines, columns, &context.globals)?;
    let total = format!("{} {}", tenths(score.exposure), score.rating);
    let painted = match score.exposure {
        75.. => Paint::Red.on(&total),
        50.. => Paint::Yellow.on(&total),
        _ => Paint::Green.on(&total),
    };
    say(&format!("\n{}: exposure {painted}", score.unit));
    Ok(())
}

fn mark(line: &Line) -> &'static str {
    match line.badness {
        None => " ",
        Some(0) => "✓",
        Some(_) => "✗",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn an_instance_is_its_owners_whoever_asks() {
        let folder = tempfile::tempdir().unwrap();
        let others = folder.path().join("others");
        std::fs::create_dir(&others).unwrap();
        // Of nobody else it would be root's.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&others, Some(65534), None).unwrap();
        }
        let (root, none) = (Path::new("/"), folder.path().join("none"));
        for (runtime, config, expected) in [
            (root, others.as_path(), false),
            (others.as_path(), root, true),
            // Before its first start.
            (&none, others.as_path(), true),
            (&none, root, false),
            (&none, &none, false),
        ] {
            let directories = Directories {
                runtime: runtime.into(),
                state: none.clone(),
                config: config.into(),
                unit_path: none.clone(),
                portable_path: none.clone(),
            };
            assert_eq!(is_of_user(&directories), expected, "{directories:?}");
        }
    }
}
