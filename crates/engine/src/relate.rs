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
    for socket in unit
        .get(&key::SOCKETS)
        .into_iter()
        .flat_map(|list| list.0.iter())
    {
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

fn is_of_the_tree(slice: &str) -> bool {
    [model::slice::ROOT, model::slice::SYSTEM].contains(&slice)
}

/// DefaultDependencies=: order only, so that nothing is pulled in where another init is at work.
fn implied(unit: &Unit, relations: &mut Vec<(Relation, Arc<str>)>) {
    let mut say = |relation, name: &str| relations.push((relation, name.into()));
    match unit.kind() {
        UnitKind::Service => {
            say(Relation::After, "sysinit.target");
            say(Relation::After, "basic.target");
        }
        UnitKind::Socket => {
            say(Relation::After, "sysinit.target");
            say(Relation::Before, "sockets.target");
        }
        UnitKind::Timer => {
            say(Relation::After, "sysinit.target");
            say(Relation::Before, "timers.target");
            if unit.is_set(key::ON_CALENDAR.directive()) {
                say(Relation::After, "time-set.target");
                say(Relation::After, "time-sync.target");
            }
        }
        UnitKind::Path => {
            say(Relation::After, "sysinit.target");
            say(Relation::Before, "paths.target");
        }
        UnitKind::Target => {
            let pulled = |relation| {
                matches!(
                    relation,
                    Relation::Requires | Relation::Requisite | Relation::Wants | Relation::BindsTo
                )
            };
            let after: Vec<_> = relations
                .iter()
                .filter(|(relation, _)| pulled(*relation))
                .map(|(_, name)| (Relation::TargetAfter, Arc::clone(name)))
                .collect();
            relations.extend(after);
        }
        UnitKind::Mount => {
            // What the host has before us and after us is in nobody's order.
            if model::mount::place(unit).is_none_or(|place| model::mount::is_of_the_host(&place)) {
                return;
            }
            order_of_mount(unit, &mut say);
            say(Relation::Conflicts, "umount.target");
            say(Relation::Before, "umount.target");
            return;
        }
        UnitKind::Automount => {
            say(Relation::After, "local-fs-pre.target");
            say(Relation::Before, "local-fs.target");
            say(Relation::Conflicts, "umount.target");
            say(Relation::Before, "umount.target");
            return;
        }
        UnitKind::Swap => {
            say(Relation::Before, "swap.target");
            say(Relation::Conflicts, "umount.target");
            say(Relation::Before, "umount.target");
            return;
        }
        // What everything is in goes with the machine.
        UnitKind::Slice if is_of_the_tree(unit.name().as_str()) => return,
        UnitKind::Slice | UnitKind::Scope => {}
        _ => return,
    }
    relations.push((Relation::Conflicts, "shutdown.target".into()));
    relations.push((Relation::Before, "shutdown.target".into()));
}

/// What a mount waits for, and what waits for it.
fn order_of_mount(unit: &Unit, say: &mut impl FnMut(Relation, &str)) {
    if model::mount::is_of_network(unit) {
        say(Relation::After, "network.target");
        say(Relation::After, "network-online.target");
        say(Relation::After, "remote-fs-pre.target");
        say(Relation::Before, "remote-fs.target");
    } else {
        say(Relation::After, "local-fs-pre.target");
        say(Relation::Before, "local-fs.target");
    }
}
