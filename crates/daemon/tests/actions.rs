//! What units have done to the whole instance when they end (FailureAction= and its kin).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test fails by panicking.

mod support;

use support::Instance;
use wire::methods as call;

/// Runs a command with these lines, and tells with which status the instance ended that it was of.
fn ends_with(lines: &[&str], command: &[&str]) -> Option<i32> {
    let mut instance = Instance::start();
    let request = support::transient(lines, command);
    // The answer may be lost with the instance.
    match instance.client().call(call::StartTransient, &request) {
        Ok(_) | Err(_) => {}
    }
    instance.ended().code()
}

#[test]
fn a_failure_or_a_success_ends_the_instance_with_the_status_that_the_unit_says() {
    const FAILS: [&str; 3] = ["/bin/sh", "-c", "exit 7"];
    for (lines, command, status) in [
        (&["FailureAction=exit"][..], &FAILS[..], 7),
        (
            &["FailureAction=exit", "FailureActionExitStatus=42"],
            &FAILS,
            42,
        ),
        (
            &["FailureAction=exit"],
            &["/bin/sh", "-c", "kill -9 $$"],
            255,
        ),
        (&["FailureAction=exit-force"], &FAILS, 7),
        (&["SuccessAction=exit"], &["/bin/true"], 0),
        (
            &["SuccessAction=exit", "SuccessActionExitStatus=3"],
            &["/bin/true"],
            3,
        ),
        (
            &[
                "JobTimeoutSec=50ms",
                "Type=notify",
                "NotifyAccess=all",
                "JobTimeoutAction=exit",
            ],
            &["/bin/sleep", "infinity"],
            0,
        ),
    ] {
        assert_eq!(ends_with(lines, command), Some(status), "{lines:?}");
    }
}

#[test]
fn beside_another_init_the_machine_is_left_alone_and_that_is_said() {
    let instance = Instance::start();
    let outcome = instance
        .run(
            &["FailureAction=reboot-immediate", "SuccessAction=poweroff"],
            &["/bin/true"],
        )
        .unwrap();
    let reduced: Vec<&str> = (outcome.reductions.iter())
        .map(|one| one.directive.as_str())
        .collect();
    assert_eq!(reduced, ["FailureAction", "SuccessAction"]);
    instance.exit();
}
