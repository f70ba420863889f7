//! How one run takes the place of another.

use coracle_system_tests::observations::{Files, Observation, units};

/// A service that does not end when it is asked to, on a socket.
macro_rules! deaf {
    ($lines:literal) => {
        &[
            ("$U.socket", "[Socket]\nListenStream=$ROOM/$U.sock\n"),
            (
                "$U.service",
                concat!(
                    "[Service]\nType=exec\nTimeoutStopSec=100ms\n",
                    $lines,
                    "LINE\nExecStart=/bin/sh -c 'trap \"\" TERM; exec sleep infinity'\n"
                ),
            ),
        ]
    };
}

const PLAIN: Files = deaf!("");
const SHARED: Files = deaf!("ReplaceMode=share\n");

pub(crate) const OBSERVATIONS: &[Observation] = &[
    units(
        "DrainTimeoutSec=100ms",
        SHARED,
        "coracle start $U.socket $U; coracle restart --drain $U; timeout 3 sh -c 'until test -z \"$(coracle show -p BesideState --value $U)\"; do :; done' && echo gone; coracle stop $U.socket $U 2> /dev/null",
        "gone",
    ),
    units(
        "ReplaceMode=share",
        PLAIN,
        "coracle start $U.socket $U; coracle restart --drain $U; coracle show -p BesideState --value $U; coracle stop $U.socket $U 2> /dev/null",
        "draining",
    ),
];
