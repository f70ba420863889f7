//! Propagation: before the first mount, so that none of ours reaches the host.

use kernel::rustix::mount::{MountPropagationFlags, mount_change};
use kernel::{Errno, Result};

/// Changes the whole tree of the new mount namespace.
pub(super) fn take(flag: u32) -> Result<()> {
    let flag = MountPropagationFlags::from_bits(flag).ok_or(Errno::INVAL)?;
    mount_change(c"/", flag | MountPropagationFlags::REC)
}
