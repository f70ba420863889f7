//! The loopback interface: right after its network namespace, while this process may still configure it.

use kernel::Result;

/// Brings `lo` up.
pub(super) fn take() -> Result<()> {
    kernel::interface::bring_up(c"lo")
}
