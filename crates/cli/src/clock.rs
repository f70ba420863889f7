//! Times as people read them, in the host's time zone.

use jiff::{Timestamp, tz::TimeZone};

/// A time in microseconds since 1970 as `2026-11-24 08:00:00 UTC`.
pub(crate) fn local(realtime_us: u64) -> String {
    let time = i64::try_from(realtime_us)
        .ok()
        .and_then(|us| Timestamp::from_microsecond(us).ok());
    time.map_or_else(
        || "n/a".to_owned(),
        |time| {
            time.to_zoned_datetime(TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S %Z")
                .to_string()
        },
    )
}

/// ` since TIME; 3 min ago`.
pub(crate) fn since(realtime_us: u64) -> String {
    let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
    format!(
        " since {}; {} ago",
        local(realtime_us),
        span(now.saturating_sub(realtime_us))
    )
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
    fn a_span_has_its_two_largest_units() {
        assert_eq!(
            [span(0), span(1500), span(61_000_000), span(90_000_000_000)],
            ["0 s", "1 ms", "1 min 1 s", "1 d 1 h"]
        );
    }
}
