//! Builds an image from a directory: file system, verity, signature; the same input gives the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::assemble::{Parts, WriteImageError};
use crate::crew::Crew;
use crate::erofs::{self, ErofsError};
use crate::guid::Guid;
use crate::manifest::{Manifest, ManifestError};
use crate::os_release::{self, OsRelease, OsReleaseError};
use crate::sign::{SignError, SigningKey};
use crate::source::{Extent, FileSource};
use crate::squashfs::{self, SquashfsError};
use crate::tree;
use crate::verity::{self, BLOCK_BYTES, Blocks, RootHash, Superblock, VerityError};

/// Directories that a running service finds something mounted on.
const MOUNT_POINTS: [(&str, u16); 7] = [
    ("dev", 0o755),
    ("proc", 0o555),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/tmp", 0o1777),
];

/// Files that a running service finds the host's own mounted on.
const MOUNT_POINT_FILES: [&str; 4] = [
    "etc/hosts",
    "etc/localtime",
    "etc/machine-id",
    "etc/resolv.conf",
];

/// The directory that a service with the network finds the host's certificates in.
const CERTIFICATES: &str = "etc/ssl/certs";

/// Settings that name directories which are mounted into the service, and where.
const SERVICE_DIRECTORIES: [(&str, &str); 4] = [
    ("StateDirectory=", "var/lib"),
    ("CacheDirectory=", "var/cache"),
    ("LogsDirectory=", "var/log"),
    ("ConfigurationDirectory=", "etc"),
];

/// How to build.
#[derive(Default)]
pub struct Options<'key> {
    /// Signs the image where given.
    pub key: Option<&'key SigningKey>,
    /// The time of every file, seconds since 1970 (SOURCE_DATE_EPOCH).
    pub epoch_s: u32,
    /// Says what is wrong with the units, before anything is written.
    pub review: Option<&'key Review>,
    /// What is written inside.
    pub format: Format,
    /// Hears how far it is: what is done, bytes done, bytes in all.
    pub progress: Option<&'key Progress<'key>>,
}

/// What hears how far a build is.
pub type Progress<'a> = dyn Fn(&'static str, u64, u64) + 'a;

/// The file system of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Not compressed inside: its pages are shared, and updates are small.
    #[default]
    Erofs,
    /// Compressed inside.
    Squashfs,
}

/// What looks at the units of an image to be.
pub type Review = dyn Fn(&Candidate<'_>) -> Result<(), String>;

/// An image to be.
pub struct Candidate<'image> {
    /// The portable's name.
    pub name: &'image str,
    /// Names and texts of its units.
    pub units: &'image [(String, String)],
    manifest: &'image Manifest,
}

impl Candidate<'_> {
    /// Whether a path leads to a file of the image.
    #[must_use]
    pub fn has_file(&self, path: &Path) -> bool {
        self.manifest.leads_to_file(path)
    }
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The portable's name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The root hash.
    pub root_hash: RootHash,
    /// The image's length in bytes.
    pub length: u64,
    /// Unit files found in it.
    pub units: Vec<String>,
    /// Their texts, in the same order.
    pub texts: Vec<String>,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The input holds something that can't be built.
    #[error(transparent)]
    Input(#[from] ManifestError),
    /// No os-release.
    #[error(
        "there is no usr/lib/os-release and no etc/os-release: write one with at least ID= and VERSION_ID="
    )]
    NoOsRelease,
    /// An os-release that can't be used.
    #[error(transparent)]
    OsRelease(#[from] OsReleaseError),
    /// An os-release that names nothing.
    #[error(
        "os-release names no portable: say ID=, or PORTABLE_ID= where ID= is the distribution's"
    )]
    NoName,
    /// No unit file belongs to the portable.
    #[error(
        "no unit file {} (.service, .socket, .target, .timer or .path) in usr/lib/systemd/system",
        names(prefixes)
    )]
    NoUnits {
        /// What their names may begin with.
        prefixes: Vec<String>,
    },
    /// The units don't go with the image.
    #[error("{0}")]
    Review(String),
    /// The program's files can't be collected.
    #[error(transparent)]
    Program(#[from] crate::program::ProgramError),
    /// The file system can't be written.
    #[error(transparent)]
    Squashfs(#[from] SquashfsError),
    /// The file system can't be written.
    #[error(transparent)]
    Erofs(#[from] ErofsError),
    /// The hash tree can't be made.
    #[error(transparent)]
    Verity(#[from] VerityError),
    /// The image can't be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The image can't be written.
    #[error(transparent)]
    Write(#[from] WriteImageError),
    /// The temporary file beside the image can't be used.
    #[error("cannot write beside {path}")]
    Temporary {
        /// The image's path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn names(prefixes: &[String]) -> String {
    prefixes
        .iter()
        .map(|prefix| format!("{prefix}.* or {prefix}-*"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Builds an image from a directory. `output` appears whole or not at all.
///
/// # Errors
/// See [`BuildError`].
pub fn build(directory: &Path, output: &Path, options: &Options<'_>) -> Result<Built, BuildError> {
    from_manifest(Manifest::of_directory(directory)?, output, options)
}

/// Builds an image from what a manifest lists and what every image needs.
pub(crate) fn from_manifest(
    mut manifest: Manifest,
    output: &Path,
    options: &Options<'_>,
) -> Result<Built, BuildError> {
    let release = os_release(&manifest)?;
    let name = release.name().ok_or(BuildError::NoName)?.to_owned();
    let version = release.version().map(str::to_owned);
    let units = units(&manifest, &release)?;
    if let Some(review) = options.review {
        review(&Candidate {
            name: &name,
            units: &units,
            manifest: &manifest,
        })
        .map_err(BuildError::Review)?;
    }
    complete(&mut manifest, &units)?;

    let error = |source| BuildError::Temporary {
        path: output.into(),
        source,
    };
    let file = unnamed_beside(output).map_err(error)?;
    let tell = |done, all| {
        if let Some(progress) = options.progress {
            progress("writing", done, all);
        }
    };
    let length = match options.format {
        Format::Erofs => erofs::write(&manifest, options.epoch_s, &file, &tell)?,
        Format::Squashfs => squashfs::write(&manifest, options.epoch_s, io::BufWriter::new(&file))?,
    };
    let crew = Crew::of_processors();
    let source = FileSource::new(&file).map_err(error)?.hashed_by(&crew);
    let root = Extent { offset: 0, length };
    let label = version
        .as_ref()
        .map_or_else(|| name.clone(), |version| format!("{name}_{version}"));
    let parts = parts(&source, root, label, options.key)?;
    let root_hash = parts.root_hash;
    let (units, texts) = units.into_iter().unzip();
    let length = parts.write(&source, root, output)?;
    Ok(Built {
        name,
        version,
        root_hash,
        length,
        units,
        texts,
    })
}

/// Hash tree and signature of a root file system.
fn parts(
    source: &FileSource<'_>,
    root: Extent,
    label: String,
    key: Option<&SigningKey>,
) -> Result<Parts, BuildError> {
    // The salt only has to keep trees of different portables apart; random bytes would make every build another image.
    let salt = Sha256::new()
        .chain_update("coracle verity salt\0")
        .chain_update(&label)
        .finalize()
        .to_vec();
    let tree = verity::compute(source, root, &salt, Blocks::default())?;
    let id = tree.root.partition_ids().0;
    let superblock = Superblock {
        id: uuid(id),
        blocks: Blocks::default(),
        data_blocks: root.length / BLOCK_BYTES,
        salt,
    };
    let mut verity = superblock.to_block();
    verity.extend(tree.blocks);
    let signature = key.map(|key| key.sign_root_hash(tree.root)).transpose()?;
    Ok(Parts {
        label,
        root_hash: tree.root,
        verity,
        signature,
    })
}

/// The same bits, marked as a UUID whose content is the maker's business (version 8, RFC 9562).
pub(crate) fn uuid(id: Guid) -> Guid {
    let mut bytes = id.bytes();
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    Guid::from_bytes(bytes)
}

fn os_release(manifest: &Manifest) -> Result<OsRelease, BuildError> {
    let text = release_text(manifest)?.ok_or(BuildError::NoOsRelease)?;
    Ok(OsRelease::parse(&text)?)
}

/// The text of an os-release, where there is one.
pub(crate) fn release_text(manifest: &Manifest) -> Result<Option<String>, ManifestError> {
    for path in ["etc/os-release", "usr/lib/os-release"] {
        if let Some(text) = manifest.text(path, os_release::LIMIT_BYTES)? {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// The portable's unit files: name and text, sorted.
fn units(manifest: &Manifest, release: &OsRelease) -> Result<Vec<(String, String)>, BuildError> {
    let prefixes = release.prefixes();
    let mut units: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for directory in tree::UNIT_DIRECTORIES {
        for name in manifest.names(directory) {
            let ours = tree::is_unit_name(name)
                && prefixes.iter().any(|prefix| tree::covers(prefix, name));
            if ours && !units.contains_key(name) {
                let path = format!("{directory}/{name}");
                units.insert(name, manifest.text(&path, tree::UNIT_LIMIT_BYTES)?);
            }
        }
    }
    // What has no text is masked, in later directories too.
    let units: Vec<(String, String)> = units
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), text?)))
        .collect();
    if units.is_empty() {
        Err(BuildError::NoUnits { prefixes })
    } else {
        Ok(units)
    }
}

/// Adds the places that things are mounted on when the service runs: a read-only root can't get them later.
fn complete(manifest: &mut Manifest, units: &[(String, String)]) -> Result<(), BuildError> {
    for (path, mode) in MOUNT_POINTS {
        manifest.directory(Path::new(path), mode)?;
    }
    for path in MOUNT_POINT_FILES {
        if !manifest.has(Path::new(path)) {
            manifest.put(path, 0o444, "")?;
        }
    }
    let own = units.iter().flat_map(|(_, text)| service_directories(text));
    for path in own.chain([CERTIFICATES.into()]) {
        if !path.ancestors().any(|part| manifest.is_link(part)) {
            manifest.directory(&path, 0o755)?;
        }
    }
    Ok(())
}

/// The directories inside the image that a unit's own directories are mounted on, with their places for dynamic users.
fn service_directories(text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in text.lines() {
        for (setting, base) in SERVICE_DIRECTORIES {
            let Some(values) = line.trim().strip_prefix(setting) else {
                continue;
            };
            let sound = |name: &&str| {
                !name.contains(['%', '"', '\'', '\\', ':']) && !name.split('/').any(|p| p == "..")
            };
            for name in values.split_whitespace().filter(sound) {
                found.push(Path::new(base).join(name.trim_start_matches('/')));
                if base.starts_with("var/") {
                    found.push(
                        Path::new(base)
                            .join("private")
                            .join(name.trim_start_matches('/')),
                    );
                }
            }
        }
    }
    found
}

/// A file without a name, on the output's file system.
pub(crate) fn unnamed_beside(output: &Path) -> io::Result<File> {
    let name = output
        .file_name()
        .ok_or(io::ErrorKind::InvalidFilename)?
        .to_string_lossy();
    let path = output.with_file_name(format!(".{name}.root.{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
