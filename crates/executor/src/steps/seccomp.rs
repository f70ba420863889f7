//! The filter: last before exec, since it is made for the service and not for this program.

use kernel::Result;

use crate::head::Head;
use crate::state::State;

/// Installs it. What the program begins with is read before the first: it is told where the program can't be executed.
pub(super) fn take(state: &mut State<'_>, flags: u32, filter: &[u8]) -> Result<()> {
    if state.head.is_none() {
        state.head = state.program.map(Head::of);
    }
    kernel::seccomp::install(filter, flags)
}
