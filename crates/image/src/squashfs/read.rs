//! Reads single files of a squashfs file system without mounting it. Only a confined worker may do this to what is not verified:
//! the library was not made for hostile input.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use backhand::{BackhandError, FilesystemReader, InnerNode, SquashfsFileReader};

use crate::source::{Extent, ExtentReader, Source};
use crate::tree::{self, Files, Place, TreeError};

/// Symbolic links on the way to one file, as the kernel has it.
const LINKS_LIMIT: usize = 40;

/// A file system's tree in memory.
pub(crate) struct Reader<'source> {
    system: FilesystemReader<'source>,
    /// From a path to its place in the list of nodes.
    places: BTreeMap<PathBuf, usize>,
}

impl<'source> Reader<'source> {
    /// Reads the whole tree, without the files' contents.
    pub(crate) fn open<S: Source + Sync + ?Sized>(
        source: &'source S,
        root: Extent,
    ) -> Result<Self, BackhandError> {
        let reader = BufReader::new(ExtentReader::new(source, root));
        let system = FilesystemReader::from_reader(reader)?;
        let nodes = system.root.nodes.iter().enumerate();
        let places = nodes
            .map(|(place, node)| (node.fullpath.clone(), place))
            .collect();
        Ok(Self { system, places })
    }

    fn node(&self, path: &Path) -> Option<&InnerNode<SquashfsFileReader>> {
        self.places
            .get(path)
            .and_then(|place| self.system.root.nodes.get(*place))
            .map(|node| &node.inner)
    }

    /// Follows symbolic links inside the tree; the path that is left is no link. `None` where it leads nowhere.
    fn resolve(&self, path: &str) -> Option<PathBuf> {
        let mut left: Vec<PathBuf> = Path::new(path)
            .components()
            .rev()
            .map(|part| part.as_os_str().into())
            .collect();
        let mut reached = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = left.pop() {
            match part.components().next()? {
                Component::Normal(name) => reached.push(name),
                Component::ParentDir => drop(reached.pop()),
                Component::RootDir => reached = PathBuf::from("/"),
                _ => continue,
            }
            if let InnerNode::Symlink(link) = self.node(&reached)? {
                links += 1;
                if links > LINKS_LIMIT {
                    return None;
                }
                reached.pop();
                left.extend(
                    link.link
                        .components()
                        .rev()
                        .map(|part| PathBuf::from(part.as_os_str())),
                );
            }
        }
        Some(reached)
    }
}

impl Files for Reader<'_> {
    fn text(&self, path: &str, limit_bytes: u64) -> Result<Option<String>, TreeError> {
        let wrong = |what| TreeError::File {
            path: tree::shown(path),
            what,
        };
        let Some(found) = self.resolve(path) else {
            return Ok(None);
        };
        let file = match self.node(&found) {
            Some(InnerNode::File(file)) => file,
            Some(_) => return Err(wrong("is not a regular file")),
            None => return Ok(None),
        };
        let mut bytes = Vec::new();
        let reader = self.system.file(file).reader().take(limit_bytes + 1);
        BufReader::new(reader)
            .read_to_end(&mut bytes)
            .map_err(|source| TreeError::Read {
                path: tree::shown(path),
                source,
            })?;
        if bytes.len() as u64 > limit_bytes {
            return Err(wrong("is too large"));
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| wrong("is no UTF-8 text"))
    }

    fn entries(&self, path: &str) -> Result<Vec<(String, bool)>, TreeError> {
        let Some(directory) = self.resolve(path) else {
            return Ok(Vec::new());
        };
        let below = self
            .places
            .iter()
            .filter(|(path, _)| path.parent() == Some(&directory));
        let named = below.filter_map(|(path, _)| {
            let name = path.file_name()?.to_str()?;
            Some((
                name.to_owned(),
                matches!(self.node(path), Some(InnerNode::File(_))),
            ))
        });
        Ok(named.collect())
    }

    fn place(&self, path: &str) -> Result<Place, TreeError> {
        let path = Path::new(path);
        let (Some(parent), Some(name)) = (path.parent().and_then(Path::to_str), path.file_name())
        else {
            return Ok(Place::Taken);
        };
        let found = self.resolve(parent).map(|parent| parent.join(name));
        let Some(found) = found.filter(|found| self.node(found).is_some()) else {
            return Ok(Place::Missing);
        };
        let is_empty = match self.node(&found) {
            Some(InnerNode::File(file)) => {
                let mut reader = self.system.file(file).reader();
                reader.read(&mut [0]).map_err(|source| TreeError::Read {
                    path: tree::shown(&path.to_string_lossy()),
                    source,
                })? == 0
            }
            Some(InnerNode::Dir(_)) => !self
                .places
                .keys()
                .any(|other| other.parent() == Some(&found)),
            _ => false,
        };
        Ok(if is_empty { Place::Empty } else { Place::Taken })
    }
}
