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
    ("survival", survival),
    ("demo", demo::run),
    ("conformance", conformance::short),
    ("vm", vm::checks),
];

/// Runs the named tiers, or all; stops at the first that fails.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let is_named = |(tier, _): &&Tier| names.is_empty() || names.iter().any(|name| name == tier);
    if let Some(unknown) = names
        .iter()
        .find(|name| TIERS.iter().all(|(tier, _)| tier != name))
    {
        bail!("there is no tier {unknown:?}: see `cargo xtask help`");
    }
    run::need_root("the test suite")?;
    setup::run()?;
    let mut times = Vec::new();
    for (tier, work) in TIERS.iter().filter(is_named) {
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

/// The test of three hundred kills in a world under load.
const SURVIVAL: &str = "nothing_is_lost_whoever_is_killed_again_and_again";

/// A round of the system tests that takes longer hangs, in seconds; it takes seven minutes.
const ROUND_MAX: u64 = 1500;

/// The system tests drive the files that are shipped, never a debug build. Two dozen processes wait for each other in them, on a machine
/// that does other things, too: what fails once and not when it is run again is told, and does not end the run.
fn system(which: &[&str]) -> Result<()> {
    dist::run()?;
    let mut tests = system_tests(which, 0);
    let (passed, said) = run::echoed(&mut tests)?;
    let failed = failed_tests(&said);
    if passed {
        return Ok(());
    }
    if failed.is_empty() {
        bail!("the system tests ended early, and told of none that failed: see above");
    }
    eprintln!("system: run once more: {}", failed.join(" "));
    run::check(&mut system_tests(&[&["--exact"], &failed[..]].concat(), 0))
}

/// The tests that libtest lists as failed.
fn failed_tests(said: &str) -> Vec<&str> {
    let mut failed = Vec::new();
    let mut is_list = false;
    for line in said.lines() {
        match line.strip_prefix("    ") {
            Some(name) if is_list && !name.contains(' ') => failed.push(name),
            // Above the list stands what each of them printed, under the same word.
            _ if !line.is_empty() => is_list = line == "failures:",
            _ => {}
        }
    }
    failed
}

/// As with the system tests, what one world meets and the next one does not is told, with the seed that has it again.
fn survival() -> Result<()> {
    let Err(error) = chaos(None, None) else {
        return Ok(());
    };
    eprintln!("survival: something was lost, as is told above ({error:#}): another world is tried");
    chaos(None, None)
}

/// Kills manager, log process and image workers so many times, at moments that a seed says; a seed that fails is printed.
pub(crate) fn chaos(kills: Option<u64>, seed: Option<u64>) -> Result<()> {
    dist::run()?;
    let mut tests = system_tests(&[SURVIVAL, "--nocapture"], kills.unwrap_or_default());
    for (variable, value) in [("CORACLE_KILLS", kills), ("CORACLE_SEED", seed)] {
        tests.envs(value.map(|value| (variable, value.to_string())));
    }
    run::check(&mut tests)
}

/// Runs so many combinations of directives, from a number on.
pub(crate) fn combinations(seed: u64, count: u64) -> Result<()> {
    /// Ten in a second are few.
    const IN_A_SECOND: u64 = 10;
    run::need_root("the test of combinations")?;
    dist::run()?;
    let name = "what_any_combination_of_directives_forbids_fails_in_it";
    let mut tests = system_tests(&[name, "--nocapture"], count / IN_A_SECOND);
    for (variable, value) in [("CORACLE_SEED", seed), ("CORACLE_COUNT", count)] {
        tests.env(variable, value.to_string());
    }
    run::check(&mut tests)
}

/// The numbers behind `--kills` and `--seed`.
pub(crate) fn chaos_by(options: &[String]) -> Result<()> {
    run::need_root("the test of kills")?;
    let (mut kills, mut seed) = (None, None);
    for pair in options.chunks(2) {
        let value = pair.get(1).and_then(|value| value.parse().ok());
        match (pair.first().map(String::as_str), value) {
            (Some("--kills"), Some(value)) => kills = Some(value),
            (Some("--seed"), Some(value)) => seed = Some(value),
            _ => bail!("{pair:?} is neither --kills NUMBER nor --seed NUMBER"),
        }
    }
    chaos(kills, seed)
}

/// The system tests, with so many seconds more than usual.
fn system_tests(which: &[&str], more: u64) -> Command {
    let cargo = run::cargo();
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=10", &(ROUND_MAX + more).to_string()])
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
        .env("CORACLE_DIST", run::root().join("dist"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_that_failed_are_read_from_what_libtest_prints() {
        let said = "
running 2 tests
.F
failures:

---- room::a stdout ----

thread 'room::a' panicked at src/a.rs:1:1:
    left: 1
   0: rust_begin_unwind


failures:
    room::a
    room::b

test result: FAILED. 0 passed; 2 failed

running 1 test
.
test result: ok. 1 passed; 0 failed
";
        assert_eq!(failed_tests(said), ["room::a", "room::b"]);
        assert!(failed_tests("running 0 tests\n").is_empty());
    }
}
