//! Numbers from a seed: the same in each run.

/// Any number but zero.
const SEED: u64 = 0x636f_7261_636c_6531;

/// The generator that is called xorshift64.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Random {
        Random(SEED)
    }

    /// Another row of numbers for each seed.
    pub(super) fn of(seed: u64) -> Random {
        // Neighbours are far from each other, and zero, of which nothing comes, is not reached by a small one.
        let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.below(1);
        random
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }

    /// One of the pieces; nothing where there are none.
    pub(super) fn one_of<'a>(&mut self, pieces: &[&'a str]) -> &'a str {
        pieces
            .get(self.below(pieces.len().max(1)))
            .copied()
            .unwrap_or_default()
    }
}
