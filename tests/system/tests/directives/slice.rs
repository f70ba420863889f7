//! What slices and scopes bound.

use coracle_system_tests::observations::{Files, Observation, units};

/// A slice with a line, and services in it that stay.
const THREE: Files = &[
    ("$U.slice", "[Slice]\nLINE\n"),
    (
        "$U@.service",
        "[Service]\nSlice=$U.slice\nExecStart=/bin/sleep infinity\n",
    ),
];
/// The same with services that are up when somebody lets them.
const SLOW: Files = &[
    ("$U.slice", "[Slice]\nLINE\n"),
    (
        "$U@.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nSlice=$U.slice\nExecStart=/bin/sh -c 'until test -e $ROOM/$U-go; do sleep 0.1; done'\n",
    ),
];

pub(crate) const SLICE: &[Observation] = &[
    units(
        "ConcurrencyHardMax=2",
        THREE,
        "coracle start -q $U@1 $U@2; coracle start -q $U@3 2> /dev/null; coracle is-active $U@1 $U@2 $U@3; coracle stop -q $U.slice",
        "active\nactive\ninactive",
    ),
    units(
        "ConcurrencySoftMax=2",
        THREE,
        "coracle start -q --no-block $U@1 $U@2 $U@3; timeout 9 sh -c 'until coracle is-active -q $U@1 $U@2; do :; done'; coracle list-jobs --json | grep -c waiting; coracle stop -q $U@1; timeout 9 sh -c 'until coracle is-active -q $U@3; do :; done'; coracle is-active $U@1 $U@2 $U@3; coracle stop -q $U.slice",
        "1\ninactive\nactive\nactive",
    ),
    units(
        "ActivatingConcurrencyMax=1",
        SLOW,
        "coracle start -q --no-block $U@1 $U@2; timeout 9 sh -c 'until coracle is-active $U@1 $U@2 | grep -q ^activating; do :; done'; coracle is-active $U@1 $U@2 | sort | tr '\\n' ' '; touch $ROOM/$U-go; timeout 9 sh -c 'until coracle is-active -q $U@1 && coracle is-active -q $U@2; do :; done'; coracle stop -q $U.slice",
        "activating inactive",
    ),
];

/// Runs a command in a scope with the lines, as the words of `"$@"` say.
macro_rules! scope {
    ($command:literal, $then:literal) => {
        concat!(
            "set --; for one in $(printf '%s ' 'LINE'); do set -- \"$@\" -p $one; done; { coracle run -q --scope --unit=$U \"$@\" sh -c '",
            $command,
            "'; } 2> /dev/null ",
            $then
        )
    };
}
/// How long a scope lives that ends by itself after a second.
const LIVES: &str = scope!("exec timeout 1 sleep infinity", "; echo $?");
/// Whether what does not end when it is told to is stopped in two seconds.
const STOPS: &str = scope!(
    "trap \"\" TERM; touch $ROOM/$U-ready; exec sleep 60",
    "& timeout 9 sh -c 'until test -e $ROOM/$U-ready; do :; done'; timeout 2 coracle stop -q $U.scope; echo $?; coracle kill -q -s KILL $U.scope 2> /dev/null; wait"
);

pub(crate) const SCOPE: &[Observation] = &[
    units(
        "OOMPolicy=kill",
        &[],
        scope!(
            "coracle status $U.scope | grep -qs OOMPolic[y]= && echo group; cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/../memory.oom.group 2> /dev/null | sed s/1/group/",
            ""
        ),
        "group",
    ),
    units("RuntimeMaxSec=50ms", &[], LIVES, "143"),
    units("RuntimeRandomizedExtraSec=100y", &[], LIVES, "124").on(&["RuntimeMaxSec=50ms"]),
    units("TimeoutStopSec=50ms", &[], STOPS, "0"),
];
