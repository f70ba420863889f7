//! The bundle's users and groups with those that it lacks: a file in memory over the bundle's own, which the service can't change. It takes
//! nothing away from anybody, so where the bundle has no place for it, or something else than a table, that stays what it is.

use core::ffi::CStr;

use kernel::rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fchmod, fstat, openat};
use kernel::rustix::io::{read, write};
use kernel::rustix::mount::MountAttrFlags;
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::code::ListBytes;
use plan::names::{MAX_TABLE_BYTES, Names, Table};

use super::{Change, attach, clone, filesystem, point, room, set};
use crate::path::is_directory;
use crate::state::State;

/// What is kept of the bundle's table, and what is added.
const OPTIONS: ListBytes = ListBytes(b"size=256k\0nr_inodes=4\0");
/// Everybody may read it, as everywhere.
const MODE: u32 = 0o444;
const EVERYBODY_READS: u32 = 0o004;

/// Puts the whole table at `at`, if the bundle's own is not whole.
pub(super) fn mount(
    state: &State<'_>,
    at: &CStr,
    table: Table,
    own: &[u8],
    change: Change,
) -> Result<()> {
    if state.origin.is_none() {
        room::ahead(state, c"/etc/");
    }
    let mut content = [0; MAX_TABLE_BYTES];
    let (bundle, found) = match bundle(state, at, &mut content) {
        Ok(found) => found,
        Err(_) => return Ok(()),
    };
    let names = Names { table, bundle, own };
    if names.is_complete() {
        return Ok(());
    }
    let file = written(state, names)?;
    set(&file, change)?;
    match found.map_or_else(|| point(state, at, false), Ok) {
        Ok(place) => attach(&file, place),
        Err(_) => Ok(()),
    }
}

/// The bundle's table and its place; without a place where it has none. What is behind a link, is no file, is closed to some or too long is
/// not looked at: a link may lead to what the unit shows of the host, and nothing is told here that the service may not read.
fn bundle<'a>(
    state: &State<'_>,
    at: &CStr,
    room: &'a mut [u8; MAX_TABLE_BYTES],
) -> Result<(&'a [u8], Option<OwnedFd>)> {
    let place = match straight(state, at, OFlags::PATH) {
        Err(Errno::NOENT) => {
            let directory = straight(state, c"/etc", OFlags::PATH)?;
            return match is_directory(&directory)? {
                true => Ok((&[], None)),
                false => Err(Errno::NOTDIR),
            };
        }
        place => place?,
    };
    let status = fstat(&place)?;
    if !is_table(&status) {
        return Err(Errno::INVAL);
    }
    // It may have been replaced meanwhile, by something that makes its reader wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = straight(state, at, flags)?;
    let opened = fstat(&file)?;
    if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino) || !is_table(&opened) {
        return Err(Errno::AGAIN);
    }
    let mut length = 0;
    loop {
        let rest = room.get_mut(length..).ok_or(Errno::FBIG)?;
        if rest.is_empty() {
            return Err(Errno::FBIG);
        }
        match read(&file, rest)? {
            0 => break,
            count => length += count,
        }
    }
    Ok((room.get(..length).ok_or(Errno::FBIG)?, Some(place)))
}

fn straight(state: &State<'_>, at: &CStr, flags: OFlags) -> Result<OwnedFd> {
    kernel::resolve::open(
        state.root()?,
        at,
        flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
    )
}

fn is_table(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::RegularFile
        && status.st_mode & EVERYBODY_READS != 0
        && usize::try_from(status.st_size).is_ok_and(|size| size < MAX_TABLE_BYTES)
}

/// The whole table as a detached mount of a file.
fn written(state: &State<'_>, names: Names<'_>) -> Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = filesystem::tmpfs_with(0o755, OPTIONS.list(), attributes)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(&tree, c"table", flags, Mode::from_raw_mode(MODE))?;
    fchmod(&file, Mode::from_raw_mode(MODE))?;
    for line in names.lines() {
        write_all(&file, line)?;
        write_all(&file, b"\n")?;
    }
    drop(file);
    match clone(&tree, c"table", false) {
        // What is mounted nowhere is cloned since Linux 6.15.
        Err(Errno::INVAL) => {
            attach(&tree, state.host.as_ref().ok_or(Errno::BADF)?)?;
            let file = clone(&tree, c"table", false);
            filesystem::detach(&tree)?;
            file
        }
        cloned => cloned,
    }
}

fn write_all(file: impl AsFd, mut rest: &[u8]) -> Result<()> {
    while !rest.is_empty() {
        let written = write(&file, rest)?;
        rest = rest.get(written..).ok_or(Errno::IO)?;
    }
    Ok(())
}
