//! Rate limits: how many entries of a unit are kept in an interval, and how many were not. Pure.

use crate::stream::Rate;

/// The interval that a unit is in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limiter {
    begun_us: u64,
    kept: u32,
    suppressed: u64,
}

impl Limiter {
    /// Begins a new interval where the last one is over; gives what was suppressed in it.
    pub(crate) fn turn(&mut self, now_us: u64, rate: Rate) -> Option<u64> {
        if !self.is_over(now_us, rate) {
            return None;
        }
        let suppressed = self.suppressed;
        *self = Limiter {
            begun_us: now_us,
            kept: 0,
            suppressed: 0,
        };
        Some(suppressed).filter(|count| *count > 0)
    }

    /// Whether one more entry is kept.
    pub(crate) fn admit(&mut self, rate: Rate) -> bool {
        if rate.burst == 0 || self.kept < rate.burst {
            self.kept = self.kept.saturating_add(1);
            return true;
        }
        self.suppressed += 1;
        false
    }

    /// What was suppressed so far, counted anew from here.
    pub(crate) fn flush(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.suppressed)).filter(|count| *count > 0)
    }

    /// Whether the interval has passed.
    pub(crate) fn is_over(&self, now_us: u64, rate: Rate) -> bool {
        now_us.saturating_sub(self.begun_us) >= rate.interval_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_kept_the_rest_is_counted_and_told_in_the_next_interval() {
        let rate = Rate {
            burst: 2,
            interval_us: 100,
        };
        let mut limiter = Limiter::default();
        assert_eq!(limiter.turn(1000, rate), None);
        assert_eq!(
            [0; 5].map(|_| limiter.admit(rate)),
            [true, true, false, false, false]
        );
        assert_eq!(limiter.turn(1099, rate), None);
        assert_eq!(limiter.turn(1100, rate), Some(3));
        assert!(limiter.admit(rate));
        assert_eq!(limiter.turn(1300, rate), None);
    }

    #[test]
    fn a_burst_of_zero_limits_nothing() {
        let rate = Rate {
            burst: 0,
            interval_us: 100,
        };
        let mut limiter = Limiter::default();
        assert!((0..100_000).all(|_| limiter.admit(rate)));
    }
}
