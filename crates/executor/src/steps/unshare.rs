//! New namespaces, all in one call: before everything that is set up inside of them.

use kernel::Result;
use kernel::namespace::NETWORK;
use plan::frame::Role;

use crate::state::State;

/// Makes and enters them. A network namespace that was made ahead, and that nobody else has been given, is entered instead of making one.
pub(super) fn take(state: &mut State<'_>, kinds: u32) -> Result<()> {
    let mut missing = kinds;
    if kinds & NETWORK != 0
        && let Ok(made) = state.take(Role::MadeNetwork)
    {
        kernel::namespace::join(made, NETWORK)?;
        state.network_is_made = true;
        missing &= !NETWORK;
    }
    if missing == 0 {
        return Ok(());
    }
    kernel::namespace::unshare(missing)
}

/// Those that belong to the user namespace that was entered last.
pub(super) fn late(kinds: u32) -> Result<()> {
    kernel::namespace::unshare(kinds)
}
