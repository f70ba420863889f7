//! The two clocks and the boot's name that every entry carries.

use rustix::time::{ClockId, clock_gettime};

/// Microseconds since the epoch.
#[must_use]
pub fn realtime_us() -> u64 {
    microseconds(ClockId::Realtime)
}

/// Microseconds since boot, suspended time left out.
#[must_use]
pub fn monotonic_us() -> u64 {
    microseconds(ClockId::Monotonic)
}

fn microseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let micros = u64::try_from(now.tv_nsec).unwrap_or(0) / 1000;
    seconds.saturating_mul(1_000_000).saturating_add(micros)
}

/// The kernel's name for this boot as 32 hexadecimal digits, as the journal's `_BOOT_ID` has it.
///
/// # Errors
/// When `/proc/sys/kernel/random/boot_id` cannot be read.
pub fn boot_id() -> std::io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.chars().filter(char::is_ascii_hexdigit).collect())
}
