//! dm-verity's on-disk format, version 1: superblock, hash tree, root hash. SHA-256; blocks of 4096 bytes, others are read, too.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::crew::Crew;
use crate::guid::Guid;
use crate::source::{Extent, Source};

/// Bytes per data block and per hash block of what is written here.
pub const BLOCK_BYTES: u64 = 4096;

/// Bytes of a SHA-256.
const HASH_BYTES: usize = 32;

/// Bytes of blocks that the kernel takes: from a sector to a page.
const BLOCKS_BYTES: std::ops::RangeInclusive<u64> = 512..=BLOCK_BYTES;

/// How large the blocks of a tree are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// Bytes of data under one hash.
    pub data_bytes: u64,
    /// Bytes of hashes under one hash.
    pub hash_bytes: u64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            data_bytes: BLOCK_BYTES,
            hash_bytes: BLOCK_BYTES,
        }
    }
}

impl Blocks {
    /// Reads both, in the order of the superblock.
    fn parse(raw: &[u8]) -> Result<Self, VerityError> {
        let unsupported = VerityError::Unsupported("block size (512 to 4096 are supported)");
        let number = |raw: Option<&[u8; 4]>| {
            let bytes = u64::from(u32::from_le_bytes(*raw?));
            (bytes.is_power_of_two() && BLOCKS_BYTES.contains(&bytes)).then_some(bytes)
        };
        match (number(raw.first_chunk()), number(raw.last_chunk())) {
            (Some(data_bytes), Some(hash_bytes)) => Ok(Self {
                data_bytes,
                hash_bytes,
            }),
            _ => Err(unsupported),
        }
    }

    /// How many bytes of hash blocks a tree over so many data blocks has.
    #[must_use]
    pub fn tree_bytes(self, data_blocks: u64) -> u64 {
        let mut blocks = 0u64;
        let mut level = data_blocks;
        while level > 1 {
            level = level.div_ceil(self.hash_bytes / HASH_BYTES as u64);
            blocks = blocks.saturating_add(level);
        }
        blocks.saturating_mul(self.hash_bytes)
    }
}

/// Bytes of salt that the format has room for.
const SALT_LIMIT_BYTES: usize = 256;

/// Data is read in pieces of this many bytes: large enough for the disk, small enough for the cache.
const PIECE_BYTES: u64 = 256 * 1024;

/// The most blocks of a root file system that are hashed, 64 GiB of the usual ones: what exceeds it does not enter a store. The hashes of
/// so many are half a gibibyte, whatever the size of the blocks.
const DATA_LIMIT_BLOCKS: u64 = (64 << 30) / BLOCK_BYTES;

/// The SHA-256 at the top of a hash tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RootHash(pub [u8; HASH_BYTES]);

impl RootHash {
    /// The identifiers that the root and the verity partition have by the Discoverable Partitions Specification: the hash's two
    /// halves.
    #[must_use]
    pub fn partition_ids(self) -> (Guid, Guid) {
        let (first, second) = self.0.split_at(16);
        let half = |bytes: &[u8]| Guid::from_bytes(bytes.try_into().unwrap_or_default());
        (half(first), half(second))
    }

    /// The hash whose halves are these two identifiers.
    #[must_use]
    pub fn from_partition_ids(root: Guid, verity: Guid) -> Self {
        let mut hash = [0; HASH_BYTES];
        for (to, from) in hash
            .iter_mut()
            .zip(root.bytes().into_iter().chain(verity.bytes()))
        {
            *to = from;
        }
        Self(hash)
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no root hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a root hash: 64 hexadecimal digits were expected")]
pub struct NotARootHash;

impl FromStr for RootHash {
    type Err = NotARootHash;

    fn from_str(text: &str) -> Result<Self, NotARootHash> {
        crate::hex::decode(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(NotARootHash)
    }
}

impl TryFrom<String> for RootHash {
    type Error = NotARootHash;

    fn try_from(text: String) -> Result<Self, NotARootHash> {
        text.parse()
    }
}

impl From<RootHash> for String {
    fn from(hash: RootHash) -> Self {
        hash.to_string()
    }
}

/// The first block of verity data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Identifies the tree; means nothing to the kernel.
    pub id: Guid,
    /// How large its blocks are.
    pub blocks: Blocks,
    /// How many data blocks the tree covers.
    pub data_blocks: u64,
    /// What every hash begins with; at most 256 bytes.
    pub salt: Vec<u8>,
}

/// Why verity data is refused, or data under it.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// No superblock, or one of another version.
    #[error("the verity partition has no dm-verity superblock of version 1")]
    NoSuperblock,
    /// A parameter that is not supported.
    #[error("unsupported dm-verity {0}")]
    Unsupported(&'static str),
    /// The tree does not cover exactly the root file system.
    #[error("the hash tree covers {covered} bytes, the root partition has {present}")]
    WrongLength {
        /// Bytes under the tree.
        covered: u64,
        /// Bytes in the partition.
        present: u64,
    },
    /// Its hashes would not fit into memory.
    #[error(
        "the root partition has {present} bytes; in blocks of {block} bytes no more than {limit} are hashed"
    )]
    TooLarge {
        /// Bytes in the partition.
        present: u64,
        /// The most.
        limit: u64,
        /// Bytes of a block.
        block: u64,
    },
    /// The stored tree ends early.
    #[error("the verity partition is too small for its hash tree")]
    TreeTooSmall,
    /// The data or the tree was changed.
    #[error("the root hash does not match: the image says {expected}, its data give {found}")]
    Mismatch {
        /// What was promised.
        expected: RootHash,
        /// What is there.
        found: RootHash,
    },
    /// The stored tree is not the data's.
    #[error("the stored hash tree is not that of the data")]
    StoredTree,
    /// The image can't be read.
    #[error("cannot read the image's data")]
    Read(#[from] io::Error),
}

impl Superblock {
    /// The block's bytes.
    #[must_use]
    pub fn to_block(&self) -> Vec<u8> {
        let mut raw = b"verity\0\0".to_vec();
        raw.extend(1u32.to_le_bytes());
        raw.extend(1u32.to_le_bytes());
        raw.extend(self.id.bytes());
        raw.extend(b"sha256");
        raw.resize(64, 0);
        raw.extend((self.blocks.data_bytes as u32).to_le_bytes());
        raw.extend((self.blocks.hash_bytes as u32).to_le_bytes());
        raw.extend(self.data_blocks.to_le_bytes());
        raw.extend((self.salt.len() as u16).to_le_bytes());
        raw.extend([0; 6]);
        raw.extend(self.salt.iter().take(SALT_LIMIT_BYTES));
        raw.resize(self.blocks.hash_bytes as usize, 0);
        raw
    }

    /// Reads a superblock.
    ///
    /// # Errors
    /// Where it is none, or its parameters are not those that this module knows.
    pub fn parse(raw: &[u8]) -> Result<Self, VerityError> {
        let raw = raw.first_chunk::<512>().ok_or(VerityError::NoSuperblock)?;
        let (head, rest) = raw.split_at(16);
        if head != b"verity\0\0\x01\0\0\0\x01\0\0\0" {
            return Err(VerityError::NoSuperblock);
        }
        let (id, rest) = rest.split_at(16);
        let (algorithm, rest) = rest.split_at(32);
        let (sizes, rest) = rest.split_at(8);
        let (data_blocks, rest) = rest.split_at(8);
        let (salt_length, rest) = rest.split_at(8);
        if algorithm
            .strip_prefix(b"sha256")
            .is_none_or(|padding| padding.iter().any(|b| *b != 0))
        {
            return Err(VerityError::Unsupported(
                "hash algorithm (sha256 is supported)",
            ));
        }
        let blocks = Blocks::parse(sizes)?;
        let salt_length = salt_length
            .first_chunk()
            .map_or(usize::MAX, |raw| u16::from_le_bytes(*raw).into());
        let salt = rest
            .get(..salt_length)
            .filter(|salt| salt.len() <= SALT_LIMIT_BYTES);
        Ok(Self {
            id: Guid::from_bytes(id.try_into().unwrap_or_default()),
            blocks,
            data_blocks: u64::from_le_bytes(data_blocks.try_into().unwrap_or_default()),
            salt: salt
                .ok_or(VerityError::Unsupported("salt length"))?
                .to_vec(),
        })
    }
}

/// Hashes of data that are compared with the stored ones at once: half a megabyte, which are those of 64 MiB in blocks of 4 KiB.
const SPAN_BYTES: u64 = 512 << 10;

/// A computed hash tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTree {
    /// The hash over all.
    pub root: RootHash,
    /// The hash blocks as they follow the superblock: the topmost level first.
    pub blocks: Vec<u8>,
}

/// Hashes a run of data.
///
/// # Errors
/// Where it is empty, is no whole number of blocks, exceeds [the limit](DATA_LIMIT_BLOCKS), or can't be read.
pub fn compute<S: Source + ?Sized>(
    source: &S,
    data: Extent,
    salt: &[u8],
    blocks: Blocks,
) -> Result<HashTree, VerityError> {
    check_length(data, blocks)?;
    // The salted prefix is the same for every block: hashed once, cloned.
    let salted = Sha256::new_with_prefix(salt);
    let lowest = hash_data(source, data, &salted, blocks.data_bytes)?;
    Ok(tree_over(lowest, &salted, blocks.hash_bytes as usize))
}

fn check_length(data: Extent, blocks: Blocks) -> Result<(), VerityError> {
    if data.length == 0 || !data.length.is_multiple_of(blocks.data_bytes) {
        return Err(VerityError::Unsupported("data length"));
    }
    let limit = DATA_LIMIT_BLOCKS * blocks.data_bytes;
    if data.length > limit {
        return Err(VerityError::TooLarge {
            present: data.length,
            limit,
            block: blocks.data_bytes,
        });
    }
    Ok(())
}

/// A level of hashes with all levels above it. One hash alone is the root's, and has no tree.
fn tree_over(mut level: Vec<u8>, salted: &Sha256, block_bytes: usize) -> HashTree {
    let mut levels = Vec::new();
    while level.len() > HASH_BYTES {
        let above = hashes_of(&mut level, salted, block_bytes);
        levels.push(std::mem::replace(&mut level, above));
    }
    HashTree {
        root: root_of(&level),
        blocks: levels.into_iter().rev().flatten().collect(),
    }
}

/// The hashes of a level's blocks, the last of which is filled up with zeros.
fn hashes_of(level: &mut Vec<u8>, salted: &Sha256, block_bytes: usize) -> Vec<u8> {
    level.resize(level.len().next_multiple_of(block_bytes), 0);
    let blocks = level.chunks(block_bytes);
    blocks.flat_map(|block| hash(salted, block)).collect()
}

fn root_of(level: &[u8]) -> RootHash {
    RootHash(level.try_into().unwrap_or_default())
}

fn hash(salted: &Sha256, block: &[u8]) -> [u8; HASH_BYTES] {
    salted.clone().chain_update(block).finalize().into()
}

fn hash_data<S: Source + ?Sized>(
    source: &S,
    data: Extent,
    salted: &Sha256,
    block_bytes: u64,
) -> Result<Vec<u8>, VerityError> {
    let alone = Crew::default();
    let piece_bytes = PIECE_BYTES.min(data.length) as usize;
    Ok(source.crew().unwrap_or(&alone).hash(
        data.length,
        piece_bytes,
        (salted, block_bytes as usize),
        &mut |bytes, offset| source.read_at(bytes, data.offset + offset),
    )?)
}

/// Reads the superblock of a verity partition and checks that its tree covers exactly the data and has room.
///
/// # Errors
/// Where any of that is not so.
pub fn superblock<S: Source + ?Sized>(
    source: &S,
    verity: Extent,
    data: Extent,
) -> Result<Superblock, VerityError> {
    let first = Extent {
        length: BLOCK_BYTES.min(verity.length),
        ..verity
    };
    let superblock = Superblock::parse(&source.read_extent(first, BLOCK_BYTES)?)?;
    let blocks = superblock.blocks;
    let covered = superblock.data_blocks.saturating_mul(blocks.data_bytes);
    if covered != data.length {
        return Err(VerityError::WrongLength {
            covered,
            present: data.length,
        });
    }
    let tree = blocks.tree_bytes(superblock.data_blocks);
    if verity.length < blocks.hash_bytes.saturating_add(tree) {
        return Err(VerityError::TreeTooSmall);
    }
    Ok(superblock)
}

/// The root hash that a partition's data really have. The stored tree must be theirs too, because a kernel would use it.
///
/// # Errors
/// Where superblock or tree are not right for the data.
pub fn root_hash<S: Source + ?Sized>(
    source: &S,
    data: Extent,
    hashes: &S,
    verity: Extent,
) -> Result<RootHash, VerityError> {
    let superblock = superblock(hashes, verity, data)?;
    let Superblock {
        blocks,
        data_blocks,
        ..
    } = superblock;
    check_length(data, blocks)?;
    let salted = Sha256::new_with_prefix(&superblock.salt);
    let is_stored = |place: u64, bytes: &[u8]| {
        let length = bytes.len() as u64;
        let stored = Extent {
            offset: verity.offset + blocks.hash_bytes + place,
            length,
        };
        match hashes.read_extent(stored, length)? == bytes {
            true => Ok(()),
            false => Err(VerityError::StoredTree),
        }
    };
    // The lowest level comes last in the tree, and is as good as all of it: it is never in memory as a whole.
    let lowest_bytes = match data_blocks {
        1 => 0,
        _ => (data_blocks * HASH_BYTES as u64).next_multiple_of(blocks.hash_bytes),
    };
    let above_bytes = blocks.tree_bytes(data_blocks) - lowest_bytes;
    let span_bytes = SPAN_BYTES.max(blocks.hash_bytes) / HASH_BYTES as u64 * blocks.data_bytes;
    let (mut above, mut done, mut place) = (Vec::new(), 0, above_bytes);
    while done < data.length {
        let span = Extent {
            offset: data.offset + done,
            length: span_bytes.min(data.length - done),
        };
        let mut level = hash_data(source, span, &salted, blocks.data_bytes)?;
        if data_blocks == 1 {
            return Ok(root_of(&level));
        }
        above.extend(hashes_of(&mut level, &salted, blocks.hash_bytes as usize));
        is_stored(place, &level)?;
        place += level.len() as u64;
        done += span.length;
    }
    let tree = tree_over(above, &salted, blocks.hash_bytes as usize);
    is_stored(0, &tree.blocks)?;
    Ok(tree.root)
}

/// Checks data and stored tree against a promised root hash.
///
/// # Errors
/// [`VerityError::Mismatch`] where they are others.
pub fn verify<S: Source + ?Sized>(
    source: &S,
    data: Extent,
    verity: Extent,
    expected: RootHash,
) -> Result<(), VerityError> {
    verify_aside(source, data, source, verity, expected)
}

/// The same where the tree is in a source of its own.
///
/// # Errors
/// [`VerityError::Mismatch`] where they are others.
pub fn verify_aside<S: Source + ?Sized>(
    source: &S,
    data: Extent,
    hashes: &S,
    verity: Extent,
    expected: RootHash,
) -> Result<(), VerityError> {
    let found = root_hash(source, data, hashes, verity)?;
    if found == expected {
        Ok(())
    } else {
        Err(VerityError::Mismatch { expected, found })
    }
}

#[cfg(test)]
mod tests;
