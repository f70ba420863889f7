//! A listening socket: inside the socket unit's own cgroup and network namespace, so that accounting and address rules apply
//! to it; before the mounts, since socket files are the host's.

use core::ffi::CStr;

use kernel::rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chmodat, chownat, fstat, fstatfs, mknodat,
    openat, statat, unlinkat,
};
use kernel::rustix::net::netdevice::name_to_index;
use kernel::rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use kernel::rustix::net::{Ipv4Addr, Ipv6Addr, Protocol, SocketAddrV4, SocketAddrV6};
use kernel::rustix::path::DecInt;
use kernel::walk::Place;
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::Step;
use plan::report::Report;
use plan::step::{Address, QueueSize};

use crate::path::PathBuffer;
use crate::state::State;
use crate::steps::directory;

mod options;

/// Makes the socket and sends it to the manager.
pub(super) fn take(state: &mut State<'_>, step: &Step<'_>) -> Result<()> {
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
        Address::Special { path, writable } => special(path, writable)?,
        Address::Queue { name, size } => queue(step, name, size)?,
        _ => bound(state, step)?,
    };
    if matches!(
        SocketType::from_raw(kind),
        SocketType::STREAM | SocketType::SEQPACKET
    ) {
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

fn family(address: &Address<'_>) -> Result<AddressFamily> {
    match address {
        Address::V4 { .. } => Ok(AddressFamily::INET),
        Address::V6 { .. } => Ok(AddressFamily::INET6),
        Address::Unix { .. } | Address::Abstract { .. } => Ok(AddressFamily::UNIX),
        Address::Netlink { .. } => Ok(AddressFamily::NETLINK),
        Address::Vsock { .. } => Ok(AddressFamily::VSOCK),
        Address::Fifo { .. } | Address::Queue { .. } | Address::Special { .. } => Err(Errno::INVAL),
    }
}

fn bound(state: &mut State<'_>, step: &Step<'_>) -> Result<OwnedFd> {
    let Step::Listen {
        address,
        kind,
        protocol,
        settings,
        ..
    } = *step
    else {
        return Err(Errno::INVAL);
    };
    let protocol = core::num::NonZeroU32::new(protocol).map(Protocol::from_raw);
    // Non-blocking, so that a service that accepts after a connection went away again doesn't stand still.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(
        family(&address)?,
        SocketType::from_raw(kind),
        flags,
        protocol,
    )?;
    options::set(state, &socket, settings)?;
    match address {
        Address::V4 { ip, port } => {
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::from_bits(ip), port))?
        }
        Address::V6 {
            high,
            low,
            port,
            scope,
            interface,
        } => {
            let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
            // Here, where the socket is: another network has other interfaces.
            let scope = match interface {
                Some(name) => name_to_index(&socket, name.to_str().map_err(|_| Errno::NODEV)?)?,
                None => scope,
            };
            bind(&socket, &SocketAddrV6::new(ip, port, 0, scope))?;
        }
        Address::Abstract { name } => bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?,
        Address::Unix { path } => bind_path(state, step, &socket, path)?,
        Address::Netlink { groups } => kernel::listening::bind_netlink(&socket, groups)?,
        Address::Vsock { cid, port } => kernel::listening::bind_vsock(&socket, cid, port)?,
        Address::Fifo { .. } | Address::Queue { .. } | Address::Special { .. } => {
            return Err(Errno::INVAL);
        }
    }
    Ok(socket)
}

/// A message queue. One that is there and is somebody else's, or that others may use than the unit says, is not ours to listen on.
fn queue(step: &Step<'_>, name: &CStr, size: Option<QueueSize>) -> Result<OwnedFd> {
    let Step::Listen { mode, .. } = *step else {
        return Err(Errno::INVAL);
    };
    let name = CStr::from_bytes_with_nul(
        name.to_bytes_with_nul()
            .strip_prefix(b"/")
            .ok_or(Errno::INVAL)?,
    )
    .map_err(|_| Errno::INVAL)?;
    let old = kernel::rustix::process::umask(Mode::empty());
    let size = size.map(|size| (size.messages, size.bytes));
    let queue = kernel::listening::open_queue(name, mode, size);
    kernel::rustix::process::umask(old);
    let queue = queue?;
    let found = fstat(&queue)?;
    let own = kernel::rustix::process::geteuid().as_raw();
    if found.st_uid == own && found.st_mode & 0o777 == mode & 0o777 {
        Ok(queue)
    } else {
        Err(Errno::EXIST)
    }
}

/// A file of the kernel's, or a device.
fn special(path: &CStr, writable: bool) -> Result<OwnedFd> {
    let access = if writable {
        OFlags::RDWR
    } else {
        OFlags::RDONLY
    };
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
    // Looked at before it is opened, as to open a device may do something.
    let looked = openat(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    /// A file system that a process serves would make everyone wait who asks whether there is something.
    const FUSE: i64 = 0x6573_5546;
    let kind = FileType::from_raw_mode(fstat(&looked)?.st_mode);
    if !matches!(kind, FileType::RegularFile | FileType::CharacterDevice)
        || fstatfs(&looked)?.f_type == FUSE
    {
        return Err(Errno::EXIST);
    }
    let mut again = PathBuffer::new();
    again.push(b"/proc/self/fd/")?;
    again.push(DecInt::from_fd(&looked).as_bytes())?;
    openat(CWD, again.text()?, flags - OFlags::NOFOLLOW, Mode::empty())
}

fn bind_path(state: &mut State<'_>, step: &Step<'_>, socket: &OwnedFd, path: &CStr) -> Result<()> {
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
fn give(state: &mut State<'_>, step: &Step<'_>, place: &Place, kind: FileType) -> Result<()> {
    let Step::Listen {
        mode,
        owned,
        settings,
        ..
    } = *step
    else {
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
    options::mark(state, path.text()?, settings)?;
    chmodat(
        CWD,
        path.text()?,
        Mode::from_raw_mode(mode),
        AtFlags::empty(),
    )
}

fn fifo(state: &mut State<'_>, step: &Step<'_>, path: &CStr) -> Result<OwnedFd> {
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
    let pipe = openat(&place.parent, place.name(), flags, Mode::empty())?;
    let Step::Listen { settings, .. } = *step else {
        return Err(Errno::INVAL);
    };
    options::set(state, &pipe, settings)?;
    Ok(pipe)
}
