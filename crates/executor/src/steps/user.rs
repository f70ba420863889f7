//! The user: after everything that only root may do.

use kernel::Result;

use crate::state::State;

/// Becomes the service's user.
pub(super) fn take(state: &State<'_>, keep_capabilities: bool) -> Result<()> {
    // The flag goes with exec; the bounding set has been narrowed already, so nothing survives that was not asked for.
    kernel::credentials::set_keep_capabilities(keep_capabilities)?;
    kernel::credentials::set_user(state.frame.uid)?;
    if keep_capabilities {
        let mut sets = kernel::credentials::capabilities()?;
        sets.effective = sets.permitted;
        kernel::credentials::set_capabilities(sets)?;
    }
    Ok(())
}
