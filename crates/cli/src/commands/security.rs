//! `security`: how exposed services are, line by line.

use anyhow::Result;
use clap::Args;
use model::{Directive, Unit, UnitKind};
use wire::methods::{ListUnits, Show};
use wire::{ListUnitsRequest, ShowRequest};

use crate::context::Context;
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
        let is_of_user = !self.offline && !rustix::process::geteuid().is_root();
        let mut scores = Vec::new();
        for unit in self.chosen(context)? {
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
        Ok(u8::from(scores.iter().any(is_above)))
    }
}

impl Security {
    fn chosen(&self, context: &Context) -> Result<Vec<Unit>> {
        let mut units = Vec::new();
        if self.units.is_empty() {
            for name in self.all(context)? {
                // What has no file any more, or a wrong one, is left out where nobody asked for it by name.
                if let Ok(unit) = self.named(context, &name) {
                    units.push(unit);
                }
            }
            return Ok(units);
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
        Ok(units)
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

    /// A unit by its files, with the drop-ins by which a portable's was judged; one that was made at run time as the manager has it.
    fn named(&self, context: &Context, name: &str) -> Result<Unit> {
        let loaded = crate::check::from_path(context, name)?;
        match loaded.state {
            load::LoadState::Loaded => return Ok(loaded.unit),
            load::LoadState::NotFound if !self.offline => {}
            load::LoadState::NotFound => {
                return Err(wire::Failure::NoSuchUnit {
                    unit: loaded.unit.name().to_string(),
                }
                .into());
            }
            state => {
                return Err(hint(
                    format!("{} is {state}", loaded.unit.name()),
                    format!("`coracle verify {name}` says what is wrong"),
                ));
            }
        }
        let request = ShowRequest {
            names: vec![loaded.unit.name().to_string()],
            properties: Vec::new(),
        };
        let shown = context.connect()?.call(Show, &request)?.units;
        let properties = shown.into_iter().flat_map(|unit| unit.properties);
        let mut unit = loaded.unit;
        for (name, value) in properties {
            let section = Directive::named(&name)
                .find_map(|known| known.room().section_of(UnitKind::Service));
            let Some(section) = section else { continue };
            // A list of several lines is shown as one: a `~` begins the next line of a filter.
            for line in value
                .split(" ~")
                .enumerate()
                .map(|(index, line)| match index {
                    0 => line.to_owned(),
                    _ => format!("~{line}"),
                })
            {
                settings::apply(&mut unit, section, &name, &line, &model::text::Verbatim)?;
            }
        }
        Ok(unit)
    }
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
