//! What PrivateTmp= gives: a directory of this start below a world-writable directory of the host, or memory.

use core::ffi::CStr;

use kernel::rustix::fs::{AtFlags, Mode, OFlags, fchmod, mkdirat, open, openat, statat, unlinkat};
use kernel::{Errno, OwnedFd, Result};
use plan::List;
use plan::frame::{TEMPORARY_MODE, TEMPORARY_OPTIONS};

use super::{clone, filesystem};
use crate::ahead::Part;
use crate::path::PathBuffer;
use crate::state::State;

/// Those of a start, /tmp and /var/tmp.
pub(super) const PARTS: [Part; 2] = [Part::Temporary, Part::OtherTemporary];

/// An empty file system in memory: one that was made ahead, if it is of the same kind.
pub(super) fn memory(state: &State<'_>, mode: u32, options: List<'_>) -> Result<OwnedFd> {
    let is_usual = mode == TEMPORARY_MODE && options == TEMPORARY_OPTIONS.list();
    let mut made = PARTS.into_iter().filter(|_| is_usual);
    match made.find_map(|part| state.ahead.take(part)) {
        Some(made) => Ok(made),
        None => filesystem::tmpfs(mode, options),
    }
}

/// Makes one of that kind.
pub(super) fn make() -> Result<OwnedFd> {
    filesystem::tmpfs(TEMPORARY_MODE, TEMPORARY_OPTIONS.list())
}

/// Only root enters the outer one, all may write to the inner one: a user of the host finds no way in.
const OUTER_MODE: u32 = 0o700;
const INNER_MODE: u32 = 0o1777;

/// Makes `parent/coracle-private-ID/tmp` and gives a clone of it. The id is random, so no one can have been there before;
/// several commands of one run share it,
/// and units that join each other.
pub(super) fn directory(state: &State<'_>, parent: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let outer = of_start(&state.frame.temporary, parent)?;
    accept_existing(mkdirat(&outer, c"tmp", Mode::from_raw_mode(INNER_MODE)))?;
    let inner = openat(&outer, c"tmp", flags, Mode::empty())?;
    fchmod(&inner, Mode::from_raw_mode(INNER_MODE))?;
    clone(&inner, c"", false)
}

/// The same outer directory for what the run changes in its root: two directories, as overlayfs wants them, and where it is mounted.
pub(in crate::steps) fn room_of_start(state: &State<'_>, parent: &CStr) -> Result<OwnedFd> {
    let outer = of_start(&state.frame.invocation, parent)?;
    for name in [UPPER, WORK, LAYERS] {
        accept_existing(mkdirat(&outer, name, Mode::from_raw_mode(0o755)))?;
    }
    Ok(outer)
}

/// Names below the directory of a start.
pub(super) const UPPER: &CStr = c"root";
pub(super) const WORK: &CStr = c"work";
const LAYERS: &CStr = plan::frame::LAYERS;
/// It is there while what is mounted at the place of the layers is the image below them.
const LOWER: &CStr = c"lower";

/// The place in a room where its layers are mounted, or what is mounted there.
pub(in crate::steps) fn place_of_layers(room: &OwnedFd) -> Result<OwnedFd> {
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(room, LAYERS, place, Mode::empty())
}

/// Says that the image below the layers is about to be mounted at their place.
pub(in crate::steps) fn mark_lower(room: &OwnedFd) -> Result<()> {
    accept_existing(mkdirat(room, LOWER, Mode::RWXU))
}

/// Says that it is not there any more.
pub(in crate::steps) fn unmark_lower(room: &OwnedFd) -> Result<()> {
    unlinkat(room, LOWER, AtFlags::REMOVEDIR)
}

/// Whether what is mounted at the place of the layers is not they.
pub(in crate::steps) fn is_lower_attached(room: &OwnedFd) -> Result<bool> {
    match statat(room, LOWER, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        found => found.map(|_| true),
    }
}

fn of_start(id: &[u8; 16], parent: &CStr) -> Result<OwnedFd> {
    let mut name = PathBuffer::new();
    name.push(plan::frame::PRIVATE_PREFIX)?;
    name.push_hex(id)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parent = open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    accept_existing(mkdirat(
        &parent,
        name.text()?,
        Mode::from_raw_mode(OUTER_MODE),
    ))?;
    let outer = openat(&parent, name.text()?, flags, Mode::empty())?;
    let found = kernel::rustix::fs::fstat(&outer)?;
    if found.st_uid != kernel::rustix::process::geteuid().as_raw() {
        return Err(Errno::PERM);
    }
    Ok(outer)
}

fn accept_existing(made: Result<()>) -> Result<()> {
    match made {
        Err(Errno::EXIST) => Ok(()),
        made => made,
    }
}
