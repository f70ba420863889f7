//! How fast a transfer may be: who has taken bytes waits until they are due, and the server with it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// A rate, and since when it is kept.
pub(super) struct Pace {
    rate_bytes: Option<u64>,
    /// Until when the bytes that came have to take.
    due: Cell<Instant>,
}

impl Pace {
    pub(super) fn new(rate_bytes: Option<u64>) -> Pace {
        Pace {
            rate_bytes,
            due: Cell::new(Instant::now()),
        }
    }

    /// Waits for as long as these bytes have to take, less what they took. What a slow server left unused is not caught up with.
    pub(super) fn spend(&self, bytes: u64) {
        if let Some(rate) = self.rate_bytes {
            let now = Instant::now();
            let took = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate.max(1));
            let due = self.due.get().max(now) + took;
            self.due.set(due);
            std::thread::sleep(due.saturating_duration_since(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_time_that_they_have_to_take() {
        let begin = Instant::now();
        let pace = Pace::new(Some(1_000_000));
        for _ in 0..10 {
            pace.spend(10_000);
        }
        assert!(begin.elapsed() >= Duration::from_millis(100));
        Pace::new(None).spend(u64::MAX);
    }
}
