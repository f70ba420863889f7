//! The filter: last before exec, since it is made for the service and not for this program.

use kernel::Result;

/// Installs it.
pub(super) fn take(flags: u32, program: &[u8]) -> Result<()> {
    kernel::seccomp::install(program, flags)
}
