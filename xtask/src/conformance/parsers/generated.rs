//! Texts made from a seed: the same in each run.

use super::super::random::Random;

/// How many there are of each kind.
const COUNT: usize = 100;

/// Texts of up to `pieces_max` of the pieces.
pub(super) fn texts(pieces: &[&str], pieces_max: usize) -> Vec<String> {
    let mut random = Random::new();
    (0..COUNT)
        .map(|_| {
            let count = 1 + random.below(pieces_max);
            (0..count).map(|_| random.one_of(pieces)).collect()
        })
        .collect()
}
