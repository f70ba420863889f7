//! The list of an image's chunks, as it travels: in order, each with its digest, its length and its length in the pack.
//!
//! Where a chunk lies is not said but follows from what is before it, in the image and in the pack alike: ranges can't overlap,
//! and the sums have to be what the signed index says of both files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::cut::{MAX_BYTES, MIN_BYTES};
use super::pack::{BEFORE_BYTES, EXTRA_MAX_BYTES};
use crate::digest::Digest;

/// The first line of a list, and of a stored image's cut.
const KIND: &[u8] = b"coracle-chunks 1\n";
const CUT_KIND: &[u8] = b"coracle-cut 1\n";
/// A chunk in a list: digest, length, packed length, both as 32 bits, the low byte first.
const RECORD_BYTES: usize = 40;
/// Most chunks of an image: some 8 GiB of them, and a list of 10 MiB.
pub const CHUNKS_MAX: usize = 1 << 18;
/// Largest list.
pub const LIST_MAX_BYTES: u64 = (CHUNKS_MAX * RECORD_BYTES + 64) as u64;
/// What is asked for with its neighbours rather than by a request of its own, which is some 400 bytes and the way there and back.
const GAP_BYTES: u64 = 8 * 1024;
/// What a request and the head of its answer come to.
const REQUEST_BYTES: u64 = 700;

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Of its plain bytes.
    pub digest: Digest,
    /// Where it begins in the image.
    pub place: u64,
    /// How long it is there.
    pub bytes: u32,
    /// Where it begins in the pack.
    pub packed_place: u64,
    /// How long it is there; 0 where it came before in the list.
    pub packed_bytes: u32,
}

/// An image's chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    chunks: Vec<Chunk>,
    /// The numbers of those that are in the pack at their place, in order.
    packed: Vec<usize>,
}

/// A range of the pack, and the chunks that lie in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// By their numbers in the list; those among them that are not wanted, or come from before, are passed over.
    pub chunks: Range<usize>,
    /// In the pack.
    pub packed: Range<u64>,
}

impl Stretch {
    /// How long it is in the pack.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.packed.end - self.packed.start
    }
}

/// Why a list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the list of chunks is refused: {what}")]
pub struct ListError {
    /// What is wrong.
    pub what: String,
}

fn wrong<T>(what: impl Into<String>) -> Result<T, ListError> {
    Err(ListError { what: what.into() })
}

impl List {
    /// Reads a list of an image and a pack of these sizes.
    ///
    /// # Errors
    /// When it is of another form, contradicts itself, or is of files of other sizes.
    pub fn parse(bytes: &[u8], image_bytes: u64, pack_bytes: u64) -> Result<List, ListError> {
        let list = List::records(bytes, KIND)?;
        let mut known: BTreeMap<Digest, u32> = BTreeMap::new();
        for (number, chunk) in list.chunks.iter().enumerate() {
            match (known.get(&chunk.digest), chunk.packed_bytes) {
                (None, 0) => return wrong(format!("chunk {number} is nowhere in the pack")),
                (Some(bytes), 0) if *bytes == chunk.bytes => {}
                (Some(_), _) => return wrong(format!("chunk {number} is there twice")),
                (None, packed) if packed > chunk.bytes.saturating_add(EXTRA_MAX_BYTES) => {
                    return wrong(format!("chunk {number} grows when it is packed"));
                }
                (None, _) => drop(known.insert(chunk.digest, chunk.bytes)),
            }
        }
        if list.image_bytes() != image_bytes || list.pack_bytes() != pack_bytes {
            return wrong("it is of files of other sizes than the channel index says");
        }
        Ok(list)
    }

    /// Reads a list of an image that is its own pack: each chunk is there where it first comes, as it is.
    ///
    /// # Errors
    /// As [`List::parse`].
    pub fn parse_own(bytes: &[u8], image_bytes: u64) -> Result<List, ListError> {
        let pack_bytes = List::records(bytes, KIND)?.pack_bytes();
        List::parse(bytes, image_bytes, pack_bytes)
    }

    /// The ranges of the image that these chunks are, each a place and a length, as few as can be.
    #[must_use]
    pub fn ranges(&self, chunks: &[usize]) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for chunk in chunks.iter().filter_map(|number| self.chunks.get(*number)) {
            let bytes = u64::from(chunk.bytes);
            match ranges.last_mut() {
                Some((place, length)) if *place + *length == chunk.place => *length += bytes,
                _ => ranges.push((chunk.place, bytes)),
            }
        }
        ranges
    }

    /// Reads how a stored image was cut; whether that is so is looked at where a chunk is used.
    pub(super) fn parse_cut(bytes: &[u8], image_bytes: u64) -> Result<List, ListError> {
        let list = List::records(bytes, CUT_KIND)?;
        if list.image_bytes() == image_bytes {
            Ok(list)
        } else {
            wrong("it is of an image of another size")
        }
    }

    fn records(bytes: &[u8], kind: &[u8]) -> Result<List, ListError> {
        let Some(records) = bytes.strip_prefix(kind) else {
            return wrong("it is of another kind");
        };
        let (records, rest) = records.as_chunks::<RECORD_BYTES>();
        if !rest.is_empty() || records.len() > CHUNKS_MAX {
            return wrong("it was cut, or has too many chunks");
        }
        let mut list = List::default();
        for (number, record) in records.iter().enumerate() {
            let (digest, lengths) = record.split_at(32);
            let (bytes, packed) = lengths.split_at(4);
            let (Ok(digest), Ok(bytes), Ok(packed)) =
                (digest.try_into(), bytes.try_into(), packed.try_into())
            else {
                return wrong("it was cut");
            };
            let bytes = u32::from_le_bytes(bytes);
            let is_last = number + 1 == records.len();
            let least = if is_last { 1 } else { MIN_BYTES };
            if !(least..=MAX_BYTES).contains(&(bytes as usize)) {
                return wrong(format!("chunk {number} has {bytes} bytes"));
            }
            list.push(Digest(digest), bytes, u32::from_le_bytes(packed));
        }
        Ok(list)
    }

    /// Adds a chunk at the end.
    pub(super) fn push(&mut self, digest: Digest, bytes: u32, packed_bytes: u32) {
        let (place, packed_place) = (self.image_bytes(), self.pack_bytes());
        if packed_bytes > 0 {
            self.packed.push(self.chunks.len());
        }
        self.chunks.push(Chunk {
            digest,
            place,
            bytes,
            packed_place,
            packed_bytes,
        });
    }

    /// Its bytes.
    #[must_use]
    pub fn print(&self) -> Vec<u8> {
        self.printed(KIND)
    }

    pub(super) fn print_cut(&self) -> Vec<u8> {
        self.printed(CUT_KIND)
    }

    fn printed(&self, kind: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_vec();
        for chunk in &self.chunks {
            bytes.extend(chunk.digest.0);
            bytes.extend(chunk.bytes.to_le_bytes());
            bytes.extend(chunk.packed_bytes.to_le_bytes());
        }
        bytes
    }

    /// All chunks in order.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The length of the image.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        let last = self.chunks.last();
        last.map_or(0, |chunk| chunk.place + u64::from(chunk.bytes))
    }

    /// The length of the pack.
    #[must_use]
    pub fn pack_bytes(&self) -> u64 {
        let last = self.chunks.last();
        last.map_or(0, |chunk| {
            chunk.packed_place + u64::from(chunk.packed_bytes)
        })
    }

    /// The chunks that a chunk of the pack is packed after, the first of them first.
    pub(crate) fn before(&self, number: usize) -> Vec<&Chunk> {
        let (mut before, mut bytes) = (Vec::new(), 0);
        let end = self.packed.partition_point(|one| *one < number);
        let earlier = self.packed.get(..end).unwrap_or_default();
        let earlier = earlier.iter().rev();
        for chunk in earlier.filter_map(|number| self.chunks.get(*number)) {
            if bytes + chunk.bytes as usize > BEFORE_BYTES {
                break;
            }
            bytes += chunk.bytes as usize;
            before.push(chunk);
        }
        before.reverse();
        before
    }

    /// The ranges of the pack to ask for, so that these chunks come.
    #[must_use]
    pub fn stretches(&self, wanted: &[usize]) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for number in wanted {
            let Some(chunk) = self.chunks.get(*number).filter(|one| one.packed_bytes > 0) else {
                continue;
            };
            let (begin, end) = (
                chunk.packed_place,
                chunk.packed_place + u64::from(chunk.packed_bytes),
            );
            match stretches.last_mut() {
                Some(last) if begin.saturating_sub(last.packed.end) <= GAP_BYTES => {
                    last.chunks.end = number + 1;
                    last.packed.end = end;
                }
                _ => stretches.push(Stretch {
                    chunks: *number..number + 1,
                    packed: begin..end,
                }),
            }
        }
        stretches
    }

    /// What these ranges cost, requests counted.
    #[must_use]
    pub fn cost_bytes(stretches: &[Stretch]) -> u64 {
        let bytes = |one: &Stretch| one.bytes() + REQUEST_BYTES;
        stretches.iter().map(bytes).sum()
    }

    /// What it costs to bring all chunks that another image does not have.
    #[must_use]
    pub fn cost_after(&self, other: &List) -> u64 {
        let known: BTreeSet<Digest> = other.chunks.iter().map(|chunk| chunk.digest).collect();
        let is_wanted =
            |(_, chunk): &(usize, &Chunk)| chunk.packed_bytes > 0 && !known.contains(&chunk.digest);
        let wanted = self.chunks.iter().enumerate().filter(is_wanted);
        let wanted: Vec<usize> = wanted.map(|(number, _)| number).collect();
        List::cost_bytes(&self.stretches(&wanted))
    }

    /// Shares wanted chunks out among workers, about the same bytes to each; one never needs what another one brings.
    #[must_use]
    pub fn shares(&self, wanted: &[usize], workers: usize) -> Vec<Vec<usize>> {
        let packed = |number: &usize| {
            let chunk = self.chunks.get(*number);
            chunk.map_or(0, |chunk| u64::from(chunk.packed_bytes))
        };
        let all: u64 = wanted.iter().map(packed).sum();
        let share = all / workers.max(1) as u64 + 1;
        let (mut shares, mut bytes): (Vec<Vec<usize>>, u64) = (vec![Vec::new()], 0);
        for number in wanted {
            let last = shares.last().and_then(|share| share.last()).copied();
            if bytes >= share && last.is_some_and(|last| !self.needs(*number, last)) {
                shares.push(Vec::new());
                bytes = 0;
            }
            bytes += packed(number);
            if let Some(share) = shares.last_mut() {
                share.push(*number);
            }
        }
        shares.retain(|share| !share.is_empty());
        shares
    }

    /// Whether a chunk can't be unpacked before an earlier one is there.
    fn needs(&self, number: usize, earlier: usize) -> bool {
        let before = self.before(number);
        let place = self.chunks.get(earlier).map_or(0, |chunk| chunk.place);
        before.first().is_some_and(|first| first.place <= place)
    }
}

#[cfg(test)]
mod tests;
