//! What becomes of units, as lines of their logs: they start, they end, they fail, and how their processes ended.

use crate::manager::Manager;
use crate::own_log::{ERROR, INFO, WARNING};
use engine::{ActiveState, ExitStatus, Role, State, SubState, UnitId, UnitResult};

impl Manager {
    /// Tells where a unit has got to, if it has come to a new place.
    pub(crate) fn tell_life(&mut self, unit: UnitId) {
        let Some(state) = self.engine.state(unit) else {
            return;
        };
        let ended = matches!(state, State::Dead).then(|| self.engine.snapshot(unit));
        let last = ended.flatten().map(|snapshot| snapshot.last_result);
        // A service that goes down by itself has come from where it was, and one that is stopped from its stop.
        let goes_by_itself = match state {
            State::Service(run) => !run.stop_asked && state.active() == ActiveState::Deactivating,
            _ => false,
        };
        let now = (state.active(), state.sub());
        let Some(entry) = self.units.get_mut(&unit).filter(|_| !goes_by_itself) else {
            return;
        };
        let before = entry.place.replace(now);
        let line = before.and_then(|before| line(before, state, last.unwrap_or_default()));
        if let Some((priority, text)) = line {
            self.tell_of(priority, unit, &text);
        }
    }

    /// Tells how a process ended, where that is not what every process does.
    pub(crate) fn tell_end(&mut self, unit: UnitId, role: Role, status: ExitStatus) {
        let name = crate::run::role_name(role);
        let signal = |signal: engine::Signal| crate::signals::short_name(signal.0);
        let how = match status {
            ExitStatus::Exited(0) | ExitStatus::Unknown => return,
            ExitStatus::Exited(status) => format!("exited, code=exited, status={status}"),
            ExitStatus::Killed(by) if is_usual(by) => return,
            ExitStatus::Killed(by) => format!("exited, code=killed, status={}", signal(by)),
            ExitStatus::Dumped(by) => format!("exited, code=dumped, status={}", signal(by)),
        };
        self.tell_of(WARNING, unit, &format!("{name} process {how}"));
    }
}

/// Does it end services that are stopped (systemd.service(5): clean exits)?
fn is_usual(signal: engine::Signal) -> bool {
    const CLEAN: [i32; 4] = [1, 2, 13, 15];
    CLEAN.contains(&i32::from(signal.0))
}

/// The line about a unit's way from one place to another.
fn line(
    (active, sub): (ActiveState, SubState),
    state: &State,
    last: UnitResult,
) -> Option<(u8, String)> {
    let again = matches!(sub, SubState::AutoRestart | SubState::AutoRestartQueued);
    match state {
        State::Failed { result, .. } if active != ActiveState::Failed => {
            Some((ERROR, format!("failed with result '{}'", result.name())))
        }
        State::AutoRestart { .. } if again => None,
        State::AutoRestart { result, .. } => {
            let how = format!("ended with result '{}', and is restarted", result.name());
            Some((WARNING, how))
        }
        State::Dead => {
            let word = match (active, last) {
                // What became of a cleaning its end says.
                (ActiveState::Inactive | ActiveState::Failed | ActiveState::Maintenance, _) => {
                    return None;
                }
                (ActiveState::Activating, UnitResult::Success) if !again => "finished",
                (ActiveState::Activating, _) if !again => "not started",
                // A target has no other inner state, and nothing that could end.
                (ActiveState::Active | ActiveState::Reloading, _) if sub != SubState::Active => {
                    "ended"
                }
                _ => "stopped",
            };
            Some((INFO, word.into()))
        }
        _ => {
            let is_up = |active| matches!(active, ActiveState::Active | ActiveState::Reloading);
            // A mount that could not be taken out is what it was.
            let stays = matches!(state, State::Service(run) if run.is_left);
            if stays && active == ActiveState::Deactivating {
                return None;
            }
            (is_up(state.active()) && !is_up(active)).then(|| (INFO, "started".into()))
        }
    }
}
