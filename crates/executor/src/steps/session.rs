//! A session of its own: before any terminal could be opened, so that none becomes the parent's.

use kernel::{Errno, Result};

/// Leaves the keeper's session.
pub(super) fn take() -> Result<()> {
    match kernel::rustix::process::setsid() {
        // PERM: this process leads a group already, as the first one of a pid namespace may.
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}
