//! A listening socket: inside the socket unit's own cgroup and network namespace, so that accounting and address rules apply
//! to it; before the mounts, since socket files are the host's.

use core::ffi::CStr;

use kernel::rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chmodat, chownat, fstat, mknodat, openat,
    statat, unlinkat,
};
use kernel::rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use kernel::rustix::net::{Ipv4Addr, Ipv6Addr, Protocol, SocketAddrV4, SocketAddrV6};
use kernel::rustix::path::DecInt;
use kernel::walk::Place;
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::Step;
use plan::report::Report;
use plan::step::Address;

use crate::path::PathBuffer;
use crate::state::State;
use crate::steps::directory;

mod options;

/// Makes the socket and sends it to the manager.
pub(super) fn take(state: &State<'_>, step: &Step<'_>) -> Result<()> {
    let Step::Listen {
        index,
        address,
        kind,
        backlog,
        links,
        ..
    } = *step
    else {
        return Err(Errno::INVAL);
    };
    let socket = match address {
        Address::Fifo { path } => fifo(state, step, path)?,
        _ => bound(state, step)?,
    };
    if matches!(
        SocketType::from_raw(kind),
        SocketType::STREAM | SocketType::SEQPACKET
    ) && !matches!(address, Address::Fifo { .. })
    {
        // The kernel cuts it to the host's limit.
        listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
    }
    if let Address::Unix { path } | Address::Fifo { path } = address {
        links
            .iter()
            .try_for_each(|link| directory::make_link(state, link, path))?;
    }
    kernel::message::send(
        &state.report,
        &Report::Socket { index }.encode(),
        &[socket.as_fd()],
    )
    .map(drop)
}

fn bound(state: &State<'_>, step: &Step<'_>) -> Result<OwnedFd> {
    let Step::Listen {
        address,
        kind,
        protocol,
        ..
    } = *step
    else {
        return Err(Errno::INVAL);
    };
    let family = match address {
        Address::V4 { .. } => AddressFamily::INET,
        Address::V6 { .. } => AddressFamily::INET6,
        Address::Unix { .. } | Address::Abstract { .. } | Address::Fifo { .. } => {
            AddressFamily::UNIX
        }
    };
    let protocol = core::num::NonZeroU32::new(protocol).map(Protocol::from_raw);
    // Non-blocking, so that a service that accepts after a connection went away again doesn't stand still.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::from_raw(kind), flags, protocol)?;
    options::set(&socket, step)?;
    match address {
        Address::V4 { ip, port } => {
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::from_bits(ip), port))?
        }
        Address::V6 {
            high,
            low,
            port,
            scope,
        } => {
            let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
            bind(&socket, &SocketAddrV6::new(ip, port, 0, scope))?;
        }
        Address::Abstract { name } => bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?,
        Address::Unix { path } => bind_path(state, step, &socket, path)?,
        Address::Fifo { .. } => return Err(Errno::INVAL),
    }
    Ok(socket)
}

fn bind_path(state: &State<'_>, step: &Step<'_>, socket: &OwnedFd, path: &CStr) -> Result<()> {
    let place = place(state, path, step)?;
    let address = address(&place, path)?;
    // Nobody may connect before mode and owner are right.
    let old = kernel::rustix::process::umask(Mode::from_raw_mode(0o777));
    let mut done = bind(socket, &address);
    if done == Err(Errno::ADDRINUSE) {
        // A socket file that a former start left behind; another kind of file is not ours to remove.
        done = remove_socket(&place).and_then(|()| bind(socket, &address));
    }
    kernel::rustix::process::umask(old);
    done?;
    give(state, step, &place, FileType::Socket)
}

/// The path itself, by which programs know their sockets again. Where it leads through a directory that somebody else may
/// change at this moment, a path through our descriptor.
fn address(place: &Place, path: &CStr) -> Result<SocketAddrUnix> {
    if place.steady {
        return SocketAddrUnix::new(path);
    }
    let mut fixed = PathBuffer::new();
    fixed.push(b"/proc/self/fd/")?;
    fixed.push(DecInt::from_fd(&place.parent).as_bytes())?;
    fixed.push(b"/")?;
    fixed.push(place.name().to_bytes())?;
    SocketAddrUnix::new(fixed.text()?)
}

/// Where the path leads to; directories on the way are made.
fn place(state: &State<'_>, path: &CStr, step: &Step<'_>) -> Result<Place> {
    let Step::Listen { directory_mode, .. } = *step else {
        return Err(Errno::INVAL);
    };
    directory::find_noted(state, path, |_| directory_mode)
}

fn kind(place: &Place) -> Result<FileType> {
    let found = statat(&place.parent, place.name(), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode))
}

fn remove_socket(place: &Place) -> Result<()> {
    if kind(place)? != FileType::Socket {
        return Err(Errno::ADDRINUSE);
    }
    unlinkat(&place.parent, place.name(), AtFlags::empty())
}

/// Owner first: with the mode still closed, nobody slips in between. Both are given to the file itself, which was looked at,
/// and not to what somebody may put in its place.
fn give(state: &State<'_>, step: &Step<'_>, place: &Place, kind: FileType) -> Result<()> {
    let Step::Listen { mode, owned, .. } = *step else {
        return Err(Errno::INVAL);
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&place.parent, place.name(), flags, Mode::empty())?;
    let found = fstat(&file)?;
    // A second name for somebody else's socket is no socket of ours.
    if FileType::from_raw_mode(found.st_mode) != kind || found.st_nlink > 1 {
        return Err(Errno::EXIST);
    }
    if owned {
        let (uid, gid) = (
            Uid::from_raw(state.frame.uid),
            Gid::from_raw(state.frame.gid),
        );
        chownat(&file, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    }
    let mut path = PathBuffer::new();
    path.push(b"/proc/self/fd/")?;
    path.push(DecInt::from_fd(&file).as_bytes())?;
    chmodat(
        CWD,
        path.text()?,
        Mode::from_raw_mode(mode),
        AtFlags::empty(),
    )
}

fn fifo(state: &State<'_>, step: &Step<'_>, path: &CStr) -> Result<OwnedFd> {
    let place = place(state, path, step)?;
    match mknodat(
        &place.parent,
        place.name(),
        FileType::Fifo,
        Mode::empty(),
        0,
    ) {
        Ok(()) => {}
        Err(Errno::EXIST) if kind(&place)? == FileType::Fifo => {}
        Err(errno) => return Err(errno),
    }
    give(state, step, &place, FileType::Fifo)?;
    let flags =
        OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
    openat(&place.parent, place.name(), flags, Mode::empty())
}
