//! What goes into a root file system: every path with its mode and content, sorted, owned by root.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Files in one image.
const ENTRIES_LIMIT: usize = 1_000_000;

/// Directories below directories.
const DEPTH_LIMIT: usize = 128;

/// Labels that the host's own policy puts on every file; they mean nothing elsewhere.
const IGNORED_ATTRIBUTES: [&[u8]; 2] = [b"security.selinux", b"security.apparmor"];

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
    /// Two names of one file.
    #[error(
        "{second} is a hard link to {first}; images hold no hard links: copy the file or make a symbolic link"
    )]
    HardLink {
        /// Where it was met first.
        first: PathBuf,
        /// Where it was met again.
        second: PathBuf,
    },
    /// More than fits.
    #[error("more than {ENTRIES_LIMIT} files, or directories deeper than {DEPTH_LIMIT}")]
    TooMany,
    /// A path is needed for two things.
    #[error("/{0} is needed as a directory and is something else")]
    NotADirectory(String),
}

/// Where a file's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file on this host.
    Path(PathBuf),
    /// Bytes made here.
    Bytes(Vec<u8>),
}

/// One path's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A directory of this mode.
    Directory { mode: u16 },
    /// A file of this mode.
    File { mode: u16, content: Content },
    /// A symbolic link.
    Link { target: PathBuf },
}

/// All paths of an image, relative to its root, parents before children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    entries: BTreeMap<PathBuf, Entry>,
    seen: HashMap<(u64, u64), PathBuf>,
}

impl Manifest {
    /// Everything below a directory.
    pub(crate) fn of_directory(directory: &Path) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        manifest.add_tree(directory, Path::new(""), 0)?;
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
                no_attributes(&from)?;
                self.directory(&to, mode(&metadata))?;
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
        no_attributes(from)?;
        let kind = metadata.file_type();
        let entry = if kind.is_symlink() {
            Entry::Link {
                target: fs::read_link(from).map_err(|source| read_error(from, source))?,
            }
        } else if kind.is_file() {
            let identity = (metadata.dev(), metadata.ino());
            if let Some(first) = self.seen.insert(identity, from.into()) {
                return Err(ManifestError::HardLink {
                    first,
                    second: from.into(),
                });
            }
            Entry::File {
                mode: mode(metadata),
                content: Content::Path(from.into()),
            }
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
            Entry::File {
                mode,
                content: Content::Bytes(bytes.into()),
            },
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
            Entry::File {
                mode,
                content: Content::Path(from.into()),
            },
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
            .or_insert(Entry::Directory { mode })
        {
            Entry::File { .. } => Err(ManifestError::NotADirectory(path.display().to_string())),
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
                .or_insert(Entry::Directory { mode: 0o755 });
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
                Some(Entry::File { .. }) => return left.is_empty(),
                Some(Entry::Link { target }) if links < LINKS_MAX => {
                    links += 1;
                    left.extend(names(target));
                }
                Some(Entry::Link { .. }) | None => return false,
            }
        }
        false
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
                Some(Entry::File {
                    content: Content::Bytes(bytes),
                    ..
                }) => {
                    return Ok(Some(String::from_utf8_lossy(bytes).into_owned()));
                }
                Some(Entry::File {
                    content: Content::Path(from),
                    ..
                }) => return read_text(from, limit_bytes).map(Some),
                _ => return Ok(None),
            }
        }
        Ok(None)
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

fn read_text(from: &Path, limit_bytes: u64) -> Result<String, ManifestError> {
    let length = fs::metadata(from)
        .map_err(|source| read_error(from, source))?
        .len();
    if length > limit_bytes {
        return Err(unsupported(
            from,
            format!("is larger than {limit_bytes} bytes"),
        ));
    }
    fs::read_to_string(from).map_err(|source| read_error(from, source))
}

fn mode(metadata: &Metadata) -> u16 {
    (metadata.mode() & 0o7777) as u16
}

fn no_attributes(path: &Path) -> Result<(), ManifestError> {
    let mut names = vec![0; 65536];
    let length = match rustix::fs::llistxattr(path, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(read_error(path, error.into())),
    };
    let all = names
        .get(..length)
        .unwrap_or_default()
        .split(|byte| *byte == 0);
    match all
        .filter(|name| !name.is_empty())
        .find(|name| !IGNORED_ATTRIBUTES.contains(name))
    {
        None => Ok(()),
        Some(name) => {
            let name = String::from_utf8_lossy(name);
            Err(unsupported(
                path,
                format!("has the extended attribute {name}, which images do not hold"),
            ))
        }
    }
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
