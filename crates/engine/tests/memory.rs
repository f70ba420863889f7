//! What a loaded unit costs in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod support;

use coracle_engine::*;

use support::relate;

/// Promised for 1,000 loaded units: 1.5 MB.
const BYTES_PER_UNIT: usize = 1_500;
const UNITS: usize = 10_000;

/// Anonymous resident memory in bytes.
#[expect(
    clippy::disallowed_methods,
    reason = "the test measures the process, the engine does not"
)]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

/// A service as units are: some commands, some relations.
fn service(index: usize) -> UnitConfig {
    let mut unit =
        UnitConfig::service(&format!("application-{index}.service"), ServiceType::Notify);
    for (relation, name) in [
        (Relation::After, "sysinit.target".to_owned()),
        (Relation::After, "basic.target".to_owned()),
        (Relation::Conflicts, "shutdown.target".to_owned()),
        (Relation::Before, "shutdown.target".to_owned()),
        (
            Relation::Wants,
            format!("application-{}.service", index / 2),
        ),
    ] {
        relate(&mut unit, relation, &name);
    }
    unit
}

#[test]
fn a_loaded_unit_fits_its_budget() {
    let before = resident();
    let mut engine = Engine::new();
    for index in 0..UNITS {
        let _configured = engine.step(Micros(1), Input::Configure(Box::new(service(index))));
    }
    let each = (resident() - before) / UNITS;
    println!("{each} bytes per unit");
    assert!(
        each <= BYTES_PER_UNIT,
        "{each} bytes per unit, {BYTES_PER_UNIT} are promised"
    );
}
