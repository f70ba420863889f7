//! The tree as it will be: what is there, with the changes so far.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use load::{Content, Named, Tree};

/// Longest chain of links; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// The kernel's number for it, the same on every architecture that Coracle runs on.
pub(crate) const ELOOP: i32 = 40;

/// What stands at a path, its own last link not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    Missing,
    Link(PathBuf),
    /// An empty file, or `/dev/null`: it masks.
    Empty,
    File(Vec<u8>),
    Other,
}

pub(crate) struct Draft<'a> {
    base: &'a dyn Tree,
    /// Links that came, and what went.
    changed: BTreeMap<PathBuf, Option<PathBuf>>,
    /// What has been read: every unit asks for the same directories.
    links: RefCell<BTreeMap<PathBuf, Option<PathBuf>>>,
    entries: RefCell<BTreeMap<PathBuf, Rc<Vec<Named>>>>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(base: &'a dyn Tree) -> Self {
        Self {
            base,
            changed: BTreeMap::new(),
            links: RefCell::default(),
            entries: RefCell::default(),
        }
    }

    pub(crate) fn put(&mut self, at: &Path, target: &Path) {
        self.changed.insert(at.to_owned(), Some(target.to_owned()));
    }

    pub(crate) fn take(&mut self, at: &Path) {
        self.changed.insert(at.to_owned(), None);
    }

    /// Where the link at a path leads, as written.
    pub(crate) fn link(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        if let Some(change) = self.changed.get(path) {
            return Ok(change.clone());
        }
        if let Some(known) = self.links.borrow().get(path) {
            return Ok(known.clone());
        }
        let found = self.base.link(path)?;
        self.links
            .borrow_mut()
            .insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// The names in a directory, sorted.
    pub(crate) fn entries(&self, directory: &Path) -> io::Result<Vec<Named>> {
        let known = self.entries.borrow().get(directory).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let read = Rc::new(self.base.entries(directory)?);
                let mut all = self.entries.borrow_mut();
                all.insert(directory.to_owned(), Rc::clone(&read));
                read
            }
        };
        if self.changed.is_empty() {
            return Ok(known.to_vec());
        }
        let mut names: BTreeSet<Named> = known.iter().cloned().collect();
        self.overlay(directory, &mut names);
        Ok(names.into_iter().collect())
    }

    fn overlay(&self, directory: &Path, names: &mut BTreeSet<Named>) {
        for (path, change) in &self.changed {
            let Ok(rest) = path.strip_prefix(directory) else {
                continue;
            };
            let mut parts = rest.iter();
            let Some(first) = parts.next() else { continue };
            let is_inner = parts.next().is_some();
            let name = first.to_string_lossy().into_owned();
            if !is_inner {
                names.retain(|known| known.name != name);
            }
            let is_there = names.iter().any(|known| known.name == name);
            if change.is_some() && !is_there {
                names.insert(Named {
                    name,
                    is_link: !is_inner,
                });
            }
        }
    }

    /// What stands at a path.
    pub(crate) fn look(&self, path: &Path) -> io::Result<Look> {
        if let Some(target) = self.link(path)? {
            return Ok(Look::Link(target));
        }
        if self.changed.contains_key(path) {
            return Ok(Look::Missing);
        }
        Ok(match self.base.read(path, syntax::MAX_FILE_BYTES)? {
            Content::Missing => Look::Missing,
            Content::Null => Look::Empty,
            Content::Bytes(bytes) if bytes.is_empty() => Look::Empty,
            Content::Bytes(bytes) => Look::File(bytes),
            Content::NotAFile | Content::TooLarge => Look::Other,
        })
    }

    /// What stands at a path after all links.
    pub(crate) fn followed(&self, path: &Path) -> io::Result<Look> {
        let end = self.resolve(path)?;
        if end == Path::new("/dev/null") {
            return Ok(Look::Empty);
        }
        self.look(&end)
    }

    /// The path that is left when all links are followed; what is not there stays as it is written.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let mut links = 0;
        self.walk(path, &mut links)
    }

    /// The same, with the last name left as it is.
    pub(crate) fn resolve_parent(&self, path: &Path) -> io::Result<PathBuf> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(self.resolve(parent)?.join(name)),
            _ => self.resolve(path),
        }
    }

    fn walk(&self, path: &Path, links: &mut usize) -> io::Result<PathBuf> {
        let mut end = PathBuf::from("/");
        for part in path.components() {
            match part {
                Component::ParentDir => drop(end.pop()),
                Component::Normal(name) => end = self.step(end, Path::new(name), links)?,
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok(end)
    }

    fn step(&self, parent: PathBuf, name: &Path, links: &mut usize) -> io::Result<PathBuf> {
        let at = parent.join(name);
        let Some(target) = self.link(&at)? else {
            return Ok(at);
        };
        *links += 1;
        if *links > MAX_LINKS {
            return Err(io::Error::from_raw_os_error(ELOOP));
        }
        self.walk(&parent.join(target), links)
    }
}
