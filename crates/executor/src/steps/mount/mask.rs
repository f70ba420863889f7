//! What covers an inaccessible path: an empty file or directory of mode 0, on a file system of its own.

use core::cell::Cell;
use core::ffi::CStr;

use kernel::rustix::fs::{FileType, Mode, mkdirat, mknodat};
use kernel::rustix::mount::MountAttrFlags;
use kernel::{Errno, OwnedFd, Result};
use plan::List;

use super::{attach, clone, filesystem};
use crate::ahead::{Ahead, Part};
use crate::path::{inside, is_directory};
use crate::state::State;

/// The file system with both of them. It must be mounted before they can be cloned (since Linux 6.15 it need not be): each unmount before
/// exec waits until all processors have taken notice, so it lies where it can stay, below the first mask of a directory.
pub(crate) struct Masks {
    tree: OwnedFd,
    mounted: Cell<bool>,
    /// No directory was covered before the first file: it lies on the new root, until that is entered.
    pub(crate) on_root: Cell<bool>,
}

impl Masks {
    /// That which was made ahead, or a new one; mounted nowhere.
    pub(in crate::steps) fn new(ahead: &Ahead) -> Result<Self> {
        let tree = match ahead.take(Part::Masks) {
            Some(made) => made,
            None => Self::make()?,
        };
        Ok(Self {
            tree,
            mounted: Cell::new(false),
            on_root: Cell::new(false),
        })
    }

    /// Makes the file system with both.
    pub(in crate::steps) fn make() -> Result<OwnedFd> {
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

    /// Mounts it, if it is not: where a directory is about to be covered, or else over the root, which absolute paths do not see.
    fn mount(&self, state: &State<'_>, point: &OwnedFd, is_directory: bool) -> Result<()> {
        if self.mounted.replace(true) {
            return Ok(());
        }
        if is_directory {
            return attach(&self.tree, point);
        }
        self.on_root.set(true);
        attach(&self.tree, state.host.as_ref().ok_or(Errno::BADF)?)
    }
}

/// Covers a path with its kind of mask.
pub(super) fn cover(state: &State<'_>, at: &CStr) -> Result<()> {
    let point = inside(state.root()?, at)?;
    let masks = state.masks.as_ref().ok_or(Errno::BADF)?;
    let is_directory = is_directory(&point)?;
    masks.mount(state, &point, is_directory)?;
    let name = if is_directory { c"directory" } else { c"file" };
    attach(clone(&masks.tree, name, false)?, point)
}
