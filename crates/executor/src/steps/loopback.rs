//! The loopback interface: right after its network namespace, while this process may still configure it.

use kernel::Result;

use crate::state::State;

/// Brings `lo` up, unless the namespace was made ahead, where it is.
pub(super) fn take(state: &State<'_>) -> Result<()> {
    if state.network_is_made {
        return Ok(());
    }
    kernel::interface::bring_up(c"lo")
}
