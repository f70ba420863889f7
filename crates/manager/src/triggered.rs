//! What a unit is told of the timer or the path unit that started it, and what clients are told of a path unit.

use crate::entry::Entry;
use crate::manager::Manager;
use engine::{Cause, State, UnitId};
use model::key;
use wire::{AutomountStatus, PathStatus, WatchedPath};

impl Manager {
    /// The variables that say what started a run: not what another unit needs, and not what restarts by itself.
    pub(crate) fn trigger_environment(&self, unit: UnitId) -> Vec<String> {
        let cause = self.engine.cause(unit);
        match cause.links().first() {
            Some(Cause::Watched { path, what }) => {
                vec![
                    format!("TRIGGER_UNIT={path}"),
                    format!("TRIGGER_PATH={what}"),
                ]
            }
            Some(Cause::Elapsed { timer }) => {
                let mut variables = vec![format!("TRIGGER_UNIT={timer}")];
                let state = self.engine.id(timer).and_then(|id| self.engine.state(id));
                let Some(State::Timer(run)) = state else {
                    return variables;
                };
                if let Some(last) = run.last_trigger {
                    let (name, us) = ("TRIGGER_TIMER_REALTIME_USEC", last.realtime_us);
                    variables.push(format!("{name}={us}"));
                    let monotonic = last.monotonic.map(|at| at.0);
                    let line = |us| format!("TRIGGER_TIMER_MONOTONIC_USEC={us}");
                    variables.extend(monotonic.map(line));
                }
                variables
            }
            _ => Vec::new(),
        }
    }
}

impl Manager {
    /// Where an automount unit is, and what of its mount is known.
    pub(crate) fn automount_status(&self, entry: &Entry) -> AutomountStatus {
        let mounts = self
            .engine
            .relations(entry.id, engine::Relation::Triggers, false);
        let mount = mounts.first().copied();
        let what = mount.and_then(|mount| self.units.get(&mount)?.unit.get(&key::MOUNT_WHAT));
        AutomountStatus {
            place: model::mount::place(&entry.unit).unwrap_or_default(),
            what: what.cloned(),
            mounted: mount.is_some_and(|mount| self.engine.in_kernel_table(mount)),
            idle_us: match entry.unit.value(&key::TIMEOUT_IDLE_SEC).micros() {
                u64::MAX => 0,
                idle => idle,
            },
        }
    }
}

/// What a path unit waits for, and what it found last.
pub(crate) fn path_status(entry: &Entry, state: &State) -> PathStatus {
    let wishes = crate::paths::wishes(&entry.unit).into_iter();
    let last = match state {
        State::Path(run) => run.last_trigger.as_ref(),
        _ => None,
    };
    PathStatus {
        watches: wishes
            .map(|wish| WatchedPath {
                condition: wish.condition.name().into(),
                path: wish.path,
            })
            .collect(),
        last_path: last.map(|last| last.what.to_string()),
        last_realtime_us: last.map(|last| last.at.realtime_us),
    }
}
