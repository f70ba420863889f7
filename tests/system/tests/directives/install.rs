//! What comes of enabling a unit.

use coracle_system_tests::observations::{Files, Observation, units};

/// The first unit has the line in its section, the second is there for it.
const INSTALLED: Files = &[
    (
        "$U.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nLINE\n",
    ),
    (
        "$U-b.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=$U-c.service\n",
    ),
];
const TEMPLATE: Files = &[
    (
        "$U@.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=$U-b.service\nLINE\n",
    ),
    INSTALLED[1],
];

/// Enables, looks, and takes the links away.
macro_rules! enabled {
    ($look:literal) => {
        concat!(
            "coracle enable -q $U 2> /dev/null; ",
            $look,
            "; coracle disable -q $U $U-b 2> /dev/null"
        )
    };
}

pub(crate) const OBSERVATIONS: &[Observation] = &[
    units(
        "WantedBy=$U-b.service",
        INSTALLED,
        enabled!(
            "coracle start $U-b; until test \"$(coracle list-jobs --json)\" = '[]'; do :; done; coracle is-active $U"
        ),
        "active",
    ),
    units(
        "RequiredBy=$U-b.service",
        INSTALLED,
        enabled!("coracle show -p Requires --value $U-b | tr ' ' '\\n' | grep -x $U.service"),
        "$U.service",
    ),
    units(
        "UpheldBy=$U-b.service",
        INSTALLED,
        enabled!("coracle show -p Upholds --value $U-b"),
        "$U.service",
    ),
    units(
        "Alias=$U-x.service",
        INSTALLED,
        enabled!("coracle start -q $U-x 2> /dev/null; coracle is-active $U"),
        "active",
    ),
    units(
        "Also=$U-b.service",
        INSTALLED,
        enabled!("coracle is-enabled $U-b"),
        "enabled",
    ),
    units(
        "DefaultInstance=x",
        TEMPLATE,
        "coracle enable -q $U@ 2> /dev/null; coracle is-enabled $U@x; coracle disable -q $U@ 2> /dev/null",
        "enabled",
    ),
];
