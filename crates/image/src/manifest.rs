//! What goes into a root file system: every path with its mode and content, sorted, owned by root.

mod content;

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

pub(crate) use content::{Content, Opened};

use crate::unpack::{self, Listed};

/// Files in one image.
const ENTRIES_LIMIT: usize = 1_000_000;

/// Directories below directories.
const DEPTH_LIMIT: usize = 128;

/// Labels that the host's own policy puts on every file; they mean nothing elsewhere.
const IGNORED_ATTRIBUTES: [&[u8]; 2] = [b"security.selinux", b"security.apparmor"];

/// The longest value of an extended attribute (xattr(7)).
const ATTRIBUTE_LIMIT_BYTES: usize = 64 << 10;

/// Why a directory can't become an image.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A path can't be read.
    #[error("cannot read {path}")]
    Read {
        /// Where, on this host.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something that images do not hold.
    #[error("{path} {what}")]
    Unsupported {
        /// Where, on this host.
        path: PathBuf,
        /// What it is or has.
        what: String,
    },
    /// More than fits.
    #[error("more than {ENTRIES_LIMIT} files, or directories deeper than {DEPTH_LIMIT}")]
    TooMany,
    /// A path is needed for two things.
    #[error("/{0} is needed as a directory and is something else")]
    NotADirectory(String),
}

/// Extended attributes, by their full names.
pub(crate) type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// What two names of one file have in common, and no other file has.
pub(crate) type Inode = (u64, u64);

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Regular {
    pub(crate) mode: u16,
    pub(crate) content: Content,
    pub(crate) attributes: Attributes,
    /// Where it may have other names.
    pub(crate) inode: Option<Inode>,
}

/// One path's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A directory of this mode.
    Directory { mode: u16, attributes: Attributes },
    /// A file.
    File(Regular),
    /// A symbolic link.
    Link { target: PathBuf },
}

impl Entry {
    fn plain_directory(mode: u16) -> Entry {
        Entry::Directory {
            mode,
            attributes: Attributes::new(),
        }
    }

    fn plain_file(mode: u16, content: Content) -> Entry {
        Entry::File(Regular {
            mode,
            content,
            attributes: Attributes::new(),
            inode: None,
        })
    }
}

/// All paths of an image, relative to its root, parents before children.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    entries: BTreeMap<PathBuf, Entry>,
    /// What was unpacked, for [`Content::Pool`].
    pool: Option<File>,
}

impl Manifest {
    /// Everything below a directory.
    pub(crate) fn of_directory(directory: &Path) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        manifest.add_tree(directory, Path::new(""), 0)?;
        Ok(manifest)
    }

    /// What a worker has unpacked into a pool. It read what is hostile, so that nothing of what it says is believed: no path leads out, each
    /// lies in a directory, each content in the pool.
    pub(crate) fn of_listing(
        pool: File,
        entries: Vec<(PathBuf, Listed)>,
    ) -> Result<Self, ManifestError> {
        let length = pool
            .metadata()
            .map_err(|source| read_error(Path::new("what was unpacked"), source))?
            .len();
        let mut manifest = Self {
            pool: Some(pool),
            ..Self::default()
        };
        for (path, listed) in entries {
            let wrong = || unsupported(&path, "is not what an unpacked image has".into());
            let is_plain = path
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            if !is_plain || path.as_os_str().is_empty() || listed.mode > 0o7777 {
                return Err(wrong());
            }
            let attributes: Attributes = listed
                .attributes
                .into_iter()
                .map(|(name, value)| (name.into_bytes(), value))
                .collect();
            if !attributes.keys().all(|name| is_kept(name)) {
                return Err(wrong());
            }
            manifest.parents(&path)?;
            let mode = listed.mode;
            let entry = match listed.kind {
                unpack::Kind::Directory => Entry::Directory { mode, attributes },
                unpack::Kind::Link { target } => Entry::Link {
                    target: target.into(),
                },
                unpack::Kind::File { content, number } => {
                    content
                        .end()
                        .filter(|end| *end <= length)
                        .ok_or_else(wrong)?;
                    Entry::File(Regular {
                        mode,
                        content: Content::Pool(content),
                        attributes,
                        inode: Some((0, number)),
                    })
                }
            };
            manifest.entries.insert(path, entry);
            if manifest.entries.len() > ENTRIES_LIMIT {
                return Err(ManifestError::TooMany);
            }
        }
        Ok(manifest)
    }

    /// Adds a file or a directory with everything below it.
    pub(crate) fn add(&mut self, from: &Path, to: &Path) -> Result<(), ManifestError> {
        let to: PathBuf = to
            .components()
            .filter(|part| matches!(part, std::path::Component::Normal(_)))
            .collect();
        let metadata = fs::metadata(from).map_err(|source| read_error(from, source))?;
        self.parents(&to)?;
        if metadata.is_dir() {
            self.directory(&to, mode(&metadata))?;
            return self.add_tree(from, &to, 0);
        }
        self.add_entry(from, to, &metadata)
    }

    fn add_tree(&mut self, from: &Path, to: &Path, depth: usize) -> Result<(), ManifestError> {
        if depth > DEPTH_LIMIT {
            return Err(ManifestError::TooMany);
        }
        let entries = fs::read_dir(from).map_err(|source| read_error(from, source))?;
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| read_error(from, source))?;
        names.sort();
        for name in names {
            let (from, to) = (from.join(&name), to.join(&name));
            let metadata =
                fs::symlink_metadata(&from).map_err(|source| read_error(&from, source))?;
            if metadata.is_dir() {
                let attributes = attributes(&from)?;
                self.directory(&to, mode(&metadata))?;
                if let Some(Entry::Directory {
                    attributes: there, ..
                }) = self.entries.get_mut(&to)
                {
                    *there = attributes;
                }
                self.add_tree(&from, &to, depth + 1)?;
            } else {
                self.add_entry(&from, to, &metadata)?;
            }
        }
        Ok(())
    }

    /// Adds what is not a directory.
    fn add_entry(
        &mut self,
        from: &Path,
        to: PathBuf,
        metadata: &Metadata,
    ) -> Result<(), ManifestError> {
        let attributes = attributes(from)?;
        let kind = metadata.file_type();
        let entry = if kind.is_symlink() {
            Entry::Link {
                target: fs::read_link(from).map_err(|source| read_error(from, source))?,
            }
        } else if kind.is_file() {
            Entry::File(Regular {
                mode: mode(metadata),
                content: Content::Path(from.into()),
                attributes,
                inode: (metadata.nlink() > 1).then(|| (metadata.dev(), metadata.ino())),
            })
        } else {
            return Err(unsupported(
                from,
                format!(
                    "is {}; images hold files, directories and symbolic links",
                    kind_name(&kind)
                ),
            ));
        };
        self.entries.insert(to, entry);
        if self.entries.len() > ENTRIES_LIMIT {
            Err(ManifestError::TooMany)
        } else {
            Ok(())
        }
    }

    /// Adds a file with content made here, in place of what was there.
    pub(crate) fn put(
        &mut self,
        path: &str,
        mode: u16,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<(), ManifestError> {
        self.parents(Path::new(path))?;
        self.entries.insert(
            path.into(),
            Entry::plain_file(mode, Content::Bytes(bytes.into())),
        );
        Ok(())
    }

    /// Adds a copy of a host's file under another path.
    pub(crate) fn put_copy(
        &mut self,
        from: &Path,
        to: &Path,
        mode: u16,
    ) -> Result<(), ManifestError> {
        self.parents(to)?;
        self.entries.insert(
            to.into(),
            Entry::plain_file(mode, Content::Path(from.into())),
        );
        Ok(())
    }

    /// Adds a symbolic link where there is nothing.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> Result<(), ManifestError> {
        self.parents(Path::new(path))?;
        self.entries.entry(path.into()).or_insert(Entry::Link {
            target: target.into(),
        });
        Ok(())
    }

    /// Adds a directory where there is nothing; a symbolic link may lead to one and is left alone.
    pub(crate) fn directory(&mut self, path: &Path, mode: u16) -> Result<(), ManifestError> {
        self.parents(path)?;
        match self
            .entries
            .entry(path.into())
            .or_insert_with(|| Entry::plain_directory(mode))
        {
            Entry::File(_) => Err(ManifestError::NotADirectory(path.display().to_string())),
            Entry::Directory { .. } | Entry::Link { .. } => Ok(()),
        }
    }

    /// Adds the directories that a path lies in. One that is a symbolic link cannot hold anything.
    fn parents(&mut self, path: &Path) -> Result<(), ManifestError> {
        let mut parents: Vec<&Path> = path
            .ancestors()
            .skip(1)
            .filter(|parent| !parent.as_os_str().is_empty())
            .collect();
        parents.reverse();
        for parent in parents {
            let entry = self
                .entries
                .entry(parent.into())
                .or_insert_with(|| Entry::plain_directory(0o755));
            if !matches!(entry, Entry::Directory { .. }) {
                return Err(ManifestError::NotADirectory(parent.display().to_string()));
            }
        }
        Ok(())
    }

    /// Whether something is there.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.entries.contains_key(path)
    }

    /// Whether a path leads to a file: over links, which stay inside, as for the service.
    pub(crate) fn leads_to_file(&self, path: &Path) -> bool {
        /// As the kernel (path_resolution(7)).
        const LINKS_MAX: u32 = 40;
        let names = |path: &Path| {
            path.components()
                .rev()
                .map(|one| one.as_os_str().to_owned())
                .collect::<Vec<_>>()
        };
        let (mut left, mut at, mut links) = (names(path), PathBuf::new(), 0);
        while let Some(name) = left.pop() {
            if name == "/" {
                at.clear();
                continue;
            }
            if name == ".." {
                at.pop();
                continue;
            }
            match self.entries.get(&at.join(&name)) {
                Some(Entry::Directory { .. }) => at.push(name),
                Some(Entry::File(_)) => return left.is_empty(),
                Some(Entry::Link { target }) if links < LINKS_MAX => {
                    links += 1;
                    left.extend(names(target));
                }
                Some(Entry::Link { .. }) | None => return false,
            }
        }
        false
    }

    /// Takes a path away, with all below it.
    pub(crate) fn remove(&mut self, path: &Path) {
        self.entries.retain(|other, _| !other.starts_with(path));
    }

    /// Takes away, one by one, the paths that are meant.
    pub(crate) fn remove_where(&mut self, is_meant: impl Fn(&Path) -> bool) {
        self.entries.retain(|path, _| !is_meant(path));
    }

    /// Whether a path lies below a symbolic link, which holds nothing.
    pub(crate) fn below_link(&self, path: &Path) -> bool {
        path.ancestors().skip(1).any(|part| self.is_link(part))
    }

    /// Whether a symbolic link is there.
    pub(crate) fn is_link(&self, path: &Path) -> bool {
        matches!(self.entries.get(path), Some(Entry::Link { .. }))
    }

    /// All entries, parents before children.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_path(), entry))
    }

    /// The text of a file that is there, following up to eight symbolic links inside the image.
    pub(crate) fn text(
        &self,
        path: &str,
        limit_bytes: u64,
    ) -> Result<Option<String>, ManifestError> {
        let mut path = PathBuf::from(path);
        for _ in 0..8 {
            match self.entries.get(&path) {
                Some(Entry::Link { target }) => path = resolve(&path, target),
                Some(Entry::File(file)) => {
                    return self.read_text(&path, &file.content, limit_bytes).map(Some);
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn read_text(
        &self,
        path: &Path,
        content: &Content,
        limit_bytes: u64,
    ) -> Result<String, ManifestError> {
        let (mut from, length) = self
            .open(content)
            .map_err(|source| read_error(content.place(path), source))?;
        if length > limit_bytes {
            return Err(unsupported(
                content.place(path),
                format!("is larger than {limit_bytes} bytes"),
            ));
        }
        let mut text = String::new();
        from.read_to_string(&mut text)
            .map_err(|source| read_error(content.place(path), source))?;
        Ok(text)
    }

    /// A file's content, and how long it is. What is shorter when it is read ends early.
    pub(crate) fn open<'m>(&'m self, content: &'m Content) -> io::Result<(Opened<'m>, u64)> {
        match content {
            Content::Bytes(bytes) => Ok((Opened::Bytes(bytes), bytes.len() as u64)),
            Content::Path(path) => {
                let file = File::open(path)?;
                let length = file.metadata()?.len();
                Ok((Opened::File(file.take(length)), length))
            }
            Content::Pool(extent) => {
                let pool = self.pool.as_ref().ok_or(io::ErrorKind::NotFound)?;
                Ok((
                    Opened::Pool {
                        pool,
                        left: *extent,
                    },
                    extent.length,
                ))
            }
        }
    }

    /// How long a file's content is.
    pub(crate) fn length(&self, content: &Content) -> io::Result<u64> {
        match content {
            Content::Bytes(bytes) => Ok(bytes.len() as u64),
            Content::Path(path) => Ok(fs::metadata(path)?.len()),
            Content::Pool(extent) => Ok(extent.length),
        }
    }

    /// The names directly below a directory.
    pub(crate) fn names<'m>(&'m self, directory: &'m str) -> impl Iterator<Item = &'m str> {
        let below = self
            .entries
            .keys()
            .filter(move |path| path.parent() == Some(Path::new(directory)));
        below.filter_map(|path| path.file_name()?.to_str())
    }
}

/// Where a link leads, inside the root.
fn resolve(link: &Path, target: &Path) -> PathBuf {
    let start = if target.is_absolute() {
        Path::new("")
    } else {
        link.parent().unwrap_or(Path::new(""))
    };
    let mut path = start.to_path_buf();
    for part in target.components() {
        match part {
            std::path::Component::Normal(name) => path.push(name),
            std::path::Component::ParentDir => drop(path.pop()),
            _ => {}
        }
    }
    path
}

fn mode(metadata: &Metadata) -> u16 {
    (metadata.mode() & 0o7777) as u16
}

/// What an image keeps of a path's extended attributes. Labels are the host's own; lists of who may do what name users of this host.
fn attributes(path: &Path) -> Result<Attributes, ManifestError> {
    let error = |error: Errno| read_error(path, error.into());
    let mut names = vec![0; 65536];
    let length = match rustix::fs::llistxattr(path, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(failure) => return Err(error(failure)),
    };
    let mut found = Attributes::new();
    let all = names.get(..length).unwrap_or_default().split(|b| *b == 0);
    for name in all.filter(|name| !name.is_empty() && !IGNORED_ATTRIBUTES.contains(name)) {
        if !is_kept(name) {
            let name = String::from_utf8_lossy(name);
            return Err(unsupported(
                path,
                format!(
                    "has the extended attribute {name}, which means something on this host only; images hold user.* and \
                     security.capability: remove it with `setfattr -h -x {name}` (an access list with `setfacl -b`)"
                ),
            ));
        }
        let mut value = vec![0; ATTRIBUTE_LIMIT_BYTES];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).map_err(error)?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

/// Whether an extended attribute means the same on every host.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability" || (name.starts_with(b"user.") && name.len() > 5)
}

fn kind_name(kind: &fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_block_device() || kind.is_char_device() => "a device node",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "of an unknown kind",
    }
}

fn read_error(path: &Path, source: io::Error) -> ManifestError {
    ManifestError::Read {
        path: path.into(),
        source,
    }
}

fn unsupported(path: &Path, what: String) -> ManifestError {
    ManifestError::Unsupported {
        path: path.into(),
        what,
    }
}
