//! Numbers that look random and are the same for the same seed (xorshift64).

/// A sequence of them.
#[derive(Debug, Clone)]
pub struct Moments(u64);

impl Moments {
    /// The sequence of a seed; each `part` of one world has its own.
    #[must_use]
    pub fn of(seed: u64, part: u64) -> Moments {
        // Neighbours begin far apart, and none with zero, where the sequence would stay.
        let mixed =
            (seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        Moments((mixed ^ (mixed >> 32)) | 1)
    }

    /// The next number, below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
