//! What covers an inaccessible path: an empty file or directory of mode 0, on a file system of its own.

use core::ffi::CStr;

use kernel::rustix::fs::{FileType, Mode, mkdirat, mknodat};
use kernel::rustix::mount::MountAttrFlags;
use kernel::{Errno, OwnedFd, Result};
use plan::List;

use super::{attach, clone, filesystem};
use crate::path::{inside, is_directory};
use crate::state::State;

/// The file system with both of them.
pub(in crate::steps) fn masks() -> Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = filesystem::tmpfs_with(0o755, List::EMPTY, attributes)?;
    mkdirat(&tree, c"directory", Mode::empty())?;
    mknodat(&tree, c"file", FileType::RegularFile, Mode::empty(), 0)?;
    kernel::mount::set_attributes(
        &tree,
        kernel::mount::READ_ONLY,
        0,
        kernel::mount::Reach::Mount,
    )?;
    Ok(tree)
}

/// Covers a path with its kind of mask.
pub(super) fn cover(state: &State<'_>, at: &CStr) -> Result<()> {
    let point = inside(state.root()?, at)?;
    let masks = state.masks.as_ref().ok_or(Errno::BADF)?;
    let name = if is_directory(&point)? {
        c"directory"
    } else {
        c"file"
    };
    attach(clone(masks, name, false)?, point)
}
