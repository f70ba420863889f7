//! `keygen`, `build`, `sign`: images before they travel.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use image::build::{Built, Options};
use image::program::Program;
use image::sign::SigningKey;
use load::portable::{PortableName, Review, UnitText};
use model::key;

use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::portable::consent;
use crate::terminal::{Paint, one_line, say, size};
use crate::verbs::Run;

/// Options of `keygen`.
#[derive(Args, Debug)]
pub(crate) struct Keygen {
    /// Directory for `signing.key` and `signing.crt`
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Whose key it is, as users will see it
    #[arg(long, value_name = "NAME", default_value = "Coracle image maker")]
    name: String,
}

impl Run for Keygen {
    fn run(self, context: &Context) -> Result<u8> {
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot make {}", self.directory.display()))?;
        let signer = image::keygen::generate(&self.directory, &self.name)?;
        context.narrate(&format!(
            "wrote {0}/signing.key (keep it secret) and {0}/signing.crt (give it away)",
            self.directory.display()
        ));
        say(&format!(
            "\"{}\" · sha256:{}",
            one_line(&signer.common_name),
            signer.fingerprint
        ));
        Ok(0)
    }
}

/// Options of `build`.
#[derive(Args, Debug)]
pub(crate) struct Build {
    /// The directory that becomes the root file system
    #[arg(
        value_name = "DIR",
        required_unless_present = "program",
        conflicts_with = "program"
    )]
    directory: Option<PathBuf>,
    /// Build from one program instead, with the libraries that it needs
    #[arg(long, value_name = "FILE", requires = "unit")]
    program: Option<PathBuf>,
    /// Unit files for the program; may be given again
    #[arg(long, value_name = "FILE")]
    unit: Vec<PathBuf>,
    /// Another file or directory and where it lies in the image; may be given again
    #[arg(long, value_name = "FILE:PATH")]
    add: Vec<String>,
    /// Name of the portable [default: of the first unit]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Version of the portable; without one it counts as version 0
    #[arg(long, value_name = "VERSION")]
    image_version: Option<String>,
    /// Look for libraries below this directory instead of /
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
    /// Sign it with this key; the certificate lies beside it, with the ending .crt
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The certificate, where it lies elsewhere
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The image [default: NAME_VERSION.psi]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Run for Build {
    fn run(self, context: &Context) -> Result<u8> {
        let key = self
            .key
            .as_deref()
            .map(|key| load_key(key, self.certificate.as_deref()))
            .transpose()?;
        let options = Options {
            key: key.as_ref(),
            epoch_s: epoch()?,
            review: Some(&crate::portable::programs::check),
        };
        let wanted = self.output.clone();
        let path = wanted
            .clone()
            .unwrap_or_else(|| format!(".building-{}.psi", std::process::id()).into());
        let built = match &self.directory {
            Some(directory) => image::build::build(directory, &path, &options),
            None => image::program::build_program(&self.program()?, &path, &options),
        };
        let built = built.with_context(|| match &wanted {
            Some(path) => format!("cannot build {}", path.display()),
            None => "cannot build the image".to_owned(),
        })?;
        let output = match wanted {
            Some(path) => path,
            None => named(&path, &built)?,
        };
        report(context, &output, &built, key.as_ref());
        tell_findings(context, &built)?;
        Ok(0)
    }
}

impl Build {
    fn program(&self) -> Result<Program> {
        let extra = self
            .add
            .iter()
            .map(|pair| parse_pair(pair))
            .collect::<Result<_>>()?;
        Ok(Program {
            program: self.program.clone().unwrap_or_default(),
            name: self.name.clone(),
            version: self.image_version.clone(),
            units: self.unit.clone(),
            extra,
            sysroot: self.sysroot.clone(),
        })
    }
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

fn load_key(key: &Path, certificate: Option<&Path>) -> Result<SigningKey> {
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

/// Options of `sign`.
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The key; the certificate lies beside it, with the ending .crt
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The certificate, where it lies elsewhere
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Write the signed image here instead of replacing it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Run for Sign {
    fn run(self, _context: &Context) -> Result<u8> {
        let key = load_key(&self.key, self.certificate.as_deref())?;
        let output = self.output.as_ref().unwrap_or(&self.image);
        let signer = image::sign::sign(&self.image, output, &key)
            .with_context(|| format!("cannot sign {}", self.image.display()))?;
        say(&format!(
            "{} signed by \"{}\"",
            output.display(),
            one_line(&signer.common_name)
        ));
        Ok(0)
    }
}
