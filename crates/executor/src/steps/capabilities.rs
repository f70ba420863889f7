//! Inheritable and ambient capabilities: after the user, since changing that clears the ambient ones.

use kernel::Result;

/// Sets the inheritable capabilities to `ambient` and raises them.
pub(super) fn take(ambient: u64) -> Result<()> {
    let mut sets = kernel::credentials::capabilities()?;
    sets.inheritable = ambient;
    kernel::credentials::set_capabilities(sets)?;
    kernel::credentials::clear_ambient()?;
    (0..u64::BITS)
        .filter(|bit| ambient & 1 << bit != 0)
        .try_for_each(kernel::credentials::raise_ambient)
}
