//! Writes what the layout says: the data first, then the inodes with the pieces behind them, then the superblock.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::layout::{Data, Layout, Node, pieces, plan};
use super::{
    ATTRIBUTES_HEADER_BYTES, BLOCK_BITS, BLOCK_BYTES, DIRENT_BYTES, FLAT_INLINE, FLAT_PLAIN, MAGIC,
    SLOT_BYTES, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET,
};
use crate::guid::Guid;
use crate::manifest::{Content, Manifest};

/// The superblock has a checksum.
const COMPATIBLE_CHECKSUM: u32 = 1;

/// Times are those of modification.
const COMPATIBLE_MTIME: u32 = 2;

/// Data is written in pieces of this many bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// Why a file system was not written.
#[derive(Debug, thiserror::Error)]
pub enum ErofsError {
    /// A file of the input can't be read.
    #[error("cannot read {path}")]
    Read {
        /// Where: on this host, or in what was unpacked.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended before the length that it had.
    #[error("{0} became shorter while it was read: build again when nothing writes to it")]
    Shrunk(PathBuf),
    /// More than the format holds.
    #[error("the extended attributes of /{0} are too many or too long")]
    Attributes(PathBuf),
    /// Something below what is no directory.
    #[error("/{0} lies below something that is no directory")]
    Unheld(PathBuf),
    /// More blocks than the format counts.
    #[error("the files are too large together: an image holds 16 TiB")]
    TooLarge,
    /// The output can't be written.
    #[error("the erofs file system cannot be written")]
    Write(#[from] io::Error),
}

impl ErofsError {
    pub(super) fn read(content: &Content, path: &Path, source: io::Error) -> ErofsError {
        ErofsError::Read {
            path: content.place(path).into(),
            source,
        }
    }
}

/// Writes a file system: every owner root, every time `epoch_s`, whole blocks. The same manifest gives the same bytes. Returns its
/// length; `progress` hears how many bytes are done.
pub(crate) fn write(
    manifest: &Manifest,
    epoch_s: u32,
    to: &File,
    progress: &dyn Fn(u64, u64),
) -> Result<u64, ErofsError> {
    write_layout(manifest, &plan(manifest)?, epoch_s, to, progress)
}

pub(super) fn write_layout(
    manifest: &Manifest,
    layout: &Layout<'_>,
    epoch_s: u32,
    to: &File,
    progress: &dyn Fn(u64, u64),
) -> Result<u64, ErofsError> {
    let blocks = u32::try_from(layout.blocks).map_err(|_| ErofsError::TooLarge)?;
    let head_bytes = layout.head_blocks * BLOCK_BYTES;
    let mut head = vec![0; usize::try_from(head_bytes).map_err(|_| ErofsError::TooLarge)?];
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, to);
    out.seek(SeekFrom::Start(head_bytes))?;
    let mut done = head_bytes;
    for node in &layout.nodes {
        let inline = write_data(manifest, layout, node, &mut out)?;
        put_inode(&mut head, node, &inline, epoch_s)?;
        done += node.blocks() * BLOCK_BYTES;
        progress(done, layout.blocks * BLOCK_BYTES);
    }
    superblock(&mut head, layout, blocks, epoch_s)?;
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&head)?;
    out.flush()?;
    Ok(u64::from(blocks) * BLOCK_BYTES)
}

/// Writes a node's blocks and returns what goes behind its inode.
fn write_data(
    manifest: &Manifest,
    layout: &Layout<'_>,
    node: &Node<'_>,
    out: &mut impl Write,
) -> Result<Vec<u8>, ErofsError> {
    let inline = node.inline_bytes();
    let in_blocks = node.size - inline;
    let mut copy = |from: &mut dyn Read| -> io::Result<Option<Vec<u8>>> {
        if io::copy(&mut from.take(in_blocks), out)? != in_blocks {
            return Ok(None);
        }
        let padding = node.blocks() * BLOCK_BYTES - in_blocks;
        io::copy(&mut io::repeat(0).take(padding), out)?;
        let mut tail = Vec::new();
        from.take(inline).read_to_end(&mut tail)?;
        Ok((tail.len() as u64 == inline).then_some(tail))
    };
    match &node.data {
        Data::File { path, content } => {
            let error = |source| ErofsError::read(content, path, source);
            let (mut from, _) = manifest.open(content).map_err(error)?;
            let copied = copy(&mut from).map_err(error)?;
            copied.ok_or_else(|| ErofsError::Shrunk(content.place(path).into()))
        }
        Data::Link(target) => Ok(copy(&mut &**target)?.unwrap_or_default()),
        Data::Directory(_) => Ok(copy(&mut &*directory(layout, node))?.unwrap_or_default()),
    }
}

/// A directory's bytes: in each block the entries, then their names.
fn directory(layout: &Layout<'_>, node: &Node<'_>) -> Vec<u8> {
    let Data::Directory(children) = &node.data else {
        return Vec::new();
    };
    let mut bytes = Vec::new();
    let mut left = children.iter();
    for piece in pieces(children.keys().map(|name| name.len())) {
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES as usize), 0);
        let mut names = Vec::new();
        for (name, index) in left.by_ref().take(piece.entries) {
            let child = layout.nodes.get(*index);
            let offset = piece.entries * DIRENT_BYTES + names.len();
            bytes.extend(child.map_or(0, |child| child.number).to_le_bytes());
            bytes.extend((offset as u16).to_le_bytes());
            bytes.extend([child.map_or(0, Node::kind), 0]);
            names.extend_from_slice(name);
        }
        bytes.extend(names);
    }
    bytes
}

fn put_inode(
    head: &mut [u8],
    node: &Node<'_>,
    inline: &[u8],
    epoch_s: u32,
) -> Result<(), ErofsError> {
    let layout = if node.inline_bytes() > 0 {
        FLAT_INLINE
    } else {
        FLAT_PLAIN
    };
    let attributes = node.attributes.len();
    let count = match attributes.checked_sub(ATTRIBUTES_HEADER_BYTES) {
        Some(beyond) => beyond / 4 + 1,
        None => 0,
    };
    // No block: a number that is none.
    let block = if node.blocks() > 0 {
        node.first_block as u32
    } else {
        u32::MAX
    };
    let mut raw = Vec::new();
    raw.extend((layout << 1 | u16::from(node.is_extended())).to_le_bytes());
    raw.extend((count as u16).to_le_bytes());
    raw.extend(node.mode.to_le_bytes());
    if node.is_extended() {
        raw.extend([0; 2]);
        raw.extend(node.size.to_le_bytes());
        raw.extend(block.to_le_bytes());
        raw.extend((node.number as u32).to_le_bytes());
        // Owner and group are root's.
        raw.extend([0; 8]);
        raw.extend(u64::from(epoch_s).to_le_bytes());
        raw.extend([0; 4]);
        raw.extend(node.names.to_le_bytes());
        raw.extend([0; 16]);
    } else {
        raw.extend((node.names as u16).to_le_bytes());
        raw.extend((node.size as u32).to_le_bytes());
        raw.extend([0; 4]);
        raw.extend(block.to_le_bytes());
        raw.extend((node.number as u32).to_le_bytes());
        raw.extend([0; 8]);
    }
    raw.extend(&node.attributes);
    raw.extend(inline);
    let start = (node.number * SLOT_BYTES) as usize;
    let place = head.get_mut(start..start + raw.len());
    place.ok_or(ErofsError::TooLarge)?.copy_from_slice(&raw);
    Ok(())
}

fn superblock(
    head: &mut [u8],
    layout: &Layout<'_>,
    blocks: u32,
    epoch_s: u32,
) -> Result<(), ErofsError> {
    let id = Sha256::digest(&*head).first_chunk().copied();
    let root = layout.nodes.first().map_or(0, |root| root.number as u16);
    let mut raw = MAGIC.to_le_bytes().to_vec();
    raw.extend([0; 4]);
    raw.extend((COMPATIBLE_CHECKSUM | COMPATIBLE_MTIME).to_le_bytes());
    raw.extend([BLOCK_BITS, 0]);
    raw.extend(root.to_le_bytes());
    raw.extend((layout.nodes.len() as u64).to_le_bytes());
    raw.extend(u64::from(epoch_s).to_le_bytes());
    raw.extend([0; 4]);
    raw.extend(blocks.to_le_bytes());
    raw.extend([0; 8]);
    raw.extend(crate::build::uuid(Guid::from_bytes(id.unwrap_or_default())).bytes());
    raw.resize(SUPERBLOCK_BYTES as usize, 0);
    let start = SUPERBLOCK_OFFSET as usize;
    let place = head.get_mut(start..start + raw.len());
    place.ok_or(ErofsError::TooLarge)?.copy_from_slice(&raw);
    let first = head.get(start..BLOCK_BYTES as usize);
    let checksum = crc32c(first.ok_or(ErofsError::TooLarge)?);
    let place = head.get_mut(start + 4..start + 8);
    place
        .ok_or(ErofsError::TooLarge)?
        .copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// The checksum of the superblock's block: CRC-32C, not inverted at its end.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}
