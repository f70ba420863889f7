//! Where chunks end: a rolling hash over the last 64 bytes says so, with limits below and above (FastCDC's way).
//!
//! All of this is part of the format: two hosts that cut otherwise have nothing in common.

use std::io::{self, Read};
use std::sync::LazyLock;

/// No chunk but the last is smaller.
pub const MIN_BYTES: usize = 8 * 1024;
/// From here on chunks end more readily. With these three an update of 154 MB of Debian packages takes the fewest bytes, list and
/// requests counted: half of it makes the list as much longer as it saves, twice of it brings a third more that did not change.
pub const USUAL_BYTES: usize = 32 * 1024;
/// No chunk is larger.
pub const MAX_BYTES: usize = 128 * 1024;

/// How many bytes the hash looks back: one bit of it for each.
const WINDOW_BYTES: usize = 64;
/// The leading bits that have to be zero for an end, before and after the usual size.
const BITS_BEFORE: u32 = 17;
const BITS_AFTER: u32 = 13;
/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A random number for each byte, by splitmix64 from 0 on.
static GEAR: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut state = 0_u64;
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
});

/// The length of the first chunk of these bytes: all that is left, or as much as a chunk can have at least.
fn first(bytes: &[u8]) -> usize {
    let bytes = bytes.get(..MAX_BYTES).unwrap_or(bytes);
    let Some(rest) = bytes.get(MIN_BYTES - WINDOW_BYTES..) else {
        return bytes.len();
    };
    let (gear, mut hash) = (&*GEAR, 0_u64);
    for (at, byte) in rest.iter().enumerate() {
        let number = gear.get(usize::from(*byte)).copied().unwrap_or_default();
        hash = (hash << 1).wrapping_add(number);
        let length = MIN_BYTES - WINDOW_BYTES + at + 1;
        let bits = if length < USUAL_BYTES {
            BITS_BEFORE
        } else {
            BITS_AFTER
        };
        if length >= MIN_BYTES && hash.leading_zeros() >= bits {
            return length;
        }
    }
    bytes.len()
}

/// Gives the chunks of what a reader has, in order.
///
/// # Errors
/// When it can't be read, or `each` says so.
pub fn cut(reader: &mut dyn Read, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let room = (BUFFER_BYTES - buffer.len()) as u64;
        let is_end = Read::take(&mut *reader, room).read_to_end(&mut buffer)? == 0;
        let mut start = 0;
        while let Some(rest) = buffer.get(start..).filter(|rest| !rest.is_empty()) {
            if rest.len() < MAX_BYTES && !is_end {
                break;
            }
            let length = first(rest);
            each(rest.get(..length).unwrap_or_default())?;
            start += length;
        }
        buffer.drain(..start);
        if is_end {
            return Ok(());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::digest::Digest;

    /// Bytes that look like nothing, the same for the same seed.
    pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn chunks(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        cut(&mut &*bytes, &mut |chunk| {
            chunks.push(chunk.to_vec());
            Ok(())
        })
        .unwrap();
        chunks
    }

    #[test]
    fn chunks_are_all_of_it_and_within_the_limits() {
        for bytes in [
            noise(1, 5_000_000),
            vec![0; 1_000_000],
            noise(2, MIN_BYTES),
            noise(3, 1),
            Vec::new(),
        ] {
            let chunks = chunks(&bytes);
            assert!(chunks.concat() == bytes);
            let (last, others) = chunks
                .split_last()
                .map_or((0, &chunks[..]), |(last, rest)| (last.len(), rest));
            assert!(last <= MAX_BYTES);
            for chunk in others {
                assert!((MIN_BYTES..=MAX_BYTES).contains(&chunk.len()));
            }
        }
    }

    #[test]
    fn where_chunks_end_is_the_formats_and_never_changes() {
        let chunks = chunks(&noise(7, 2_000_000));
        let lengths: Vec<usize> = chunks.iter().take(6).map(Vec::len).collect();
        assert_eq!(lengths, [83_931, 41_648, 39_338, 33_010, 51_054, 34_943]);
    }

    #[test]
    fn what_is_inserted_changes_the_chunks_around_it_alone() {
        let before = noise(4, 4_000_000);
        let mut after = before.clone();
        after.splice(1_500_000..1_500_000, noise(5, 777));
        let known: std::collections::BTreeSet<Digest> = chunks(&before)
            .iter()
            .map(|chunk| Digest::of(chunk))
            .collect();
        let new: usize = chunks(&after)
            .iter()
            .filter(|chunk| !known.contains(&Digest::of(chunk)))
            .map(Vec::len)
            .sum();
        assert!((777..4 * MAX_BYTES).contains(&new), "{new} bytes are new");
    }
}
