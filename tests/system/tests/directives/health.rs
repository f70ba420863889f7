//! What asks services whether they work, and what follows.

use coracle_system_tests::observations::{Files, Observation, units};

/// Nothing listens at the port of the lines below: it is one that needs a privilege which nobody here has a use for.
const SLEEPS: Files = &[(
    "$U.service",
    "[Service]\nTimeoutStartSec=500ms\nLINE\nExecStart=/bin/sleep infinity\n",
)];
/// What the first seconds of a service say of it.
const STATE: &str = "coracle start $U 2> /dev/null; coracle show -p Result --value $U; coracle stop $U 2> /dev/null";
/// How often a service is asked before it is stopped as unhealthy.
const ASKED: &str = "coracle start $U; timeout 9 sh -c 'until coracle is-failed -q $U; do :; done'; grep -c asked $ROOM/$U; coracle stop $U 2> /dev/null";
/// Whether it becomes unhealthy within some time.
const SICK: &str = "coracle start $U; timeout 3 sh -c 'until test \"$(coracle show -p HealthState --value $U)\" = unhealthy; do :; done' && echo sick; coracle stop $U";

/// Commands that fail after they were counted.
macro_rules! counts {
    ($lines:literal) => {
        &[(
            "$U.service",
            concat!("[Service]\nHealthCommand=/bin/sh -c 'echo asked >> $ROOM/$U; false'\nHealthReady=no\nLINE\n", $lines, "ExecStart=/bin/sleep infinity\n"),
        )]
    };
}

pub(crate) const OBSERVATIONS: &[Observation] = &[
    units("HealthCommand=/bin/false", SLEEPS, STATE, "timeout"),
    units("HealthHTTP=http://localhost:7/", SLEEPS, STATE, "timeout"),
    units("HealthTCP=7", SLEEPS, STATE, "timeout"),
    units(
        "HealthReady=no",
        &[(
            "$U.service",
            "[Service]\nTimeoutStartSec=500ms\nHealthCommand=/bin/false\nLINE\nExecStart=/bin/sleep infinity\n",
        )],
        "coracle start $U 2> /dev/null; coracle is-active $U; coracle stop $U 2> /dev/null",
        "active",
    ),
    units(
        "HealthRetries=4",
        counts!("HealthOnFailure=stop\nHealthIntervalSec=100ms\n"),
        ASKED,
        "4",
    ),
    units(
        "HealthOnFailure=stop",
        counts!("HealthIntervalSec=100ms\n"),
        ASKED,
        "3",
    ),
    units("HealthIntervalSec=100ms", counts!(""), SICK, "sick"),
    units(
        "HealthStartPeriodSec=1h",
        counts!("HealthIntervalSec=100ms\nHealthRetries=1\n"),
        "coracle start $U; timeout 3 sh -c 'until test $(grep -c asked $ROOM/$U) -gt 2; do :; done'; coracle show -p HealthState --value $U; coracle stop $U",
        "starting",
    ),
    units(
        "HealthTimeoutSec=100ms",
        &[(
            "$U.service",
            "[Service]\nHealthReady=no\nHealthRetries=1\nHealthCommand=/bin/sleep infinity\nLINE\nExecStart=/bin/sleep infinity\n",
        )],
        SICK,
        "sick",
    ),
];
