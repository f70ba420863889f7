//! What no version of a unit's text can get from this version of the program: one place for those who refuse and those who warn.

use crate::value::ServiceType;
use crate::{Unit, UnitKind, key};

/// Why a unit of this kind, or with these values, can't be started; none if it can.
#[must_use]
pub fn unsupported(unit: &Unit) -> Option<&'static str> {
    match unit.kind() {
        UnitKind::Target
        | UnitKind::Slice
        | UnitKind::Timer
        | UnitKind::Socket
        | UnitKind::Scope
        | UnitKind::Mount
        | UnitKind::Swap
        | UnitKind::Path
        | UnitKind::Automount
        | UnitKind::Device => None,
        UnitKind::Service => service(unit),
    }
}

fn service(unit: &Unit) -> Option<&'static str> {
    match unit.value(&key::SERVICE_TYPE) {
        // Its first process is the one of ExecStart=, and all end with it (pid_namespaces(7)).
        ServiceType::Forking if unit.value(&key::PRIVATE_PIDS) => Some(
            "Type=forking does not go with PrivatePIDs=yes: set PrivatePIDs=no, or a Type= whose process stays.",
        ),
        _ => None,
    }
}
