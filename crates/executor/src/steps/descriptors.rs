//! Descriptors: after the last step that opens one, before the filter, which may not let them be moved.

use kernel::Result;
use plan::frame::Role;

use crate::ahead::Ahead;
use crate::state::State;

/// The number of the first passed descriptor, by the protocol of socket activation.
const FIRST: i32 = 3;

/// Puts the service's descriptors at 3, 4, … and closes all others but the report.
pub(super) fn take(state: &mut State<'_>) -> Result<()> {
    // What no step had a use for has numbers that the service is to get.
    state.ahead = Ahead::new();
    let roles = state.frame.roles;
    for (slot, _) in state
        .passed
        .iter_mut()
        .zip(roles)
        .filter(|(_, role)| **role != Role::Service.tag())
    {
        *slot = None;
    }
    // Ascending: a number that is overwritten belonged to a descriptor that has been moved already, or was let go above.
    for (slot, number) in state
        .passed
        .iter_mut()
        .filter(|slot| slot.is_some())
        .zip(FIRST..)
    {
        let Some(source) = slot.take() else { continue };
        let from = kernel::rustix::fd::AsRawFd::as_raw_fd(&source);
        kernel::descriptor::place(&source, number)?;
        if from == number {
            // It stays for the service, so it must not be closed here.
            let _number = kernel::rustix::fd::IntoRawFd::into_raw_fd(source);
        }
    }
    Ok(())
}
