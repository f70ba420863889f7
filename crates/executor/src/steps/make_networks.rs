//! What later starts take instead of making it: a role of its own, whose process the manager asks while nobody waits for it.
//!
//! Each thing is made when it is asked for and sent on, and this process goes home before it does: it is in no namespace that a service has.
//! They are owned by the user namespace of this process, as those are that an executor of the same keeper makes.
//!
//! What comes along with a message is let go here: the last descriptor of a mount namespace, whose end takes as long as a start's mounts.

use kernel::message::{Descriptors, ReceiveOptions};
use kernel::namespace::{IPC, NETWORK};
use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::report::{LET_GO, MAKE_ALL, MAKE_FILES, MAKE_NETWORK, Report, Unmade, UnmadePart};

use crate::ahead::{Ahead, Part};
use crate::state::State;
use crate::steps::{mount, proc_file, user_namespace};

/// Namespaces are made and entered, file systems mounted; an interface is switched on; device nodes are made; and the last three are those
/// that a user namespace's maps ask of who opened their files (user_namespaces(7)).
const KEPT: u64 = CAP_SYS_ADMIN | CAP_NET_ADMIN | CAP_MKNOD | CAP_SETGID | CAP_SETUID | CAP_SETFCAP;
const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;
const CAP_NET_ADMIN: u64 = 1 << 12;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_MKNOD: u64 = 1 << 27;
const CAP_SETFCAP: u64 = 1 << 31;

/// The namespaces to which this process returns.
struct Home {
    network: OwnedFd,
    ipc: OwnedFd,
}

/// Answers each message with what it asks for, or with what of it failed, until the manager lets go.
pub(super) fn take(state: &mut State<'_>) -> Result<()> {
    let home = Home {
        network: own(NETWORK)?,
        ipc: own(IPC)?,
    };
    proc_file::of_kernel(state)?;
    give_up_privileges()?;
    let wait = ReceiveOptions {
        wait: true,
        ..ReceiveOptions::default()
    };
    loop {
        let (mut asked, mut along) = ([0; 1], Descriptors::default());
        if kernel::message::receive(&state.report, &mut asked, &mut along, wait)?.bytes == 0 {
            return Ok(());
        }
        let pack = |ahead: Ahead| ahead.pack().map_err(of(UnmadePart::Bundle));
        let (made, report) = match asked {
            LET_GO => continue,
            MAKE_NETWORK => {
                let made = make_network().map_err(of(UnmadePart::Network));
                kernel::namespace::join(&home.network, NETWORK)?;
                (made, Report::Network)
            }
            MAKE_ALL => {
                let made = make_all(state);
                kernel::namespace::join(&home.network, NETWORK)?;
                kernel::namespace::join(&home.ipc, IPC)?;
                // Only here, as a socket belongs to the network in which it is made.
                (made.and_then(pack), Report::Ahead)
            }
            MAKE_FILES => (make_files().and_then(pack), Report::Files),
            _ => return Err(Errno::BADMSG),
        };
        match made {
            Ok(made) => kernel::message::send(&state.report, &report.encode(), &[made.as_fd()])?,
            Err((part, errno)) => {
                let unmade = Unmade {
                    wish: asked,
                    part,
                    errno: errno.raw_os_error(),
                };
                kernel::message::send(&state.report, &Report::Unmade(unmade).encode(), &[])?
            }
        };
    }
}

/// What was made, or what of it failed.
pub(super) type Made<T> = core::result::Result<T, (UnmadePart, Errno)>;

/// Names what failed.
pub(super) fn of(part: UnmadePart) -> impl Fn(Errno) -> (UnmadePart, Errno) {
    move |errno| (part, errno)
}

fn make_network() -> Result<OwnedFd> {
    kernel::namespace::unshare(NETWORK)?;
    kernel::interface::bring_up(c"lo")?;
    own(NETWORK)
}

/// All that a start with the whole default profile can take.
fn make_all(state: &mut State<'_>) -> Made<Ahead> {
    let ahead = Ahead::new();
    let users = user_namespace::make(state).map_err(of(UnmadePart::Users))?;
    let [namespace, user_map, group_map] = users;
    ahead.put(Part::Users, namespace);
    ahead.put(Part::UserMap, user_map);
    ahead.put(Part::GroupMap, group_map);
    make_namespaces(&ahead).map_err(of(UnmadePart::Network))?;
    mount::make_ahead(&ahead)?;
    Ok(ahead)
}

/// What a start without namespaces of that kind can take.
fn make_files() -> Made<Ahead> {
    let ahead = Ahead::new();
    mount::make_files_ahead(&ahead)?;
    Ok(ahead)
}

fn make_namespaces(ahead: &Ahead) -> Result<()> {
    kernel::namespace::unshare(NETWORK | IPC)?;
    kernel::interface::bring_up(c"lo")?;
    ahead.put(Part::Network, own(NETWORK)?);
    ahead.put(Part::Ipc, own(IPC)?);
    Ok(())
}

/// The namespace of a kind that this process is in.
fn own(kind: u32) -> Result<OwnedFd> {
    let path = if kind == NETWORK {
        c"/proc/self/ns/net"
    } else {
        c"/proc/self/ns/ipc"
    };
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn give_up_privileges() -> Result<()> {
    kernel::process::set_no_new_privileges()?;
    let mut sets = kernel::credentials::capabilities()?;
    sets.permitted &= KEPT;
    sets.effective = sets.permitted;
    sets.inheritable = 0;
    kernel::credentials::clear_ambient()?;
    kernel::credentials::set_capabilities(sets)
}
