//! Secure bits: after the capabilities, which some of the bits would lock.

use kernel::Result;

/// Sets them.
pub(super) fn take(bits: u32) -> Result<()> {
    kernel::credentials::set_secure_bits(bits)
}
