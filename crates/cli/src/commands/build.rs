//! `build`: an image from a directory, a program or a container image, by what the command line and a `psi.toml` say.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use image::build::{Built, Format, Options};
use image::packages::Packages;
use image::program::Fate;
use image::recipe::{PsiToml, Recipe, Source};
use image::sign::SigningKey;
use load::portable::{PortableName, Review, UnitText};
use model::key;

use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::portable::consent;
use crate::portable::fetch::bytes;
use crate::progress::{bar, show};
use crate::terminal::{Paint, one_line, say, size};
use crate::verbs::Run;

/// What a recipe's file is called.
const RECIPE: &str = "psi.toml";

/// How long a program is observed, in seconds.
const OBSERVE_S: u64 = 10;

/// The ending of an image that travels compressed.
const COMPRESSED: &str = "zst";

/// What follows the options in the help and in the manual page.
const EXAMPLE: &str = "\
psi.toml, with every key (paths count from its directory):

  [source]                        # one of directory, program, packages, container
  directory = \"root\"
  program = \"target/hello\"        # with its libraries
  packages = [\"nginx\"]            # Debian's, by mmdebstrap
  suite = \"trixie\"
  mirror = \"https://debian.example/debian\"
  container = \"redis.tar\"         # OCI layout or archive, or of docker save
  reference = \"redis:8\"           # which image of several
  sysroot = \"/srv/trixie\"         # where libraries are looked for first
  max-size = \"4G\"                 # what may be unpacked
  observe = [\"--port\", \"8080\"]   # run the program so, and take what it opens
  observe-seconds = 10
  exclude = [\"/usr/share/doc\"]

  [image]
  name = \"hello\"
  version = \"1.0\"
  units = [\"hello.service\"]       # without any, one is written
  format = \"erofs\"                # or squashfs
  output = \"hello_1.0.psi.zst\"
  key = \"signing.key\"
  certificate = \"signing.crt\"

  [files]                         # path in the image = path here
  \"/etc/hello.conf\" = \"hello.conf\"

  [service]                       # for the unit that is written
  description = \"A greeting\"
  command = [\"hello\", \"--port\", \"8080\"]
  arguments = []                  # behind those of command
  environment = { LANG = \"C.UTF-8\" }
  type = \"exec\"
  restart = \"on-failure\"
  user = \"hello\"
  working-directory = \"/var/lib/hello\"
  stop-signal = \"SIGINT\"
  network = false                 # with ports it is
  ports = [\"8080\", \"53/udp\"]
  state = [\"hello\"]               # /var/lib; cache and logs the same
  cache = [\"hello\"]
  logs = [\"hello\"]
  health = { command = [\"hello\", \"--check\"], interval = 30, timeout = 10 }
  lines = [\"MemoryMax=200M\"]      # as they are";

/// Options of `build`.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Build {
    /// What it is built from: a root directory, a container image (an OCI layout's directory or archive, or what `docker save` writes),
    /// or a psi.toml or a directory with one; else the psi.toml that is here
    #[arg(value_name = "SOURCE", conflicts_with = "program")]
    from: Option<PathBuf>,
    /// Build from one program, with the libraries that it needs
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Say how in this file; what the command line says goes before it
    #[arg(long, value_name = "psi.toml")]
    recipe: Option<PathBuf>,
    /// Unit files; may be given again. Without any, one is written
    #[arg(long, value_name = "FILE")]
    unit: Vec<PathBuf>,
    /// Another file or directory and where it lies in the image; may be given again
    #[arg(long, value_name = "FILE:PATH")]
    add: Vec<String>,
    /// Leave this path of the image out, with all below it; may be given again
    #[arg(long, value_name = "PATH")]
    exclude: Vec<PathBuf>,
    /// Name of the portable [default: of its os-release, the first unit, the program or the container image]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Version of the portable; without one it counts as version 0
    #[arg(long, value_name = "VERSION")]
    image_version: Option<String>,
    /// Which image, where there are several: a tag, a name with a tag, or a digest
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// What may be unpacked of a container image at most, such as 4G [default: 16G]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<String>,
    /// Build from these Debian packages and what they need, by mmdebstrap
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with_all = ["from", "program"])]
    packages: Vec<String>,
    /// Suite of the packages, such as trixie [default: stable]
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// Where the packages are fetched from
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Run the program in a sandbox, with the arguments after `--`, and take what it opens: locales, zones, certificates, what is loaded by name
    #[arg(long)]
    observe: bool,
    /// For how long it is run, if it does not end before [default: 10]
    #[arg(long, value_name = "SECONDS")]
    observe_seconds: Option<u64>,
    /// Look for libraries below this directory instead of /
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
    /// File system inside [default: erofs]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Inside>,
    /// Sign it with this key; the certificate lies beside it, with the ending .crt
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The certificate, where it lies elsewhere
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The image; with the ending .psi.zst it is compressed, to travel [default: NAME_VERSION.psi]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Arguments of the program: for --observe, and in the unit that is written
    #[arg(value_name = "ARGS", last = true)]
    arguments: Vec<String>,
}

/// The file systems that can be written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Inside {
    /// Not compressed inside: pages are shared, updates are small
    Erofs,
    /// Compressed inside
    Squashfs,
}

impl From<Inside> for Format {
    fn from(inside: Inside) -> Format {
        match inside {
            Inside::Erofs => Format::Erofs,
            Inside::Squashfs => Format::Squashfs,
        }
    }
}

impl Run for Build {
    fn run(self, context: &Context) -> Result<u8> {
        let said = self.said()?;
        let mut recipe = recipe(&said)?;
        observe(context, &said, &mut recipe)?;
        let key = said
            .image
            .key
            .as_deref()
            .map(|key| load_key(key, said.image.certificate.as_deref()))
            .transpose()?;
        let bar = bar(context);
        let progress = |what: &'static str, done, all| show(&bar, what, done, all);
        let options = Options {
            key: key.as_ref(),
            epoch_s: epoch()?,
            review: Some(&crate::portable::programs::check),
            format: said.image.format.unwrap_or_default(),
            progress: Some(&progress),
        };
        let made = make(&recipe, said.image.output.as_deref(), &options);
        bar.finish_and_clear();
        let (output, built) = made?;
        report(context, &output, &built, key.as_ref());
        tell_findings(context, &built)?;
        Ok(0)
    }
}

impl Build {
    /// What the recipe's file says, and before it the command line.
    fn said(self) -> Result<PsiToml> {
        let (file, from) = self.place()?;
        let mut said = match &file {
            Some(path) => read(path)?,
            None => PsiToml::default(),
        };
        let source = &mut said.source;
        if self.program.is_some() || from.is_some() || !self.packages.is_empty() {
            (source.directory, source.program, source.container) = (None, None, None);
            source.packages = self.packages;
        }
        source.suite = self.suite.or(source.suite.take());
        source.mirror = self.mirror.or(source.mirror.take());
        source.program = self.program.or(source.program.take());
        match from {
            Some(path) if is_container(&path)? => source.container = Some(path),
            Some(path) => source.directory = Some(path),
            None => {}
        }
        source.reference = self.reference.or(source.reference.take());
        if self.observe {
            source.observe = Some(self.arguments.clone());
        }
        source.observe_seconds = self.observe_seconds.or(source.observe_seconds);
        source.sysroot = self.sysroot.or(source.sysroot.take());
        source.max_size = self.max_size.or(source.max_size.take());
        source.exclude.extend(self.exclude);
        said.service.arguments.extend(self.arguments);
        let image = &mut said.image;
        image.name = self.name.or(image.name.take());
        image.version = self.image_version.or(image.version.take());
        image.format = self.format.map(Format::from).or(image.format);
        image.output = self.output.or(image.output.take());
        if self.key.is_some() {
            (image.key, image.certificate) = (self.key, self.certificate);
        }
        if !self.unit.is_empty() {
            image.units = self.unit;
        }
        for pair in &self.add {
            let (from, to) = parse_pair(pair)?;
            said.files.insert(to, from);
        }
        Ok(said)
    }

    /// The recipe's file, and what else is built from.
    fn place(&self) -> Result<(Option<PathBuf>, Option<PathBuf>)> {
        let from = self.from.clone();
        if self.recipe.is_some() {
            return Ok((self.recipe.clone(), from));
        }
        match from {
            Some(path) if path.file_name().is_some_and(|name| name == RECIPE) => {
                Ok((Some(path), None))
            }
            Some(path) if path.join(RECIPE).is_file() => Ok((Some(path.join(RECIPE)), None)),
            Some(path) => Ok((None, Some(path))),
            None if self.program.is_some() || !self.packages.is_empty() => Ok((None, None)),
            None if Path::new(RECIPE).is_file() => Ok((Some(RECIPE.into()), None)),
            None => Err(hint(
                "nothing says what to build from",
                "name a directory, a container image or a psi.toml, or a program with --program",
            )),
        }
    }
}

/// Builds, compresses where the name says so, and calls the image by what it says of itself where it has no name.
fn make(recipe: &Recipe, wanted: Option<&Path>, options: &Options<'_>) -> Result<(PathBuf, Built)> {
    let is_compressed =
        wanted.is_some_and(|path| path.extension().is_some_and(|ending| ending == COMPRESSED));
    let plain = match wanted {
        Some(path) if !is_compressed => path.to_owned(),
        Some(path) => beside(path),
        None => beside(Path::new("image.psi")),
    };
    let built = image::recipe::build(recipe, &plain, options);
    let mut built = built.with_context(|| match wanted {
        Some(path) => format!("cannot build {}", path.display()),
        None => "cannot build the image".to_owned(),
    })?;
    match wanted {
        Some(path) if is_compressed => {
            let nobody = |_: &'static str, _, _| {};
            let compressed =
                image::travel::compress(&plain, path, options.progress.unwrap_or(&nobody));
            std::fs::remove_file(&plain)
                .with_context(|| format!("cannot remove {}", plain.display()))?;
            built.length = compressed?;
            Ok((path.to_owned(), built))
        }
        Some(path) => Ok((path.to_owned(), built)),
        None => Ok((named(&plain, &built)?, built)),
    }
}

/// A hidden name of this process in the same directory.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".building-{}-{name}", std::process::id()))
}

/// Reads a recipe's file.
fn read(path: &Path) -> Result<PsiToml> {
    let unreadable = || format!("cannot read {}", path.display());
    let length = std::fs::metadata(path).with_context(unreadable)?.len();
    if length > image::recipe::LIMIT_BYTES {
        return Err(hint(
            format!("{} is too large", path.display()),
            "a psi.toml has some lines; `coracle help build` has an example",
        ));
    }
    let text = std::fs::read_to_string(path).with_context(unreadable)?;
    PsiToml::parse(path, &text).or_hint(
        || format!("cannot use {}", path.display()),
        "`coracle help build` shows a whole one at its end",
    )
}

/// Whether it is a container image: a file, or a directory that says so.
fn is_container(path: &Path) -> Result<bool> {
    let metadata = std::fs::metadata(path).or_hint(
        || format!("cannot read {}", path.display()),
        "name a directory, a container image or a psi.toml that is there",
    )?;
    Ok(metadata.is_file() || path.join("oci-layout").is_file())
}

fn recipe(said: &PsiToml) -> Result<Recipe> {
    let packages = Packages {
        names: said.source.packages.clone(),
        suite: said.source.suite.clone(),
        mirror: said.source.mirror.clone(),
    };
    let source = match (
        &said.source.directory,
        &said.source.program,
        &said.source.container,
    ) {
        (None, None, None) if !packages.names.is_empty() => Source::Packages(packages),
        _ if !packages.names.is_empty() => return Err(several()),
        (Some(path), None, None) => Source::Directory(path.clone()),
        (None, Some(path), None) => Source::Program(path.clone()),
        (None, None, Some(path)) => Source::Container {
            path: path.clone(),
            reference: said.source.reference.clone(),
        },
        _ => return Err(several()),
    };
    let mut recipe = Recipe {
        name: said.image.name.clone(),
        version: said.image.version.clone(),
        units: said.image.units.clone(),
        extra: said
            .files
            .iter()
            .map(|(to, from)| (from.clone(), to.clone()))
            .collect(),
        exclude: said.source.exclude.clone(),
        sysroot: said.source.sysroot.clone(),
        service: said.service.clone(),
        ..Recipe::new(source)
    };
    if let Some(text) = &said.source.max_size {
        recipe.limit_bytes = bytes(text)?;
    }
    Ok(recipe)
}

fn several() -> anyhow::Error {
    hint(
        "psi.toml has to name one source",
        "say one of directory, program, packages and container in its section [source]",
    )
}

/// Runs the program and sees what it opens.
fn observe(context: &Context, said: &PsiToml, recipe: &mut Recipe) -> Result<()> {
    let Some(arguments) = &said.source.observe else {
        return Ok(());
    };
    let Source::Program(program) = &recipe.source else {
        return Err(hint(
            "only a program can be observed",
            "name one with --program, or leave --observe away",
        ));
    };
    let seconds = said.source.observe_seconds.unwrap_or(OBSERVE_S);
    context.narrate(&format!(
        "observing {} for at most {seconds} s, without the network",
        one_line(&program.display().to_string())
    ));
    let time = std::time::Duration::from_secs(seconds);
    recipe.opened = crate::workers::observe::run(program, arguments, time).or_hint(
        || format!("cannot observe {}", program.display()),
        "without --observe, only the libraries that its header names come with it; --add adds files",
    )?;
    if !context.globals.quiet {
        recipe.told = |fates| {
            for (path, fate) in fates {
                let (what, why) = match fate {
                    Fate::Taken(why) => ("taken", why),
                    Fate::Left(why) => ("left", why),
                };
                crate::terminal::complain(&format!(
                    "{what} {} ({why})",
                    one_line(&path.display().to_string())
                ));
            }
        };
    }
    Ok(())
}

/// Calls an image by what it says of itself.
fn named(path: &Path, built: &Built) -> Result<PathBuf> {
    let version = built
        .version
        .as_ref()
        .map(|version| format!("_{version}"))
        .unwrap_or_default();
    let name = format!("{}{version}.psi", built.name);
    let outcome = if name.contains('/') {
        Err(hint(
            format!("{name:?} is no file name"),
            "say how the file is to be called with --output",
        ))
    } else {
        std::fs::rename(path, &name).with_context(|| format!("cannot write {name}"))
    };
    if let Err(error) = outcome {
        std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        return Err(error);
    }
    Ok(name.into())
}

fn parse_pair(pair: &str) -> Result<(PathBuf, PathBuf)> {
    let (from, to) = pair.rsplit_once(':').ok_or_else(|| {
        hint(
            format!("--add={pair} has no colon"),
            "say FILE:PATH, the path as it is in the image",
        )
    })?;
    Ok((from.into(), to.into()))
}

/// The time of all files (reproducible-builds.org, SOURCE_DATE_EPOCH), 1970 without one.
fn epoch() -> Result<u32> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().or_hint(
            || format!("SOURCE_DATE_EPOCH={text} is no time"),
            "it is a number of seconds since 1970",
        ),
        Err(_) => Ok(0),
    }
}

/// Reads a key and its certificate.
///
/// # Errors
/// When one can't be read, or they don't belong together.
pub(super) fn load_key(key: &Path, certificate: Option<&Path>) -> Result<SigningKey> {
    SigningKey::load(key, certificate).or_hint(
        || format!("cannot sign with {}", key.display()),
        "`coracle keygen DIR` makes a key and its certificate",
    )
}

fn report(context: &Context, output: &Path, built: &Built, key: Option<&SigningKey>) {
    let signed = key.map_or_else(
        || "not signed".to_owned(),
        |key| format!("signed by \"{}\"", one_line(&key.signer().common_name)),
    );
    let version = built.version.as_deref().unwrap_or("without a version");
    say(&format!(
        "{} {version} · {} · {signed} · {}",
        one_line(&built.name),
        size(built.length),
        output.display()
    ));
    if !context.globals.quiet {
        say(&format!("units: {}", built.units.join(" ")));
    }
}

/// Tells what a start of the image will say: its maker can still mend it.
fn tell_findings(context: &Context, built: &Built) -> Result<()> {
    let texts: Vec<UnitText<'_>> = built
        .units
        .iter()
        .zip(&built.texts)
        .map(|(name, text)| UnitText {
            name,
            bytes: text.as_bytes(),
        })
        .collect();
    let name = PortableName::new(&built.name)?;
    let review = load::portable::review(&name, &texts, &crate::check::specifiers());
    consent::tell_findings(context, &review);
    for refusal in &review.refusals {
        context.narrate(&format!(
            "{} nobody can start this image: {}",
            Paint::Yellow.on("warning:"),
            one_line(&refusal.to_string())
        ));
    }
    for (unit, missing) in missing(&name, &review, &built.units) {
        context.narrate(&format!(
            "{} {} requires {}, which is not in the image",
            Paint::Yellow.on("warning:"),
            one_line(&unit),
            one_line(&missing)
        ));
    }
    Ok(())
}

/// Units of the portable's own that another one requires, and that are not there; the host's are not looked for.
fn missing(portable: &PortableName, review: &Review, there: &[String]) -> Vec<(String, String)> {
    let mut missing = Vec::new();
    for loaded in &review.units {
        let required = loaded.unit.get(&key::REQUIRES);
        for name in required.into_iter().flat_map(|list| list.iter()) {
            // What an instance is called is in the image as its template.
            let file = name.template().unwrap_or_else(|| name.clone());
            let is_there = there
                .iter()
                .any(|one| *one == file.as_str() || *one == name.as_str());
            if portable.owns_unit(name) && !is_there {
                missing.push((loaded.unit.name().to_string(), name.to_string()));
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_help_and_that_of_the_page_have_every_key() {
        let page = include_str!("../../../../docs/building.md");
        let page = page
            .split("```toml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let page = page.expect("an example").replace("\n# ", "\n");
        let help = EXAMPLE.split_once("\n\n").expect("an example").1;
        let path = Path::new("psi.toml");
        let of_help = PsiToml::parse(path, help).expect("a recipe");
        let of_page = PsiToml::parse(path, &page).expect("a recipe");
        assert_eq!(keys(help), keys(&page));
        assert!(
            of_help.source.sysroot == of_page.source.sysroot && of_help.service.health.is_some()
        );
        // A key that is nowhere in the examples would be in no one's hands.
        let unknown = PsiToml::parse(path, "[source]\nx = 1")
            .expect_err("unknown")
            .what;
        let more = PsiToml::parse(path, "[service]\nx = 1")
            .expect_err("unknown")
            .what;
        let image = PsiToml::parse(path, "[image]\nx = 1")
            .expect_err("unknown")
            .what;
        for known in [unknown, more, image]
            .iter()
            .flat_map(|text| text.split('`').skip(3).step_by(2))
        {
            assert!(keys(help).contains(&known.to_owned()), "{known}");
        }
    }

    fn keys(text: &str) -> Vec<String> {
        let mut keys: Vec<String> = text
            .lines()
            .filter_map(|line| Some(line.split_once(" = ")?.0.trim().to_owned()))
            .collect();
        keys.sort();
        keys
    }
}
