//! Reads single files of an erofs file system without mounting it: of what is not compressed, and within limits.

use std::collections::BTreeMap;
use std::io;

use super::{
    ATTRIBUTES_HEADER_BYTES, BLOCK_BITS, BLOCK_BYTES, COMPACT_BYTES, DIRECTORY, DIRENT_BYTES,
    EXTENDED_BYTES, FLAT_INLINE, FLAT_PLAIN, KIND_MASK, MAGIC, REGULAR, SLOT_BYTES,
    SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET, SYMLINK, little16, little32, little64,
};
use crate::source::{Extent, Source};
use crate::tree::{self, Files, Place, TreeError};

/// Symbolic links on the way to one file, as the kernel has it, and the longest.
const LINKS_LIMIT: usize = 40;
const LINK_LIMIT_BYTES: u64 = 4096;

/// The largest directory that is looked through: a hundred thousand entries.
const DIRECTORY_LIMIT_BYTES: u64 = 16 << 20;

/// Parts of one path, with those of all links on the way.
const PARTS_LIMIT: usize = 4096;

/// What an inode says of its data.
#[derive(Debug, Clone, Copy)]
struct Node {
    kind: u16,
    size: u64,
    /// Where whole blocks are.
    blocks_at: u64,
    /// Where the last piece is, if behind the inode.
    inline_at: Option<u64>,
}

/// A file system's place in an image.
pub(crate) struct Reader<'source, S: ?Sized> {
    source: &'source S,
    root: Extent,
    inodes_at: u64,
    root_number: u64,
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<'source, S: Source + ?Sized> Reader<'source, S> {
    /// Reads the superblock.
    pub(crate) fn open(source: &'source S, root: Extent) -> io::Result<Self> {
        let mut reader = Self {
            source,
            root,
            inodes_at: 0,
            root_number: 0,
        };
        let raw = reader.bytes(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES)?;
        let field = |at| little32(&raw, at).unwrap_or_default();
        if field(0) != MAGIC {
            return Err(broken("it has no erofs superblock"));
        }
        if raw.get(12) != Some(&BLOCK_BITS) || field(80) != 0 {
            return Err(broken(
                "it is compressed or has features that only the kernel reads",
            ));
        }
        reader.root_number = little16(&raw, 14).unwrap_or_default().into();
        reader.inodes_at = u64::from(field(40)) * BLOCK_BYTES;
        Ok(reader)
    }

    fn bytes(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let end = at
            .checked_add(length)
            .filter(|end| *end <= self.root.length);
        end.ok_or_else(|| broken("it leads beyond its end"))?;
        let offset = self.root.offset.checked_add(at);
        let offset = offset.ok_or_else(|| broken("it leads beyond its end"))?;
        self.source
            .read_extent(Extent { offset, length }, DIRECTORY_LIMIT_BYTES)
    }

    fn node(&self, number: u64) -> io::Result<Node> {
        let beyond = || broken("it leads beyond its end");
        let at = number
            .checked_mul(SLOT_BYTES)
            .and_then(|at| at.checked_add(self.inodes_at));
        let at = at.ok_or_else(beyond)?;
        let raw = self.bytes(at, COMPACT_BYTES)?;
        let format = little16(&raw, 0).unwrap_or_default();
        let is_extended = format & 1 == 1;
        let (size, own_bytes) = if is_extended {
            (little64(&raw, 8).unwrap_or_default(), EXTENDED_BYTES)
        } else {
            (little32(&raw, 8).unwrap_or_default().into(), COMPACT_BYTES)
        };
        let count = u64::from(little16(&raw, 2).unwrap_or_default());
        let attributes = match count.checked_sub(1) {
            Some(beyond) => ATTRIBUTES_HEADER_BYTES as u64 + 4 * beyond,
            None => 0,
        };
        let inline_at = match format >> 1 & 7 {
            FLAT_PLAIN => None,
            FLAT_INLINE => Some(at.checked_add(own_bytes + attributes).ok_or_else(beyond)?),
            _ => {
                return Err(broken(
                    "it is compressed or chunked, which only the kernel reads",
                ));
            }
        };
        Ok(Node {
            kind: little16(&raw, 4).unwrap_or_default() & KIND_MASK,
            size,
            blocks_at: u64::from(little32(&raw, 16).unwrap_or_default()) * BLOCK_BYTES,
            inline_at,
        })
    }

    /// The first bytes of a node's data.
    fn data(&self, node: &Node, limit_bytes: u64) -> io::Result<Vec<u8>> {
        let wanted = node.size.min(limit_bytes);
        let in_blocks = match node.inline_at {
            Some(_) => node.size - node.size % BLOCK_BYTES,
            None => node.size,
        };
        let mut bytes = match in_blocks.min(wanted) {
            0 => Vec::new(),
            length => self.bytes(node.blocks_at, length)?,
        };
        if let Some(at) = node.inline_at.filter(|_| wanted > in_blocks) {
            bytes.extend(self.bytes(at, wanted - in_blocks)?);
        }
        Ok(bytes)
    }

    /// A directory's names and the numbers of their inodes.
    fn names(&self, node: &Node) -> io::Result<BTreeMap<Vec<u8>, u64>> {
        if node.size > DIRECTORY_LIMIT_BYTES {
            return Err(broken("a directory is too large"));
        }
        let bytes = self.data(node, DIRECTORY_LIMIT_BYTES)?;
        let mut names = BTreeMap::new();
        for block in bytes.chunks(BLOCK_BYTES as usize) {
            list(block, &mut names).ok_or_else(|| broken("a directory is damaged"))?;
        }
        Ok(names)
    }

    /// Follows symbolic links inside the tree, but for the last part where `last` says so. `None` where it leads nowhere.
    fn resolve(&self, path: &str, last: Last) -> io::Result<Option<Node>> {
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|b| *b == b'/')
                .rev()
                .filter(|part| !part.is_empty())
                .map(<[u8]>::to_vec)
                .collect()
        };
        let mut left = parts(path.as_bytes());
        let mut way = vec![self.root_number];
        let mut links = 0;
        while let Some(part) = left.pop() {
            let here = *way.last().unwrap_or(&self.root_number);
            match &*part {
                b"." => continue,
                b".." => {
                    way.truncate((way.len() - 1).max(1));
                    continue;
                }
                _ => {}
            }
            let above = self.node(here)?;
            if above.kind != DIRECTORY {
                return Ok(None);
            }
            let Some(number) = self.names(&above)?.get(&part).copied() else {
                return Ok(None);
            };
            let node = self.node(number)?;
            if node.kind != SYMLINK || (left.is_empty() && last == Last::AsItIs) {
                way.push(number);
                continue;
            }
            links += 1;
            let target = self.data(&node, LINK_LIMIT_BYTES)?;
            if target.first() == Some(&b'/') {
                way.truncate(1);
            }
            left.extend(parts(&target));
            if links > LINKS_LIMIT || left.len() > PARTS_LIMIT {
                return Ok(None);
            }
        }
        way.last().map(|number| self.node(*number)).transpose()
    }
}

/// What is done with a path's last part where it is a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Followed,
    AsItIs,
}

/// Takes one block's entries.
fn list(block: &[u8], names: &mut BTreeMap<Vec<u8>, u64>) -> Option<()> {
    let offset_of = |index: usize| little16(block, index * DIRENT_BYTES + 8).map(usize::from);
    let count = offset_of(0)? / DIRENT_BYTES;
    for index in 0..count {
        let start = offset_of(index)?;
        let end = if index + 1 < count {
            offset_of(index + 1)?
        } else {
            block.len()
        };
        let name = block.get(start..end)?;
        // The last name of a block may have zeros behind it.
        let name = name.split(|byte| *byte == 0).next()?;
        names.insert(name.to_vec(), little64(block, index * DIRENT_BYTES)?);
    }
    Some(())
}

impl<S: Source + ?Sized> Files for Reader<'_, S> {
    fn text(&self, path: &str, limit_bytes: u64) -> Result<Option<String>, TreeError> {
        let wrong = |what| TreeError::File {
            path: tree::shown(path),
            what,
        };
        let found = self.resolve(path, Last::Followed);
        let Some(node) = found.map_err(|source| tree::read_error(path, source))? else {
            return Ok(None);
        };
        if node.kind != REGULAR {
            return Err(wrong("is not a regular file"));
        }
        if node.size > limit_bytes {
            return Err(wrong("is too large"));
        }
        let bytes = self
            .data(&node, limit_bytes)
            .map_err(|source| tree::read_error(path, source))?;
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| wrong("is no UTF-8 text"))
    }

    fn entries(&self, path: &str) -> Result<Vec<(String, bool)>, TreeError> {
        let error = |source| tree::read_error(path, source);
        let Some(node) = self.resolve(path, Last::Followed).map_err(error)? else {
            return Ok(Vec::new());
        };
        if node.kind != DIRECTORY {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (name, number) in self.names(&node).map_err(error)? {
            let Ok(name) = String::from_utf8(name) else {
                continue;
            };
            if !matches!(&*name, "." | "..") {
                let kind = self.node(number).map_err(error)?.kind;
                found.push((name, kind == REGULAR));
            }
        }
        Ok(found)
    }

    fn place(&self, path: &str) -> Result<Place, TreeError> {
        let error = |source| tree::read_error(path, source);
        let Some(node) = self.resolve(path, Last::AsItIs).map_err(error)? else {
            return Ok(Place::Missing);
        };
        let is_empty = match node.kind {
            REGULAR => node.size == 0,
            DIRECTORY => self.names(&node).map_err(error)?.len() <= 2,
            _ => false,
        };
        Ok(if is_empty { Place::Empty } else { Place::Taken })
    }
}
