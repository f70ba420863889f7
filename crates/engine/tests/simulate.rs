//! The seeded simulator: small worlds of crashing, hanging, forking and lying processes, restarts of the manager, random commands
//! on random units. The invariants are those that `state.rs` lists. `CORACLE_SIM_SCHEDULES` says how many schedules are run,
//! `CORACLE_SIM_SEED` runs one of them and prints its trace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[path = "simulation/automounts.rs"]
mod automounts;
#[path = "simulation/check.rs"]
mod check;
#[path = "simulation/crash.rs"]
mod crash;
#[path = "simulation/generate.rs"]
mod generate;
#[path = "simulation/life.rs"]
mod life;
mod support;
#[path = "simulation/tables.rs"]
mod tables;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What CI runs.
const SCHEDULES: u64 = 100_000;

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().expect("a number"))
}

/// Runs one schedule; the trace is empty unless asked for.
fn run(seed: u64, tracing: bool) -> (Result<(), String>, Vec<String>) {
    let mut world = world::World::new(seed, tracing);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let result = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!(
            "panic: {}",
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
                .unwrap_or_default()
        ))
    });
    (result, world.trace)
}

#[test]
fn invariants_hold_under_every_schedule() {
    if let Some(seed) = number("CORACLE_SIM_SEED") {
        let (result, trace) = run(seed, true);
        println!("{}", trace.join("\n"));
        result.unwrap();
        return;
    }
    let schedules = number("CORACLE_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let (mut steps, mut begun, mut up, mut back) = (0, 0, 0, 0);
    for seed in 0..schedules {
        let mut world = world::World::new(seed, false);
        let failed = !matches!(catch_unwind(AssertUnwindSafe(|| world.run())), Ok(Ok(())));
        steps += world.steps;
        begun += world.replaced.begun;
        up += world.replaced.up;
        back += world.replaced.back;
        if failed {
            let (result, trace) = run(seed, true);
            panic!("{}\nseed {seed}: {}", trace.join("\n"), result.unwrap_err());
        }
    }
    println!(
        "{schedules} schedules, {steps} steps, {begun} replacements: {up} came up, {back} went back"
    );
    // Else nothing was shown of them.
    assert!(schedules < SCHEDULES || (up > 1000 && back > 100));
}
