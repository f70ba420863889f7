//! A tree of named texts: what the loader sees of a file system, so that tests need none.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::digest::Digest;

/// What stands at a path after all symbolic links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file's bytes.
    Bytes(Vec<u8>),
    /// `/dev/null`, which masks.
    Null,
    /// Nothing, or a link to nothing.
    Missing,
    /// A directory, a socket, a device: no unit.
    NotAFile,
    /// A regular file larger than the limit given.
    TooLarge,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Whether it may be a symbolic link; where not, it is none.
    pub is_link: bool,
}

/// One version of what stands at a path: a later look finds the same number only if nothing changed between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The version's number.
    pub version: u64,
    /// Whether a change from now on gives another number. Not yet, where the last change is so young that the clock by which files are
    /// stamped may not have moved since.
    pub is_settled: bool,
}

/// A read-only view of directories and files.
pub trait Tree {
    /// The names in a directory, sorted; none if there is no such directory.
    fn entries(&self, directory: &Path) -> io::Result<Vec<Named>>;

    /// The version of what stands at `path` after all links, of a directory that of its list of names; none if there is nothing.
    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>>;

    /// Where the symbolic link at `path` leads, as written; none if it is no link.
    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>>;

    /// The file at `path`, at most `limit_bytes` of it.
    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content>;
}

impl<T: Tree + ?Sized> Tree for &T {
    fn entries(&self, directory: &Path) -> io::Result<Vec<Named>> {
        (**self).entries(directory)
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        (**self).stamp(path)
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        (**self).link(path)
    }

    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content> {
        (**self).read(path, limit_bytes)
    }
}

/// Longest chain of links in a tree in memory; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// A tree in memory, for tests and for units that are not on disk yet.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    nodes: BTreeMap<PathBuf, Node>,
    /// Counts the changes.
    clock: u64,
}

#[derive(Debug, Clone)]
struct Node {
    what: What,
    /// When it came under its name, and when it was last written.
    made: u64,
    written: u64,
}

#[derive(Debug, Clone)]
enum What {
    File(Vec<u8>),
    Link(PathBuf),
}

impl MemoryTree {
    /// An empty tree; `/dev/null` is there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a file, in place where it is there; its directories come into being.
    pub fn write(&mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> &mut Self {
        let path = path.into();
        let there = self.nodes.get(&path);
        let in_place = there.filter(|node| matches!(node.what, What::File(_)));
        let made = in_place.map(|node| node.made);
        self.put(path, What::File(bytes.into()), made)
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> &mut Self {
        self.put(path.into(), What::Link(target.into()), None)
    }

    /// Removes a file or a link.
    pub fn remove(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.nodes.remove(path.as_ref());
        self
    }

    fn put(&mut self, path: PathBuf, what: What, made: Option<u64>) -> &mut Self {
        self.clock += 1;
        let (made, written) = (made.unwrap_or(self.clock), self.clock);
        self.nodes.insert(
            path,
            Node {
                what,
                made,
                written,
            },
        );
        self
    }

    /// The path that is left when links are followed.
    fn followed(&self, path: &Path) -> io::Result<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            match self.nodes.get(&path).map(|node| &node.what) {
                Some(What::Link(target)) => path = link_target(&path, target),
                Some(What::File(_)) | None => return Ok(path),
            }
        }
        Err(io::Error::other("too many levels of symbolic links"))
    }
}

impl Tree for MemoryTree {
    fn entries(&self, directory: &Path) -> io::Result<Vec<Named>> {
        let below = |path: &Path| Some(path.strip_prefix(directory).ok()?.to_owned());
        let mut names: BTreeSet<Named> = BTreeSet::new();
        for (path, node) in &self.nodes {
            let Some(rest) = below(path) else { continue };
            let mut components = rest.components();
            let Some(first) = components.next() else {
                continue;
            };
            let is_inner = components.next().is_some();
            names.insert(Named {
                name: first.as_os_str().to_string_lossy().into_owned(),
                is_link: !is_inner && matches!(node.what, What::Link(_)),
            });
        }
        Ok(names.into_iter().collect())
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        let path = self.followed(path)?;
        let settled = |version| {
            Some(Stamp {
                version,
                is_settled: true,
            })
        };
        if let Some(node) = self.nodes.get(&path) {
            return Ok(settled(node.written));
        }
        if path == Path::new("/dev/null") {
            return Ok(settled(0));
        }
        let names = self.entries(&path)?;
        let mut digest = Digest::new();
        for one in &names {
            digest.add(one.name.as_bytes());
            let node = self.nodes.get(&path.join(&one.name));
            digest.add_number(node.map_or(0, |node| node.made));
        }
        Ok(settled(digest.number).filter(|_| !names.is_empty()))
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        Ok(match self.nodes.get(path).map(|node| &node.what) {
            Some(What::Link(target)) => Some(target.clone()),
            _ => None,
        })
    }

    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content> {
        let path = self.followed(path)?;
        Ok(match self.nodes.get(&path).map(|node| &node.what) {
            Some(What::File(bytes)) if bytes.len() > limit_bytes => Content::TooLarge,
            Some(What::File(bytes)) => Content::Bytes(bytes.clone()),
            _ if path == Path::new("/dev/null") => Content::Null,
            _ if self.entries(&path)?.is_empty() => Content::Missing,
            _ => Content::NotAFile,
        })
    }
}

/// The path that a link at `link` names by `target`, without `.` and `..` (by their letters alone: unit directories are not reached
/// through links).
pub(crate) fn link_target(link: &Path, target: &Path) -> PathBuf {
    let parent = link.parent().unwrap_or(Path::new("/"));
    let mut path = PathBuf::new();
    for component in parent.join(target).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    path
}
