//! One layer over those below it: files, links and what is taken away.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::blobs::Blobs;
use super::oci::Layer;
use super::stream::Digesting;
use super::{ENTRIES_LIMIT, Kind, Listed, UnpackError};
use crate::manifest;

/// What begins the name of what is taken away, and what a directory is called that hides everything below it.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The longest path, and directories below directories.
const PATH_LIMIT_BYTES: usize = 4096;
const DEPTH_LIMIT: usize = 128;

/// Extended attributes of one path, in bytes.
const ATTRIBUTES_LIMIT_BYTES: usize = 64 << 10;

/// How an archive calls an extended attribute.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// How an archive calls the map of a sparse file whose holes only GNU tar fills: its content would be another one.
const SPARSE: &[u8] = b"GNU.sparse.";

/// What means something only where it was made: labels and what overlays keep.
const IGNORED: [&str; 2] = ["security.selinux", "system.posix_acl_"];

/// Everything so far.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) entries: BTreeMap<PathBuf, Listed>,
    /// Of the last file.
    number: u64,
}

impl Tree {
    /// Takes everything below a path away, and itself where it is said.
    fn remove(&mut self, path: &Path, and_itself: bool) {
        if and_itself {
            self.entries.remove(path);
        }
        let below = (Bound::Excluded(path.to_path_buf()), Bound::Unbounded);
        let below: Vec<PathBuf> = self
            .entries
            .range(below)
            .map(|(other, _)| other)
            .take_while(|other| other.starts_with(path))
            .cloned()
            .collect();
        for path in below {
            self.entries.remove(&path);
        }
    }

    /// Puts one path there; what it replaces goes with all below it, but that of a directory which stays one.
    fn put(&mut self, path: PathBuf, listed: Listed) {
        let stays = matches!(
            (
                self.entries.get(&path).map(|there| &there.kind),
                &listed.kind
            ),
            (Some(Kind::Directory) | None, Kind::Directory)
        );
        if !stays {
            self.remove(&path, true);
        }
        self.entries.insert(path, listed);
    }
}

/// What one layer says.
#[derive(Default)]
struct Said {
    entries: BTreeMap<PathBuf, Listed>,
    removed: Vec<PathBuf>,
    opaque: Vec<PathBuf>,
}

/// Lays a layer over a tree.
pub(super) fn apply(
    tree: &mut Tree,
    blobs: &mut Blobs<'_>,
    layer: &Layer,
    number: usize,
) -> Result<(), UnpackError> {
    let error = |source| UnpackError::Read {
        what: format!("layer {number}"),
        source,
    };
    let mut archive = tar::Archive::new(Digesting::new(blobs.layer(&layer.name)?));
    archive.set_ignore_zeros(false);
    let mut said = Said::default();
    for entry in archive.entries().map_err(error)? {
        let mut entry = entry.map_err(error)?;
        let shown = shown(&String::from_utf8_lossy(&entry.path_bytes()));
        let wrong = |what: String| UnpackError::Entry {
            path: shown.clone(),
            layer: number,
            what,
        };
        take(tree, blobs, &mut said, &mut entry).map_err(|fault| match fault {
            Fault::What(what) => wrong(what),
            Fault::Io(source) => error(source),
        })?;
        if tree.entries.len() + said.entries.len() + said.removed.len() > ENTRIES_LIMIT {
            return Err(UnpackError::TooMuch(format!("{ENTRIES_LIMIT} files")));
        }
    }
    let found = archive.into_inner().finish().map_err(error)?;
    if let Some(digest) = layer.digest.as_ref().filter(|digest| **digest != found) {
        return Err(UnpackError::Digest {
            what: format!("layer {number}"),
            expected: shown(digest),
            found,
        });
    }
    merge(tree, said, number)
}

/// What is wrong with an entry, or its reading.
enum Fault {
    What(String),
    Io(std::io::Error),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        Fault::Io(error)
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Fault {
        Fault::What(what.into())
    }
}

fn take<R: Read>(
    tree: &mut Tree,
    blobs: &mut Blobs<'_>,
    said: &mut Said,
    entry: &mut tar::Entry<'_, R>,
) -> Result<(), Fault> {
    let kind = entry.header().entry_type();
    if kind.is_pax_global_extensions() {
        return Ok(());
    }
    let path = clean(&entry.path_bytes()).ok_or("leads out of the image, or is no path")?;
    if path.to_str().is_none() {
        return Err("has a name that is no UTF-8 text".into());
    }
    let Some(name) = path.file_name() else {
        // The root itself.
        return Ok(());
    };
    let above = path.parent().unwrap_or(Path::new(""));
    if name.as_bytes() == OPAQUE {
        said.opaque.push(above.into());
        return Ok(());
    }
    if let Some(gone) = name.as_bytes().strip_prefix(WHITEOUT) {
        if gone.is_empty() || matches!(gone, b"." | b"..") {
            return Err("takes nothing away that has a name".into());
        }
        said.removed.push(above.join(OsStr::from_bytes(gone)));
        return Ok(());
    }
    let listed = if kind.is_hard_link() {
        linked(tree, said, entry)?
    } else {
        let attributes = attributes(entry)?;
        let kind = content(tree, blobs, entry)?;
        Listed {
            mode: mode(entry, &kind)?,
            attributes,
            kind,
        }
    };
    said.entries.insert(path, listed);
    Ok(())
}

/// What another name of a file means.
fn linked<R: Read>(tree: &Tree, said: &Said, entry: &tar::Entry<'_, R>) -> Result<Listed, Fault> {
    let target = entry.link_name_bytes().unwrap_or_default();
    let target = clean(&target).ok_or("is a hard link that leads out of the image")?;
    let there = said
        .entries
        .get(&target)
        .or_else(|| tree.entries.get(&target));
    match there {
        Some(listed) if !matches!(listed.kind, Kind::Directory) => Ok(listed.clone()),
        Some(_) => Err("is a hard link to a directory".into()),
        None => Err("is a hard link to nothing".into()),
    }
}

fn content<R: Read>(
    tree: &mut Tree,
    blobs: &mut Blobs<'_>,
    entry: &mut tar::Entry<'_, R>,
) -> Result<Kind, Fault> {
    let kind = entry.header().entry_type();
    if kind.is_dir() {
        return Ok(Kind::Directory);
    }
    if kind.is_symlink() {
        let target = entry.link_name_bytes().unwrap_or_default();
        let target = std::str::from_utf8(&target).ok();
        let target = target.filter(|text| {
            !text.is_empty() && text.len() < PATH_LIMIT_BYTES && !text.contains('\0')
        });
        let target = target.ok_or("is a symbolic link to no path")?.to_owned();
        return Ok(Kind::Link { target });
    }
    if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
        tree.number += 1;
        let number = tree.number;
        let content = blobs.take(entry)?;
        return Ok(Kind::File { content, number });
    }
    let what = if kind.is_block_special() || kind.is_character_special() {
        "is a device node"
    } else if kind.is_fifo() {
        "is a named pipe"
    } else {
        "is of an unknown kind"
    };
    Err(Fault::What(format!(
        "{what}; images hold files, directories and links"
    )))
}

/// The permissions. Every owner will be root: what would then run as root and did not before is not taken over.
fn mode<R: Read>(entry: &tar::Entry<'_, R>, kind: &Kind) -> Result<u16, Fault> {
    let header = entry.header();
    let mut mode = (header.mode()? & 0o7777) as u16;
    // Not by the header's type: there are several for files.
    if matches!(kind, Kind::File { .. }) {
        if header.uid()? != 0 {
            mode &= !0o4000;
        }
        if header.gid()? != 0 {
            mode &= !0o2000;
        }
    }
    Ok(mode)
}

fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let mut found = BTreeMap::new();
    let mut bytes = 0;
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        if extension.key_bytes().starts_with(SPARSE) {
            return Err("is a sparse file in a form that is not known here; `tar --sparse --format=gnu` writes one that is".into());
        }
        let Some(name) = extension
            .key()
            .ok()
            .and_then(|key| key.strip_prefix(ATTRIBUTE))
        else {
            continue;
        };
        if IGNORED.iter().any(|ignored| name.starts_with(ignored)) {
            continue;
        }
        if !manifest::is_kept(name.as_bytes()) {
            return Err(Fault::What(format!(
                "has the extended attribute {}, which images do not hold",
                shown(name)
            )));
        }
        bytes += name.len() + extension.value_bytes().len();
        if bytes > ATTRIBUTES_LIMIT_BYTES {
            return Err("has too many extended attributes".into());
        }
        found.insert(name.to_owned(), extension.value_bytes().to_vec());
    }
    Ok(found.into_iter().collect())
}

/// Takes away what the layer hides, then adds what it has.
fn merge(tree: &mut Tree, said: Said, number: usize) -> Result<(), UnpackError> {
    for path in &said.opaque {
        tree.remove(path, false);
    }
    for path in &said.removed {
        tree.remove(path, true);
    }
    for (path, listed) in said.entries {
        let mut above = path.parent();
        let mut missing = Vec::new();
        while let Some(parent) = above.filter(|parent| !parent.as_os_str().is_empty()) {
            match tree.entries.get(parent).map(|there| &there.kind) {
                Some(Kind::Directory) => break,
                None => missing.push(parent.to_path_buf()),
                Some(_) => {
                    return Err(UnpackError::Entry {
                        path: shown(&path.to_string_lossy()),
                        layer: number,
                        what: format!(
                            "lies below {}, which is no directory: a link there could lead anywhere",
                            shown(&parent.to_string_lossy())
                        ),
                    });
                }
            }
            above = parent.parent();
        }
        for parent in missing {
            let implied = Listed {
                mode: 0o755,
                attributes: Vec::new(),
                kind: Kind::Directory,
            };
            tree.put(parent, implied);
        }
        tree.put(path, listed);
    }
    Ok(())
}

/// A path inside the image, without `.`; nothing where it begins at a root, goes up, or is too long.
pub(crate) fn clean(bytes: &[u8]) -> Option<PathBuf> {
    if bytes.contains(&0) || bytes.len() > PATH_LIMIT_BYTES {
        return None;
    }
    let path = Path::new(OsStr::from_bytes(bytes));
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) if name.len() <= 255 => out.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (out.components().count() <= DEPTH_LIMIT).then_some(out)
}

/// A text of the image's for a message.
pub(super) fn shown(text: &str) -> String {
    crate::tree::shown(text)
}
