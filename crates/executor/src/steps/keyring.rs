//! A session keyring: before the user namespace, whose keys would be another user's, and before the user changes.

use kernel::Result;

use crate::state::State;

/// Joins a new, anonymous session keyring and gives it to the service's user.
pub(super) fn take(state: &State<'_>, link_user: bool) -> Result<()> {
    kernel::keyring::join_new_session()?;
    if link_user {
        kernel::keyring::link_user_to_session()?;
    }
    kernel::keyring::give_session(state.frame.uid, state.frame.gid)
}
