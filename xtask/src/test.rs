//! The tiers of tests, in the order in which a mistake is cheapest to see.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::{conformance, demo, dist, fuzz, run, setup, tidy, vm};

/// A tier's name and what runs it.
type Tier = (&'static str, fn() -> Result<()>);

const TIERS: &[Tier] = &[
    ("tidy", || tidy::run(false)),
    ("lint", lint),
    ("unit", unit),
    ("fuzz", fuzz::short),
    ("system", || system(&["--skip", SURVIVAL])),
    ("survival", || system(&[SURVIVAL])),
    ("demo", demo::run),
    ("vm", vm::checks),
];

/// Tiers that run only where they are named: they need a tree of Debian, which takes minutes to make.
const NAMED: &[Tier] = &[("conformance", || conformance::run(&[]))];

/// Runs the named tiers, or all but those that are to be named; stops at the first that fails.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let is_named = |(tier, _): &&Tier| names.iter().any(|name| name == tier);
    let known = || TIERS.iter().chain(NAMED);
    if let Some(unknown) = names
        .iter()
        .find(|name| known().all(|(tier, _)| tier != name))
    {
        bail!("there is no tier {unknown:?}: see `cargo xtask help`");
    }
    run::need_root("the test suite")?;
    setup::run()?;
    let chosen: Vec<&Tier> = if names.is_empty() {
        TIERS.iter().collect()
    } else {
        known().filter(is_named).collect()
    };
    let mut times = Vec::new();
    for (tier, work) in chosen {
        eprintln!("── {tier}");
        let begin = Instant::now();
        work().map_err(|error| error.context(format!("tier {tier} failed")))?;
        times.push(format!("{tier} {} s", begin.elapsed().as_secs()));
    }
    println!("tiers: {}", times.join(" · "));
    println!("{} passed, 0 failed", times.len());
    Ok(())
}

/// What is shipped is held to every lint; tests may panic and may be long.
fn lint() -> Result<()> {
    run::check(run::cargo().args(["fmt", "--all", "--check"]))?;
    let fuzz = run::root().join("fuzz");
    run::check(run::cargo().args(["fmt", "--check"]).current_dir(&fuzz))?;
    run::check(run::cargo().args(["clippy", "--workspace", "--quiet", "--", "-D", "warnings"]))
}

fn unit() -> Result<()> {
    run::check(run::cargo().args([
        "test",
        "--workspace",
        "--exclude",
        "coracle-system-tests",
        "--quiet",
        "--no-fail-fast",
    ]))
}

/// The test of three hundred kills under load.
const SURVIVAL: &str = "nothing_is_lost_when_the_manager_is_killed_again_and_again";

/// A round of the system tests that takes longer hangs, in seconds; it takes less than one minute.
const ROUND_MAX: &str = "600";

/// The system tests drive the files that are shipped, never a debug build. Two dozen processes wait for each other in them, on a machine
/// that does other things, too: what fails in one round and not in the next is told, and does not end the run.
fn system(which: &[&str]) -> Result<()> {
    dist::run()?;
    let Err(error) = round(which) else {
        return Ok(());
    };
    eprintln!("system: a test failed, as is told above ({error:#}): all are run once more");
    round(which)
}

fn round(which: &[&str]) -> Result<()> {
    let cargo = run::cargo();
    run::check(
        Command::new("timeout")
            .args(["--kill-after=10", ROUND_MAX])
            .arg(cargo.get_program())
            .args([
                "test",
                "--package",
                "coracle-system-tests",
                "--quiet",
                "--no-fail-fast",
                "--",
                "--test-threads=2",
            ])
            .args(which)
            .current_dir(run::root())
            .env("CORACLE_DIST", run::root().join("dist")),
    )
}
