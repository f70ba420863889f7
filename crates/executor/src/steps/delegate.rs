//! Namespaces that belong to the service's own user namespace: before the others are made, so that all that is set up in them is set up
//! once, and by root of the host, whose files are at hand until the user namespace is entered last.
//!
//! A process of our own makes the user namespace, and in it what is to belong to it; we join its namespaces one by one.

use kernel::process::Forked;
use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::rustix::mount::{FsOpenFlags, fsopen};
use kernel::rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::step::UserMap;

use crate::state::State;
use crate::steps::user_namespace;

const CLONE_NEWNS: u32 = 0x0002_0000;
const CLONE_NEWUSER: u32 = 0x1000_0000;

/// The process that holds the user namespace until it is entered; it ends when its socket closes.
pub(crate) struct Holder {
    process: OwnedFd,
    socket: OwnedFd,
}

/// Opens the file of a user namespace, while the host's files are in sight.
pub(super) fn open_path(state: &mut State<'_>, path: &core::ffi::CStr) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    state.user_namespace = Some(open(path, flags, Mode::empty())?);
    Ok(())
}

/// Has the user namespace made, and joins what belongs to it.
pub(super) fn take(state: &mut State<'_>, map: UserMap, kinds: u32, bpf: bool) -> Result<()> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    match kernel::process::fork_alone(0)? {
        Forked::Child => {
            drop(ours);
            let held = hold(state, map, kinds, bpf, &theirs);
            kernel::process::exit_group(held.err().map_or(0, Errno::raw_os_error));
        }
        Forked::Parent(_, process) => {
            drop(theirs);
            let mut byte = [0];
            let mut descriptors = kernel::message::Descriptors::default();
            let options = kernel::message::ReceiveOptions {
                peek: false,
                wait: true,
            };
            let received = kernel::message::receive(&ours, &mut byte, &mut descriptors, options);
            if byte == [0] {
                received?;
                user_namespace::written(&process)?;
                return Err(Errno::PIPE);
            }
            state.bpf = descriptors.take();
            if kinds != 0 {
                kernel::namespace::join(&process, kinds)?;
            }
            state.holder = Some(Holder {
                process,
                socket: ours,
            });
            Ok(())
        }
    }
}

/// What the holder does: it makes everything, says so, and stays until nobody needs it.
fn hold(
    state: &mut State<'_>,
    map: UserMap,
    kinds: u32,
    bpf: bool,
    socket: &OwnedFd,
) -> Result<()> {
    match &state.user_namespace {
        Some(opened) => kernel::namespace::join(opened, CLONE_NEWUSER)?,
        None => user_namespace::alone(state, map)?,
    }
    // Who begins a file system must own the mounts around: nobody else sees these.
    kernel::namespace::unshare(if bpf { kinds | CLONE_NEWNS } else { kinds })?;
    let begun = if bpf {
        // Begun here it belongs to this user namespace; what its tokens may do is for root of the host to say.
        Some(fsopen(c"bpf", FsOpenFlags::FSOPEN_CLOEXEC)?)
    } else {
        None
    };
    match &begun {
        Some(begun) => kernel::message::send(socket, b"m", &[begun.as_fd()])?,
        None => kernel::message::send(socket, b"m", &[])?,
    };
    // The end of the other side, which sends nothing.
    kernel::rustix::io::read(socket, &mut [0]).map(drop)
}

/// Enters the user namespace that is held, and lets its holder go.
pub(super) fn enter(holder: Holder) -> Result<()> {
    kernel::namespace::join(&holder.process, CLONE_NEWUSER)?;
    drop(holder.socket);
    user_namespace::written(&holder.process)
}

/// Joins the user namespace that was opened, as its root: the user that we are has perhaps no number in it.
pub(super) fn enter_path(state: &mut State<'_>) -> Result<()> {
    let opened = state.user_namespace.take().ok_or(Errno::BADF)?;
    // Before: a user namespace may forbid it.
    kernel::credentials::set_groups(&[])?;
    kernel::namespace::join(&opened, CLONE_NEWUSER)?;
    if let Some(holder) = state.holder.take() {
        drop(holder.socket);
        user_namespace::written(&holder.process)?;
    }
    kernel::credentials::set_group(0)?;
    kernel::credentials::set_keep_capabilities(true)?;
    kernel::credentials::set_user(0)
}
