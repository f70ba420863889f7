//! The states of units, as clients see and name them.

/// What came of loading a unit.
pub const LOAD: [&str; 5] = ["loaded", "not-found", "bad-setting", "error", "masked"];

/// The outer states.
pub const ACTIVE: [&str; 7] = [
    "active",
    "reloading",
    "inactive",
    "failed",
    "activating",
    "deactivating",
    "maintenance",
];

/// The inner states, of all kinds of units.
pub const SUB: [&str; 43] = [
    "dead",
    "failed",
    "active",
    "plugged",
    "condition",
    "start-pre",
    "start",
    "start-post",
    "running",
    "exited",
    "reload",
    "reload-signal",
    "reload-notify",
    "stop",
    "stop-watchdog",
    "stop-sigterm",
    "stop-sigkill",
    "stop-post",
    "final-watchdog",
    "final-sigterm",
    "final-sigkill",
    "auto-restart",
    "auto-restart-queued",
    "start-open",
    "listening",
    "stop-pre",
    "stop-pre-sigterm",
    "stop-pre-sigkill",
    "cleaning",
    "waiting",
    "elapsed",
    "reload-post",
    "deferred",
    "mounting",
    "mounted",
    "remounting",
    "unmounting",
    "unmounting-sigterm",
    "unmounting-sigkill",
    "activating",
    "deactivating",
    "deactivating-sigterm",
    "deactivating-sigkill",
];

/// All of them, each once.
pub fn all() -> impl Iterator<Item = &'static str> {
    let sub = SUB.iter().filter(|name| !ACTIVE.contains(name));
    LOAD.iter().chain(&ACTIVE).chain(sub).copied()
}
