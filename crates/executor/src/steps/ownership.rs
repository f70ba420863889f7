//! Gives a directory and what is in it to the service's user.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use kernel::rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, Uid, chownat, fchown, fstat, openat, statat,
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
    let change = Change {
        former: found.st_uid,
        uid,
        gid,
    };
    give_below(directory.as_fd(), change, MAX_DEPTH)?;
    // Last, so that an interrupted visit is begun again at the next start.
    fchown(directory, Some(uid), Some(gid))
}

/// Who had it, and who gets it.
#[derive(Clone, Copy)]
struct Change {
    former: u32,
    uid: Uid,
    gid: Gid,
}

fn give_below(directory: BorrowedFd<'_>, change: Change, depth: usize) -> Result<()> {
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
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = openat(directory, name, flags, Mode::empty())?;
            give_below(inner.as_fd(), change, below)?;
        }
        give_entry(directory, name, change)?;
    }
    Ok(())
}

fn give_entry(directory: BorrowedFd<'_>, name: &CStr, change: Change) -> Result<()> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let directory_entry = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    // A second name for a stranger's file, which a former service may have made to be given that file now.
    if !directory_entry && found.st_nlink > 1 && found.st_uid != change.former {
        return Ok(());
    }
    let (uid, gid) = (Some(change.uid), Some(change.gid));
    chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}
