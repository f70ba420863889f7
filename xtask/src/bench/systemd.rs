//! Coracle and a real systemd in the container that it has booted, at the same work in turns: what `systemctl` is asked, `coracle` is asked.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::Instance;

use super::timing::{self, Times};
use super::{Figure, memory};

/// Where systemd looks for units that are gone at its end.
const UNITS: &str = "/run/systemd/system";

/// Rounds of a work that takes seconds, and of one that takes milliseconds.
const FEW: usize = 3;
const MANY: usize = 40;

/// What a service that is exposed to a network would set, on both sides the same.
const HARDENED: &str = "\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallFilter=@system-service
";

/// Both sides with the same unit files.
struct Both {
    coracle: Instance,
}

impl Both {
    fn new() -> Both {
        Both {
            coracle: Instance::below(Path::new("/run")),
        }
    }

    /// Writes a unit file for both.
    fn unit(&self, name: &str, text: &str) -> Result<()> {
        self.coracle.unit(name, text);
        fs::create_dir_all(UNITS)?;
        fs::write(Path::new(UNITS).join(name), text).with_context(|| format!("cannot write {name}"))
    }

    /// Writes `count` services and a target that has `relation` to each; both sides know them afterwards.
    fn services(&self, count: usize, relation: &str, service: &str) -> Result<()> {
        let mut target = String::from("[Unit]\nDefaultDependencies=no\n");
        for number in 0..count {
            let name = format!("bench-{number}.service");
            self.unit(&name, service)?;
            target.push_str(&relation.replace("{}", &name));
        }
        self.unit("bench.target", &target)?;
        for side in Side::ALL {
            timing::once(&mut self.command(side, &["daemon-reload"]))?;
        }
        Ok(())
    }

    fn command(&self, side: Side, arguments: &[&str]) -> Command {
        match side {
            Side::Coracle => self.coracle.command(arguments),
            Side::Systemd => {
                let mut command = Command::new("systemctl");
                command.args(arguments);
                command
            }
        }
    }

    /// The times of one verb on both sides, in turns; `before` makes ready for each run, and is not counted.
    fn times(&self, rounds: usize, verb: &[&str], before: &[&[&str]]) -> Result<[Times; 2]> {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (side, times) in Side::ALL.into_iter().zip(&mut times) {
                for arguments in before {
                    timing::once(&mut self.command(side, arguments))?;
                }
                times.push(timing::once(&mut self.command(side, verb))?);
            }
        }
        Ok(times.map(Times::new))
    }
}

#[derive(Clone, Copy)]
enum Side {
    Coracle,
    Systemd,
}

impl Side {
    const ALL: [Side; 2] = [Side::Coracle, Side::Systemd];
}

/// The figures of one work: both medians, and how many times faster.
fn figures(what: &str, [ours, theirs]: &[Times; 2]) -> Vec<Figure> {
    vec![
        Figure::new(format!("coracle: {what}"), ours.shown()),
        Figure::new(format!("systemd: {what}"), theirs.shown()),
        Figure::new(format!("times faster: {what}"), theirs.share_of(ours)).promised("≥ 10"),
    ]
}

/// A transient command, plain and with seventeen restrictions.
pub(super) fn run() -> Result<Vec<Figure>> {
    let both = Both::new();
    let options: Vec<String> = HARDENED
        .lines()
        .map(|line| format!("--property={line}"))
        .collect();
    let mut found = Vec::new();
    for (what, options) in [
        ("run --wait true", [].as_slice()),
        ("the same, 17 restrictions", options.as_slice()),
    ] {
        let mut ours = both.coracle.command(&["run", "--quiet", "--wait"]);
        ours.args(options).arg("/bin/true");
        let mut theirs = Command::new("systemd-run");
        theirs
            .args(["--quiet", "--wait"])
            .args(options)
            .arg("/bin/true");
        let times = timing::alternate(MANY, [ours, theirs])?;
        found.extend(figures(what, &times));
    }
    Ok(found)
}

/// A thousand commands that end at once, wanted by one target.
pub(super) fn oneshots() -> Result<Vec<Figure>> {
    let both = Both::new();
    both.services(
        1000,
        "Wants={}\nAfter={}\n",
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/true\n",
    )?;
    let times = both.times(
        FEW,
        &["start", "bench.target"],
        &[&["stop", "bench.target"]],
    )?;
    Ok(figures("start 1,000 oneshots", &times))
}

/// Five hundred restricted services that stay: started, one restarted, stopped.
pub(super) fn services() -> Result<Vec<Figure>> {
    let both = Both::new();
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
    .flat_map(|(what, times)| figures(what, &times.map(Times::new)))
    .collect())
}

/// What a number of loaded units costs: reloading, listing, showing, memory.
pub(super) fn loaded() -> Result<Vec<Figure>> {
    let mut found = Vec::new();
    for count in [100, 1_000, 10_000] {
        let both = Both::new();
        // Units that something comes after are loaded, and nothing of them starts.
        both.services(
            count,
            "After={}\n",
            &format!("[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n{HARDENED}"),
        )?;
        for side in Side::ALL {
            timing::once(&mut both.command(side, &["start", "bench.target"]))?;
        }
        let listing = both.coracle.ok(&["list-units", "--all", "--json"]);
        let loaded = listing.matches("\"bench-").count();
        ensure!(loaded >= count, "only {loaded} of {count} units are loaded");
        for (what, rounds, verb) in [
            ("daemon-reload", FEW, ["daemon-reload"].as_slice()),
            ("list-units --all", FEW, ["list-units", "--all"].as_slice()),
            ("show of one", MANY, ["show", "bench-7.service"].as_slice()),
        ] {
            let times = both.times(rounds, verb, &[])?;
            found.extend(figures(&format!("{what}, {count} loaded"), &times));
        }
        found.extend(resident(&both, count)?);
        for side in Side::ALL {
            timing::once(&mut both.command(side, &["stop", "bench.target"]))?;
        }
        for number in 0..count {
            fs::remove_file(Path::new(UNITS).join(format!("bench-{number}.service")))?;
        }
        fs::remove_file(Path::new(UNITS).join("bench.target"))?;
        timing::once(&mut both.command(Side::Systemd, &["daemon-reload"]))?;
    }
    Ok(found)
}

/// Memory of what stays resident: keeper and manager, and systemd's one process.
fn resident(both: &Both, count: usize) -> Result<Vec<Figure>> {
    let ours = memory::of(both.coracle.process("KeeperPID"))?.proportional
        + memory::of(both.coracle.process("ManagerPID"))?.proportional;
    let theirs = memory::of(rustix::process::Pid::INIT)?.proportional;
    Ok(vec![
        Figure::new(
            format!("coracle: PSS, {count} loaded"),
            format!("{ours} kB"),
        ),
        Figure::new(
            format!("systemd: PSS, {count} loaded"),
            format!("{theirs} kB"),
        ),
    ])
}
