//! The keeper with real processes, as root: this program is at once the tests, the keeper, a manager that hands its channel
//! to the tests, a log process that does the same, and the executor.

// The same freedoms as in tests with the usual harness, which this one has not: it starts itself in other roles.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests without the usual harness"
)]

extern crate coracle_keeper as keeper;

mod cases;
mod roles;
mod upheavals;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    match roles::role(&arguments) {
        Some(role) => roles::play(role, arguments),
        None => run(arguments.get(1).and_then(|filter| filter.to_str())),
    }
}

/// Runs the cases whose name has the filter in it, one after the other: each has the machine's processes to itself.
fn run(filter: Option<&str>) -> ExitCode {
    assert!(
        rustix::process::geteuid().is_root(),
        "these tests start processes in namespaces: run them as root"
    );
    let mut failed = 0;
    for (name, case) in cases::CASES
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter)))
    {
        let ended_well = std::panic::catch_unwind(case).is_ok();
        println!(
            "test {name} ... {}",
            if ended_well { "ok" } else { "FAILED" }
        );
        failed += u32::from(!ended_well);
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
