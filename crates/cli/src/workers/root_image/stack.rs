//! A stack of mounts (systemd.mstack(7)): a directory whose entries say by their names what lies over what.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use image::mount::{Bench, LAYERS_MAX, assemble, directory_alone, open_directory};

use super::own::pieces;
use super::{IMAGES, Kind, Wish, only_roots, pick};

/// Most entries: as many layers as there can be, and some that are mounted in them.
const ENTRIES_MAX: usize = LAYERS_MAX + 32;

/// An entry of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: PathBuf,
    is_image: bool,
}

/// What the entries say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stack {
    /// The lowest first.
    layers: Vec<(String, Entry)>,
    writable: Option<Entry>,
    root: Option<Entry>,
    /// Where they go, parents first; whether they may be written to.
    binds: BTreeMap<String, (bool, Entry)>,
}

/// The tree, what protects it, and what stands for the directory where its changes go.
pub(super) fn tree(wish: &Wish) -> Result<(OwnedFd, String, Option<String>)> {
    let bench = Bench::new()?;
    let path = &wish.path;
    let folder = open_directory(path).with_context(|| format!("cannot open {}", path.display()))?;
    only_roots(path, &folder)?;
    let stack = read(path)?;
    let mut made = Maker {
        wish,
        bench,
        integrity: Vec::new(),
        writes: None,
    };
    let pieces = made.pieces(stack)?;
    let (mut integrity, writes) = (made.integrity, made.writes);
    integrity.dedup();
    let tree = assemble(pieces)?.close()?;
    let integrity = format!("a stack of {}", integrity.join(", "));
    Ok((tree, integrity, writes))
}

fn read(path: &Path) -> Result<Stack> {
    let unreadable = || format!("cannot read {}", path.display());
    let mut stack = Stack::default();
    for (number, entry) in std::fs::read_dir(path)
        .with_context(unreadable)?
        .enumerate()
    {
        if number == ENTRIES_MAX {
            bail!("a stack has no more than {ENTRIES_MAX} entries");
        }
        let name = entry.with_context(unreadable)?.file_name();
        // What is hidden is not the stack's.
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let shown = name.to_string_lossy();
        let is_directory = path.join(&name).metadata().map(|found| found.is_dir());
        let is_directory = is_directory.with_context(|| format!("its {shown}"))?;
        let name = name.to_str().unwrap_or_default();
        stack
            .add(path, name, is_directory)
            .with_context(|| format!("its {shown}"))?;
    }
    stack.order()
}

impl Stack {
    fn add(&mut self, folder: &Path, name: &str, is_directory: bool) -> Result<()> {
        let path = folder.join(name);
        let versions = name.strip_suffix(".v").filter(|_| is_directory);
        let word = versions.unwrap_or(name);
        let stem = IMAGES.iter().find_map(|ending| word.strip_suffix(ending));
        let is_image = match versions {
            Some(_) => stem.is_some(),
            None => !is_directory,
        };
        if is_image && stem.is_none() {
            bail!("a file of a stack is an image, and its name ends with .raw");
        }
        let word = stem.filter(|_| is_image).unwrap_or(word);
        let endings: &[&str] = if is_image { &IMAGES } else { &[""] };
        let path = match versions {
            Some(_) => {
                pick(&path, endings, false)?.context("it has no version for this machine")?
            }
            None => path,
        };
        let entry = Entry { path, is_image };
        let is_second = match word.split_once('@') {
            Some((_, "")) => bail!("after the @ of its name there is nothing"),
            Some(("layer", id)) => {
                let is_known = self.layers.iter().any(|(known, _)| known == id);
                self.layers.push((id.to_owned(), entry));
                is_known
            }
            Some((kind @ ("bind" | "robind"), escaped)) => {
                let at = load::escape::unescape_path(escaped)
                    .context("no path is escaped like its name")?;
                self.binds.insert(at, (kind == "bind", entry)).is_some()
            }
            None if word == "rw" => self.writable.replace(entry).is_some(),
            None if word == "root" => self.root.replace(entry).is_some(),
            _ => bail!("it is named like nothing that a stack has"),
        };
        if is_second {
            bail!("another entry of the stack is for the same");
        }
        Ok(())
    }

    /// Sorts the layers, and leaves out what is hidden whole.
    fn order(mut self) -> Result<Self> {
        self.layers
            .sort_by(|(one, _), (other, _)| model::version::compare(one, other));
        if self.binds.contains_key("/") {
            self.root = None;
        }
        let is_hidden =
            self.binds.contains_key("/") || self.root.is_some() && self.binds.contains_key("/usr");
        if is_hidden {
            self.layers.clear();
            self.writable = None;
        }
        if self.layers.len() > LAYERS_MAX {
            bail!("a stack has no more than {LAYERS_MAX} layers");
        }
        Ok(self)
    }
}

struct Maker<'a> {
    wish: &'a Wish,
    bench: Bench,
    integrity: Vec<String>,
    writes: Option<String>,
}

impl Maker<'_> {
    /// Mounts with their places, parents first.
    fn pieces(&mut self, stack: Stack) -> Result<Vec<(String, OwnedFd)>> {
        let mut pieces = Vec::new();
        let layers = self.layers(stack.layers, stack.writable)?;
        match (stack.root, layers) {
            (Some(root), layers) => {
                pieces.push(("/".to_owned(), self.one(&root, false)?));
                if let Some(layers) = layers {
                    pieces.push(("/usr".to_owned(), self.bench.part(layers, "usr")?));
                }
            }
            (None, Some(layers)) => pieces.push(("/".to_owned(), layers)),
            (None, None) => {}
        }
        for (at, (is_writable, entry)) in stack.binds {
            pieces.push((at, self.one(&entry, !is_writable)?));
        }
        Ok(pieces)
    }

    /// All layers as one tree; a single one is that itself.
    fn layers(
        &mut self,
        layers: Vec<(String, Entry)>,
        writable: Option<Entry>,
    ) -> Result<Option<OwnedFd>> {
        let mut trees = Vec::new();
        for (_, entry) in layers.iter().rev() {
            trees.push(self.one(entry, true)?);
        }
        match (trees.len(), writable) {
            (0, writable) => writable.map(|entry| self.one(&entry, false)).transpose(),
            (1, None) => Ok(trees.pop()),
            (_, None) => Ok(Some(self.bench.layered(trees, None)?)),
            (_, Some(entry)) if entry.is_image => {
                bail!("its rw is an image: what is changed goes to a directory")
            }
            (_, Some(entry)) => {
                self.integrity.push("what it changes itself".into());
                let folder = self.directory(&entry)?;
                self.writes = Some(self.alone(&entry, &folder)?);
                Ok(Some(self.bench.layered(trees, Some(&folder))?))
            }
        }
    }

    /// One entry as a tree.
    fn one(&mut self, entry: &Entry, read_only: bool) -> Result<OwnedFd> {
        let path = &entry.path;
        if !entry.is_image {
            let opened = self.directory(entry)?;
            self.integrity
                .push("directories that only root can change".into());
            return Ok(directory_alone(&opened, read_only)?);
        }
        let wish = Wish {
            kind: Kind::Root,
            path: path.clone(),
            policy: self.wish.policy.clone(),
            config: self.wish.config.clone(),
            ..Wish::default()
        };
        let shown = || path.display().to_string();
        let (pieces, integrity) = pieces(&wish, read_only).with_context(shown)?;
        self.integrity.push(integrity);
        let mut pieces = pieces.into_iter();
        let root = pieces.find_map(|(at, piece)| (at == "/").then_some(piece));
        root.with_context(|| format!("{} has no root partition", path.display()))
    }

    /// What stands for a directory where changes go; the kernel wants it below one tree only.
    fn alone(&self, entry: &Entry, folder: &OwnedFd) -> Result<String> {
        let status = rustix::fs::fstat(folder)?;
        let id = format!("{}:{}", status.st_dev, status.st_ino);
        if self.wish.written_to.contains(&id) {
            bail!(
                "the changes of another stack that is up go to {}, too, whose layers or policy are others: stop what runs from that, or give this one an rw of its own",
                entry.path.display()
            );
        }
        Ok(id)
    }

    fn directory(&self, entry: &Entry) -> Result<OwnedFd> {
        let path = &entry.path;
        let opened = open_directory(path);
        let opened = opened.with_context(|| format!("cannot open {}", path.display()))?;
        only_roots(path, &opened)?;
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[(&str, bool)], expected: &str) {
        let mut stack = Stack::default();
        let added: Result<()> = names.iter().try_for_each(|(name, is_directory)| {
            stack.add(Path::new("/s.mstack"), name, *is_directory)
        });
        let said = match added.and_then(|()| stack.order()) {
            Err(error) => format!("{error:#}"),
            Ok(stack) => {
                let name = |entry: &Entry| {
                    let name = entry.path.file_name().unwrap_or_default();
                    let kind = if entry.is_image { " (image)" } else { "" };
                    format!("{}{kind}", name.to_string_lossy())
                };
                let layers = stack.layers.iter().map(|(_, entry)| name(entry));
                let writable = stack
                    .writable
                    .iter()
                    .map(|entry| format!("+{}", name(entry)));
                let root = stack.root.iter().map(|entry| format!("/{}", name(entry)));
                let binds = stack.binds.iter().map(|(at, (is_writable, entry))| {
                    let how = if *is_writable { "" } else { " ro" };
                    format!("{at}{how} <- {}", name(entry))
                });
                let all: Vec<String> = layers.chain(writable).chain(root).chain(binds).collect();
                all.join(", ")
            }
        };
        assert_eq!(said, expected, "{names:?}");
    }

    #[test]
    fn entries_say_by_their_names_what_they_are() {
        check(
            &[
                ("layer@10", true),
                ("layer@9.raw", false),
                ("rw", true),
                ("robind@srv-www", true),
                ("bind@var.raw", false),
            ],
            "layer@9.raw (image), layer@10, +rw, /srv/www ro <- robind@srv-www, /var <- bind@var.raw (image)",
        );
        check(
            &[("layer@a.psi", false), ("root", true)],
            "layer@a.psi (image), /root",
        );
        // What is hidden whole is nothing.
        check(
            &[
                ("layer@a", true),
                ("rw", true),
                ("root", true),
                ("bind@-", true),
            ],
            "/ <- bind@-",
        );
        check(
            &[("layer@a", true), ("root", true), ("robind@usr", true)],
            "/root, /usr ro <- robind@usr",
        );
        check(&[], "");
    }

    #[test]
    fn what_is_named_otherwise_or_twice_is_refused() {
        let twice = "another entry of the stack is for the same";
        check(&[("layer@a", true), ("layer@a.raw", false)], twice);
        check(&[("rw", true), ("rw.raw", false)], twice);
        check(&[("root", true), ("root.raw", false)], twice);
        check(&[("bind@srv", true), ("robind@srv", true)], twice);
        let nothing = "it is named like nothing that a stack has";
        for name in ["layer", "other", "bind:var", "rwx", "ROOT", "x@y"] {
            check(&[(name, true)], nothing);
        }
        check(
            &[("layer@", true)],
            "after the @ of its name there is nothing",
        );
        check(
            &[("layer@a.img", false)],
            "a file of a stack is an image, and its name ends with .raw",
        );
        check(&[("bind@a\\x2", true)], "no path is escaped like its name");
    }
}
