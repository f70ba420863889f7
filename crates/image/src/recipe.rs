//! What an image is built from and how: what the command line and a `psi.toml` say, and the building of it.

mod early;
mod text;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use text::{LIMIT_BYTES, PsiToml, RecipeTextError};

use crate::build::{BuildError, Built, Options, from_manifest, unnamed_beside};
use crate::generate::Service;
use crate::manifest::Manifest;
use crate::os_release::OsRelease;
use crate::packages::{Packages, PackagesError};
use crate::program::{self, Fates, Opened, Program};
use crate::tree::{UNIT_DIRECTORIES, covers, is_unit_name};
use crate::unpack::{self, Listing, Order};
use crate::worker::{WorkerError, Workers};

/// Where unit files of an image go.
const UNITS: &str = "usr/lib/systemd/system";

/// Where a program is looked for whose PATH is not said.
const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A root directory.
    Directory(PathBuf),
    /// A program with its libraries.
    Program(PathBuf),
    /// Debian packages and what they need.
    Packages(Packages),
    /// A container image: an OCI layout's directory, or an archive.
    Container {
        /// Where it is.
        path: PathBuf,
        /// Which of several.
        reference: Option<String>,
    },
}

/// All that is to go into an image.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What it is built from.
    pub source: Source,
    /// The portable's name; else the first unit's, the program's or the source's own.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Unit files on this host.
    pub units: Vec<PathBuf>,
    /// Further files: (path on this host, absolute path in the image).
    pub extra: Vec<(PathBuf, PathBuf)>,
    /// Left out: absolute paths in the image.
    pub exclude: Vec<PathBuf>,
    /// Searched for libraries before this host's `/`.
    pub sysroot: Option<PathBuf>,
    /// What the program opened while it was observed.
    pub opened: Vec<Opened>,
    /// Hears what became of each of these files.
    pub told: fn(&Fates),
    /// How the service is run, where no unit is given.
    pub service: Service,
    /// Bytes that may be unpacked.
    pub limit_bytes: u64,
    /// Starts what takes container images apart.
    pub workers: Workers,
}

impl Recipe {
    fn order(&self) -> Order {
        Order {
            limit_bytes: self.limit_bytes,
            reference: None,
            plain: false,
            architecture: architecture().to_owned(),
        }
    }

    /// Nothing but what is built from.
    #[must_use]
    pub fn new(source: Source) -> Recipe {
        /// As what comes in from the network.
        const LIMIT_BYTES: u64 = 16 << 30;
        Recipe {
            source,
            name: None,
            version: None,
            units: Vec::new(),
            extra: Vec::new(),
            exclude: Vec::new(),
            sysroot: None,
            opened: Vec::new(),
            told: |_| {},
            service: Service::default(),
            limit_bytes: LIMIT_BYTES,
            workers: Workers::default(),
        }
    }
}

/// Why nothing was built of a recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The image can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The container image is refused.
    #[error("cannot take {path} apart")]
    Container {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: WorkerError,
    },
    /// No root can be made of packages.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// A file can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No unit can be written.
    #[error("no unit was given, and none can be made")]
    Generate(#[from] crate::generate::GenerateError),
    /// Nothing says what it is called.
    #[error(
        "nothing says what the portable is called: say --name NAME, or `name` in the section [image] of psi.toml"
    )]
    NoName,
}

/// Builds an image. `output` appears whole or not at all.
///
/// # Errors
/// See [`RecipeError`].
pub fn build(recipe: &Recipe, output: &Path, options: &Options<'_>) -> Result<Built, RecipeError> {
    let (mut manifest, container) = match &recipe.source {
        Source::Directory(directory) => (
            Manifest::of_directory(directory).map_err(BuildError::from)?,
            None,
        ),
        Source::Program(program) => (of_program(recipe, program)?, None),
        Source::Packages(packages) => (
            early::check(recipe, packages, output)
                .and_then(|()| of_packages(recipe, packages, output, options.epoch_s))?,
            None,
        ),
        Source::Container { path, reference } => {
            let reference = reference.clone();
            let (manifest, listing) = unpacked(
                recipe,
                path,
                Order {
                    reference,
                    ..recipe.order()
                },
                output,
            )?;
            (manifest, Some(listing))
        }
    };
    for path in &recipe.exclude {
        manifest.remove(path.strip_prefix("/").unwrap_or(path));
    }
    if !matches!(recipe.source, Source::Program(_)) {
        for (from, to) in &recipe.extra {
            let to = program::image_path(to)
                .ok_or_else(|| BuildError::from(program::ProgramError::Target(to.clone())))?;
            manifest.add(from, &to).map_err(BuildError::from)?;
        }
    }
    let identity = Identity::of(recipe, &manifest, container.as_ref())?;
    identity.write(&mut manifest)?;
    program::add_units(&mut manifest, &recipe.units)?;
    if !has_units(&manifest, &identity.prefixes) {
        generate(recipe, &mut manifest, &identity.name, container.as_ref())?;
    }
    Ok(from_manifest(manifest, output, options)?)
}

fn of_program(recipe: &Recipe, path: &Path) -> Result<Manifest, RecipeError> {
    let program = Program {
        program: path.into(),
        extra: recipe.extra.clone(),
        sysroot: recipe.sysroot.clone(),
        opened: recipe.opened.clone(),
    };
    let (manifest, fates) = program::manifest(&program)?;
    (recipe.told)(&fates);
    Ok(manifest)
}

/// The root that these packages make, without what is of one installation.
fn of_packages(
    recipe: &Recipe,
    packages: &Packages,
    output: &Path,
    epoch_s: u32,
) -> Result<Manifest, RecipeError> {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let archive =
        std::path::absolute(output.with_file_name(format!(".{name}.{}.tar", std::process::id())));
    let archive = archive.map_err(|source| RecipeError::Read {
        path: output.into(),
        source,
    })?;
    let made = packages.make(&archive, epoch_s).map_err(RecipeError::from);
    let order = Order {
        plain: true,
        ..recipe.order()
    };
    let taken = made.and_then(|()| unpacked(recipe, &archive, order, output));
    match std::fs::remove_file(&archive) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(RecipeError::Read {
                path: archive,
                source,
            });
        }
        _ => {}
    }
    let (mut manifest, _) = taken?;
    crate::packages::clean(&mut manifest).map_err(BuildError::from)?;
    Ok(manifest)
}

/// What comes out of an archive or a layout, by a worker.
fn unpacked(
    recipe: &Recipe,
    path: &Path,
    order: Order,
    output: &Path,
) -> Result<(Manifest, Listing), RecipeError> {
    let read = |source| RecipeError::Read {
        path: path.into(),
        source,
    };
    let from = File::open(path).map_err(read)?;
    let pool = unnamed_beside(output).map_err(|source| BuildError::Temporary {
        path: output.into(),
        source,
    })?;
    let unpacked = recipe.workers.unpack(&from, &pool, &order);
    let extent = unpacked.map_err(|source| RecipeError::Container {
        path: path.into(),
        source,
    })?;
    let mut bytes = Vec::new();
    let listing = crate::source::ExtentReader::new(
        &crate::source::FileSource::new(&pool).map_err(read)?,
        extent,
    )
    .take(unpack::LISTING_LIMIT_BYTES)
    .read_to_end(&mut bytes)
    .and_then(|_| Ok(serde_json::from_slice::<Listing>(&bytes)?));
    let mut listing = listing.map_err(read)?;
    let entries = std::mem::take(&mut listing.entries);
    let manifest = Manifest::of_listing(pool, entries).map_err(BuildError::from)?;
    Ok((manifest, listing))
}

/// This machine's processor as container images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// What the portable is called.
struct Identity {
    name: String,
    prefixes: Vec<String>,
    /// The os-release that has to say so, where the image's own does not.
    release: Option<String>,
}

impl Identity {
    fn of(
        recipe: &Recipe,
        manifest: &Manifest,
        container: Option<&Listing>,
    ) -> Result<Identity, RecipeError> {
        let own = crate::build::release_text(manifest).map_err(BuildError::from)?;
        let release = own
            .as_deref()
            .map(OsRelease::assignments)
            .transpose()
            .map_err(BuildError::from)?;
        let release = release.unwrap_or_default();
        // Their os-release is the distribution's.
        let is_foreign = container.is_some() || matches!(recipe.source, Source::Packages(_));
        let own_name = if is_foreign {
            None
        } else {
            release.name().map(str::to_owned)
        };
        let of_container =
            container.and_then(|listing| of_reference(listing.reference.as_deref()?));
        let name = name(recipe, own_name.clone(), of_container).ok_or(RecipeError::NoName)?;
        let own_version = if is_foreign {
            None
        } else {
            release.version().map(str::to_owned)
        };
        let version = recipe
            .version
            .clone()
            .or(own_version.clone())
            .or_else(|| container.and_then(|listing| tag(listing.reference.as_deref()?)));
        let (version, of_packages) = match &recipe.source {
            Source::Packages(packages) => {
                of_their_own(manifest, packages, version).map_err(BuildError::from)?
            }
            _ => (version, Vec::new()),
        };
        let prefixes = match release.value("PORTABLE_PREFIXES") {
            Some(_) => release.prefixes(),
            None if of_packages.is_empty() => vec![name.clone()],
            None => of_packages.clone(),
        };
        let is_said =
            own_name.as_ref() == Some(&name) && (version.is_none() || own_version == version);
        let release = (!is_said).then(|| {
            release_with(
                own.as_deref().unwrap_or_default(),
                &name,
                version.as_deref(),
                &of_packages,
            )
        });
        Ok(Identity {
            name,
            prefixes,
            release,
        })
    }

    fn write(&self, manifest: &mut Manifest) -> Result<(), BuildError> {
        let Some(text) = &self.release else {
            return Ok(());
        };
        for path in ["etc/os-release", "usr/lib/os-release"] {
            manifest.remove(Path::new(path));
        }
        manifest.put("usr/lib/os-release", 0o644, text.as_bytes())?;
        manifest.link("etc/os-release", "../usr/lib/os-release")?;
        Ok(())
    }
}

/// What the portable is called: as is said, as the tree says, or as what it is made of is called.
fn name(recipe: &Recipe, own: Option<String>, of_container: Option<String>) -> Option<String> {
    let of_unit = || recipe.units.first().and_then(|unit| stem(unit));
    let of_source = || match &recipe.source {
        Source::Container { path, .. } | Source::Program(path) => stem(path),
        Source::Packages(packages) => stem(Path::new(packages.names.first()?)),
        Source::Directory(_) => None,
    };
    let said = recipe.name.clone().or(own).or_else(of_unit);
    said.or(of_container).or_else(of_source)
}

/// An os-release that names the portable, besides what else it says.
fn release_with(own: &str, name: &str, version: Option<&str>, prefixes: &[String]) -> String {
    let ours = ["PORTABLE_ID=", "IMAGE_ID=", "IMAGE_VERSION="];
    let mut text = String::new();
    for line in own
        .lines()
        .filter(|line| !ours.iter().any(|key| line.trim_start().starts_with(key)))
    {
        text.push_str(line);
        text.push('\n');
    }
    let version = version.unwrap_or("0");
    if own.is_empty() {
        return format!(
            "ID={}\nVERSION_ID={}\n",
            program::quote(name),
            program::quote(version)
        );
    }
    if !prefixes.is_empty() {
        text.push_str(&format!("PORTABLE_PREFIXES='{}'\n", prefixes.join(" ")));
    }
    text + &format!(
        "IMAGE_ID={}\nIMAGE_VERSION={}\n",
        program::quote(name),
        program::quote(version)
    )
}

/// The version of the first package, and what the names of all their units begin with.
fn of_their_own(
    manifest: &Manifest,
    packages: &Packages,
    version: Option<String>,
) -> Result<(Option<String>, Vec<String>), crate::manifest::ManifestError> {
    let prefixes = crate::packages::units(manifest, &packages.names)?;
    let version = match (version, packages.names.first()) {
        (None, Some(first)) => crate::packages::version(manifest, first)?,
        (version, _) => version,
    };
    Ok((version, prefixes.into_iter().collect()))
}

/// What a file is called, without its endings and without an instance.
fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let end = name
        .find(['.', '@'])
        .filter(|end| *end > 0)
        .unwrap_or(name.len());
    name.get(..end).map(str::to_owned)
}

/// `redis` of `docker.io/library/redis:8`.
fn of_reference(reference: &str) -> Option<String> {
    let last = reference.rsplit('/').next()?;
    // A tag alone names nothing.
    let (name, _) = last.split_once([':', '@'])?;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

fn tag(reference: &str) -> Option<String> {
    let last = reference.rsplit('/').next()?;
    let (_, tag) = last.split_once(':')?;
    // One that is moved from version to version is none.
    Some(tag.to_owned()).filter(|tag| tag != "latest" && !tag.contains('@'))
}

fn has_units(manifest: &Manifest, prefixes: &[String]) -> bool {
    let is_ours =
        |name: &str| is_unit_name(name) && prefixes.iter().any(|prefix| covers(prefix, name));
    UNIT_DIRECTORIES
        .iter()
        .any(|directory| manifest.names(directory).any(is_ours))
}

fn generate(
    recipe: &Recipe,
    manifest: &mut Manifest,
    name: &str,
    container: Option<&Listing>,
) -> Result<(), RecipeError> {
    let mut service = recipe.service.clone();
    if let Some(listing) = container {
        service = service.or(Service::of_container(&listing.configuration));
    }
    if let (true, Source::Program(path)) = (service.command.is_empty(), &recipe.source) {
        let place = program::place(path, recipe.sysroot.as_deref()).map_err(BuildError::from)?;
        service.command = vec![format!("/{}", place.display())];
    }
    if service.command.is_empty() && matches!(recipe.source, Source::Directory(_)) {
        // What looks for the units says what their names should be.
        return Ok(());
    }
    let units = service.units(name, &|program, path, directory| {
        find(manifest, program, path, directory)
    })?;
    for (unit, text) in units {
        manifest
            .put(&format!("{UNITS}/{unit}"), 0o644, text)
            .map_err(BuildError::from)?;
    }
    Ok(())
}

/// Where a program is in the image, as the container's own start would look for it.
fn find(
    manifest: &Manifest,
    program: &str,
    path: Option<&str>,
    directory: Option<&str>,
) -> Option<String> {
    let candidates: Vec<PathBuf> = if program.starts_with('/') {
        vec![program.into()]
    } else if program.contains('/') {
        vec![Path::new(directory.unwrap_or("/")).join(program)]
    } else {
        path.unwrap_or(SEARCHED)
            .split(':')
            .map(|one| Path::new(one).join(program))
            .collect()
    };
    let found = candidates
        .into_iter()
        .find(|path| path.is_absolute() && manifest.leads_to_file(path));
    found?.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests;
