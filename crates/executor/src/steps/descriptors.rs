//! Descriptors: after the last step that opens one, before the filter, which may not let them be moved.

use kernel::message::{Descriptors, ReceiveOptions, receive};
use kernel::{Errno, OwnedFd, Result};
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
    let carriers = state.passed.iter_mut().zip(roles);
    for (slot, _) in carriers.filter(|(_, role)| **role == Role::Stored.tag()) {
        let carrier = slot.take().ok_or(Errno::BADF)?;
        *slot = Some(stored(carrier)?);
    }
    for (slot, _) in state
        .passed
        .iter_mut()
        .zip(roles)
        .filter(|(_, role)| ![Role::Service.tag(), Role::Stored.tag()].contains(role))
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

/// What lies in a carrier, in the place of the carrier; it lies there still, for the next start.
fn stored(carrier: OwnedFd) -> Result<OwnedFd> {
    /// A kind and a name.
    const BYTES: usize = 256;
    let (mut buffer, mut descriptors) = ([0; BYTES], Descriptors::default());
    let options = ReceiveOptions {
        peek: true,
        wait: false,
    };
    receive(&carrier, &mut buffer, &mut descriptors, options)?;
    let found = descriptors.take().ok_or(Errno::BADF)?;
    kernel::descriptor::replace(carrier, &found)
}
