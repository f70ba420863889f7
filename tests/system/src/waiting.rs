//! Waiting for what another process does, by asking again until it is so or patience ends.

use std::time::{Duration, Instant};

use testkit::Instance;

/// How long anything may take: a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again until there is an answer.
///
/// # Panics
/// When it does not come in time.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::yield_now();
    }
    panic!("{what} did not come")
}

/// The lines of a unit in the log, as soon as they are `complete`: the log process writes them beside the manager's answers.
///
/// # Panics
/// When they do not come in time.
#[track_caller]
pub fn lines(coracle: &Instance, unit: &str, complete: impl Fn(&[String]) -> bool) -> Vec<String> {
    eventually("the lines in the log", || {
        let printed = coracle.ok(&["logs", "-u", unit, "--cat"]);
        Some(printed.lines().map(str::to_owned).collect::<Vec<_>>()).filter(|lines| complete(lines))
    })
}

/// Until the unit is in that `ActiveState`.
///
/// # Panics
/// When it does not come there in time.
#[track_caller]
pub fn state(coracle: &Instance, unit: &str, state: &str) {
    eventually(&format!("{unit} in state {state}"), || {
        (coracle.property(unit, "ActiveState") == state).then_some(())
    });
}

/// The `ActiveState` and the `SubState` of a unit, in a line.
///
/// # Panics
/// When the command fails.
#[track_caller]
#[must_use]
pub fn states(coracle: &Instance, unit: &str) -> String {
    let words = ["show", "-p", "ActiveState", "-p", "SubState", "--value"];
    let shown = coracle.ok(&[&words[..], &["--", unit]].concat());
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Until the unit is in both of these.
///
/// # Panics
/// When it does not get there in time.
#[track_caller]
pub fn await_states(coracle: &Instance, unit: &str, expected: &str) {
    eventually(&format!("{unit} is {expected}"), || {
        (states(coracle, unit) == expected).then_some(())
    });
}
