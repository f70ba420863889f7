//! Directories of the service: on the host, before the mount namespace, so that the mounts find them.

use core::ffi::CStr;

use kernel::mark::Made;
use kernel::rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, openat, readlinkat_raw,
    renameat, renameat_with, statat, symlinkat, unlinkat,
};
use kernel::walk::{Place, make_noted};
use kernel::{Errno, OwnedFd, Result};
use plan::List;

use crate::path::PathBuffer;
use crate::state::State;
use crate::steps::ownership;

/// How often a directory is made that goes again; each time, another run must end at that very moment.
const TRIES: u32 = 4096;
const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Makes the directory and its parents, and gives it to its owner.
pub(super) fn take(
    state: &State<'_>,
    path: &CStr,
    mode: u32,
    owned: bool,
    private: bool,
) -> Result<OwnedFd> {
    let directory = make(state, path, mode, private)?;
    let (uid, gid) = if owned {
        (state.frame.uid, state.frame.gid)
    } else {
        (0, 0)
    };
    ownership::give(&directory, Uid::from_raw(uid), Gid::from_raw(gid))?;
    // After the owner, since changing that clears set-id bits.
    fchmod(&directory, Mode::from_raw_mode(mode))?;
    Ok(directory)
}

/// A directory on the way that is empty may go at any moment, with the last run that had something in it: then it is made again.
fn make(state: &State<'_>, path: &CStr, mode: u32, private: bool) -> Result<OwnedFd> {
    for _ in 1..TRIES {
        match try_make(state, path, mode, private) {
            Err(Errno::NOENT) => {}
            made => return made,
        }
    }
    try_make(state, path, mode, private)
}

fn try_make(state: &State<'_>, path: &CStr, mode: u32, private: bool) -> Result<OwnedFd> {
    let place = place(state, path, private)?;
    make_noted(&place.parent, place.name(), mode, |parent, name| {
        note(state, path, usize::MAX, (parent, name))
    })?;
    openat(&place.parent, place.name(), DIRECTORY, Mode::empty())
}

/// Makes the links to a directory.
pub(super) fn link(state: &State<'_>, path: &CStr, links: List<'_>) -> Result<()> {
    links.iter().try_for_each(|link| {
        let target = relative(link, path)?;
        make_link(state, link, target.text()?)
    })
}

/// The way from a link to its target: both may be moved together, and are found below another root.
fn relative(link: &CStr, target: &CStr) -> Result<PathBuffer> {
    let (link, target) = (link.to_bytes(), target.to_bytes());
    let alike = link.iter().zip(target).take_while(|(a, b)| a == b).count();
    // Up to the last slash that both have: what is alike beyond it are names that only begin alike.
    let common = link.get(..alike).unwrap_or_default();
    let start = common.iter().rposition(|&byte| byte == b'/').unwrap_or(0) + 1;
    let mut way = PathBuffer::new();
    let above = link.get(start..).unwrap_or_default();
    for _ in above.iter().filter(|&&byte| byte == b'/') {
        way.push(b"../")?;
    }
    way.push(target.get(start..).unwrap_or_default())?;
    Ok(way)
}

/// Finds the place of a directory or link, making the way to it.
fn place(state: &State<'_>, path: &CStr, private: bool) -> Result<Place> {
    // Only root enters `private`: other users' services must not reach a directory whose user id is used again.
    find_noted(state, path, |name| {
        let closed = private && name == b"private";
        if closed { 0o700 } else { 0o755 }
    })
}

/// Finds the place of a path. What is made on the way is noted.
pub(super) fn find_noted(
    state: &State<'_>,
    path: &CStr,
    mode: impl Fn(&[u8]) -> u32,
) -> Result<Place> {
    Place::find_making(
        path,
        |name| Some(mode(name)),
        |parent, name, depth| note(state, path, depth, (parent, name)),
    )
}

/// Notes, for whom it has to be told from what the host has, that the first names of a path lead to what this start has made.
fn note(state: &State<'_>, path: &CStr, depth: usize, made: Made<'_>) -> Result<()> {
    let of_runtime = path.to_bytes().starts_with(b"/run/");
    match state.frame.marks.iter().nth(usize::from(of_runtime)) {
        Some(records) => kernel::mark::set(records, path, depth, made),
        None => Ok(()),
    }
}

/// A directory that a static user had under the public name moves below `private` when the user becomes dynamic, where the unit may
/// take it over. Else it is somebody else's, and stays what it is.
pub(super) fn clear_public(state: &State<'_>, path: &CStr, takes_over: bool) -> Result<()> {
    let mut public = PathBuffer::new();
    for part in path
        .to_bytes()
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b"private")
    {
        public.push(b"/")?;
        public.push(part)?;
    }
    let public = match Place::find(public.text()?, |_| None) {
        // Where a service could replace what is on the way, nothing is the administrator's.
        Ok(public) if !public.steady => return Ok(()),
        Err(Errno::NOENT) => return Ok(()),
        found => found?,
    };
    match statat(&public.parent, public.name(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
            if !takes_over {
                return Err(Errno::EXIST);
            }
            let private = place(state, path, true)?;
            renameat(
                &public.parent,
                public.name(),
                &private.parent,
                private.name(),
            )
        }
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A directory that a dynamic user had moves from below `private` to its public name when the user becomes static, where the unit may take
/// it over. A link that leads elsewhere stays what it is.
pub(super) fn clear_private(path: &CStr, takes_over: bool) -> Result<()> {
    let public = match Place::find(path, |_| None) {
        // As above.
        Ok(public) if !public.steady => return Ok(()),
        Err(Errno::NOENT) => return Ok(()),
        found => found?,
    };
    let Some(linked) = linked_private(&public, path)? else {
        return Ok(());
    };
    if !takes_over {
        return Err(Errno::EXIST);
    }
    let private = match Place::find(linked.text()?, |_| None) {
        Err(Errno::NOENT) => return unlinkat(&public.parent, public.name(), AtFlags::empty()),
        found => found?,
    };
    let (from, to) = (
        (&private.parent, private.name()),
        (&public.parent, public.name()),
    );
    // In one, so that whoever ends in between leaves one or the other.
    match renameat_with(from.0, from.1, to.0, to.1, RenameFlags::EXCHANGE) {
        Ok(()) => unlinkat(from.0, from.1, AtFlags::empty()),
        Err(Errno::NOENT) => unlinkat(to.0, to.1, AtFlags::empty()),
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS) => {
            unlinkat(to.0, to.1, AtFlags::empty())?;
            renameat(from.0, from.1, to.0, to.1)
        }
        Err(errno) => Err(errno),
    }
}

/// The directory below some `private` that a public name is a link to, if it is the link that we would have made.
fn linked_private(public: &Place, path: &CStr) -> Result<Option<PathBuffer>> {
    let mut room = [core::mem::MaybeUninit::uninit(); crate::path::PATH_BYTES];
    let target = match readlinkat_raw(&public.parent, public.name(), &mut room) {
        Err(Errno::INVAL | Errno::NOENT) => return Ok(None),
        read => read?.0,
    };
    let path = path.to_bytes();
    for (slash, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let (base, name) = path.split_at(slash);
        let mut private = PathBuffer::new();
        for part in [base, b"/private", name] {
            private.push(part)?;
        }
        let mut link = PathBuffer::new();
        link.push(path)?;
        if relative(link.text()?, private.text()?)?.text()?.to_bytes() == target {
            return Ok(Some(private));
        }
    }
    Ok(None)
}

/// Makes a symbolic link; replaces another link, nothing else.
pub(super) fn make_link(state: &State<'_>, link: &CStr, target: &CStr) -> Result<()> {
    let place = place(state, link, false)?;
    let (parent, name) = (&place.parent, place.name());
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return put_link(state, link, target, (parent, name)),
        Err(errno) => return Err(errno),
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::Symlink => {
            return Err(Errno::EXIST);
        }
        Ok(_) => {}
    }
    let mut room = [core::mem::MaybeUninit::uninit(); crate::path::PATH_BYTES];
    let (found, _) = readlinkat_raw(parent, name, &mut room)?;
    if found == target.to_bytes() {
        return Ok(());
    }
    unlinkat(parent, name, AtFlags::empty())?;
    put_link(state, link, target, (parent, name))
}

fn put_link(state: &State<'_>, link: &CStr, target: &CStr, (parent, name): Made<'_>) -> Result<()> {
    symlinkat(target, parent, name)?;
    note(state, link, usize::MAX, (parent, name))
}
