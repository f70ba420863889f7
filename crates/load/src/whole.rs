//! What a unit must have as a whole, after all its files are read: the reference calls a unit without it "bad-setting".

use model::listen::LISTENS;
use model::value::{ExitType, Restart, ServiceType};
use model::{Directive, Unit, UnitKind, key};

/// Why a unit can't do anything, or not in this version; none if it can.
#[must_use]
pub fn complaint(unit: &Unit) -> Option<&'static str> {
    defect(unit).or_else(|| model::support::unsupported(unit))
}

/// Why a unit can't do anything; none if it can.
#[must_use]
pub fn defect(unit: &Unit) -> Option<&'static str> {
    match unit.kind() {
        UnitKind::Service => service(unit),
        UnitKind::Socket => socket(unit),
        UnitKind::Timer => lacks_all(
            unit,
            TIMES,
            "the timer has no time: no OnCalendar=, On…Sec=, OnClockChange= or OnTimezoneChange=",
        ),
        UnitKind::Path => lacks_all(
            unit,
            PATHS,
            "the path unit has no path: no Path…= or DirectoryNotEmpty=",
        ),
        UnitKind::Mount => mount(unit),
        UnitKind::Automount => automount(unit),
        UnitKind::Swap => swap(unit),
        _ => None,
    }
}

const TIMES: &[Directive] = &[
    key::ON_ACTIVE_SEC.directive(),
    key::ON_BOOT_SEC.directive(),
    key::ON_STARTUP_SEC.directive(),
    key::ON_UNIT_ACTIVE_SEC.directive(),
    key::ON_UNIT_INACTIVE_SEC.directive(),
    key::ON_CALENDAR.directive(),
    key::ON_CLOCK_CHANGE.directive(),
    key::ON_TIMEZONE_CHANGE.directive(),
];

const PATHS: &[Directive] = &[
    key::PATH_EXISTS.directive(),
    key::PATH_EXISTS_GLOB.directive(),
    key::PATH_CHANGED.directive(),
    key::PATH_MODIFIED.directive(),
    key::DIRECTORY_NOT_EMPTY.directive(),
];

/// Addresses that can be waited on for connections.
const CONNECTED: [Directive; 2] = [
    key::LISTEN_STREAM.directive(),
    key::LISTEN_SEQUENTIAL_PACKET.directive(),
];

fn lacks_all(unit: &Unit, directives: &[Directive], defect: &'static str) -> Option<&'static str> {
    let has_any = directives.iter().any(|directive| unit.is_set(*directive));
    (!has_any).then_some(defect)
}

fn service(unit: &Unit) -> Option<&'static str> {
    let starts = unit
        .get(&key::EXEC_START)
        .map_or(0, |commands| commands.len());
    let stops = unit
        .get(&key::EXEC_STOP)
        .map_or(0, |commands| commands.len());
    let kind = ServiceType::of(unit);
    let restart = unit.value(&key::RESTART);
    let is_oneshot = kind == ServiceType::Oneshot;
    if starts == 0 && stops == 0 && !unit.is_set(key::SUCCESS_ACTION.directive()) {
        Some("the service has no ExecStart=, ExecStop= or SuccessAction=")
    } else if starts == 0 && !is_oneshot {
        Some("the service has no ExecStart=, which only Type=oneshot can do without")
    } else if starts == 0 && stops > 0 && !unit.value(&key::REMAIN_AFTER_EXIT) {
        Some(
            "the service has no ExecStart=, which needs RemainAfterExit=yes for its ExecStop= to mean anything",
        )
    } else if starts > 1 && !is_oneshot {
        Some("the service has more than one ExecStart=, which only Type=oneshot can have")
    } else if is_oneshot && matches!(restart, Restart::Always | Restart::OnSuccess) {
        Some(
            "Type=oneshot can't be restarted after success: Restart=always and on-success are not for it",
        )
    } else if is_oneshot && unit.value(&key::EXIT_TYPE) == ExitType::Cgroup {
        Some("Type=oneshot has no use for ExitType=cgroup")
    } else if kind == ServiceType::Dbus && !unit.is_set(key::BUS_NAME.directive()) {
        Some("Type=dbus needs BusName=")
    } else {
        None
    }
}

/// The unit's name says where it is, and what is said beside that must be the same.
fn is_named_for(unit: &Unit, place: &str) -> bool {
    model::escape::escape_path(place).is_some_and(|escaped| escaped == unit.name().stem())
}

fn mount(unit: &Unit) -> Option<&'static str> {
    let place = model::mount::place(unit);
    if !place.is_some_and(|place| is_named_for(unit, &place)) {
        Some(
            "Where= is not what the unit's name says: `coracle escape --path --suffix=mount` prints the name for a place",
        )
    } else if unit.get(&key::MOUNT_WHAT).is_none_or(String::is_empty) {
        Some("the mount has no What=")
    } else {
        None
    }
}

fn automount(unit: &Unit) -> Option<&'static str> {
    let place = model::mount::place(unit);
    if place.as_deref() == Some("/") {
        Some("the root of the file system can't be mounted when it is first entered")
    } else if !place.is_some_and(|place| is_named_for(unit, &place)) {
        Some(
            "Where= is not what the unit's name says: `coracle escape --path --suffix=automount` prints the name for a place",
        )
    } else {
        None
    }
}

fn swap(unit: &Unit) -> Option<&'static str> {
    match unit.get(&key::SWAP_WHAT).filter(|what| !what.is_empty()) {
        None => Some("the swap has no What="),
        Some(what) if !is_named_for(unit, what) => Some(
            "What= is not what the unit's name says: `coracle escape --path --suffix=swap` prints the name for a device or file",
        ),
        Some(_) => None,
    }
}

fn socket(unit: &Unit) -> Option<&'static str> {
    let accepts = unit.value(&key::ACCEPT);
    let mut no_connections = LISTENS.iter().filter(|kind| !CONNECTED.contains(kind));
    let files = unit
        .listens()
        .iter()
        .filter(|one| one.file().is_some())
        .count();
    if let Some(defect) = lacks_all(unit, &LISTENS, "the socket has no Listen…= at all") {
        Some(defect)
    } else if accepts && no_connections.any(|directive| unit.is_set(*directive)) {
        Some(
            "Accept=yes is for streams and packet sequences, and this socket listens on something else",
        )
    } else if files != 1
        && unit
            .get(&key::SYMLINKS)
            .is_some_and(|links| !links.is_empty())
    {
        Some("Symlinks= are for a socket with exactly one file in the file system")
    } else if accepts && unit.value(&key::MAX_CONNECTIONS) == 0 {
        Some("MaxConnections=0 lets Accept=yes accept nothing")
    } else if accepts && unit.is_set(key::SERVICE.directive()) {
        Some(
            "Accept=yes starts an instance for each connection, so Service= can't name one service",
        )
    } else {
        None
    }
}
