//! Writes erofs root file systems, and reads from them without mounting. Nothing is compressed inside: the kernel's pages are the
//! file's own, and a new version differs from the last one where its content does. The format: Documentation/filesystems/erofs.rst.

mod layout;
mod read;
mod write;

pub(crate) use read::Reader;
pub(crate) use write::{ErofsError, write};

use crate::tree;

/// Where the superblock is, and how long.
const SUPERBLOCK_OFFSET: u64 = 1024;
const SUPERBLOCK_BYTES: u64 = 128;
const MAGIC: u32 = 0xe0f5_e1e2;

/// Bytes per block, as a power of two: those of verity.
const BLOCK_BITS: u8 = 12;
const BLOCK_BYTES: u64 = 1 << BLOCK_BITS;

/// Inodes are numbered by places of this many bytes.
const SLOT_BYTES: u64 = 32;

/// The two forms of an inode.
const COMPACT_BYTES: u64 = 32;
const EXTENDED_BYTES: u64 = 64;

/// Where a file's data are: in blocks, or the last piece behind its inode.
const FLAT_PLAIN: u16 = 0;
const FLAT_INLINE: u16 = 2;

/// One entry of a directory before the names.
const DIRENT_BYTES: usize = 12;

/// What precedes a file's extended attributes, and what precedes each.
const ATTRIBUTES_HEADER_BYTES: usize = 12;

/// The kinds of inodes in their modes (inode(7)).
const KIND_MASK: u16 = 0o170_000;
const DIRECTORY: u16 = 0o040_000;
const REGULAR: u16 = 0o100_000;
const SYMLINK: u16 = 0o120_000;

/// Reads what attaching needs of bytes that a fuzzer made.
#[doc(hidden)]
pub fn read_bytes(bytes: &[u8]) {
    tree::read_bytes(bytes, Reader::open);
}

fn little16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|raw| u16::from_le_bytes(*raw))
}

fn little32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|raw| u32::from_le_bytes(*raw))
}

fn little64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|raw| u64::from_le_bytes(*raw))
}

#[cfg(test)]
mod tests;
