//! Signals by the names that people give them.

use model::value::Signal;

/// The signal that a client names; empty is SIGTERM.
pub(crate) fn by_name(name: &str) -> Option<u8> {
    if name.is_empty() {
        return Some(Signal::TERM.0);
    }
    Signal::from_name(name).map(|signal| signal.0)
}

/// A signal's name without `SIG`, as `$EXIT_STATUS` has it.
pub(crate) fn short_name(number: u8) -> String {
    Signal(number).name().trim_start_matches("SIG").to_owned()
}
