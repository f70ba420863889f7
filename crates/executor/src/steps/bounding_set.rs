//! The bounding set: after the late user namespace, which fills it again, and before the user changes, which takes the right to.

use kernel::{Errno, Result};

/// The kernel has no more than 64.
const LAST: u32 = 63;

/// Drops every capability but those in `keep`, also from the inheritable set: a program that root executes is permitted both.
pub(super) fn take(keep: u64) -> Result<()> {
    let mut sets = kernel::credentials::capabilities()?;
    if sets.inheritable & !keep != 0 {
        sets.inheritable &= keep;
        kernel::credentials::set_capabilities(sets)?;
    }
    drop_all_but(keep)
}

fn drop_all_but(keep: u64) -> Result<()> {
    for capability in (0..=LAST).filter(|bit| keep & 1 << bit == 0) {
        match kernel::credentials::drop_from_bounding_set(capability) {
            Ok(()) => {}
            // Beyond the last capability that this kernel knows.
            Err(Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
