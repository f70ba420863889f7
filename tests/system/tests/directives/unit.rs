//! What units are to each other: who comes along, in which order, and what follows from an end.

use coracle_system_tests::observations::{Files, Observation, units};

use crate::service::{MANY_RUNS, RUNS};

/// Two units that stay when they did their work; the first has the line, and comes after the second.
const TWO: Files = &[
    (
        "$U.service",
        "[Unit]\nAfter=$U-b.service\nLINE\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecReload=/bin/touch $ROOM/$U-a\n",
    ),
    (
        "$U-b.service",
        "[Unit]\nAllowIsolate=yes\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecReload=/bin/touch $ROOM/$U-b\n",
    ),
];
/// The same, but the second one's start does not go well.
const LACKING: Files = &[
    TWO[0],
    (
        "$U-b.service",
        "[Service]\nType=oneshot\nExecStart=/bin/false\n",
    ),
];
/// The second one wants the first.
const NEEDED: Files = &[
    TWO[0],
    (
        "$U-b.service",
        "[Unit]\nWants=$U.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    ),
];
const BYSTANDER: (&str, &str) = (
    "$U-c.service",
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
);
/// The first one ends at once, well or not, beside a third.
const ENDS: Files = &[
    (
        "$U.service",
        "[Unit]\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/true\n",
    ),
    TWO[1],
    BYSTANDER,
];
const FAILS: Files = &[
    (
        "$U.service",
        "[Unit]\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/false\n",
    ),
    TWO[1],
    BYSTANDER,
];
/// One that fails, counts its runs and starts again.
const AGAIN: Files = &[(
    "$U.service",
    "[Unit]\nLINE\n[Service]\nRestart=always\nRestartSec=1ms\nExecStart=/bin/sh -c 'echo run >> $ROOM/$U; exit 1'\n",
)];
/// A start that does not end.
const ENDLESS: Files = &[(
    "$U.service",
    "[Unit]\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n",
)];
/// The one that must come later waits for the other's mark, but not for ever, before it makes its own.
macro_rules! ordered {
    ($first:literal, $second:literal) => {
        &[
            (
                "$U.service",
                concat!(
                    "[Unit]\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/sh -c '",
                    $first,
                    " echo a >> $ROOM/$U'\n"
                ),
            ),
            (
                "$U-b.service",
                concat!(
                    "[Service]\nType=oneshot\nExecStart=/bin/sh -c '",
                    $second,
                    " echo b >> $ROOM/$U'\n"
                ),
            ),
        ]
    };
    (patient first) => {
        ordered!(
            "timeout 4 sh -c \"until test -e $ROOM/$U; do :; done\";",
            ""
        )
    };
    (patient second) => {
        ordered!(
            "",
            "timeout 4 sh -c \"until test -e $ROOM/$U; do :; done\";"
        )
    };
}

const EARLY: Files = &[
    (
        "$U.service",
        "[Unit]\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo a >> $ROOM/$U'\n",
    ),
    (
        "$U-b.service",
        "[Unit]\nDefaultDependencies=no\nBefore=basic.target\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'timeout 4 sh -c \"until test -e $ROOM/$U; do :; done\"; echo b >> $ROOM/$U'\n",
    ),
];

/// A script that looks when all jobs are done.
macro_rules! then {
    ($script:literal, $look:literal) => {
        concat!(
            $script,
            "; until test \"$(coracle list-jobs --json)\" = '[]'; do :; done; ",
            $look
        )
    };
}
const ORDER: &str = "coracle start $U $U-b; tr '\\n' ' ' < $ROOM/$U";
const PULLED: &str = "coracle start $U; coracle is-active $U-b";
const LEFT_OUT: &str = "coracle start $U 2> /dev/null; coracle is-active $U";
const TAKES_ALONG: &str = then!(
    "coracle start $U $U-b; coracle stop $U",
    "coracle is-active $U-b"
);
const GOES_ALONG: &str = then!(
    "coracle start $U $U-b; coracle stop $U-b",
    "coracle is-active $U"
);
const RELOADS: &str = then!(
    "coracle start $U $U-b; coracle reload $U",
    "ls $ROOM | grep -x $U-b"
);
const RELOADED: &str = then!(
    "coracle start $U $U-b; coracle reload $U-b",
    "ls $ROOM | grep -x $U-a"
);
const FOLLOWED: &str = then!("coracle start $U 2> /dev/null", "coracle is-active $U-b");
const ISOLATED: &str = then!(
    "coracle start $U-c; coracle start $U 2> /dev/null",
    "coracle is-active $U-c"
);
const IN_TIME: &str =
    "timeout 2 coracle start $U 2> /dev/null; echo $?; coracle kill -s KILL $U; coracle stop $U";

pub(crate) const OBSERVATIONS: &[Observation] = &[
    units(
        "SuccessAction=poweroff",
        &[(
            "$U-acts.service",
            "[Unit]\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/true\n",
        )],
        "coracle start $U-acts 2> /dev/null; timeout 3 sh -c 'until coracle logs -u $U-acts --cat 2> /dev/null | grep -q \"is not done\"; do :; done'; coracle logs -u $U-acts --cat 2> /dev/null | grep -o 'SuccessAction=poweroff'; coracle stop $U-acts 2> /dev/null",
        "SuccessAction=poweroff",
    ),
    units(
        "StartLimitAction=halt",
        &[(
            "$U-acts.service",
            "[Unit]\nStartLimitBurst=1\nStartLimitIntervalSec=60\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/true\n",
        )],
        "coracle start $U-acts 2> /dev/null; coracle start $U-acts 2> /dev/null; timeout 3 sh -c 'until coracle logs -u $U-acts --cat 2> /dev/null | grep -q \"is not done\"; do :; done'; coracle logs -u $U-acts --cat 2> /dev/null | grep -o 'StartLimitAction=halt'; coracle stop $U-acts 2> /dev/null",
        "StartLimitAction=halt",
    ),
    units(
        "JobTimeoutAction=kexec",
        &[(
            "$U-acts.service",
            "[Unit]\nJobTimeoutSec=50ms\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n",
        )],
        "coracle start $U-acts 2> /dev/null; timeout 3 sh -c 'until coracle logs -u $U-acts --cat 2> /dev/null | grep -q \"is not done\"; do :; done'; coracle logs -u $U-acts --cat 2> /dev/null | grep -o 'JobTimeoutAction=kexec'; coracle stop $U-acts 2> /dev/null",
        "JobTimeoutAction=kexec",
    ),
    units(
        "RebootArgument=word",
        &[(
            "$U-acts.service",
            "[Unit]\nSuccessAction=reboot\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/true\n",
        )],
        "coracle start $U-acts 2> /dev/null; timeout 3 sh -c 'until coracle logs -u $U-acts --cat 2> /dev/null | grep -q \"is not done\"; do :; done'; coracle logs -u $U-acts --cat 2> /dev/null | grep -o 'argument word'; coracle stop $U-acts 2> /dev/null",
        "argument word",
    ),
    units(
        "JobTimeoutRebootArgument=word",
        &[(
            "$U-acts.service",
            "[Unit]\nJobTimeoutSec=50ms\nJobTimeoutAction=reboot\nLINE\n[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n",
        )],
        "coracle start $U-acts 2> /dev/null; timeout 3 sh -c 'until coracle logs -u $U-acts --cat 2> /dev/null | grep -q \"is not done\"; do :; done'; coracle logs -u $U-acts --cat 2> /dev/null | grep -o 'argument word'; coracle stop $U-acts 2> /dev/null",
        "argument word",
    ),
    units(
        "FailureAction=reboot",
        &[(
            "$U-fails.service",
            "[Unit]\nLINE\n[Service]\nExecStart=/bin/false\n",
        )],
        "coracle start $U-fails 2> /dev/null; until coracle is-failed -q $U-fails; do :; done; timeout 9 sh -c 'until coracle logs -u $U-fails --cat 2> /dev/null | grep -q FailureAction=; do :; done' && coracle logs -u $U-fails --cat 2> /dev/null | grep -o FailureAction=reboot",
        "FailureAction=reboot",
    ),
    units(
        "Description=word",
        TWO,
        "coracle show -p Description --value $U",
        "word",
    ),
    units(
        "Documentation=man:word(1)",
        TWO,
        "coracle show -p Documentation --value $U",
        "man:word(1)",
    ),
    // Order.
    units(
        "After=$U-b.service",
        ordered!(patient second),
        "coracle start $U-b $U; tr '\n' ' ' < $ROOM/$U",
        "b a",
    ),
    // A service of early boot comes first, one of any other time when the basic system is there.
    units(
        "DefaultDependencies=no",
        EARLY,
        "coracle start $U-b basic.target $U; tr '\n' ' ' < $ROOM/$U; coracle stop basic.target",
        "a b",
    ),
    units("Before=$U-b.service", ordered!(patient first), ORDER, "a b"),
    // Who comes along.
    units("Wants=$U-b.service", TWO, PULLED, "active"),
    units(
        "Upholds=$U-b.service",
        TWO,
        "coracle start $U; coracle stop $U-b; timeout 4 sh -c 'until coracle is-active -q $U-b; do :; done'; coracle is-active $U-b",
        "active",
    ),
    units("Requires=$U-b.service", LACKING, LEFT_OUT, "inactive"),
    units(
        "RequiresOverridable=$U-b.service",
        LACKING,
        LEFT_OUT,
        "inactive",
    ),
    units("Requisite=$U-b.service", TWO, LEFT_OUT, "inactive"),
    units(
        "RequisiteOverridable=$U-b.service",
        TWO,
        LEFT_OUT,
        "inactive",
    ),
    units("BindsTo=$U-b.service", TWO, GOES_ALONG, "inactive"),
    units("BindTo=$U-b.service", TWO, GOES_ALONG, "inactive"),
    units("PartOf=$U-b.service", TWO, GOES_ALONG, "inactive"),
    units(
        "StopPropagatedFrom=$U-b.service",
        TWO,
        GOES_ALONG,
        "inactive",
    ),
    units(
        "PropagatesStopTo=$U-b.service",
        TWO,
        TAKES_ALONG,
        "inactive",
    ),
    units(
        "StopWhenUnneeded=yes",
        NEEDED,
        then!(
            "coracle start $U-b; coracle stop $U-b",
            "coracle is-active $U"
        ),
        "inactive",
    ),
    units(
        "Conflicts=$U-b.service",
        TWO,
        then!(
            "coracle start $U-b; coracle start $U",
            "coracle is-active $U-b"
        ),
        "inactive",
    ),
    units("PropagatesReloadTo=$U-b.service", TWO, RELOADS, "$U-b"),
    units("PropagateReloadTo=$U-b.service", TWO, RELOADS, "$U-b"),
    units("ReloadPropagatedFrom=$U-b.service", TWO, RELOADED, "$U-a"),
    units("PropagateReloadFrom=$U-b.service", TWO, RELOADED, "$U-a"),
    // What follows from an end.
    units("OnSuccess=$U-b.service", ENDS, FOLLOWED, "active"),
    units("OnFailure=$U-b.service", FAILS, FOLLOWED, "active"),
    units("OnFailureJobMode=isolate", FAILS, ISOLATED, "inactive").on(&["OnFailure=$U-b.service"]),
    units(
        "JoinsNamespaceOf=$U-b.service",
        &[
            (
                "$U.service",
                "[Unit]\nLINE\n[Service]\nType=oneshot\nPrivateNetwork=yes\nStandardOutput=file:$ROOM/$U\nExecStart=/bin/readlink /proc/self/ns/net\n",
            ),
            (
                "$U-b.service",
                "[Service]\nPrivateNetwork=yes\nType=exec\nExecStart=/bin/sleep infinity\n",
            ),
        ],
        "coracle start $U-b; coracle start $U; test \"$(cat $ROOM/$U)\" = \"$(readlink /proc/$(coracle show -p MainPID --value $U-b)/ns/net)\" && echo same; coracle stop $U-b",
        "same",
    ),
    units("OnFailureIsolate=yes", FAILS, ISOLATED, "inactive").on(&["OnFailure=$U-b.service"]),
    units(
        "CollectMode=inactive-or-failed",
        FAILS,
        "coracle start $U 2> /dev/null; timeout 4 sh -c 'until test \"$(coracle is-active $U)\" = inactive; do :; done'; coracle is-active $U",
        "inactive",
    ),
    units("OnSuccessJobMode=isolate", ENDS, ISOLATED, "inactive").on(&["OnSuccess=$U-b.service"]),
    units("StartLimitBurst=2", AGAIN, RUNS, "2"),
    units("StartLimitInterval=1us", AGAIN, MANY_RUNS, "on"),
    units("StartLimitIntervalSec=1us", AGAIN, MANY_RUNS, "on"),
    // What somebody may ask for.
    units(
        "RefuseManualStart=yes",
        TWO,
        "coracle start $U 2> /dev/null; echo $?",
        "4",
    ),
    units(
        "RefuseManualStop=yes",
        TWO,
        "coracle start $U; coracle stop $U 2> /dev/null; echo $?",
        "4",
    ),
    units(
        "AllowIsolate=yes",
        TWO,
        "coracle start --job-mode isolate $U 2> /dev/null; echo $?",
        "0",
    ),
    units(
        "IgnoreOnIsolate=yes",
        TWO,
        then!(
            "coracle start $U; coracle start --job-mode isolate $U-b",
            "coracle is-active $U"
        ),
        "active",
    ),
    units("JobTimeoutSec=50ms", ENDLESS, IN_TIME, "1"),
    units("JobRunningTimeoutSec=50ms", ENDLESS, IN_TIME, "1"),
];
