//! Rate limits: how many entries of a unit are kept in an interval, and how many were not. Pure.

use crate::stream::Rate;

/// What the lines of a unit may cost that are held against its patterns (`lines::Patterns::work`): about a second of the one process that
/// reads everybody's lines …
const WORK_MAX: u64 = 6 << 30;
/// … in so many microseconds.
const WORK_INTERVAL_US: u64 = 30_000_000;

/// The interval that a unit is in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limiter {
    begun_us: u64,
    kept: u32,
    suppressed: u64,
    work: u64,
    work_begun_us: u64,
}

impl Limiter {
    /// Begins a new interval where the last one is over; gives what was suppressed in it.
    pub(crate) fn turn(&mut self, now_us: u64, rate: Rate) -> Option<u64> {
        if now_us.saturating_sub(self.work_begun_us) >= WORK_INTERVAL_US {
            (self.work, self.work_begun_us) = (0, now_us);
        }
        if !self.is_over(now_us, rate) {
            return None;
        }
        let suppressed = self.suppressed;
        *self = Limiter {
            begun_us: now_us,
            kept: 0,
            suppressed: 0,
            ..*self
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

    /// Whether one more entry is looked at, which costs that much; what is not is suppressed. Nothing is looked at that would not be kept.
    pub(crate) fn look(&mut self, rate: Rate, work: u64) -> bool {
        let is_full = rate.burst > 0 && self.kept >= rate.burst;
        let spent = self.work.saturating_add(work);
        if work > 0 && (is_full || spent > WORK_MAX) {
            self.suppressed += 1;
            return false;
        }
        self.work = spent;
        true
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
    fn what_lines_cost_is_bounded_and_nothing_is_looked_at_when_nothing_is_kept() {
        let rate = Rate {
            burst: 1,
            interval_us: 100,
        };
        let mut limiter = Limiter::default();
        limiter.turn(WORK_INTERVAL_US, rate);
        assert!(limiter.look(rate, WORK_MAX / 2) && limiter.look(rate, WORK_MAX / 2));
        assert!(!limiter.look(rate, 1) && limiter.look(rate, 0));
        // A new interval of the rate is none of the work, which no unit sets.
        assert_eq!(limiter.turn(WORK_INTERVAL_US + 100, rate), Some(1));
        assert!(!limiter.look(rate, 1));
        assert_eq!(limiter.turn(2 * WORK_INTERVAL_US, rate), Some(1));
        assert!(limiter.look(rate, 1) && limiter.admit(rate) && !limiter.look(rate, 1));
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
