//! Times as people read them, in the host's time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time in microseconds since 1970 as `2026-11-24 08:00:00 UTC`.
pub(crate) fn local(realtime_us: u64) -> String {
    printed(realtime_us, &TimeZone::system(), "%Y-%m-%d %H:%M:%S %Z")
}

/// The same as systemctl prints it in properties: `Tue 2026-11-24 08:00:00 UTC`.
pub(crate) fn with_weekday(realtime_us: u64) -> String {
    printed(realtime_us, &TimeZone::system(), "%a %Y-%m-%d %H:%M:%S %Z")
}

/// The same in any zone, and with its microseconds where it has some.
pub(crate) fn exact(realtime_us: u64, zone: &TimeZone) -> String {
    let format = match realtime_us % 1_000_000 {
        0 => "%a %Y-%m-%d %H:%M:%S %Z",
        _ => "%a %Y-%m-%d %H:%M:%S%.6f %Z",
    };
    printed(realtime_us, zone, format)
}

fn printed(realtime_us: u64, zone: &TimeZone, format: &str) -> String {
    let time = i64::try_from(realtime_us)
        .ok()
        .and_then(|us| Timestamp::from_microsecond(us).ok());
    time.map_or_else(
        || "n/a".to_owned(),
        |time| {
            time.to_zoned_datetime(zone.clone())
                .strftime(format)
                .to_string()
        },
    )
}

/// ` since TIME; 3 min ago`.
pub(crate) fn since(realtime_us: u64) -> String {
    format!(
        " since {}; {} ago",
        local(realtime_us),
        span(now().saturating_sub(realtime_us))
    )
}

/// `in 2 d 3 h` or `5 s ago`.
pub(crate) fn from_now(realtime_us: u64) -> String {
    let now = now();
    match realtime_us.checked_sub(now) {
        Some(ahead) => format!("in {}", span(ahead)),
        None => format!("{} ago", span(now - realtime_us)),
    }
}

/// Microseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0)
}

/// Seconds since 1970, for dates that others are held to.
///
/// # Errors
/// When this machine's clock is before that.
pub(crate) fn now_s() -> anyhow::Result<u64> {
    u64::try_from(Timestamp::now().as_second())
        .map_err(|_| anyhow::anyhow!("this machine's clock is before 1970"))
}

/// A span with its two largest units.
pub(crate) fn span(us: u64) -> String {
    const UNITS: &[(&str, u64)] = &[
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("min", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1000),
        ("µs", 1),
    ];
    let Some(first) = UNITS.iter().position(|(_, size)| us >= *size) else {
        return "0 s".to_owned();
    };
    let parts = UNITS.iter().skip(first).take(if first < 3 { 2 } else { 1 });
    let mut rest = us;
    let mut words = Vec::new();
    for (name, size) in parts {
        if rest >= *size {
            words.push(format!("{} {name}", rest / size));
        }
        rest %= size;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_time_has_its_microseconds_where_there_are_some() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(
            [1_795_623_476_000_000, 1_795_623_476_000_001].map(|us| exact(us, &zone)),
            [
                "Wed 2026-11-25 18:17:56 +02",
                "Wed 2026-11-25 18:17:56.000001 +02"
            ]
        );
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        assert_eq!(
            [span(0), span(1500), span(61_000_000), span(90_000_000_000)],
            ["0 s", "1 ms", "1 min 1 s", "1 d 1 h"]
        );
    }
}
