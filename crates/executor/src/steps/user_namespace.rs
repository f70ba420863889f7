//! User namespaces. First: the unprivileged own nothing else before it. Late: root makes every other namespace as the host's,
//! so that the service, root in its own user namespace or not, has no power over them.

use core::ffi::CStr;

use kernel::holder::Holder;
use kernel::rustix::fs::{Mode, OFlags, openat};
use kernel::rustix::io::write;
use kernel::rustix::process::{getegid, geteuid};
use kernel::{Errno, OwnedFd, Result};
use plan::step::UserMap;

use crate::ahead::Part;
use crate::state::State;
use crate::steps::proc_file::{Digits, of_kernel, write_file};

const CLONE_NEWUSER: u32 = 0x1000_0000;
/// How many ids an identity map has, as the reference does.
const IDENTITY_IDS: u64 = 65_536;
/// All ids but the one that means none.
const FULL_IDS: u64 = 0xffff_ffff;

/// Enters a user namespace and maps the caller itself.
pub(super) fn first(map: UserMap) -> Result<()> {
    let (uid, gid) = (u64::from(geteuid().as_raw()), u64::from(getegid().as_raw()));
    kernel::namespace::unshare(CLONE_NEWUSER)?;
    // The files below belong to root as long as the process can't be dumped. No one else is inside to make use of it.
    kernel::process::set_dumpable(true)?;
    let written = write_own_maps(map, uid, gid);
    kernel::process::set_dumpable(false)?;
    written
}

fn write_own_maps(map: UserMap, uid: u64, gid: u64) -> Result<()> {
    let inside = |outside| {
        if map == UserMap::CallerAsRoot {
            0
        } else {
            outside
        }
    };
    write_file(c"/proc/self/setgroups", b"deny")?;
    let mut line = Line::new();
    line.range(inside(uid), uid, 1)?;
    write_file(c"/proc/self/uid_map", line.bytes())?;
    let mut line = Line::new();
    line.range(inside(gid), gid, 1)?;
    write_file(c"/proc/self/gid_map", line.bytes())
}

/// Enters a user namespace whose maps this process has written while it was outside: only a process of the old one may.
pub(super) fn alone(state: &mut State<'_>, map: UserMap) -> Result<()> {
    if let Some(namespace) = state.ahead.take(Part::Users) {
        let user_map = state.ahead.take(Part::UserMap).ok_or(Errno::BADF)?;
        let group_map = state.ahead.take(Part::GroupMap).ok_or(Errno::BADF)?;
        write_map(&user_map, map, state.frame.uid)?;
        write_map(&group_map, map, state.frame.gid)?;
        return kernel::namespace::join(namespace, CLONE_NEWUSER);
    }
    let holder = Holder::new(of_kernel(state)?)?;
    let entered = write_maps(&holder.process, state, map)
        .and_then(|()| kernel::namespace::join(&holder.namespace, CLONE_NEWUSER));
    holder.reap()?;
    entered
}

/// What the helper says with its exit status: 0, or an error number.
pub(super) fn written(helper: &OwnedFd) -> Result<()> {
    match kernel::wait::wait(helper)?.ending {
        kernel::wait::Ending::Exited(0) => Ok(()),
        kernel::wait::Ending::Exited(errno) => Err(Errno::from_raw_os_error(errno)),
        kernel::wait::Ending::Killed { .. } => Err(Errno::CHILD),
    }
}

fn write_maps(process: &OwnedFd, state: &State<'_>, map: UserMap) -> Result<()> {
    write_map(&map_file(process, c"uid_map")?, map, state.frame.uid)?;
    write_map(&map_file(process, c"gid_map")?, map, state.frame.gid)
}

/// A user namespace that nobody is in and whose maps are to be written, and the files for them.
pub(super) fn make(state: &mut State<'_>) -> Result<[OwnedFd; 3]> {
    let holder = Holder::new(of_kernel(state)?)?;
    let user_map = map_file(&holder.process, c"uid_map");
    let group_map = map_file(&holder.process, c"gid_map");
    let namespace = holder.reap()?;
    Ok([namespace, user_map?, group_map?])
}

fn map_file(process: &OwnedFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    openat(process, name, flags, Mode::empty())
}

fn write_map(file: &OwnedFd, map: UserMap, id: u32) -> Result<()> {
    let mut line = Line::new();
    match map {
        UserMap::Identity => line.range(0, 0, IDENTITY_IDS)?,
        UserMap::Full => line.range(0, 0, FULL_IDS)?,
        _ if id == 0 => line.range(0, 0, 1)?,
        _ => {
            line.range(0, 0, 1)?;
            line.range(u64::from(id), u64::from(id), 1)?;
        }
    }
    if write(file, line.bytes())? == line.bytes().len() {
        Ok(())
    } else {
        Err(Errno::IO)
    }
}

/// Lines of a map, which the kernel takes in one write.
struct Line {
    room: [u8; 160],
    length: usize,
}

impl Line {
    const fn new() -> Self {
        Self {
            room: [0; 160],
            length: 0,
        }
    }

    fn range(&mut self, inside: u64, outside: u64, count: u64) -> Result<()> {
        for (number, end) in [(inside, b" "), (outside, b" "), (count, b"\n")] {
            self.push(Digits::new().unsigned(number))?;
            self.push(end)?;
        }
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.length + bytes.len();
        self.room
            .get_mut(self.length..end)
            .ok_or(Errno::OVERFLOW)?
            .copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.room.get(..self.length).unwrap_or(&[])
    }
}
