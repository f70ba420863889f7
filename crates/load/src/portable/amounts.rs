//! Amounts: whether a unit asks for more of the machine than the default sandbox gives.

use model::text::{TextForm, Verbatim};
use model::value::TimeSpan;

use crate::portable::judge::{Scope, Verdict};

fn asks_amount(name: &str, value: &str) -> Verdict {
    Verdict::asks(
        format!("resources:{name}={value}"),
        format!("use more of the machine: {name}={value}"),
    )
}

/// A plain number with an optional unit of 1024; none for percents, `infinity` and anything else.
fn amount(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)? {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// At most this much is free.
fn up_to(name: &str, value: &str, most: u64) -> Verdict {
    Verdict::free_if(amount(value).is_some_and(|amount| amount <= most), || {
        asks_amount(name, value)
    })
}

/// TasksMax=: the default profile's.
pub(crate) fn tasks_max(_: Scope, value: &str) -> Verdict {
    up_to("TasksMax", value, 1024)
}

/// MemoryMax=: a percentage up to the default profile's is free; of an amount in bytes nobody knows how much of a machine it is, but
/// up to 1 GiB is what any machine that runs services has.
pub(crate) fn memory_max(_: Scope, value: &str) -> Verdict {
    let percent = value
        .strip_suffix('%')
        .and_then(|percent| percent.parse::<f64>().ok());
    match percent {
        Some(percent) => Verdict::free_if(percent <= 50.0, || asks_amount("MemoryMax", value)),
        None => up_to("MemoryMax", value, 1 << 30),
    }
}

/// LimitNOFILE=: the hard limit that systemd gives every service.
pub(crate) fn open_files(_: Scope, value: &str) -> Verdict {
    up_to(
        "LimitNOFILE",
        value.rsplit(':').next().unwrap_or_default(),
        524_288,
    )
}

/// CPUWeight=, IOWeight=: more than the default is at the others' cost.
pub(crate) fn weight(_: Scope, value: &str) -> Verdict {
    Verdict::free_if(
        value == "idle" || amount(value).is_some_and(|weight| weight <= 100),
        || asks_amount("weight", value),
    )
}

fn span(text: &str) -> Option<u64> {
    TimeSpan::parse_with(text, &Verbatim)
        .ok()
        .map(TimeSpan::micros)
}

const SECOND_US: u64 = 1_000_000;
/// Longest stop of an image's service: a database that writes its pages out takes minutes, and nobody waits longer.
const STOP_MAX_US: u64 = 300 * SECOND_US;

/// TimeoutStopSec=, TimeoutAbortSec=.
pub(crate) fn stop_timeout(_: Scope, value: &str) -> Verdict {
    Verdict::free_if(
        value.is_empty() || span(value).is_some_and(|span| span <= STOP_MAX_US),
        || Verdict::asks("survive-stop", "leave processes behind when it is stopped"),
    )
}

/// Longest drain of an image's service: nothing but its own word says how long a run that was replaced, and what got hold of it, lives on.
const DRAIN_MAX_US: u64 = 600 * SECOND_US;

/// DrainTimeoutSec=.
pub(crate) fn drain_timeout(_: Scope, value: &str) -> Verdict {
    let is_short = value.is_empty() || span(value).is_some_and(|span| span <= DRAIN_MAX_US);
    Verdict::free_if(is_short, || {
        Verdict::never(format!(
            "a run that was replaced may drain for 10min at most, and this says {value}; a drop-in of the administrator may say more"
        ))
    })
}

fn interval(value: &str, otherwise: impl FnOnce() -> Verdict) -> Verdict {
    let is_long = span(value).is_some_and(|span| span >= SECOND_US);
    Verdict::free_if(is_long, otherwise)
}

fn burst(value: &str, most: u64, otherwise: impl FnOnce() -> Verdict) -> Verdict {
    let is_small = value
        .parse::<u64>()
        .is_ok_and(|number| (1..=most).contains(&number));
    Verdict::free_if(is_small, otherwise)
}

fn asks_restarts() -> Verdict {
    Verdict::asks("restarts", "restart without limit")
}

/// StartLimitIntervalSec=.
pub(crate) fn restart_interval(_: Scope, value: &str) -> Verdict {
    interval(value, asks_restarts)
}

/// StartLimitBurst=: with the shortest interval this many in a second.
pub(crate) fn restart_burst(_: Scope, value: &str) -> Verdict {
    burst(value, 100, asks_restarts)
}

fn asks_log_rate() -> Verdict {
    Verdict::asks("log-rate", "write to the log without limit")
}

/// LogRateLimitIntervalSec=.
pub(crate) fn log_interval(_: Scope, value: &str) -> Verdict {
    interval(value, asks_log_rate)
}

/// LogRateLimitBurst=: the default.
pub(crate) fn log_burst(_: Scope, value: &str) -> Verdict {
    burst(value, 10_000, asks_log_rate)
}

/// MemoryMin=, MemoryLow=: memory kept from others.
pub(crate) fn protected_memory(_: Scope, value: &str) -> Verdict {
    Verdict::free_if(value == "0", || asks_amount("protected-memory", value))
}

/// Nice=, OOMScoreAdjust=: below zero is at the others' cost.
pub(crate) fn not_negative(_: Scope, value: &str) -> Verdict {
    Verdict::free_if(!value.starts_with('-'), || asks_amount("priority", value))
}
