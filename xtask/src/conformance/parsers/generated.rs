//! Texts made from a seed: the same in each run.

/// How many there are of each kind.
const COUNT: usize = 100;

/// Any number but zero.
const SEED: u64 = 0x636f_7261_636c_6531;

/// The generator that is called xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }
}

/// Texts of up to `pieces_max` of the pieces.
pub(super) fn texts(pieces: &[&str], pieces_max: usize) -> Vec<String> {
    let mut random = Random(SEED);
    (0..COUNT)
        .map(|_| {
            let count = 1 + random.below(pieces_max);
            let piece = |_| pieces.get(random.below(pieces.len())).copied();
            (0..count).filter_map(piece).collect()
        })
        .collect()
}
