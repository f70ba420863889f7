//! The worker that the manager asks for the images of a unit: it hands over a tree of an image that was proven.
//!
//! `coracle worker root-image`: descriptor 0 is a socket to the manager, over which one message says what is wanted, with the tree that an
//! extension is laid over beside it. The answer is one line of JSON, `{"integrity": …}` with the tree's descriptor beside it, with
//! `"writes"` where the changes of a stack go, and with `"of_files"`; `{"missing": true}`, or `{"error": …}`. An image in the store has a note of what was proven
//! when it came in; the same file needs no second proof. Another image is an administrator's own: it must be one that only root can change.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use delivery::store::Store;
use image::verify::{Assurance, Record};
use kernel::message::{Descriptors, ReceiveOptions};
use model::value::ImagePolicy;

use crate::ownership::open_to_others;

mod key;
mod own;
mod stack;

/// Bytes of the manager's message: paths, a policy, options and a signature.
const WISH_BYTES_MAX: usize = 128 << 10;

/// What the manager wants.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Wish {
    kind: Kind,
    path: PathBuf,
    optional: bool,
    policy: String,
    options: Vec<String>,
    root_hash: Option<String>,
    signature: Option<String>,
    verity: Option<PathBuf>,
    base: Option<PathBuf>,
    /// The directories where the changes of other stacks that are up go.
    written_to: Vec<String>,
    /// Where the administrator's certificates are.
    config: PathBuf,
    /// Where the host's secret may be.
    state: PathBuf,
}

/// What for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Root,
    RootDirectory,
    RootStack,
    Mount,
    Extension,
    ExtensionDirectory,
}

impl Kind {
    fn is_directory(self) -> bool {
        matches!(
            self,
            Kind::RootDirectory | Kind::RootStack | Kind::ExtensionDirectory
        )
    }

    fn is_extension(self) -> bool {
        matches!(self, Kind::Extension | Kind::ExtensionDirectory)
    }
}

/// What there is to hand over.
enum Found {
    Tree {
        tree: OwnedFd,
        integrity: String,
        /// Where the changes of a stack go.
        writes: Option<String>,
        /// A file of the store is behind it, and no device.
        of_files: bool,
    },
    Missing,
}

/// Answers the manager.
///
/// # Errors
/// When the manager can't be told.
pub(crate) fn main() -> Result<()> {
    let (answer, tree) = match receive().and_then(|(wish, base)| find(wish, base)) {
        Ok(Found::Tree {
            tree,
            integrity,
            writes,
            of_files,
        }) => (
            serde_json::json!({ "integrity": integrity, "writes": writes, "of_files": of_files }),
            Some(tree),
        ),
        Ok(Found::Missing) => (serde_json::json!({ "missing": true }), None),
        Err(error) => (serde_json::json!({ "error": told(&error) }), None),
    };
    let line = format!("{answer}\n");
    let descriptors: Vec<_> = tree.iter().map(AsFd::as_fd).collect();
    kernel::message::send(std::io::stdin(), line.as_bytes(), &descriptors)
        .context("cannot answer the manager")?;
    Ok(())
}

fn receive() -> Result<(Wish, Option<OwnedFd>)> {
    let (mut buffer, mut descriptors) = (vec![0; WISH_BYTES_MAX], Descriptors::default());
    let options = ReceiveOptions {
        wait: true,
        ..ReceiveOptions::default()
    };
    let received =
        kernel::message::receive(std::io::stdin(), &mut buffer, &mut descriptors, options)
            .context("cannot hear the manager")?;
    let wish = serde_json::from_slice(buffer.get(..received.bytes).unwrap_or_default());
    Ok((
        wish.context("the manager's words are none")?,
        descriptors.take(),
    ))
}

/// The error and its causes on one line, cut where the manager's room for the answer would not do.
fn told(error: &anyhow::Error) -> String {
    const CHARS_MAX: usize = 500;
    format!("{error:#}").chars().take(CHARS_MAX).collect()
}

fn find(mut wish: Wish, base: Option<OwnedFd>) -> Result<Found> {
    let named = wish.path.clone();
    let endings: &[&str] = match wish.kind {
        Kind::RootStack => &[".mstack"],
        kind if kind.is_directory() => &[""],
        _ => &IMAGES,
    };
    let Some(path) = pick(&wish.path, endings, wish.optional)? else {
        return match wish.optional {
            true => Ok(Found::Missing),
            false => bail!("{} has no version for this machine", named.display()),
        };
    };
    wish.path = path;
    match wish.path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && wish.optional => {
            return Ok(Found::Missing);
        }
        _ => {}
    }
    let (mut writes, mut of_files) = (None, false);
    let (tree, mut integrity) = if wish.kind == Kind::RootStack {
        let (tree, integrity, changed) = stack::tree(&wish)?;
        writes = changed;
        (tree, integrity)
    } else if wish.kind.is_directory() {
        own::directory(&wish, base)?
    } else {
        let (tree, integrity, is_stored) = mount(&wish, base)?;
        of_files = is_stored && is_of_file(&tree)?;
        (tree, integrity)
    };
    if wish.path != named {
        integrity = format!("{}, {integrity}", wish.path.display());
    }
    Ok(Found::Tree {
        tree,
        integrity,
        writes,
        of_files,
    })
}

/// Whether a file system has its bytes from a file itself: those of devices have the device's number, others one that is no device's.
fn is_of_file(tree: &OwnedFd) -> Result<bool> {
    let found = rustix::fs::fstat(tree).context("cannot look at what was mounted")?;
    Ok(rustix::fs::major(found.st_dev) == 0)
}

/// What names of images end with; what ends otherwise is a directory.
const IMAGES: [&str; 2] = [".raw", ".psi"];

/// The newest version with one of these endings, where the path is one of a directory with versions.
fn pick(path: &Path, endings: &[&str], optional: bool) -> Result<Option<PathBuf>> {
    let Some(pattern) = path.to_str().and_then(model::versioned::pattern) else {
        return Ok(Some(path.to_owned()));
    };
    let mut names = Vec::new();
    let unreadable = || format!("cannot read {}", pattern.directory);
    let entries = match std::fs::read_dir(pattern.directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && optional => {
            return Ok(None);
        }
        entries => entries.with_context(unreadable)?,
    };
    let are_directories = endings != IMAGES;
    for entry in entries {
        let entry = entry.with_context(unreadable)?;
        // A link counts as what it leads to.
        let is_directory = entry.path().metadata().map(|metadata| metadata.is_dir());
        if is_directory.is_ok_and(|is_directory| is_directory == are_directories) {
            names.extend(entry.file_name().into_string());
        }
    }
    let newest = model::versioned::pick(
        pattern,
        endings,
        names.iter().map(String::as_str),
        model::facts::native(),
    );
    Ok(newest.map(|name| Path::new(pattern.directory).join(name)))
}

/// The tree, what protects it, and whether it is one of the store's.
fn mount(wish: &Wish, base: Option<OwnedFd>) -> Result<(OwnedFd, String, bool)> {
    let path = &wish.path;
    let plain = wish.options.is_empty() && wish.root_hash.is_none();
    let stored = match wish.kind {
        Kind::Root if plain && wish.policy == ImagePolicy::OF_ROOTS => Some(path.clone()),
        // The name by which it says what it is for leads into the store.
        Kind::Extension if plain => path.canonicalize().ok(),
        _ => None,
    };
    if let Some(stored) = stored
        && let Some(record) = note(&Store::note_path(&stored))?
    {
        let file =
            File::open(&stored).with_context(|| format!("cannot open {}", stored.display()))?;
        let integrity = of_the_store(&record);
        let verified = record.confirm(&file)?;
        let tree = image::mount::mount(&file, &verified)?;
        let assembled = image::mount::assemble(vec![("/", tree)])?;
        if wish.kind.is_extension() {
            own::fits(wish, &assembled.root, base)?;
        }
        return Ok((assembled.close()?, integrity, true));
    }
    let (tree, integrity) = own::image(wish, base)?;
    Ok((tree, integrity, false))
}

/// What the store wrote down of an image, where it did. Whoever else could write there could call any file a proven image.
fn note(path: &Path) -> Result<Option<Record>> {
    let waits_for_no_one = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match File::options()
        .read(true)
        .custom_flags(waits_for_no_one)
        .open(path)
    {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
    };
    let metadata = file.metadata()?;
    let is_ours = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    if !metadata.is_file() || !is_ours || metadata.mode() & 0o022 != 0 {
        bail!(
            "{} can be changed by others than root: what it says of the image proves nothing",
            path.display()
        );
    }
    let mut bytes = Vec::new();
    file.take(delivery::store::NOTE_MAX_BYTES)
        .read_to_end(&mut bytes)?;
    let record = serde_json::from_slice(&bytes);
    Ok(Some(record.with_context(|| {
        format!("the note {} on the image is damaged", path.display())
    })?))
}

/// Refuses what others than root could change, now or on the way to it.
fn only_roots(path: &Path, opened: &impl AsFd) -> Result<()> {
    if let Some(part) = open_to_others(path)? {
        bail!(
            "{} can be changed by others than root, so {} can't be trusted",
            part.display(),
            path.display()
        );
    }
    // Before it was looked at, a link on the way may have led elsewhere.
    let (opened, named) = (rustix::fs::fstat(opened)?, path.metadata()?);
    if (opened.st_dev, opened.st_ino) != (named.dev(), named.ino()) {
        bail!("{} was replaced while it was looked at", path.display());
    }
    Ok(())
}

fn of_the_store(record: &Record) -> String {
    let how = match &record.assurance {
        Assurance::Signed(signer) => format!("signed by \"{}\"", signer.common_name),
        Assurance::Digest => "allowed by its digest".to_owned(),
        Assurance::Insecure => "not signed".to_owned(),
    };
    let is_mapped = record.tree.is_some() && image::mount::has_device_mapper();
    let by_kernel = if is_mapped {
        ", each block checked by the kernel"
    } else {
        ""
    };
    format!("{how}; hashed when it came in, protected by the store's permissions{by_kernel}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn check(mode: u32, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.note");
        std::fs::write(&path, "{}").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = note(&path).unwrap_err().to_string();
        assert_eq!(said.replace(path.to_str().unwrap(), "NOTE"), expected);
    }

    #[test]
    fn what_was_opened_is_what_was_looked_at() {
        let file = File::open("/etc/group").unwrap();
        let error = only_roots(Path::new("/etc/passwd"), &file)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "/etc/passwd was replaced while it was looked at");
    }

    #[test]
    fn a_note_that_others_could_have_written_proves_nothing() {
        let foreign =
            "NOTE can be changed by others than root: what it says of the image proves nothing";
        check(0o622, foreign);
        check(0o660, foreign);
        check(0o600, "the note NOTE on the image is damaged");
        let folder = tempfile::tempdir().unwrap();
        assert!(note(&folder.path().join("none")).unwrap().is_none());
    }
}
