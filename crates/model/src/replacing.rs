//! Whether two runs of a service may be up at once while one replaces the other: one place for who decides it and who tells why not.

use crate::value::{Directories, ExecCommands, KillMode, PrivateTmp, ProtectSystem};
use crate::value::{ExitType, ReplaceMode, ServiceType, StandardInput};
use crate::{Key, Unit, UnitKind, key};

/// Directories that are one for all runs of a unit.
const OWN_DIRECTORIES: [&Key<Directories>; 5] = [
    &key::STATE_DIRECTORY,
    &key::CACHE_DIRECTORY,
    &key::LOGS_DIRECTORY,
    &key::RUNTIME_DIRECTORY,
    &key::CONFIGURATION_DIRECTORY,
];
/// What is done at the end of a run, and would be done to the next one.
const ENDS: [&Key<ExecCommands>; 2] = [&key::EXEC_STOP, &key::SERVICE_EXEC_STOP_POST];

/// Why the former run is stopped before the next one starts; none where both may be up at once.
#[must_use]
pub fn hindrance(unit: &Unit) -> Option<&'static str> {
    let mode = unit.value(&key::REPLACE_MODE);
    if mode == ReplaceMode::HandOver {
        return Some("ReplaceMode=hand-over says so");
    }
    by_kind(unit).or_else(|| match mode {
        ReplaceMode::Auto => by_state(unit),
        ReplaceMode::Share | ReplaceMode::HandOver => None,
    })
}

/// What no declaration makes possible.
fn by_kind(unit: &Unit) -> Option<&'static str> {
    if unit.kind() != UnitKind::Service {
        return Some("it is no service");
    }
    let has_input = unit.value(&key::STANDARD_INPUT) != StandardInput::Null;
    match ServiceType::of(unit) {
        ServiceType::Simple | ServiceType::Exec | ServiceType::Idle => {}
        ServiceType::Notify | ServiceType::NotifyReload => {}
        ServiceType::Forking | ServiceType::Oneshot | ServiceType::Dbus => {
            return Some("its Type= is none of simple, exec, notify and notify-reload");
        }
    }
    let mode = unit.value(&key::KILL_MODE);
    let leaves = !matches!(mode, KillMode::ControlGroup | KillMode::Mixed)
        || !unit.value(&key::SEND_SIGKILL);
    let reasons = [
        (
            ENDS.iter().any(|list| unit.get(list).is_some()),
            "its ExecStop= and ExecStopPost= would meet the next run",
        ),
        (
            leaves,
            "its KillMode= or SendSIGKILL= let processes of the former run live",
        ),
        (
            unit.is_set(key::PID_FILE.directive()),
            "its PIDFile= is for one",
        ),
        (
            unit.value(&key::EXIT_TYPE) == ExitType::Cgroup || unit.value(&key::REMAIN_AFTER_EXIT),
            "it is not up by its main process alone (ExitType=, RemainAfterExit=)",
        ),
        (has_input, "its StandardInput= is for one"),
        (
            unit.value(&key::FILE_DESCRIPTOR_STORE_MAX) > 0,
            "what it stores (FileDescriptorStoreMax=) is handed over when it ends",
        ),
    ];
    first(&reasons)
}

/// What two writers could have in common, as far as nothing is declared.
fn by_state(unit: &Unit) -> Option<&'static str> {
    let is_dynamic = unit.value(&key::DYNAMIC_USER);
    let is_strict = is_dynamic || unit.value(&key::PROTECT_SYSTEM) == ProtectSystem::Strict;
    let has_own_tmp = is_dynamic || unit.value(&key::PRIVATE_TMP) != PrivateTmp::No;
    let paths = [&key::READ_WRITE_PATHS, &key::READ_WRITE_DIRECTORIES];
    let reasons = [
        (
            OWN_DIRECTORIES.iter().any(|list| unit.get(list).is_some()),
            "its directories (StateDirectory= and its kin) are for one at a time",
        ),
        (
            paths.iter().any(|list| unit.get(list).is_some())
                || unit.get(&key::BIND_PATHS).is_some(),
            "what it may write (ReadWritePaths=, BindPaths=) is for one at a time",
        ),
        (
            !is_strict || !has_own_tmp,
            "it may write anywhere (no ProtectSystem=strict with PrivateTmp=, no DynamicUser=)",
        ),
    ];
    first(&reasons)
}

fn first(reasons: &[(bool, &'static str)]) -> Option<&'static str> {
    let mut holding = reasons.iter().filter(|(holds, _)| *holds);
    holding.next().map(|(_, why)| *why)
}
