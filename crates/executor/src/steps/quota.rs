//! Bounds or counts what a directory of the service holds, as a project of the file system. As the directory is made, before anything of the
//! service runs: what it makes there counts from the first byte.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use kernel::quota::{Limits, OURS, is_inherited, limit, project, set_project, usage};
use kernel::rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, Stat, StatFs, fstat, fstatfs, openat, statat,
};
use kernel::{AsFd, BorrowedFd, Errno, OwnedFd, Result};
use plan::step::{DirectoryClass, Quota};

use crate::state::State;

/// Directories deeper than this are refused rather than followed: each costs a descriptor and a frame of this stack.
const MAX_DEPTH: usize = 64;
/// Entries are read in pieces of this size.
const ENTRY_BYTES: usize = 4096;
/// How many numbers are tried for a new project.
const TRIES: u32 = 64;
const WHOLE_PERMYRIAD: u128 = 10_000;

/// The project of a directory; those of the same kind on the same file system share it, and so what they may hold.
#[derive(Clone, Copy)]
pub(crate) struct Project {
    class: DirectoryClass,
    device: u64,
    number: u32,
}

/// Does to a directory what is said of it.
pub(super) fn take(
    state: &mut State<'_>,
    directory: &OwnedFd,
    class: DirectoryClass,
    path: &CStr,
    quota: Quota,
) -> Result<()> {
    let most = match quota {
        Quota::Unsaid => return Ok(()),
        Quota::Lifted => return kernel::quota::lift(directory),
        Quota::Counted => Limits::default(),
        Quota::Bytes { most } => Limits {
            bytes: most,
            entries: 0,
        },
        Quota::Share { permyriad } => share(directory, permyriad)?,
    };
    let number = match project(directory)? {
        0 => join(state, directory, class, path)?,
        found if OURS.contains(&found) => found,
        // Somebody has put it into a project of theirs, whose limits are not ours.
        _ => return Err(Errno::BUSY),
    };
    limit(directory, number, most)?;
    let device = fstat(directory)?.st_dev;
    state.project = Some(Project {
        class,
        device,
        number,
    });
    Ok(())
}

/// The numbers of the whole file system, which are told of directories without a project.
fn whole(directory: &OwnedFd) -> Result<StatFs> {
    if !is_inherited(directory)? {
        return fstatfs(directory);
    }
    let device = fstat(directory)?.st_dev;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut above = openat(directory, c"..", flags, Mode::empty())?;
    for _ in 0..MAX_DEPTH {
        if fstat(&above)?.st_dev != device {
            break;
        }
        if !is_inherited(&above)? {
            return fstatfs(&above);
        }
        above = openat(&above, c"..", flags, Mode::empty())?;
    }
    // The whole file system is in the project: it has all that there is as long as it has no limit.
    kernel::quota::lift(directory)?;
    fstatfs(directory)
}

/// A share of the space and the files of a file system, at least one of each: 0 would be no limit.
fn share(directory: &OwnedFd, permyriad: u32) -> Result<Limits> {
    let whole = whole(directory)?;
    let block = u64::try_from(whole.f_bsize).map_err(|_| Errno::INVAL)?;
    let part = |whole: u64| {
        let part = u128::from(whole) * u128::from(permyriad) / WHOLE_PERMYRIAD;
        u64::try_from(part).unwrap_or(u64::MAX).max(1)
    };
    Ok(Limits {
        bytes: part(whole.f_blocks.saturating_mul(block)),
        entries: part(whole.f_files),
    })
}

/// Puts a directory that has no project, and all that is in it, into one.
fn join(state: &State<'_>, directory: &OwnedFd, class: DirectoryClass, path: &CStr) -> Result<u32> {
    let top = fstat(directory)?;
    let is_shared = |last: &Project| last.class == class && last.device == top.st_dev;
    let number = match state.project.filter(is_shared) {
        Some(last) => last.number,
        None => free(directory, path)?,
    };
    join_below(directory.as_fd(), &top, number, MAX_DEPTH)?;
    // Last, so that an interrupted visit is begun again at the next start.
    set_project(directory, number, true)?;
    Ok(number)
}

/// A number that nothing on the file system counts for and nobody has set a limit for, from the path on.
fn free(directory: &OwnedFd, path: &CStr) -> Result<u32> {
    let (first, last) = (*OURS.start(), *OURS.end());
    let count = last - first + 1;
    let begin = path.to_bytes().iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    for offset in 0..TRIES {
        let number = first + begin.wrapping_add(offset) % count;
        let used = usage(directory, number)?;
        if used == kernel::quota::Usage::default() {
            return Ok(number);
        }
    }
    Err(Errno::BUSY)
}

fn join_below(directory: BorrowedFd<'_>, top: &Stat, number: u32, depth: usize) -> Result<()> {
    let below = depth.checked_sub(1).ok_or(Errno::LOOP)?;
    let mut room = [const { MaybeUninit::<u8>::uninit() }; ENTRY_BYTES];
    let mut entries = RawDir::new(directory, &mut room);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            join_entry(directory, name, top, number, below)?;
        }
    }
    Ok(())
}

fn join_entry(
    directory: BorrowedFd<'_>,
    name: &CStr,
    top: &Stat,
    number: u32,
    below: usize,
) -> Result<()> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    let is_directory = kind == FileType::Directory;
    // What is mounted there is another file system's; a second name for a stranger's file takes that file from nobody; and all else has
    // nothing that counts.
    let is_strange = found.st_nlink > 1 && found.st_uid != top.st_uid;
    if found.st_dev != top.st_dev || !is_directory && (kind != FileType::RegularFile || is_strange)
    {
        return Ok(());
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let inner = openat(directory, name, flags, Mode::empty())?;
    // Before what is in it, so that what is made meanwhile counts, too.
    set_project(&inner, number, is_directory)?;
    if is_directory {
        join_below(inner.as_fd(), top, number, below)?;
    }
    Ok(())
}
