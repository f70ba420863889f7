//! Numbers from a seed: the same in each run.

/// Any number but zero.
const SEED: u64 = 0x636f_7261_636c_6531;

/// The generator that is called xorshift64.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Random {
        Random(SEED)
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
