//! A listening socket: inside the socket unit's own cgroup and network namespace, so that accounting and address rules apply
//! to it; before the mounts, since socket files are the host's.

use core::ffi::CStr;

use kernel::rustix::fs::{
    AtFlags, FileType, Gid, Mode, Uid, chmodat, chownat, mkdir, statat, symlink, unlinkat,
};
use kernel::rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use kernel::rustix::net::{Ipv4Addr, Ipv6Addr, Protocol, SocketAddrV4, SocketAddrV6};
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::Step;
use plan::report::Report;
use plan::step::Address;

use crate::path::PathBuffer;
use crate::state::State;

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
        links.iter().try_for_each(|link| make_link(path, link))?;
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
    make_parents(path, step)?;
    let address = SocketAddrUnix::new(path)?;
    // Nobody may connect before mode and owner are right.
    let old = kernel::rustix::process::umask(Mode::from_raw_mode(0o777));
    let mut done = bind(socket, &address);
    if done == Err(Errno::ADDRINUSE) {
        // A socket file that a former start left behind; another kind of file is not ours to remove.
        done = remove_socket(path).and_then(|()| bind(socket, &address));
    }
    kernel::rustix::process::umask(old);
    done?;
    give(state, step, path)
}

fn remove_socket(path: &CStr) -> Result<()> {
    let found = statat(kernel::rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(Errno::ADDRINUSE);
    }
    unlinkat(kernel::rustix::fs::CWD, path, AtFlags::empty())
}

/// Owner first: with the mode still closed, nobody slips in between.
fn give(state: &State<'_>, step: &Step<'_>, path: &CStr) -> Result<()> {
    let Step::Listen { mode, owned, .. } = *step else {
        return Err(Errno::INVAL);
    };
    let here = kernel::rustix::fs::CWD;
    if owned {
        let (uid, gid) = (
            Uid::from_raw(state.frame.uid),
            Gid::from_raw(state.frame.gid),
        );
        chownat(here, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    chmodat(here, path, Mode::from_raw_mode(mode), AtFlags::empty())
}

fn fifo(state: &State<'_>, step: &Step<'_>, path: &CStr) -> Result<OwnedFd> {
    use kernel::rustix::fs::{CWD, OFlags, mknodat, open};
    make_parents(path, step)?;
    match mknodat(CWD, path, FileType::Fifo, Mode::empty(), 0) {
        Ok(()) => {}
        Err(Errno::EXIST)
            if FileType::from_raw_mode(statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
                == FileType::Fifo => {}
        Err(errno) => return Err(errno),
    }
    give(state, step, path)?;
    open(
        path,
        OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY,
        Mode::empty(),
    )
}

/// Makes the directories that lead to a path.
fn make_parents(path: &CStr, step: &Step<'_>) -> Result<()> {
    let Step::Listen { directory_mode, .. } = *step else {
        return Err(Errno::INVAL);
    };
    let mut parent = PathBuffer::new();
    let mut names = path
        .to_bytes()
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            break;
        }
        parent.push(b"/")?;
        parent.push(name)?;
        match mkdir(parent.text()?, Mode::from_raw_mode(directory_mode)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn make_link(path: &CStr, link: &CStr) -> Result<()> {
    match symlink(path, link) {
        Err(Errno::EXIST) => {
            let here = kernel::rustix::fs::CWD;
            let found = statat(here, link, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
                return Err(Errno::EXIST);
            }
            unlinkat(here, link, AtFlags::empty())?;
            symlink(path, link)
        }
        made => made,
    }
}
