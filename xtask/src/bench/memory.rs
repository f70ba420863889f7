//! What the resident processes cost, and how large the files are.

use std::fs;

use anyhow::{Context, Result};
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
    let loaded = instance
        .ok(&["list-units", "--all", "--json"])
        .matches("bench-")
        .count();
    let keeper = proportional_set_size(instance.process("KeeperPID").as_raw_nonzero().get())?;
    let manager = proportional_set_size(instance.process("ManagerPID").as_raw_nonzero().get())?;
    Ok(vec![
        Figure {
            what: format!("keeper, {loaded} mentions of units in the list"),
            value: format!("{keeper} kB"),
            goal: "",
        },
        Figure {
            what: "manager".to_owned(),
            value: format!("{manager} kB"),
            goal: "",
        },
        Figure {
            what: "both".to_owned(),
            value: format!("{} kB", keeper + manager),
            goal: "≤ 6000 kB",
        },
    ])
}

/// Sizes of the shipped files in bytes; `coracled` at most 1.5 MB.
pub(super) fn file_size() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, goal) in [("coracled", "≤ 1500 kB"), ("coracle", "")] {
        let size = fs::metadata(run::root().join("dist").join(name))?.len();
        figures.push(Figure {
            what: name.to_owned(),
            value: format!("{} kB", size / 1000),
            goal,
        });
    }
    Ok(figures)
}

/// `Pss` of `/proc/PID/smaps_rollup`, in kB (proc_pid_smaps(5)).
fn proportional_set_size(pid: i32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .context("smaps_rollup without Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
