//! What loaded units cost beside systemd: reloading, listing, showing, memory.

use anyhow::{Result, ensure};
use testkit::Instance;

use super::figure::{Figure, Times};
use super::growth::Growth;
use super::sides::{Both, HARDENED, Side, figure};
use super::{memory, timing};

/// Rounds of a work that takes seconds, and of one that takes milliseconds.
const FEW: usize = 3;
const MANY: usize = 20;

/// 10 to 10,000 units that are loaded and not started.
pub(super) fn loaded() -> Result<Vec<Figure>> {
    let mut found = Vec::new();
    let verbs: [(&str, &[&str], usize); 3] = [
        ("daemon-reload", &["daemon-reload"], FEW),
        ("list-units --all", &["list-units", "--all"], FEW),
        ("show of one", &["show", "bench-7.service"], MANY),
    ];
    let mut grown = verbs.map(|(work, ..)| (work, Growth::default()));
    for count in [10, 100, 1_000, 10_000] {
        let mut both = Both::new();
        // Units that something comes after are loaded, and nothing of them starts.
        both.services(
            count,
            "After={}\n",
            &format!("[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n{HARDENED}"),
        )?;
        both.each(&["start", "bench.target"])?;
        let listing = both.coracle.ok(&["list-units", "--all", "--json"]);
        let loaded = listing.matches("\"bench-").count();
        ensure!(loaded >= count, "only {loaded} of {count} units are loaded");
        for ((work, verb, rounds), (_, grown)) in verbs.iter().zip(&mut grown) {
            let rounds = if count < 1_000 { MANY } else { *rounds };
            let times = both.times(rounds, verb, &[])?;
            grown.note(count, &times);
            found.push(figure(format!("{work}, {count} loaded"), &times));
        }
        found.push(resident(&both, count)?);
        timing::once(&mut both.command(Side::Systemd, &["stop", "bench.target"]))?;
    }
    found.extend(grown.iter().map(|(work, grown)| grown.figure(work)));
    Ok(found)
}

/// The verbs that look at many units, without a peer: what they promise, in microseconds, with 1,000 units and with 10,000.
pub(super) fn alone() -> Result<Vec<Figure>> {
    let mut found = Vec::new();
    for (count, reload_max, list_max) in [(1_000, 10_000.0, 10_000.0), (10_000, 60_000.0, 60_000.0)]
    {
        let instance = Instance::new();
        let text = |number: usize| {
            format!(
                "[Unit]\nDescription=Bench {number}\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n{HARDENED}"
            )
        };
        let mut target = String::from("[Unit]\nDefaultDependencies=no\n");
        for number in 0..count {
            instance.unit(&format!("bench-{number}.service"), &text(number));
            target.push_str(&format!("After=bench-{number}.service\n"));
        }
        instance.unit("bench.target", &target);
        instance.ok(&["show", "-p", "LoadState", "bench.target"]);
        let listing = instance.ok(&["list-units", "--all", "--json"]);
        let loaded = listing.matches("\"bench-").count();
        ensure!(loaded >= count, "only {loaded} of {count} units are loaded");
        // What was just written is read once more.
        instance.ok(&["daemon-reload"]);
        let mut figure = |work: &str, verb: &[&str], changes: bool, limit| -> Result<()> {
            let mut times = Vec::new();
            for round in 0..MANY {
                if changes {
                    instance.unit("bench-7.service", &text(round));
                }
                times.push(timing::once(&mut instance.command(verb))?);
            }
            let figure = Figure::new(format!("{work}, {count} loaded"), "µs");
            found.push(figure.times("coracle", &Times::new(times)).at_most(limit));
            Ok(())
        };
        figure("daemon-reload", &["daemon-reload"], false, reload_max)?;
        figure("one file changed", &["daemon-reload"], true, reload_max)?;
        figure(
            "list-units --all",
            &["list-units", "--all"],
            false,
            list_max,
        )?;
        figure("show of one", &["show", "bench-7.service"], false, 3_000.0)?;
    }
    Ok(found)
}

/// Proportional set size of what manages units.
fn resident(both: &Both, count: usize) -> Result<Figure> {
    let mut figure = Figure::new(format!("PSS, {count} loaded"), "kB");
    for side in Side::ALL {
        let mut kilobytes = 0;
        for process in both.resident(side) {
            kilobytes += memory::of(process)?.proportional;
        }
        figure = figure.value(side.name(), memory::shown(kilobytes));
    }
    Ok(figure)
}
