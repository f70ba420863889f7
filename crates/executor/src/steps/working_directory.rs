//! The working directory: as the service's user and below its root, so that only what it may enter is entered.

use core::ffi::CStr;

use kernel::rustix::process::chdir;
use kernel::{Errno, Result};

/// Enters it.
pub(super) fn take(path: &CStr, missing_ok: bool) -> Result<()> {
    match chdir(path) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) if missing_ok => chdir(c"/"),
        entered => entered,
    }
}
