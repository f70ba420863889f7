//! Signals: first of all, so that nothing inherited from the keeper (ignored or blocked signals) disturbs a later step.

use kernel::Result;
use kernel::signal::number::SIGPIPE;
use kernel::signal::{Disposition, SignalSet, reset_dispositions, set_disposition, set_mask};
use plan::Step;

use crate::state::State;

/// Resets every disposition and empties the mask; where a stub is to come, signals wait for it, blocked as they have been since the
/// clone: PID 1 of a namespace would lose them.
pub(super) fn take(state: &State<'_>, ignore_sigpipe: bool) -> Result<()> {
    reset_dispositions()?;
    if ignore_sigpipe {
        set_disposition(SIGPIPE, Disposition::Ignore)?;
    }
    let mut steps = state.frame.steps().flatten();
    if steps.any(|asked| asked.step == Step::Stub) {
        return set_mask(SignalSet::FULL).map(drop);
    }
    set_mask(SignalSet::EMPTY).map(drop)
}
