//! New namespaces, all in one call: before everything that is set up inside of them.

use kernel::Result;
use kernel::namespace::{IPC, NETWORK};
use plan::frame::Role;

use crate::ahead::{Ahead, Part};
use crate::state::State;

/// Makes and enters them. Those that were made ahead, and that nobody else has been given, are entered instead of making them.
pub(super) fn take(state: &mut State<'_>, kinds: u32) -> Result<()> {
    take_made(state, kinds)?;
    let mut missing = kinds;
    for (kind, part) in [(NETWORK, Part::Network), (IPC, Part::Ipc)] {
        if kinds & kind != 0
            && let Some(made) = state.ahead.take(part)
        {
            kernel::namespace::join(made, kind)?;
            missing &= !kind;
        }
    }
    state.network_is_made = kinds & !missing & NETWORK != 0;
    if missing == 0 {
        return Ok(());
    }
    kernel::namespace::unshare(missing)
}

/// What was made ahead: namespaces are for a start with a network of its own.
fn take_made(state: &mut State<'_>, kinds: u32) -> Result<()> {
    if let Ok(socket) = state.take(Role::MadeFiles) {
        state.ahead = Ahead::unpack(socket)?;
    }
    if kinds & NETWORK == 0 {
        return Ok(());
    }
    if let Ok(socket) = state.take(Role::MadeAhead) {
        state.ahead = Ahead::unpack(socket)?;
        if kinds & IPC == 0 {
            // They show another namespace than the service is in.
            drop(state.ahead.take(Part::Queues));
        }
    } else if let Ok(made) = state.take(Role::MadeNetwork) {
        state.ahead.put(Part::Network, made);
    }
    Ok(())
}

/// Those that belong to the user namespace that was entered last.
pub(super) fn late(kinds: u32) -> Result<()> {
    kernel::namespace::unshare(kinds)
}
