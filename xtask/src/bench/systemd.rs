//! Starting, stopping and restarting, beside systemd.

use std::time::Duration;

use anyhow::{Context, Result};

use super::figure::{Figure, Times};
use super::sides::{Both, HARDENED, Side, figure};
use super::{calls, growth, timing};

/// Rounds of a work that takes seconds, and of one that takes milliseconds.
const FEW: usize = 3;
const MANY: usize = 40;

const ONESHOT: &str = "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/true\n";

/// What a restricted start is to take, of systemd's.
const TWENTIETH: f64 = 0.05;

/// A transient command, plain and with seventeen restrictions: its time, and the system calls of all who take part; and the
/// start of a service with these restrictions that stays.
pub(super) fn run() -> Result<Vec<Figure>> {
    let mut both = Both::new();
    let mut found = vec![restricted_service(&mut both)?];
    for (work, properties) in [
        ("run --wait true", ""),
        ("the same, 17 restrictions", HARDENED),
    ] {
        let command = |side: Side| {
            let mut command = both.transient(side, &["--wait"], properties);
            command.arg("/bin/true");
            command
        };
        let times = timing::alternate(MANY, Side::ALL.map(command))?;
        let figure = figure(work, &times);
        found.push(match properties {
            "" => figure,
            _ => figure.share_of(Side::Systemd.name(), TWENTIETH),
        });
        let mut counted = Figure::new(format!("{work}: system calls"), "calls");
        for side in Side::ALL {
            let calls = calls::of(&both.resident(side), &mut command(side))?;
            counted = counted.value(side.name(), calls);
        }
        found.push(counted);
    }
    Ok(found)
}

/// From `start` until the service's program is executed; what stops it is not counted.
fn restricted_service(both: &mut Both) -> Result<Figure> {
    const NAME: &str = "bench-restricted.service";
    both.unit(
        NAME,
        &format!(
            "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n\
             [Service]\nType=exec\nExecStart=/bin/sleep infinity\n{HARDENED}"
        ),
    )?;
    both.each(&["daemon-reload"])?;
    let times = both.times(MANY, &["start", NAME], &[&["stop", NAME]])?;
    both.each(&["stop", NAME])?;
    let figure = figure("start of a service, 17 restrictions", &times);
    Ok(figure.share_of(Side::Systemd.name(), TWENTIETH))
}

/// Commands that end at once, wanted by one target: from 10 to 10,000, and the power of their number that the time grows with.
pub(super) fn oneshots() -> Result<Vec<Figure>> {
    let mut found = Vec::new();
    let mut grown = growth::Growth::default();
    for (count, rounds) in [(10, MANY), (100, FEW), (1_000, FEW), (10_000, 1)] {
        let mut both = Both::new();
        both.services(count, "Wants={}\nAfter={}\n", ONESHOT)?;
        let start = ["start", "bench.target"];
        let times = both.times(rounds, &start, &[&["stop", "bench.target"]])?;
        grown.note(count, &times);
        found.push(figure(format!("start {count} oneshots"), &times));
        both.each(&["stop", "bench.target"])?;
    }
    found.push(grown.figure("start of oneshots"));
    Ok(found)
}

/// Five hundred restricted services that stay: started, one restarted, stopped.
pub(super) fn services() -> Result<Vec<Figure>> {
    let mut both = Both::new();
    both.services(
        500,
        "Wants={}\nAfter={}\n",
        &format!(
            "[Unit]\nDefaultDependencies=no\nPartOf=bench.target\n[Service]\nExecStart=/bin/sleep infinity\n{HARDENED}"
        ),
    )?;
    let mut starts = [Vec::new(), Vec::new()];
    let mut stops = [Vec::new(), Vec::new()];
    let mut restarts: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..FEW {
        for (index, side) in Side::ALL.into_iter().enumerate() {
            let timed = |verb: &[&str]| timing::once(&mut both.command(side, verb));
            let start = timed(&["start", "bench.target"])?;
            let restart = timed(&["restart", "bench-7.service"])?;
            let stop = timed(&["stop", "bench.target"])?;
            for (times, time) in [&mut starts, &mut restarts, &mut stops]
                .into_iter()
                .zip([start, restart, stop])
            {
                times.get_mut(index).context("two sides")?.push(time);
            }
        }
    }
    Ok([
        ("start 500 restricted services", starts),
        ("restart one of them", restarts),
        ("stop them all", stops),
    ]
    .into_iter()
    .map(|(work, times)| figure(work, &times.map(Times::new)))
    .collect())
}
