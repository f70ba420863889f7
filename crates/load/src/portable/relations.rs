//! Other units that a unit names.

use model::UnitName;

use crate::portable::judge::{Scope, Verdict};

/// Targets that every host has and that stand for a state of the machine; to come after them harms nobody.
const PUBLIC_TARGETS: &[&str] = &[
    "basic.target",
    "cryptsetup.target",
    "getty.target",
    "graphical.target",
    "local-fs-pre.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network-pre.target",
    "network.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "paths.target",
    "remote-fs-pre.target",
    "remote-fs.target",
    "rpcbind.target",
    "slices.target",
    "sockets.target",
    "sysinit.target",
    "syslog.target",
    "time-set.target",
    "time-sync.target",
    "timers.target",
];

/// Targets that may be wanted: they only mean "wait until it is so".
const WAITING_TARGETS: &[&str] = &[
    "network-online.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "time-sync.target",
    "time-set.target",
];

/// Targets that start things at boot.
const BOOT_TARGETS: &[&str] = &[
    "default.target",
    "graphical.target",
    "multi-user.target",
    "paths.target",
    "sockets.target",
    "timers.target",
];

fn is_own(scope: Scope, name: &str) -> bool {
    name.parse::<UnitName>()
        .is_ok_and(|unit| scope.has_unit(&unit))
}

fn own_or(scope: Scope, name: &str, public: &[&str]) -> Verdict {
    Verdict::free_if(is_own(scope, name) || public.contains(&name), || {
        Verdict::never(format!("{name} is not one of the portable's own units"))
    })
}

/// After=.
pub(crate) fn after(scope: Scope, name: &str) -> Verdict {
    own_or(scope, name, PUBLIC_TARGETS)
}

/// Wants=.
pub(crate) fn wants(scope: Scope, name: &str) -> Verdict {
    own_or(scope, name, WAITING_TARGETS)
}

/// Every other relation, and Unit=, Service=, Sockets=, Also=, Alias=.
pub(crate) fn own(scope: Scope, name: &str) -> Verdict {
    own_or(scope, name, &[])
}

/// WantedBy=. A portable that the administrator starts comes back at boot in any case, until `configure --at-boot=no`: an image that
/// says so too gains nothing by it.
pub(crate) fn wanted_by(scope: Scope, name: &str) -> Verdict {
    own_or(scope, name, BOOT_TARGETS)
}

/// BusName=.
pub(crate) fn bus_name(_: Scope, name: &str) -> Verdict {
    Verdict::asks(
        format!("bus-name:{name}"),
        format!("own the D-Bus name {name}"),
    )
}

/// User=.
pub(crate) fn user(_: Scope, name: &str) -> Verdict {
    account("user", name)
}

/// Group= and SupplementaryGroups=.
pub(crate) fn group(_: Scope, name: &str) -> Verdict {
    account("group", name)
}

/// Root, by name or by any spelling of its number, is never granted to an image.
fn account(what: &str, name: &str) -> Verdict {
    let is_zero = name.parse::<u64>().is_ok_and(|number| number == 0);
    if name == "root" || is_zero {
        return Verdict::never(format!(
            "an image's service can't run as the host's {what} root"
        ));
    }
    Verdict::asks(
        format!("{what}:{name}"),
        format!("run as the host's {what} {name}"),
    )
}
