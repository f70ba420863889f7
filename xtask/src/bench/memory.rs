//! What the resident processes cost, and how large the files are.

use std::fs;

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use testkit::Instance;

use super::Figure;
use crate::run;

const UNITS: usize = 1000;

/// Proportional set size of keeper and manager with 1,000 loaded units: at most 6 MB.
pub(super) fn thousand_units() -> Result<Vec<Figure>> {
    let instance = Instance::new();
    let wants: String = (0..UNITS)
        .map(|number| format!("Wants=bench-{number}.service\n"))
        .collect();
    for number in 0..UNITS {
        instance.unit(
            &format!("bench-{number}.service"),
            &format!("[Unit]\nDescription=Bench {number}\n[Service]\nExecStart=/bin/sleep {number}\nRestart=on-failure\nProtectSystem=strict\nPrivateTmp=yes\n"),
        );
    }
    instance.unit("bench.target", &format!("[Unit]\n{wants}"));
    // Loading the target loads what it wants, without starting any of it.
    instance.ok(&["show", "-p", "LoadState", "bench.target"]);
    let listing = instance.ok(&["list-units", "--all", "--json"]);
    let loaded = listing.matches("\"bench-").count();
    if loaded < UNITS {
        bail!("only {loaded} of {UNITS} units are loaded");
    }
    let keeper = of(instance.process("KeeperPID"))?;
    let manager = of(instance.process("ManagerPID"))?;
    let figure = |work: &str, kilobytes| {
        Figure::new(format!("{work}, 1,000 units loaded"), "kB").value("coracle", shown(kilobytes))
    };
    let both = keeper.proportional + manager.proportional;
    Ok(vec![
        figure("PSS of the keeper", keeper.proportional),
        figure("its own pages", keeper.private),
        figure("PSS of the manager", manager.proportional),
        figure("its own pages", manager.private),
        figure("PSS of both", both).at_most(6000.0),
    ])
}

/// Sizes of the shipped files in bytes; `coracled` at most 2.5 MB.
pub(super) fn file_size() -> Result<Vec<Figure>> {
    let figure = |name: &str| -> Result<Figure> {
        let size = fs::metadata(run::root().join("dist").join(name))?.len();
        Ok(Figure::new(format!("the file {name}"), "kB").value("coracle", shown(size / 1000)))
    };
    Ok(vec![
        figure("coracled")?.at_most(2500.0),
        figure("coracle")?,
    ])
}

/// Kilobytes as a figure has them.
pub(super) fn shown(kilobytes: u64) -> f64 {
    u32::try_from(kilobytes).map_or(f64::INFINITY, f64::from)
}

/// What a process occupies, in kB.
pub(super) struct Memory {
    /// Its share of all its pages (`Pss`).
    pub(super) proportional: u64,
    /// Pages that it alone has, and has written (`Private_Dirty`).
    private: u64,
}

/// From `/proc/PID/smaps_rollup` (proc_pid_smaps(5)).
pub(super) fn of(pid: Pid) -> Result<Memory> {
    let path = format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero());
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let field = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.with_context(|| format!("{path} has no {name}"))?;
        Ok(value.trim().trim_end_matches(" kB").parse()?)
    };
    Ok(Memory {
        proportional: field("Pss:")?,
        private: field("Private_Dirty:")?,
    })
}
