//! How a restarted log process knows what it had consumed.
//!
//! A socket does not tell how many bytes were ever read from it, and a file and a socket cannot be changed in one
//! step. But a stream socket has one number that outlives us, because the keeper holds the socket too, and that the
//! kernel itself changes in the very call that consumes: the peek offset, lowered by as many bytes as were taken.
//! So each batch goes in four steps:
//!
//! 1. peek offset −1 (off); peek;
//! 2. peek offset [`mark`] of the batch's number;
//! 3. append the batch, with its number and the bytes it takes;
//! 4. consume these bytes: the kernel lowers the offset by as many.
//!
//! Whoever comes after a kill compares the offset with the last batch on file: in the range of that batch, it tells
//! how much of step 4 is still to do; anywhere else, nothing is.

/// Distance of the marks of two batches; more than one batch can take.
const STEP: i32 = 1 << 18;
/// Marks before they repeat.
const MARKS: u64 = 4096;

/// Most bytes that one batch takes from a socket.
pub(crate) const TAKEN_MAX_BYTES: usize = 64 * 1024;

/// The peek offset that announces a batch.
pub(crate) fn mark(number: u64) -> i32 {
    let turn = i32::try_from(number % MARKS).unwrap_or(0);
    (turn + 1) * STEP
}

/// How many bytes of the last batch on file are still in the socket.
pub(crate) fn still_to_consume(offset: i32, number: u64, taken: u32) -> usize {
    let taken = i32::try_from(taken).unwrap_or(0);
    let left = offset.saturating_sub(mark(number) - taken);
    if (0..=taken).contains(&left) {
        usize::try_from(left).unwrap_or(0)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_was_written_and_not_consumed_is_to_consume() {
        assert_eq!(still_to_consume(mark(5), 5, 100), 100);
        assert_eq!(still_to_consume(mark(5) - 40, 5, 100), 60);
        assert_eq!(still_to_consume(mark(5) - 100, 5, 100), 0);
    }

    #[test]
    fn any_other_offset_says_that_nothing_is_left() {
        for offset in [-1, 0, mark(4), mark(6), mark(6) - 65536, mark(4100)] {
            assert_eq!(still_to_consume(offset, 5, 65536), 0, "{offset}");
        }
    }

    #[test]
    fn marks_stay_within_a_number_and_apart() {
        for number in 0..MARKS * 2 {
            assert!(mark(number) > 0);
            assert_ne!(mark(number), mark(number + 1));
        }
    }
}
