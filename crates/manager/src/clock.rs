//! The clocks: the engine counts on the monotonic one, people read the other.

use engine::Micros;
use rustix::time::{ClockId, clock_gettime};

/// Now, in the engine's time, which goes on over restarts of the manager.
pub(crate) fn monotonic() -> Micros {
    Micros(read(ClockId::Monotonic))
}

/// Microseconds since the boot, sleep included.
pub(crate) fn boottime_us() -> u64 {
    read(ClockId::Boottime)
}

/// Microseconds since 1970.
pub(crate) fn realtime_us() -> u64 {
    read(ClockId::Realtime)
}

/// A moment of the engine as microseconds since 1970; none for one that never was.
pub(crate) fn as_realtime_us(moment: Micros) -> Option<u64> {
    if moment.0 == 0 || moment.is_infinite() {
        return None;
    }
    let offset = realtime_us().checked_sub(monotonic().0)?;
    moment.0.checked_add(offset)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanoseconds / 1_000)
}
