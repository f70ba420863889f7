//! `import`: a portable from another host, with what it had stored there.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use delivery::portables::{Held, Portable};
use load::portable::PortableName;
use wire::methods::StartUnit;

use super::jobs::{self, JobOptions};
use super::start::{InstallOptions, Start};
use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::moving::arrived::{Arrived, SIZE_MAX_BYTES};
use crate::moving::manifest::{Kind, Layer, Portable as Carried};
use crate::moving::put::{Planted, drop_in_path};
use crate::portable::admit::Admitted;
use crate::portable::purge::Purge;
use crate::portable::{configure, existing_held, fetch, purge, reattach, records};
use crate::terminal::{Paint, ask, can_ask, complain, directories, one_line, plain, say};
use crate::unit_files::{Root, UnitFiles};
use crate::verbs::Run;

mod replaced;

use replaced::{Replaced, check_users};

/// Longest name of a drop-in, as of any file.
const NAME_MAX_BYTES: usize = 255;

/// Images over one root: what an archive has of files at most.
const LAYERS_LIMIT: usize = 64;

/// Options of `import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// An archive of `export`; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Grant and set what was granted and set over there, without being asked: the archive is one's own
    #[arg(long)]
    as_exported: bool,
    /// Leave out what was set over there: profile, settings, drop-ins, extensions, where upgrades come from, whether it starts at boot
    #[arg(long, conflicts_with = "as_exported")]
    without_settings: bool,
    /// Take the place of the portable of that name that is here, with all that it has stored: it comes back where the other one does not work
    #[arg(long)]
    replace: bool,
    /// How long what takes the place of another has to work before it stays, in seconds
    #[arg(long, value_name = "SECONDS", requires = "replace", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    healthy_for: u32,
    /// Start it, also where nothing ran of what it replaces
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    install: InstallOptions,
}

impl Run for Import {
    fn run(mut self, context: &Context) -> Result<u8> {
        let arrived = Arrived::open(
            context,
            &self.file,
            self.install.fetch().max_size.as_deref(),
            Kind::Export,
        )?;
        let name = arrived.manifest.name.clone();
        PortableName::new(&name)
            .map_err(|invalid| anyhow::anyhow!("{}", plain(&invalid.to_string())))?;
        let Some(carried) = arrived.manifest.portable.clone() else {
            anyhow::bail!("the archive's manifest says nothing of the portable");
        };
        let known = records(context);
        let _own = known.importing(&name)?.ok_or_else(|| {
            hint(
                format!("another command is importing {}", plain(&name)),
                "wait for its end, and see what it has done: `coracle list`",
            )
        })?;
        // Looked at behind the lock: another import may just have ended.
        if known.get(&name)?.is_some() {
            if self.replace {
                return self.take_place(context, &arrived, &carried);
            }
            return Err(hint(
                format!("{name} is here already, and nothing was changed"),
                format!(
                    "`coracle restore {name} FILE` takes over what it had stored, --replace all of it; `coracle purge {name}` removes it"
                ),
            ));
        }
        let was_remembered = known.remembered(&name)?.is_some();
        let takes_settings = self.agree(&name, &carried, None)?;
        let planted = self.install(context, &arrived, &carried, takes_settings, None)?;
        let done = self.complete(context, &name, &carried, planted, takes_settings);
        if let Err(error) = done {
            complain(&format!(
                "{} taking it away again",
                Paint::Yellow.on("import failed:")
            ));
            Purge::of(&name, !was_remembered).run(context)?;
            return Err(error);
        }
        if !context.globals.quiet {
            let left_out = match takes_settings || settings(&carried).is_empty() {
                true => "",
                false => ", without what was set over there",
            };
            say(&format!(
                "imported {} {} with {}{left_out}",
                plain(&name),
                plain(&arrived.manifest.version),
                directories(arrived.manifest.directories.len())
            ));
        }
        if !self.now {
            context.narrate(&format!("`coracle start {}` starts it", plain(&name)));
            return Ok(0);
        }
        let portable = crate::portable::existing(context, &name)?;
        let units = crate::portable::current_units(&portable);
        jobs::queue(context, StartUnit, &units, &JobOptions::replacing())
    }
}

impl Import {
    /// Admits the image, asks what `start` asks, and writes what was stored beside its places.
    fn install<'c>(
        &mut self,
        context: &'c Context,
        arrived: &Arrived,
        carried: &Carried,
        takes_settings: bool,
        replaced: Option<&Replaced>,
    ) -> Result<Planted<'c>> {
        let name = &arrived.manifest.name;
        if self.as_exported {
            self.install.give(&carried.grants);
        }
        if takes_settings && !carried.profile.is_empty() {
            self.install.choose_profile(&carried.profile);
        }
        if let Some(replaced) = replaced.filter(|_| takes_settings) {
            replaced.forget_choices(&mut self.install);
        }
        let layers = match takes_settings {
            true => self.layers(context, arrived, carried)?,
            false => Layers::none(context),
        };
        self.install.lay_over(&layers.words());
        self.install.choices.must_be = Some(name.clone());
        if takes_settings {
            let is_chosen = !carried.prefixes.is_empty() || replaced.is_some();
            self.install.choices.prefixes = is_chosen.then(|| carried.prefixes.clone());
        }
        let mut image = arrived.file(&carried.image)?;
        let start = Start::importing(self.install.clone());
        // Where it came from is where its upgrades come from.
        let origin = match takes_settings {
            true => carried.origin.clone(),
            false => match replaced {
                Some(replaced) => replaced.known.origin.clone(),
                None => self.came_from()?,
            },
        };
        let coming = match takes_settings {
            true => &*carried.drop_ins,
            false => &[],
        };
        let note = |planted: &mut Planted<'_>, held: &Held, known: Option<&Portable>| {
            replaced.map_or(Ok(()), |replaced| {
                replaced.note(context, planted, held, known, coming)
            })
        };
        let prepare = |admitted: &Admitted| {
            let review =
                crate::portable::consent::read(&admitted.contents, &PortableName::new(name)?);
            let services = || review.units.iter().map(|loaded| &loaded.unit);
            let fixed = |unit: &model::Unit| {
                unit.is_set(model::key::DYNAMIC_USER.directive())
                    && !unit.value(&model::key::DYNAMIC_USER)
            };
            let is_dynamic = !services().any(fixed);
            let is_roots =
                services().any(|unit| fixed(unit) && crate::moving::places::is_roots(unit));
            let known = replaced.map(|replaced| &replaced.known);
            if replaced.is_some() {
                check_users(arrived, is_dynamic)?;
            }
            Planted::write(context, arrived, known, is_dynamic, is_roots)
        };
        let (_, planted) = start.import(context, &mut image, origin, prepare, note)?;
        Ok(planted)
    }

    /// Where it came from as far as this host knows: no address, so that no upgrade is looked for.
    fn came_from(&self) -> Result<String> {
        Ok(match self.file.as_str() {
            "-" => "an archive".to_owned(),
            file => std::path::absolute(file)?.display().to_string(),
        })
    }

    fn layers(&self, context: &Context, arrived: &Arrived, carried: &Carried) -> Result<Layers> {
        let said = self.install.fetch().max_size.as_deref();
        let limit_bytes = said.map_or(Ok(SIZE_MAX_BYTES), fetch::bytes)?;
        Layers::write(context, arrived, carried, limit_bytes)
    }

    /// What was set over there counts only where the administrator of this host says so; of what it replaces, what is set here is shown.
    fn agree(&self, name: &str, carried: &Carried, here: Option<&[String]>) -> Result<bool> {
        let lines = settings(carried);
        if self.without_settings || lines.is_empty() {
            return Ok(false);
        }
        let gone = here.into_iter().flatten();
        for line in gone.filter(|line| !lines.contains(line)) {
            complain(&format!("set here until now: {}", one_line(line)));
        }
        for line in &lines {
            complain(&format!("set over there: {}", one_line(line)));
        }
        if self.as_exported {
            return Ok(true);
        }
        if can_ask() {
            let otherwise = match here {
                Some(_) => "what is set here stays",
                None => "it is imported without that",
            };
            return ask(&format!(
                "set this for {} here? With no, {otherwise}",
                one_line(name)
            ));
        }
        Err(hint(
            format!("{name} had settings that nobody here has agreed to, so nothing was imported"),
            "say --as-exported where the archive is yours, or --without-settings to leave them out",
        ))
    }

    /// Everything after the record: all of it, or the portable goes again.
    fn complete(
        &self,
        context: &Context,
        name: &str,
        carried: &Carried,
        mut planted: Planted<'_>,
        takes_settings: bool,
    ) -> Result<()> {
        // From its record on others know it: none of them may exchange what it has stored meanwhile.
        let _own = super::upgrade::begin(context, name)?;
        let (held, mut portable) = existing_held(context, name)?;
        planted.check_own(&portable)?;
        planted.exchange()?;
        planted.settle()?;
        if takes_settings {
            set_up(context, &mut portable, carried)?;
        }
        held.put(&portable)?;
        reattach(context, &portable)?;
        purge::reload(context)
    }
}

/// Sets what was set over there.
fn set_up(context: &Context, portable: &mut Portable, carried: &Carried) -> Result<()> {
    portable.held = carried.held;
    (portable.enabled, portable.boot_is_chosen) = (carried.enabled, carried.boot_is_chosen);
    configure::take_over(context, portable, &carried.settings)?;
    tell_missing(portable);
    write_drop_ins(context, portable, carried)
}

/// What was set, a line each.
fn settings(carried: &Carried) -> Vec<String> {
    let mut lines = Vec::new();
    if !carried.origin.is_empty() {
        lines.push(format!("upgrades come from {}", carried.origin));
    }
    if carried.held {
        lines.push("no upgrades are taken (held)".to_owned());
    }
    if carried.enabled || carried.boot_is_chosen {
        let word = if carried.enabled { "yes" } else { "no" };
        lines.push(format!("--at-boot={word}"));
    }
    if !carried.prefixes.is_empty() {
        lines.push(format!("only the units {}", carried.prefixes.join(" ")));
    }
    for layer in &carried.extensions {
        let (file, image) = (&layer.file, layer.image);
        lines.push(format!("{file} ({image}) is laid over its root"));
    }
    if !carried.profile.is_empty() {
        lines.push(format!("the profile {}", carried.profile));
    }
    for (kind, values) in &carried.settings {
        lines.extend(values.iter().map(|value| format!("--{kind}={value}")));
    }
    for drop_in in &carried.drop_ins {
        lines.push(format!("{} of {}:", drop_in.name, drop_in.unit));
        // As it is: what seems to be a comment or a section may be the rest of a line before it.
        lines.extend(drop_in.text.lines().map(|line| format!("    {line}")));
    }
    lines
}

/// Files of the host that settings name don't come along.
fn tell_missing(portable: &Portable) {
    let values = |kind: &str| portable.settings.get(kind).into_iter().flatten();
    let credentials = values("credential").filter_map(|value| Some(value.split_once('=')?.1));
    let binds = ["bind", "bind-read-only"].into_iter().flat_map(values);
    let binds = binds.map(|value| value.split(':').next().unwrap_or(value));
    for path in credentials.chain(binds) {
        if path.starts_with('/') && !Path::new(path).exists() {
            complain(&format!(
                "{} {} is not on this host, and {} does not start without it",
                Paint::Yellow.on("warning:"),
                one_line(path),
                plain(&portable.name)
            ));
        }
    }
}

fn write_drop_ins(context: &Context, portable: &Portable, carried: &Carried) -> Result<()> {
    let files = UnitFiles::open(context, &Root::default())?;
    let version = portable.versions.get(&portable.current);
    let units = version.map_or(&[][..], |version| &version.units);
    for drop_in in &carried.drop_ins {
        let name = drop_in.name.as_str();
        let is_name =
            name.ends_with(".conf") && !name.contains(['/', '\0']) && name.len() <= NAME_MAX_BYTES;
        if !is_name || !units.contains(&drop_in.unit) {
            return Err(hint(
                format!(
                    "the archive has a drop-in {name:?} for {:?}, which is no unit of {}",
                    drop_in.unit, portable.name
                ),
                "nothing was imported; ask whoever made it",
            ));
        }
        let at = drop_in_path(&files.places.config, drop_in);
        let written = files.rooted().write(&at, drop_in.text.as_bytes());
        written.with_context(|| format!("cannot write {}", at.display()))?;
        context.narrate(&format!("wrote {}", at.display()));
    }
    Ok(())
}

/// Images that are laid over the portable, by the names that they had, in a directory that goes again.
struct Layers {
    directory: PathBuf,
    files: Vec<PathBuf>,
}

impl Layers {
    fn none(context: &Context) -> Layers {
        let name = format!("arriving-{}", std::process::id());
        Layers {
            directory: context.directories.state.join(name),
            files: Vec::new(),
        }
    }

    fn write(
        context: &Context,
        arrived: &Arrived,
        carried: &Carried,
        limit_bytes: u64,
    ) -> Result<Layers> {
        let size = |layer: &Layer| arrived.size(&layer.image);
        check_layers(&carried.extensions, size, limit_bytes)?;
        let mut layers = Layers::none(context);
        for layer in &carried.extensions {
            std::fs::create_dir_all(&layers.directory)?;
            let path = layers.directory.join(&layer.file);
            let copy = || -> Result<()> {
                let mut to = std::fs::File::create_new(&path)?;
                std::io::copy(&mut arrived.file(&layer.image)?, &mut to)?;
                Ok(to.flush()?)
            };
            copy().or_hint(
                || format!("cannot write {}", path.display()),
                "nothing was imported; see that there is room for it",
            )?;
            layers.files.push(path);
        }
        Ok(layers)
    }

    fn words(&self) -> Vec<String> {
        self.files
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        // Also where not one of them could be written.
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// What is laid over a portable, before any of it is written: each image and each name once, not too many, and not too much in all.
fn check_layers(
    layers: &[Layer],
    size: impl Fn(&Layer) -> Result<u64>,
    limit_bytes: u64,
) -> Result<()> {
    let refused = |what: &str| hint(what, "nothing was imported; ask whoever made the archive");
    if layers.len() > LAYERS_LIMIT {
        return Err(refused("the archive has more extensions than a root takes"));
    }
    let (mut names, mut images) = (BTreeSet::new(), BTreeSet::new());
    let mut bytes = 0_u64;
    for layer in layers {
        let file = layer.file.as_str();
        let is_name = !file.is_empty() && !file.contains(['/', '\0']) && !file.starts_with('.');
        if !is_name || file.len() > NAME_MAX_BYTES {
            return Err(refused("the archive has an extension without a name"));
        }
        if !names.insert(file) || !images.insert(layer.image.hex()) {
            return Err(refused(&format!(
                "the archive has the extension {} twice",
                one_line(file)
            )));
        }
        bytes = bytes.saturating_add(size(layer)?);
    }
    match bytes > limit_bytes {
        true => Err(refused(
            "the archive's extensions are larger in all than --max-size allows",
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried() -> Carried {
        let digest = format!("sha256:{}", "0".repeat(64));
        let record = serde_json::json!({
            "image": digest, "origin": "https://evil.example/x", "grants": [],
            "settings": {"env": ["A=b"]}, "profile": "trusted", "enabled": true, "boot-is-chosen": false, "held": true,
            "prefixes": ["web"], "extensions": [{"file": "more.raw", "image": digest}],
            "drop-ins": [{"unit": "web.service", "name": "a.conf", "text": "[Service]\nExecStart=\\\n[x] y\n"}]
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn all_that_was_set_is_listed_and_texts_are_as_they_are() {
        let lines = settings(&carried());
        for expected in [
            "upgrades come from https://evil.example/x",
            "no upgrades are taken (held)",
            "--at-boot=yes",
            "only the units web",
            "the profile trusted",
            "--env=A=b",
            "a.conf of web.service:",
            "    ExecStart=\\",
            "    [x] y",
        ] {
            assert!(
                lines.iter().any(|line| line == expected),
                "{expected}: {lines:?}"
            );
        }
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("more.raw (sha256:"))
        );
    }

    #[test]
    fn extensions_are_there_once_and_not_larger_than_allowed() {
        let one = carried().extensions.remove(0);
        let said = |layers: &[Layer], bytes: u64| {
            check_layers(layers, |_| Ok(bytes), 100)
                .map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert_eq!(said(std::slice::from_ref(&one), 100), "");
        assert!(said(std::slice::from_ref(&one), 101).contains("--max-size"));
        assert!(said(&[one.clone(), one.clone()], 1).contains("twice"));
        let named = Layer {
            file: "../x".to_owned(),
            ..one.clone()
        };
        assert!(said(&[named], 1).contains("without a name"));
        assert!(said(&vec![one; LAYERS_LIMIT + 1], 1).contains("more extensions"));
    }
}
