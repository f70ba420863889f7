//! Bounds or counts what a directory of the service holds, as a project of the file system. As the directory is made, before anything of the
//! service runs: what it makes there counts from the first byte.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use kernel::quota::{
    Given, Limits, OURS, give, given, is_inherited, limit, project, set_project, usage,
};
use kernel::rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, Stat, StatFs, fstat, fstatfs, openat, statat,
};
use kernel::rustix::rand::{GetRandomFlags, getrandom};
use kernel::{AsFd, BorrowedFd, Errno, OwnedFd, Result};
use plan::step::{DEPTH_MAX, DirectoryClass, Quota, TOO_DEEP};

use crate::state::State;

/// Entries are read in pieces of this size.
const ENTRY_BYTES: usize = 4096;
/// How many numbers are tried for a new project, and how often an entry is looked at that others replace at that very moment.
const TRIES: u32 = 64;
/// The visit of a directory that is not over yet, or that nothing says which start it is for.
const NO_VISIT: [u8; 16] = [0; 16];
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
    let known = given(directory)?;
    let number = match known {
        Some(known) => known.number,
        None => new(state, directory, class)?,
    };
    let visit = state.frame.invocation;
    let is_visited = |known: Given| known.visit == visit && visit != NO_VISIT;
    if !known.is_some_and(is_visited) {
        join(directory, number, visit)?;
    }
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
    for _ in 0..DEPTH_MAX {
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

/// The number for a directory that root gave none.
fn new(state: &State<'_>, directory: &OwnedFd, class: DirectoryClass) -> Result<u32> {
    // Somebody has put it into a project of theirs. One of our numbers, though, nobody but its owner can have set.
    let found = project(directory)?;
    if found != 0 && !OURS.contains(&found) {
        return Err(Errno::BUSY);
    }
    let device = fstat(directory)?.st_dev;
    let is_shared = |last: &Project| last.class == class && last.device == device;
    match state.project.filter(is_shared) {
        Some(last) => Ok(last.number),
        None => free(directory),
    }
}

/// A number that nothing on the file system counts for and nobody has set a limit for. By chance: nobody is there before.
fn free(directory: &OwnedFd) -> Result<u32> {
    let (first, last) = (*OURS.start(), *OURS.end());
    let count = last - first + 1;
    for _ in 0..TRIES {
        let mut drawn = [0; 4];
        if getrandom(&mut drawn, GetRandomFlags::empty())? != drawn.len() {
            continue;
        }
        let number = first + u32::from_le_bytes(drawn) % count;
        let used = usage(directory, number)?;
        if used == kernel::quota::Usage::default() {
            return Ok(number);
        }
    }
    Err(Errno::BUSY)
}

/// Puts a directory and all that is in it into a project: whatever its owner has taken out since the last start is in it again.
fn join(directory: &OwnedFd, number: u32, visit: [u8; 16]) -> Result<()> {
    let top = fstat(directory)?;
    // Before anything counts for the number, so that it is never forgotten.
    let begun = Given {
        number,
        visit: NO_VISIT,
    };
    give(directory, begun)?;
    set_project(directory, number, true)?;
    join_below(directory.as_fd(), &top, number, DEPTH_MAX + 1)?;
    // Last, so that an interrupted visit is begun again. The service's other commands need none: what is counted stays so while it runs.
    give(directory, Given { number, visit })
}

fn join_below(directory: BorrowedFd<'_>, top: &Stat, number: u32, depth: usize) -> Result<()> {
    let too_deep = Errno::from_raw_os_error(TOO_DEEP);
    let below = depth.checked_sub(1).ok_or(too_deep)?;
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
    let Some(inner) = open_counted(directory, name, top)? else {
        return Ok(());
    };
    let is_directory = is_directory(&fstat(&inner)?);
    // Before what is in it, so that what is made meanwhile counts, too.
    set_project(&inner, number, is_directory)?;
    if is_directory {
        join_below(inner.as_fd(), top, number, below)?;
    }
    Ok(())
}

/// Opens what counts. Another unit of the same user may replace it at any moment, so it is looked at again when it is open.
fn open_counted(directory: BorrowedFd<'_>, name: &CStr, top: &Stat) -> Result<Option<OwnedFd>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        let found = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            found => found?,
        };
        if !counts(&found, top) {
            return Ok(None);
        }
        let inner = match openat(directory, name, flags, Mode::empty()) {
            // Gone, a link or a socket by now.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => continue,
            inner => inner?,
        };
        let opened = fstat(&inner)?;
        let is_same = (opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino);
        if is_same && counts(&opened, top) {
            return Ok(Some(inner));
        }
    }
    Err(Errno::BUSY)
}

/// Whether an entry counts. What is mounted there is another file system's; a second name for a stranger's file takes that file from nobody;
/// and what is neither a file nor a directory has nothing that counts.
fn counts(entry: &Stat, top: &Stat) -> bool {
    let is_file = FileType::from_raw_mode(entry.st_mode) == FileType::RegularFile;
    let is_strange = entry.st_nlink > 1 && entry.st_uid != top.st_uid;
    entry.st_dev == top.st_dev && (is_directory(entry) || is_file && !is_strange)
}

fn is_directory(entry: &Stat) -> bool {
    FileType::from_raw_mode(entry.st_mode) == FileType::Directory
}
