//! Hundreds of random combinations of directives: each starts, and what its directives forbid fails in it.
//!
//! `CORACLE_SEED` and `CORACLE_COUNT` name others than those of each run: `cargo xtask combinations` sets them.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use coracle_system_tests::combinations::{Combination, Trial, shrink};
use coracle_system_tests::stage::Stage;
use coracle_system_tests::with_units;
use testkit::Instance;

/// The combinations of each run.
const SEED: u64 = 1;
const COUNT: u64 = 500;

/// So many run at once.
const LANES: usize = 4;

/// After so many faults the rest is not looked at.
const FAULTS_MAX: usize = 5;

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

/// Where combinations run, one at a time.
struct Lane<'a> {
    coracle: &'a Instance,
    stage: Stage,
    /// How many ran: each has a name of its own.
    runs: AtomicU64,
    name: usize,
}

impl Lane<'_> {
    fn attempt(&self, combination: &Combination) -> Trial {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let unit = format!("combination-{}-{run}.service", self.name);
        let units = self.coracle.folder().join("config/units");
        let start = |unit: &str| -> Command { self.coracle.command(&["start", unit]) };
        combination.attempt(&self.stage, &unit, &units, &start)
    }

    fn faults(&self, combination: &Combination) -> Vec<(String, String)> {
        let trial = self.attempt(combination);
        trial.faults(&combination.forbidden())
    }

    /// What is wrong with a combination, with the fewest lines that have the first of its faults.
    fn check(&self, combination: &Combination) -> Option<String> {
        let trial = self.attempt(combination);
        let faults = trial.faults(&combination.forbidden());
        let (act, outcome) = faults.first()?;
        let has_fault = |lesser: &Combination| {
            let mut found = self.faults(lesser).into_iter();
            found.any(|(other, _)| other == *act)
        };
        let smallest = shrink(combination, &has_fault);
        let others: Vec<&str> = faults.iter().skip(1).map(|(act, _)| act.as_str()).collect();
        Some(format!(
            "seed {}: {act:?} is {outcome:?}; the fewest lines that have it:\n{}\nother faults: {others:?}\n{}",
            combination.seed,
            smallest.lines.join("\n"),
            combination.text(&self.stage, &[act])
        ))
    }
}

#[test]
fn what_any_combination_of_directives_forbids_fails_in_it() {
    let seed = number("CORACLE_SEED", SEED);
    let end = seed + number("CORACLE_COUNT", COUNT);
    with_units(&[], |coracle| {
        let lane = |name| Lane {
            coracle,
            stage: Stage::new(coracle),
            runs: AtomicU64::new(0),
            name,
        };
        let lanes: Vec<Lane> = (0..LANES).map(lane).collect();
        let next = AtomicU64::new(seed);
        let findings = Mutex::new(Vec::new());
        let work = |lane: &Lane| {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                let found = findings.lock().expect("no lane failed").len();
                if seed >= end || found >= FAULTS_MAX {
                    return;
                }
                if let Some(finding) = lane.check(&Combination::draw(seed)) {
                    findings.lock().expect("no lane failed").push(finding);
                }
            }
        };
        std::thread::scope(|scope| {
            for lane in &lanes {
                scope.spawn(|| work(lane));
            }
        });
        let findings = findings.into_inner().expect("no lane failed");
        assert!(findings.is_empty(), "{}", findings.join("\n\n"));
    });
}
