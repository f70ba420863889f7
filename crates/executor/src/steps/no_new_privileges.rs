//! No new privileges: before the filter, which the unprivileged may only install with it.

use kernel::Result;

/// Sets the flag.
pub(super) fn take() -> Result<()> {
    kernel::process::set_no_new_privileges()
}
