//! Which units a unit is tied to: what its lists say, what its settings imply, and what DefaultDependencies= adds.

use crate::config::{Kind, Relation};
use model::{Unit, UnitKind, key, value};
use std::sync::Arc;

/// What starts the bus of the system (systemd.special(7)).
const BUS_SOCKET: &str = "dbus.socket";
/// The lists of units that are relations as they stand.
const RELATIONS: [(Relation, model::Key<value::UnitList>); 16] = [
    (Relation::Requires, key::REQUIRES),
    (Relation::Requisite, key::REQUISITE),
    (Relation::Wants, key::WANTS),
    (Relation::BindsTo, key::BINDS_TO),
    (Relation::PartOf, key::PART_OF),
    (Relation::Upholds, key::UPHOLDS),
    (Relation::Conflicts, key::CONFLICTS),
    (Relation::Before, key::BEFORE),
    (Relation::After, key::AFTER),
    (Relation::OnFailure, key::ON_FAILURE),
    (Relation::OnSuccess, key::ON_SUCCESS),
    (Relation::PropagatesReloadTo, key::PROPAGATES_RELOAD_TO),
    (Relation::PropagatesStopTo, key::PROPAGATES_STOP_TO),
    (Relation::ReloadPropagatedFrom, key::RELOAD_PROPAGATED_FROM),
    (Relation::StopPropagatedFrom, key::STOP_PROPAGATED_FROM),
    (Relation::JoinsNamespaceOf, key::JOINS_NAMESPACE_OF),
];

/// What is said, and what follows from it.
pub(crate) fn relations(unit: &Unit, kind: &Kind) -> Box<[(Relation, Arc<str>)]> {
    let mut relations: Vec<(Relation, Arc<str>)> = Vec::new();
    for (relation, key) in &RELATIONS {
        let names = unit.get(key).into_iter().flat_map(|list| list.0.iter());
        relations.extend(names.map(|name| (*relation, name.as_str().into())));
    }
    let sockets = unit.get(&key::SOCKETS).into_iter();
    for socket in sockets.flat_map(|list| list.0.iter()) {
        relations.push((Relation::Sockets, socket.as_str().into()));
        relations.push((Relation::Wants, socket.as_str().into()));
        relations.push((Relation::After, socket.as_str().into()));
    }
    if value::ServiceType::of(unit) == value::ServiceType::Dbus {
        // Pulled in where it is ours: beside another init the bus is there already, and is no unit.
        relations.push((Relation::Wants, BUS_SOCKET.into()));
        relations.push((Relation::After, BUS_SOCKET.into()));
    }
    let starts = match kind {
        // A template is no unit: its instances come with their connections.
        Kind::Socket(socket) if socket.accept.is_some() => None,
        Kind::Socket(socket) => Some(&socket.service),
        Kind::Timer(timer) => Some(&timer.unit),
        Kind::Path(path) => Some(&path.unit),
        Kind::Automount(automount) => Some(&automount.unit),
        Kind::Target | Kind::Device | Kind::Service(_) | Kind::Unsupported(_) => None,
    };
    if let Some(starts) = starts {
        relations.push((Relation::Triggers, Arc::clone(starts)));
        relations.push((Relation::Before, Arc::clone(starts)));
    }
    if let Some(slice) = model::slice::of(unit) {
        for relation in [Relation::Requires, Relation::After] {
            relations.push((relation, slice.as_str().into()));
        }
    }
    if unit.value(&key::DEFAULT_DEPENDENCIES) {
        implied(unit, &mut relations);
    }
    model::order::sort(&mut relations);
    relations.dedup();
    relations.into()
}

/// DefaultDependencies=: order only, so that nothing is pulled in where another init is at work.
fn implied(unit: &Unit, relations: &mut Vec<(Relation, Arc<str>)>) {
    let Some(end) = ends_with(unit) else { return };
    if unit.kind() == UnitKind::Target {
        let pulled = relations.iter().filter(|(relation, _)| pulls(*relation));
        let after = pulled.map(|(_, name)| (Relation::TargetAfter, Arc::clone(name)));
        let after: Vec<_> = after.collect();
        relations.extend(after);
    }
    let ends = [(Relation::Conflicts, end), (Relation::Before, end)];
    let all = order(unit).iter().chain(&ends);
    relations.extend(all.map(|(relation, name)| (*relation, (*name).into())));
}

fn pulls(relation: Relation) -> bool {
    matches!(
        relation,
        Relation::Requires | Relation::Requisite | Relation::Wants | Relation::BindsTo
    )
}

/// The target at whose start a unit is stopped; none where it outlasts that.
fn ends_with(unit: &Unit) -> Option<&'static str> {
    const UNMOUNTING: &str = "umount.target";
    match unit.kind() {
        UnitKind::Mount => {
            // What the host has before us and after us is in nobody's order.
            let place = model::mount::place(unit)?;
            (!model::mount::is_of_the_host(&place)).then_some(UNMOUNTING)
        }
        UnitKind::Automount | UnitKind::Swap => Some(UNMOUNTING),
        // What everything is in goes with the machine.
        UnitKind::Slice if is_of_the_tree(unit.name().as_str()) => None,
        UnitKind::Device => None,
        _ => Some("shutdown.target"),
    }
}

fn is_of_the_tree(slice: &str) -> bool {
    [model::slice::ROOT, model::slice::SYSTEM].contains(&slice)
}

/// What a unit of this kind waits for, and what waits for it.
fn order(unit: &Unit) -> &'static [(Relation, &'static str)] {
    use Relation::{After, Before};
    match unit.kind() {
        UnitKind::Service => &[(After, "sysinit.target"), (After, "basic.target")],
        UnitKind::Socket => &[(After, "sysinit.target"), (Before, "sockets.target")],
        UnitKind::Timer if unit.is_set(key::ON_CALENDAR.directive()) => &[
            (After, "sysinit.target"),
            (Before, "timers.target"),
            (After, "time-set.target"),
            (After, "time-sync.target"),
        ],
        UnitKind::Timer => &[(After, "sysinit.target"), (Before, "timers.target")],
        UnitKind::Path => &[(After, "sysinit.target"), (Before, "paths.target")],
        UnitKind::Mount if model::mount::is_of_network(unit) => &[
            (After, "network.target"),
            (After, "network-online.target"),
            (After, "remote-fs-pre.target"),
            (Before, "remote-fs.target"),
        ],
        UnitKind::Mount | UnitKind::Automount => {
            &[(After, "local-fs-pre.target"), (Before, "local-fs.target")]
        }
        UnitKind::Swap => &[(Before, "swap.target")],
        UnitKind::Target | UnitKind::Slice | UnitKind::Scope | UnitKind::Device => &[],
    }
}
