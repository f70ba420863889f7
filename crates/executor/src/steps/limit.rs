//! Resource limits: after the mounts, which need descriptors of their own, and before the user changes, as only root raises them.

use kernel::Result;

/// Sets one limit.
pub(super) fn take(resource: u32, soft: u64, hard: u64) -> Result<()> {
    kernel::process::set_limit(resource, soft, hard)
}
