//! New namespaces, all in one call: before everything that is set up inside of them.

use kernel::Result;

/// Makes and enters them.
pub(super) fn take(kinds: u32) -> Result<()> {
    kernel::namespace::unshare(kinds)
}
