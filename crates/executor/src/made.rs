//! The mounts that are the service's own: its root, and what this process made for it. All others show what is the host's.

use core::cell::Cell;

use kernel::rustix::fs::{AtFlags, StatxFlags, statx};
use kernel::{AsFd, Errno, Result};

/// Most mounts that are remembered; more of them in one plan are taken for the host's, which allows less.
const REMEMBERED: usize = 64;

/// The kernel's numbers of these mounts (statx(2), `stx_mnt_id`, since Linux 5.8).
pub(crate) struct Made {
    count: Cell<usize>,
    ids: [Cell<u64>; REMEMBERED],
}

impl Made {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self {
            count: Cell::new(0),
            ids: [const { Cell::new(0) }; REMEMBERED],
        }
    }

    /// Remembers the mount that this is part of.
    pub(crate) fn add(&self, tree: impl AsFd) -> Result<()> {
        let count = self.count.get();
        if let Some(free) = self.ids.get(count) {
            free.set(id(tree)?);
            self.count.set(count + 1);
        }
        Ok(())
    }

    /// Whether this is part of a mount that is remembered.
    pub(crate) fn has(&self, place: impl AsFd) -> Result<bool> {
        let id = id(place)?;
        let known = self.ids.iter().take(self.count.get());
        Ok(known.map(Cell::get).any(|known| known == id))
    }
}

fn id(place: impl AsFd) -> Result<u64> {
    let found = statx(place, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    if found.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return Err(Errno::OPNOTSUPP);
    }
    Ok(found.stx_mnt_id)
}
