//! `inspect`: what an image, a directory or a portable that is here says of itself.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use delivery::portables::Portable;
use delivery::store::Store;
use image::inspect::Report;
use image::luks::Encryption;
use image::tree::{Contents, UnitFile};
use image::worker::Workers;
use load::portable::PortableName;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::portable::source::{self, Source};
use crate::portable::{admit, consent, none_here, records};
use crate::terminal::{Paint, one_line, plain, say, say_json, size};
use crate::verbs::Run;

/// Options of `inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// An image, a directory, or the name of a portable that is here or offered
    #[arg(value_name = "WHAT")]
    what: String,
    /// Only the units of these names, or whose names begin so, followed by `.`, `-` or `@` [default: all]
    #[arg(value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Print os-release and the unit files, as they are in the image
    #[arg(long)]
    cat: bool,
}

/// What is looked at.
enum Object {
    Image(PathBuf),
    Directory(PathBuf),
}

/// What `--json` tells of a directory, which has nothing else.
#[derive(Serialize)]
struct OfDirectory<'a> {
    directory: &'a Path,
    contents: &'a Contents,
}

impl Run for Inspect {
    fn run(self, context: &Context) -> Result<u8> {
        match object(context, &self.what)? {
            Object::Image(path) => self.image(context, &path),
            Object::Directory(path) => self.directory(context, &path),
        }
    }
}

/// A path as it is; else what the store has of a portable's current version, or what is offered under the name.
fn object(context: &Context, what: &str) -> Result<Object> {
    if Path::new(what).is_file() {
        return Ok(Object::Image(what.into()));
    }
    Ok(match source::of(context, what)? {
        Source::File(path) => Object::Image(path),
        Source::Directory(path) => Object::Directory(path),
        Source::Stored(name) => stored(
            context,
            &records(context)
                .get(&name)?
                .ok_or_else(|| none_here(&name))?,
        )?,
        Source::Unit(name) | Source::Version(name, _) => return Err(none_here(&name)),
        Source::Release(offered) => return Err(none_here(&offered.url)),
        Source::Url(url) => {
            return Err(hint(
                format!("{url} is not here, and what is not here can't be looked at"),
                "fetch it first, or attach it: `coracle attach` asks before anything of it starts",
            ));
        }
    })
}

fn stored(context: &Context, portable: &Portable) -> Result<Object> {
    let version = portable.versions.get(&portable.current);
    let root = version.map(|version| (&version.image, &version.directory));
    match root {
        Some((Some(digest), _)) => {
            let store = Store::open(&context.directories.state)?;
            Ok(Object::Image(store.path(digest)))
        }
        Some((None, Some(directory))) => Ok(Object::Directory(directory.clone())),
        _ => Err(none_here(&portable.name)),
    }
}

impl Inspect {
    fn image(&self, context: &Context, path: &Path) -> Result<u8> {
        let file = admit::open(path)?;
        let length = file.metadata()?.len();
        if length > admit::IMAGE_MAX_BYTES {
            return Err(hint(
                format!(
                    "{} is an image of {length} bytes, of which all would have to be read",
                    path.display()
                ),
                "ask its maker whether it is meant to be that large; `coracle attach --max-size` takes it then",
            ));
        }
        let mut report = Workers::default().inspect(&file).or_hint(
            || format!("cannot inspect {}", path.display()),
            "it was damaged, or made to do harm: `coracle attach` would refuse it, too",
        )?;
        if let Some(contents) = &mut report.contents {
            self.select(contents)?;
        }
        if self.cat {
            let why = report
                .unreadable
                .as_deref()
                .unwrap_or("its file system is read only where it is mounted");
            let contents = report.contents.as_ref().ok_or_else(|| {
                hint(
                    format!("the files of {} can't be shown: {why}", path.display()),
                    "attach it, and `coracle cat` shows its units",
                )
            })?;
            return cat(context, contents);
        }
        if context.globals.json {
            say_json(&report)?;
            return Ok(0);
        }
        print(path, &report);
        Ok(u8::from(is_damaged(&report)))
    }

    fn directory(&self, context: &Context, path: &Path) -> Result<u8> {
        let mut contents = admit::directory(path)?.contents;
        self.select(&mut contents)?;
        if self.cat {
            return cat(context, &contents);
        }
        if context.globals.json {
            say_json(&OfDirectory {
                directory: path,
                contents: &contents,
            })?;
            return Ok(0);
        }
        field("Directory", &path.display().to_string());
        tell(&contents);
        Ok(0)
    }

    fn select(&self, contents: &mut Contents) -> Result<()> {
        if self.prefixes.is_empty() {
            return Ok(());
        }
        let wanted = |unit: &UnitFile| {
            self.prefixes
                .iter()
                .any(|prefix| *prefix == unit.name || image::tree::covers(prefix, &unit.name))
        };
        contents.units.retain(wanted);
        match contents.units.is_empty() {
            false => Ok(()),
            true => Err(hint(
                format!("no unit in it is called {}", self.prefixes.join(" or ")),
                "`coracle inspect` without names shows all of them",
            )),
        }
    }
}

/// The files as they are, harmless for a terminal; each after its name.
fn cat(context: &Context, contents: &Contents) -> Result<u8> {
    if context.globals.json {
        say_json(contents)?;
        return Ok(0);
    }
    say(&Paint::Dim.on("# os-release"));
    for (key, value) in &contents.os_release.0 {
        say(&plain(&format!("{key}={}", model::text::quote(value))));
    }
    for unit in &contents.units {
        say("");
        say(&Paint::Dim.on(&format!("# {}", one_line(&unit.name))));
        unit.text.lines().for_each(|line| say(&plain(line)));
    }
    Ok(0)
}

/// Whether it is not what its own root hash says; one without has nothing to be measured by.
fn is_damaged(report: &Report) -> bool {
    report.damage.is_some() && report.verity_bytes.is_some() && report.root_hash.is_some()
}

/// What it would ask for at its start, or why it would be refused.
fn asks(contents: &Contents) {
    let name = contents.os_release.name().map(PortableName::new);
    let Some(Ok(name)) = name else { return };
    let review = consent::read(contents, &name);
    if review.requests.is_empty() && review.refusals.is_empty() {
        field("Asks", "for nothing beyond the default sandbox");
    }
    for request in consent::unique(&review.requests) {
        field("Asks", &format!("to {} ({})", request.words, request.grant));
    }
    for refusal in &review.refusals {
        field("Refused", &refusal.to_string());
    }
}

fn print(image: &Path, report: &Report) {
    let length = size(report.length);
    field(
        "Image",
        &format!("{} · {length} · sha256:{}", image.display(), report.digest),
    );
    let kind = match report.file_system {
        Some(kind) => format!("{kind:?}"),
        None => "encrypted".to_owned(),
    };
    field("Root", &format!("{kind} · {}", size(report.root_bytes)));
    for (partition, encryption) in &report.encrypted {
        field("Encrypted", &encrypted(partition, encryption));
    }
    let hash = report.root_hash.as_ref().map(ToString::to_string);
    field("Root hash", hash.as_deref().unwrap_or("none"));
    field(
        "Intact",
        &match &report.damage {
            None => "yes, all data is under the root hash".to_owned(),
            Some(damage) if is_damaged(report) => format!("NO: {damage}"),
            Some(unproven) => format!("not proven: {unproven}"),
        },
    );
    let claim = report.claimed_signer.as_ref();
    let claim = claim.map(|signer| {
        format!(
            "claims \"{}\" · sha256:{}",
            signer.common_name, signer.fingerprint
        )
    });
    field("Signature", claim.as_deref().unwrap_or("none"));
    if let Some(contents) = &report.contents {
        tell(contents);
    }
    say(&Paint::Dim.on("what an image says of itself is a claim; `coracle start` checks it against the trusted certificates"));
}

/// How a partition is encrypted, and whether it can be opened.
fn encrypted(partition: &str, encryption: &Encryption) -> String {
    match encryption {
        Encryption::Luks2(header) if header.has_integrity => {
            format!(
                "{partition} · LUKS2 · {} · changes are found",
                header.cipher
            )
        }
        Encryption::Luks2(header) => format!("{partition} · LUKS2 · {}", header.cipher),
        Encryption::Refused(why) => format!("{partition} · {why}"),
    }
}

fn field(name: &str, value: &str) {
    say(&format!("{name:>12}: {}", one_line(value)));
}

/// What it is called, what units it has, and what they ask for.
fn tell(contents: &Contents) {
    let release = &contents.os_release;
    field(
        "Portable",
        &format!(
            "{} {}",
            release.name().unwrap_or("without a name"),
            release.version().unwrap_or_default()
        ),
    );
    let named = |key: &str| release.value(key).map(str::to_owned);
    if let Some(system) = named("PRETTY_NAME").or_else(|| named("NAME")) {
        field("System", &system);
    }
    field("Prefixes", &release.prefixes().join(" "));
    contents
        .units
        .iter()
        .for_each(|unit| field("Unit", &unit.name));
    asks(contents);
    contents
        .foreign_units
        .iter()
        .for_each(|unit| field("Left alone", unit));
}
