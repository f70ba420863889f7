//! Unit files at their edges: what administrators and packages write, and what must come of it.

use coracle_system_tests::{waiting, with_units};

const FOREVER: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

#[test]
fn what_is_stopped_before_it_was_born_stops_at_once() {
    let units = [
        (
            "a.service",
            "[Unit]\nConflicts=b.service\n[Service]\nExecStart=/bin/sleep infinity\nTimeoutStopSec=infinity\n",
        ),
        ("b.service", FOREVER),
    ];
    with_units(&units, |coracle| {
        // The second start takes the place of the first, whose process is asked for and not there yet.
        let said = coracle.coracle(&["start", "a", "b"]);
        assert_eq!(said.status, 1);
        waiting::eventually("the end of the loser", || {
            (coracle.property("a.service", "ActiveState") == "inactive").then_some(())
        });
        assert_eq!(coracle.property("b.service", "ActiveState"), "active");
    });
}

#[test]
fn the_commands_after_a_stop_run_also_when_all_had_to_be_killed() {
    let unit = "[Service]\nTimeoutStopSec=200ms\nExecStart=/bin/sh -c 'trap \"\" TERM; echo deaf; while :; do sleep 1; done'\nExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS'\n";
    with_units(&[("a.service", unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        waiting::lines(coracle, "a.service", |lines| {
            lines.iter().any(|line| line == "deaf")
        });
        coracle.ok(&["stop", "a"]);
        waiting::lines(coracle, "a.service", |lines| {
            lines.iter().any(|line| line == "timeout killed KILL")
        });
        assert_eq!(coracle.property("a.service", "Result"), "timeout");
    });
}
