//! The inner states, by which people know where a unit is.

use serde::{Deserialize, Serialize};

/// The inner state, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the names are the documentation: each is the text of SubState"
)]
pub enum SubState {
    Dead,
    Failed,
    Active,
    Condition,
    StartPre,
    Start,
    StartPost,
    Running,
    Exited,
    Reload,
    ReloadSignal,
    ReloadNotify,
    Stop,
    StopWatchdog,
    StopSigterm,
    StopSigkill,
    StopPost,
    FinalWatchdog,
    FinalSigterm,
    FinalSigkill,
    AutoRestart,
    AutoRestartQueued,
    StartOpen,
    Listening,
    StopPre,
    StopPreSigterm,
    StopPreSigkill,
    Cleaning,
    Waiting,
    Elapsed,
    ReloadPost,
    /// Traffic waits for units that are in the way.
    Deferred,
    Mounting,
    Mounted,
    Remounting,
    Unmounting,
    UnmountingSigterm,
    UnmountingSigkill,
    Activating,
    Deactivating,
    DeactivatingSigterm,
    DeactivatingSigkill,
}

impl SubState {
    /// The text that clients see, one of [`model::tables::states::SUB`].
    pub fn name(self) -> &'static str {
        match self {
            SubState::Dead => "dead",
            SubState::Failed => "failed",
            SubState::Active => "active",
            SubState::Condition => "condition",
            SubState::StartPre => "start-pre",
            SubState::Start => "start",
            SubState::StartPost => "start-post",
            SubState::Running => "running",
            SubState::Exited => "exited",
            SubState::Reload => "reload",
            SubState::ReloadSignal => "reload-signal",
            SubState::ReloadNotify => "reload-notify",
            SubState::ReloadPost => "reload-post",
            SubState::Stop => "stop",
            SubState::StopWatchdog => "stop-watchdog",
            SubState::StopSigterm => "stop-sigterm",
            SubState::StopSigkill => "stop-sigkill",
            SubState::StopPost => "stop-post",
            SubState::FinalWatchdog => "final-watchdog",
            SubState::FinalSigterm => "final-sigterm",
            SubState::FinalSigkill => "final-sigkill",
            SubState::AutoRestart => "auto-restart",
            SubState::AutoRestartQueued => "auto-restart-queued",
            SubState::StartOpen => "start-open",
            SubState::Listening => "listening",
            SubState::StopPre => "stop-pre",
            SubState::StopPreSigterm => "stop-pre-sigterm",
            SubState::StopPreSigkill => "stop-pre-sigkill",
            SubState::Cleaning => "cleaning",
            SubState::Waiting => "waiting",
            SubState::Elapsed => "elapsed",
            SubState::Deferred => "deferred",
            SubState::Mounting => "mounting",
            SubState::Mounted => "mounted",
            SubState::Remounting => "remounting",
            SubState::Unmounting => "unmounting",
            SubState::UnmountingSigterm => "unmounting-sigterm",
            SubState::UnmountingSigkill => "unmounting-sigkill",
            SubState::Activating => "activating",
            SubState::Deactivating => "deactivating",
            SubState::DeactivatingSigterm => "deactivating-sigterm",
            SubState::DeactivatingSigkill => "deactivating-sigkill",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SubState;
    use model::tables::states::SUB;

    #[test]
    fn the_inner_states_are_those_that_clients_may_ask_for() {
        use SubState::*;
        let all = [
            Dead,
            Failed,
            Active,
            Condition,
            StartPre,
            Start,
            StartPost,
            Running,
            Exited,
            Reload,
            ReloadSignal,
            ReloadNotify,
            Stop,
            StopWatchdog,
            StopSigterm,
            StopSigkill,
            StopPost,
            FinalWatchdog,
            FinalSigterm,
            FinalSigkill,
            AutoRestart,
            AutoRestartQueued,
            StartOpen,
            Listening,
            StopPre,
            StopPreSigterm,
            StopPreSigkill,
            Cleaning,
            Waiting,
            Elapsed,
            ReloadPost,
            Deferred,
            Mounting,
            Mounted,
            Remounting,
            Unmounting,
            UnmountingSigterm,
            UnmountingSigkill,
            Activating,
            Deactivating,
            DeactivatingSigterm,
            DeactivatingSigkill,
        ];
        assert_eq!(all.map(SubState::name), SUB);
        assert_eq!(
            all.map(|state| state as usize),
            std::array::from_fn(|place| place)
        );
    }
}
