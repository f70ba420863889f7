//! The inner states, by which people know where a unit is.

use serde::{Deserialize, Serialize};

/// Declares them in one list: a state, and its text.
macro_rules! sub_states {
    ($($(#[$said:meta])* $state:ident => $text:literal,)*) => {
        /// The inner state, by kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[expect(
            missing_docs,
            reason = "the names are the documentation: each is the text of SubState"
        )]
        pub enum SubState {
            $($(#[$said])* $state,)*
        }

        impl SubState {
            /// The text that clients see, one of [`model::tables::states::SUB`].
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$state => $text,)*
                }
            }

            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$state,)*];
        }
    };
}

sub_states! {
    Dead => "dead",
    Failed => "failed",
    Active => "active",
    Plugged => "plugged",
    Condition => "condition",
    StartPre => "start-pre",
    Start => "start",
    StartPost => "start-post",
    Running => "running",
    Exited => "exited",
    Reload => "reload",
    ReloadSignal => "reload-signal",
    ReloadNotify => "reload-notify",
    Stop => "stop",
    StopWatchdog => "stop-watchdog",
    StopSigterm => "stop-sigterm",
    StopSigkill => "stop-sigkill",
    StopPost => "stop-post",
    FinalWatchdog => "final-watchdog",
    FinalSigterm => "final-sigterm",
    FinalSigkill => "final-sigkill",
    AutoRestart => "auto-restart",
    AutoRestartQueued => "auto-restart-queued",
    StartOpen => "start-open",
    Listening => "listening",
    StopPre => "stop-pre",
    StopPreSigterm => "stop-pre-sigterm",
    StopPreSigkill => "stop-pre-sigkill",
    Cleaning => "cleaning",
    Waiting => "waiting",
    Elapsed => "elapsed",
    ReloadPost => "reload-post",
    /// Traffic waits for units that are in the way.
    Deferred => "deferred",
    Mounting => "mounting",
    Mounted => "mounted",
    Remounting => "remounting",
    Unmounting => "unmounting",
    UnmountingSigterm => "unmounting-sigterm",
    UnmountingSigkill => "unmounting-sigkill",
    Activating => "activating",
    Deactivating => "deactivating",
    DeactivatingSigterm => "deactivating-sigterm",
    DeactivatingSigkill => "deactivating-sigkill",
}

#[cfg(test)]
mod tests {
    use super::SubState;
    use model::tables::states::SUB;

    #[test]
    fn the_inner_states_are_those_that_clients_may_ask_for() {
        let names: Vec<&str> = SubState::ALL.iter().map(|state| state.name()).collect();
        assert_eq!(names, SUB);
    }
}
