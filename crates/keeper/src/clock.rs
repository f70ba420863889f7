//! Milliseconds of the monotonic clock, which goes on over an exec of the keeper itself.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A moment, in milliseconds since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        Self(
            now.tv_sec
                .unsigned_abs()
                .saturating_mul(1000)
                .saturating_add(now.tv_nsec.unsigned_abs() / 1_000_000),
        )
    }

    pub(crate) fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    pub(crate) fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// How long to wait from `now` on; rounded up, so that waiting never ends just before the moment.
    pub(crate) fn wait_from(self, now: Self) -> Timespec {
        let ms = self.ms_since(now);
        let ms = if ms == 0 { 0 } else { ms + 1 };
        Timespec {
            tv_sec: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(ms % 1000).unwrap_or(0) * 1_000_000,
        }
    }
}
