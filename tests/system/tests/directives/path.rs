//! What path units wait for, and what they start.

use coracle_system_tests::observations::{Files, Observation, units};

/// A service that leaves a file, and lets nothing start it again.
const LEAVES: &str =
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo run >> $ROOM/$U'\n";
/// A path unit that waits by one line alone, or for what does not come.
const ALONE: Files = &[
    ("$U.path", "[Path]\nPathExists=$ROOM/never\nLINE\n"),
    ("$U.service", LEAVES),
];
/// Waits until the service has left its file, but not for ever.
macro_rules! after {
    ($deed:literal) => {
        concat!(
            "rm -rf $ROOM/way; coracle start $U.path; ",
            $deed,
            "; timeout 2 sh -c 'until test -s $ROOM/$U; do :; done'; cat $ROOM/$U 2> /dev/null; coracle stop $U.path $U.service; rm -rf $ROOM/way"
        )
    };
}
/// How often a service is started that leaves what starts it, with a line for its path unit.
const SPINS: Files = &[
    ("$U.path", "[Path]\nPathExists=$ROOM\nLINE\n"),
    (
        "$U.service",
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo run >> $ROOM/$U'\n",
    ),
];
const MADE: Files = &[
    (
        "$U.path",
        "[Path]\nDirectoryNotEmpty=$ROOM/way/here\nLINE\n",
    ),
    ("$U.service", LEAVES),
];

pub(crate) const OBSERVATIONS: &[Observation] = &[
    units("PathExists=$ROOM/way/a", ALONE, after!("mkdir $ROOM/way; touch $ROOM/way/a"), "run"),
    units("PathExistsGlob=$ROOM/way/*/[ab]", ALONE, after!("mkdir -p $ROOM/way/x; touch $ROOM/way/x/b"), "run"),
    units("PathChanged=$ROOM/way/a", ALONE, after!("mkdir $ROOM/way; touch $ROOM/way/a"), "run"),
    // The file stays open until the service has come.
    units("PathModified=$ROOM/way", &[("$U.path", "[Path]\nPathChanged=$ROOM/way\nLINE\n"), ("$U.service", LEAVES)], "echo > $ROOM/way; coracle start $U.path; exec 3>> $ROOM/way; echo >&3; timeout 2 sh -c 'until test -s $ROOM/$U; do :; done'; cat $ROOM/$U 2> /dev/null; coracle stop $U.path $U.service; rm -rf $ROOM/way", "run"),
    units("DirectoryNotEmpty=$ROOM/way", ALONE, after!("mkdir $ROOM/way; touch $ROOM/way/.hidden $ROOM/way/a"), "run"),
    units("Unit=$U-b.service", &[("$U.path", "[Path]\nPathExists=$ROOM\nLINE\n"), ("$U.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"), ("$U-b.service", LEAVES)], "coracle start $U.path; timeout 2 sh -c 'until test -s $ROOM/$U; do :; done'; cat $ROOM/$U 2> /dev/null; coracle stop $U.path $U.service $U-b.service", "run"),
    units("MakeDirectory=yes", MADE, "coracle start $U.path; stat -c %F $ROOM/way/here; coracle stop $U.path; rm -rf $ROOM/way", "directory"),
    units("DirectoryMode=0731", MADE, "coracle start $U.path; stat -c %a $ROOM/way $ROOM/way/here; coracle stop $U.path; rm -rf $ROOM/way", "731\n731").on(&["MakeDirectory=yes"]),
    units("TriggerLimitBurst=3", SPINS, "coracle start $U.path; timeout 20 sh -c 'until coracle is-failed -q $U.path; do :; done'; coracle show -p Result --value $U.path; wc -l < $ROOM/$U", "trigger-limit-hit\n3").on(&["TriggerLimitIntervalSec=1h"]),
    // Zero switches the limit off.
    units("TriggerLimitIntervalSec=0", SPINS, "coracle start $U.path; timeout 20 sh -c 'until test $(cat $ROOM/$U 2> /dev/null | wc -l) -gt 9 || coracle is-failed -q $U.path; do :; done'; coracle show -p Result --value $U.path; coracle stop $U.path", "success").on(&["TriggerLimitBurst=3"]),
];
