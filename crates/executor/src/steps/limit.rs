//! Resource limits: after the mounts, which need descriptors of their own, and before the user changes, as only root raises them.

use kernel::Result;

use crate::state::State;

/// The soft limits of its maker that a user namespace has for ever, and that hold for all in it: RLIMIT_NPROC, RLIMIT_MEMLOCK,
/// RLIMIT_SIGPENDING and RLIMIT_MSGQUEUE (`create_user_ns` of the kernel).
const OF_USER_NAMESPACE: [u32; 4] = [6, 8, 11, 12];

/// Sets one limit. A user namespace that was made ahead has those of its maker.
pub(super) fn take(state: &State<'_>, resource: u32, soft: u64, hard: u64) -> Result<()> {
    if OF_USER_NAMESPACE.contains(&resource) {
        state.ahead.forget_users();
    }
    kernel::process::set_limit(resource, soft, hard)
}
