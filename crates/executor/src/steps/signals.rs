//! Signals: first of all, so that nothing inherited from the keeper (ignored or blocked signals) disturbs a later step.

use kernel::Result;
use kernel::signal::{Disposition, SignalSet, reset_dispositions, set_disposition, set_mask};

const SIGPIPE: i32 = 13;

/// Resets every disposition and empties the mask.
pub(super) fn take(ignore_sigpipe: bool) -> Result<()> {
    reset_dispositions()?;
    if ignore_sigpipe {
        set_disposition(SIGPIPE, Disposition::Ignore)?;
    }
    set_mask(SignalSet::EMPTY).map(drop)
}
