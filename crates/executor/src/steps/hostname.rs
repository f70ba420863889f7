//! The host name: right after its UTS namespace, before the capability for it is gone.

use core::ffi::CStr;

use kernel::Result;

/// Sets it.
pub(super) fn take(name: &CStr) -> Result<()> {
    kernel::namespace::set_host_name(name.to_bytes())
}
