//! The file mode creation mask: after the steps that make files with modes of their own.

use kernel::Result;
use kernel::rustix::fs::Mode;

/// Sets it.
pub(super) fn take(mask: u32) -> Result<()> {
    kernel::rustix::process::umask(Mode::from_raw_mode(mask));
    Ok(())
}
