//! Finds the program: before the filter, behind which a failure could perhaps not be told any more.

use kernel::rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use kernel::{Errno, Result};

use crate::state::State;

/// Keeps the first of the plan's programs that may be executed.
pub(super) fn take(state: &mut State<'_>) -> Result<()> {
    let mut failure = Errno::NOENT;
    for path in state.frame.programs.iter() {
        match executable(path) {
            Ok(()) => {
                state.program = Some(path);
                return Ok(());
            }
            // One that exists but may not be executed says more than one that does not exist.
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => failure = errno,
        }
    }
    Err(failure)
}

fn executable(path: &core::ffi::CStr) -> Result<()> {
    // EACCESS: asks with the effective ids; the real ones are the same by now.
    accessat(CWD, path, Access::EXEC_OK, AtFlags::empty())?;
    let found = stat(path)?;
    if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
        Ok(())
    } else {
        Err(Errno::ACCESS)
    }
}
