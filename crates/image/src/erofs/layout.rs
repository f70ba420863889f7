//! Where everything of an erofs file system goes, before a byte of content is read: inodes, directories, extended attributes.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::write::ErofsError;
use super::{
    ATTRIBUTES_HEADER_BYTES, BLOCK_BYTES, COMPACT_BYTES, DIRECTORY, DIRENT_BYTES, EXTENDED_BYTES,
    KIND_MASK, REGULAR, SLOT_BYTES, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET, SYMLINK,
};
use crate::manifest::{Attributes, Content, Entry, Inode, Manifest};

/// All extended attributes of one path: what the kernel reads of them in one go.
const ATTRIBUTES_LIMIT_BYTES: usize = 64 << 10;

/// What an inode's data are.
pub(super) enum Data<'m> {
    /// A directory's children, by name, with what has their inodes; `.` and `..` are among them.
    Directory(BTreeMap<&'m [u8], usize>),
    File {
        path: &'m Path,
        content: &'m Content,
    },
    Link(&'m [u8]),
}

/// One inode.
pub(super) struct Node<'m> {
    /// Kind and permissions.
    pub(super) mode: u16,
    pub(super) names: u32,
    pub(super) size: u64,
    pub(super) attributes: Vec<u8>,
    pub(super) data: Data<'m>,
    /// Its place, in slots.
    pub(super) number: u64,
    /// Its first block of data, where it has blocks.
    pub(super) first_block: u64,
}

impl Node<'_> {
    fn new(mode: u16, attributes: Vec<u8>, data: Data<'_>) -> Node<'_> {
        Node {
            mode,
            names: 1,
            size: 0,
            attributes,
            data,
            number: 0,
            first_block: 0,
        }
    }

    pub(super) fn is_extended(&self) -> bool {
        self.size > u32::MAX.into() || self.names > u16::MAX.into()
    }

    /// Inode and attributes.
    fn head_bytes(&self) -> u64 {
        let inode = if self.is_extended() {
            EXTENDED_BYTES
        } else {
            COMPACT_BYTES
        };
        inode + self.attributes.len() as u64
    }

    /// How much of the data follows the inode: the last piece, where both fit one block.
    pub(super) fn inline_bytes(&self) -> u64 {
        let tail = self.size % BLOCK_BYTES;
        if self.head_bytes() + tail <= BLOCK_BYTES {
            tail
        } else {
            0
        }
    }

    /// How many blocks the rest has.
    pub(super) fn blocks(&self) -> u64 {
        (self.size - self.inline_bytes()).div_ceil(BLOCK_BYTES)
    }

    /// The kind as directories have it.
    pub(super) fn kind(&self) -> u8 {
        match self.mode & KIND_MASK {
            DIRECTORY => 2,
            SYMLINK => 7,
            _ => 1,
        }
    }
}

/// A whole file system; the root comes first.
pub(super) struct Layout<'m> {
    pub(super) nodes: Vec<Node<'m>>,
    /// Blocks of superblock and inodes, and of everything.
    pub(super) head_blocks: u64,
    pub(super) blocks: u64,
}

/// Numbers everything.
pub(super) fn plan(manifest: &Manifest) -> Result<Layout<'_>, ErofsError> {
    let mut nodes = nodes(manifest)?;
    sizes(manifest, &mut nodes)?;
    let mut at = SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES;
    for node in &mut nodes {
        let head = node.head_bytes();
        let inline = node.inline_bytes();
        let left = BLOCK_BYTES - at % BLOCK_BYTES;
        // What is behind the inode must be in its block, and the inode in one.
        let whole = if inline > 0 {
            head + inline
        } else {
            EXTENDED_BYTES.min(head)
        };
        if whole > left {
            at = at.next_multiple_of(BLOCK_BYTES);
        }
        node.number = at / SLOT_BYTES;
        at = (at + head + inline).next_multiple_of(SLOT_BYTES);
    }
    let head_blocks = at.div_ceil(BLOCK_BYTES);
    let mut blocks = head_blocks;
    for node in &mut nodes {
        node.first_block = blocks;
        blocks += node.blocks();
    }
    Ok(Layout {
        nodes,
        head_blocks,
        blocks,
    })
}

/// One node for each inode, with each directory's children.
fn nodes(manifest: &Manifest) -> Result<Vec<Node<'_>>, ErofsError> {
    let root = Data::Directory([(&b"."[..], 0), (b"..", 0)].into());
    let mut nodes = vec![Node::new(DIRECTORY | 0o755, Vec::new(), root)];
    let mut directories: BTreeMap<&Path, usize> = [(Path::new(""), 0)].into();
    let mut inodes: BTreeMap<Inode, usize> = BTreeMap::new();
    for (path, entry) in manifest.iter() {
        let unheld = || ErofsError::Unheld(path.into());
        let above = *path
            .parent()
            .and_then(|path| directories.get(path))
            .ok_or_else(unheld)?;
        let shared = match entry {
            Entry::File(file) => file.inode.and_then(|inode| inodes.get(&inode)).copied(),
            _ => None,
        };
        let index = shared.unwrap_or(nodes.len());
        let name = path.file_name().ok_or_else(unheld)?.as_bytes();
        let parent = nodes.get_mut(above).ok_or_else(unheld)?;
        if let Data::Directory(children) = &mut parent.data {
            children.insert(name, index);
        }
        if let Some(node) = shared.and_then(|index| nodes.get_mut(index)) {
            node.names += 1;
            continue;
        }
        let node = node(path, entry, above, index)?;
        match entry {
            Entry::Directory { .. } => drop(directories.insert(path, index)),
            Entry::File(file) => drop(file.inode.map(|inode| inodes.insert(inode, index))),
            Entry::Link { .. } => {}
        }
        nodes.push(node);
    }
    Ok(nodes)
}

fn node<'m>(
    path: &'m Path,
    entry: &'m Entry,
    above: usize,
    index: usize,
) -> Result<Node<'m>, ErofsError> {
    Ok(match entry {
        Entry::Directory { mode, attributes } => Node::new(
            DIRECTORY | mode,
            encode(path, attributes)?,
            Data::Directory([(&b"."[..], index), (b"..", above)].into()),
        ),
        Entry::File(file) => Node::new(
            REGULAR | file.mode,
            encode(path, &file.attributes)?,
            Data::File {
                path,
                content: &file.content,
            },
        ),
        Entry::Link { target } => {
            let target = target.as_os_str().as_bytes();
            Node::new(SYMLINK | 0o777, Vec::new(), Data::Link(target))
        }
    })
}

/// How long everything is, and how many names directories have: their own, their `.`, and the `..` of each below.
fn sizes(manifest: &Manifest, nodes: &mut [Node<'_>]) -> Result<(), ErofsError> {
    let kinds: Vec<bool> = nodes
        .iter()
        .map(|node| matches!(node.data, Data::Directory(_)))
        .collect();
    for node in nodes {
        match &node.data {
            Data::Directory(children) => {
                let pieces = pieces(children.keys().map(|name| name.len()));
                let last = pieces.last().map_or(0, |piece| piece.bytes);
                node.size = (pieces.len() as u64 - 1) * BLOCK_BYTES + last as u64;
                let below = children.iter().filter(|(name, index)| {
                    ![&b"."[..], b".."].contains(name) && kinds.get(**index) == Some(&true)
                });
                node.names = 2 + below.count() as u32;
            }
            Data::File { path, content } => {
                let length = manifest.length(content);
                node.size = length.map_err(|source| ErofsError::read(content, path, source))?;
            }
            Data::Link(target) => node.size = target.len() as u64,
        }
    }
    Ok(())
}

/// One block of a directory.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

/// How names are put into blocks.
pub(super) fn pieces(names: impl Iterator<Item = usize>) -> Vec<Piece> {
    let mut pieces = vec![Piece::default()];
    for name in names {
        let bytes = DIRENT_BYTES + name;
        match pieces.last_mut() {
            Some(piece) if piece.bytes + bytes <= BLOCK_BYTES as usize => {
                piece.entries += 1;
                piece.bytes += bytes;
            }
            _ => pieces.push(Piece { entries: 1, bytes }),
        }
    }
    pieces
}

/// Extended attributes as they follow an inode.
fn encode(path: &Path, attributes: &Attributes) -> Result<Vec<u8>, ErofsError> {
    if attributes.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = || ErofsError::Attributes(path.into());
    let mut bytes = vec![0; ATTRIBUTES_HEADER_BYTES];
    for (name, value) in attributes {
        let (index, name) = match name.strip_prefix(b"user.") {
            Some(name) => (1, name),
            None => (6, name.strip_prefix(b"security.").ok_or_else(wrong)?),
        };
        bytes.push(u8::try_from(name.len()).map_err(|_| wrong())?);
        bytes.push(index);
        bytes.extend(
            u16::try_from(value.len())
                .map_err(|_| wrong())?
                .to_le_bytes(),
        );
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    if bytes.len() > ATTRIBUTES_LIMIT_BYTES {
        return Err(wrong());
    }
    Ok(bytes)
}
