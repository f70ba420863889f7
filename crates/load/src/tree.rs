//! A tree of named texts: what the loader sees of a file system, so that tests need none.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

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

/// A read-only view of directories and files.
pub trait Tree {
    /// The names in a directory, sorted; none if there is no such directory.
    fn entries(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Where the symbolic link at `path` leads, as written; none if it is no link.
    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>>;

    /// The file at `path`, at most `limit_bytes` of it.
    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content>;
}

impl<T: Tree + ?Sized> Tree for &T {
    fn entries(&self, directory: &Path) -> io::Result<Vec<String>> {
        (**self).entries(directory)
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
}

#[derive(Debug, Clone)]
enum Node {
    File(Vec<u8>),
    Link(PathBuf),
}

impl MemoryTree {
    /// An empty tree; `/dev/null` is there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a file; its directories come into being.
    pub fn write(&mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.nodes.insert(path.into(), Node::File(bytes.into()));
        self
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> &mut Self {
        self.nodes.insert(path.into(), Node::Link(target.into()));
        self
    }

    /// Removes a file or a link.
    pub fn remove(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.nodes.remove(path.as_ref());
        self
    }
}

impl Tree for MemoryTree {
    fn entries(&self, directory: &Path) -> io::Result<Vec<String>> {
        let below = self
            .nodes
            .keys()
            .filter_map(|path| path.strip_prefix(directory).ok());
        let first = below.filter_map(|rest| rest.components().next());
        let names: BTreeSet<String> = first
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        Ok(names.into_iter().collect())
    }

    fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        Ok(match self.nodes.get(path) {
            Some(Node::Link(target)) => Some(target.clone()),
            _ => None,
        })
    }

    fn read(&self, path: &Path, limit_bytes: usize) -> io::Result<Content> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            match self.nodes.get(&path) {
                Some(Node::File(bytes)) if bytes.len() > limit_bytes => {
                    return Ok(Content::TooLarge);
                }
                Some(Node::File(bytes)) => return Ok(Content::Bytes(bytes.clone())),
                Some(Node::Link(target)) => path = link_target(&path, target),
                None if path == Path::new("/dev/null") => return Ok(Content::Null),
                None if self.entries(&path)?.is_empty() => return Ok(Content::Missing),
                None => return Ok(Content::NotAFile),
            }
        }
        Err(io::Error::other("too many levels of symbolic links"))
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
