//! Gives a directory and what is in it to the service's user.

use core::mem::MaybeUninit;

use kernel::rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, Uid, chownat, fchown, fstat, openat,
};
use kernel::{AsFd, BorrowedFd, Errno, OwnedFd, Result};

/// Directories deeper than this are refused rather than followed: each costs a descriptor and a frame of this stack.
const MAX_DEPTH: usize = 64;
/// Entries are read in pieces of this size.
const ENTRY_BYTES: usize = 4096;

/// Gives `directory` away. What is below is only visited when the directory itself had another owner (a dynamic user
/// gets another number at each start), as the visit costs time.
pub(super) fn give(directory: &OwnedFd, uid: Uid, gid: Gid) -> Result<()> {
    let found = fstat(directory)?;
    if found.st_uid == uid.as_raw() && found.st_gid == gid.as_raw() {
        return Ok(());
    }
    give_below(directory.as_fd(), uid, gid, MAX_DEPTH)?;
    // Last, so that an interrupted visit is begun again at the next start.
    fchown(directory, Some(uid), Some(gid))
}

fn give_below(directory: BorrowedFd<'_>, uid: Uid, gid: Gid, depth: usize) -> Result<()> {
    let below = depth.checked_sub(1).ok_or(Errno::LOOP)?;
    let mut room = [const { MaybeUninit::<u8>::uninit() }; ENTRY_BYTES];
    let mut entries = RawDir::new(directory, &mut room);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            let inner = openat(
                directory,
                name,
                OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            give_below(inner.as_fd(), uid, gid, below)?;
        }
        chownat(
            directory,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
    Ok(())
}
