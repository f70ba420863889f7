//! When timer units elapse, and what they start.

use coracle_system_tests::observations::{Files, Observation, units};

/// A service that leaves a file.
const LEAVES: &str = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo run >> $ROOM/$U'\n";
/// A timer that elapses by one line alone, or at a time that does not come.
const ALONE: Files = &[
    (
        "$U.timer",
        "[Timer]\nOnCalendar=2199-12-31\nAccuracySec=1us\nLINE\n",
    ),
    ("$U.service", LEAVES),
];
/// Starts the timer, and waits until what it starts has left its file, but not for ever.
const ELAPSES: &str = "coracle start $U.timer; timeout 2 sh -c 'until test -s $ROOM/$U; do :; done'; cat $ROOM/$U 2> /dev/null; coracle stop $U.timer";
/// A timer that elapses at once, and one that shows when it elapses next.
const MOMENT: Files = &[
    ("$U.timer", "[Timer]\nAccuracySec=1us\nLINE\n"),
    ("$U.service", LEAVES),
];
/// How far ahead the next moment is, in seconds, of a timer that has a line for it.
macro_rules! ahead {
    ($divisor:literal) => {
        concat!(
            "coracle start $U.timer; next=$(coracle list-timers --json $U.timer | sed -n 's/.*\"next_us\": \\([0-9]*\\).*/\\1/p'); echo $(( (next - $(date +%s%N) / 1000) / ",
            $divisor,
            " )); coracle stop $U.timer"
        )
    };
}

pub(crate) const OBSERVATIONS: &[Observation] = &[
    units("OnActiveSec=10ms", ALONE, ELAPSES, "run"),
    units("OnBootSec=1", ALONE, ELAPSES, "run"),
    units("OnStartupSec=1ms", ALONE, ELAPSES, "run"),
    units("OnCalendar=*:*:*", MOMENT, "coracle start $U.timer; timeout 3 sh -c 'until test -s $ROOM/$U; do :; done'; cat $ROOM/$U 2> /dev/null | head -1; coracle stop $U.timer", "run").on(&["OnBootSec=99y"]),
    // The service runs once by hand, and then by the timer.
    units("OnUnitActiveSec=20ms", ALONE, "coracle start $U.timer $U.service; timeout 2 sh -c 'until test $(grep -c run $ROOM/$U) -gt 2; do :; done' && echo again; coracle stop $U.timer", "again"),
    units("OnUnitInactiveSec=20ms", ALONE, "coracle start $U.timer $U.service; timeout 2 sh -c 'until test $(grep -c run $ROOM/$U) -gt 2; do :; done' && echo again; coracle stop $U.timer", "again"),
    units("Unit=$U-b.service", &[("$U.timer", "[Timer]\nOnActiveSec=1ms\nAccuracySec=1us\nLINE\n"), ("$U.service", "[Service]\nExecStart=/bin/true\n"), ("$U-b.service", LEAVES)], "coracle start $U.timer; timeout 2 sh -c 'until test -s $ROOM/$U; do :; done'; cat $ROOM/$U 2> /dev/null; coracle stop $U.timer", "run"),
    units("RemainAfterElapse=no", MOMENT, "coracle start $U.timer; timeout 2 sh -c 'until test -s $ROOM/$U; do :; done; until coracle show -p SubState --value $U.timer | grep -qE \"dead|elapsed\"; do :; done'; coracle show -p SubState --value $U.timer; coracle stop $U.timer", "dead").on(&["OnActiveSec=1ms"]),
    // Without it the alarm is up to a day late; the file comes as soon as it is exact.
    units("AccuracySec=1us", &[("$U.timer", "[Timer]\nOnActiveSec=10ms\nAccuracySec=1d\nLINE\n"), ("$U.service", LEAVES)], "coracle start $U.timer; timeout 2 sh -c 'until test -s $ROOM/$U; do :; done' && coracle show -p LastTriggerUSecMonotonic --value $U.timer | grep -c min; coracle stop $U.timer", "1"),
    units("RandomizedDelaySec=100y", MOMENT, concat!("test $(", ahead!("86400000000"), ") -gt 30 && echo late"), "late").on(&["OnActiveSec=1h"]),
    units("FixedRandomDelay=yes", MOMENT, concat!("a=$(", ahead!("60000000"), "); b=$(", ahead!("60000000"), "); d=$((a - b)); test ${d#-} -le 1 && echo same"), "same").on(&["OnActiveSec=1h", "RandomizedDelaySec=100y"]),
    units("RandomizedOffsetSec=100y", MOMENT, concat!("test $(", ahead!("86400000000"), ") -gt 1 && echo shifted"), "shifted").on(&["OnCalendar=*:*:*"]),
    // A file says that it elapsed long ago.
    units("Persistent=yes", ALONE, "coracle start $U.timer; touch -d 2001-01-01 $(coracle show -p StateDirectory --value)/timers/stamp-$U.timer 2> /dev/null; coracle stop $U.timer; coracle start $U.timer; coracle show -p LastTriggerUSec --value $U.timer | cut -c5-8; coracle stop $U.timer; coracle clean --what=state $U.timer", "2001"),
    // The service takes longer than from one second to the next: the next time counts from its end.
    units("DeferReactivation=yes", &[("$U.timer", "[Timer]\nOnCalendar=*:*:*\nAccuracySec=1us\nLINE\n"), ("$U.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'date +%%s%%3N >> $ROOM/$U; exec sleep 1.2'\n")], "coracle start $U.timer; timeout 9 sh -c 'until test $(cat $ROOM/$U 2> /dev/null | wc -l) -gt 1; do :; done'; coracle stop $U.timer; awk 'NR == 1 { first = $1 } NR == 2 { print ($1 - first > 1500) ? \"deferred\" : \"at once\" }' $ROOM/$U", "deferred"),
];
