//! Network namespaces for later starts: a role of its own, whose process the manager asks while nobody waits for it.
//!
//! Each namespace is made when it is asked for and sent on, and this process goes home before it does: it is in none that a service has.
//! It is owned by the user namespace of this process, as one is that an executor of the same keeper makes.
//!
//! What comes along with a message is let go here: the last descriptor of a mount namespace, whose end takes as long as a start's mounts.

use kernel::message::{Descriptors, ReceiveOptions};
use kernel::namespace::NETWORK;
use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::{AsFd, OwnedFd, Result};
use plan::report::{LET_GO, Report};

use crate::state::State;

const CAP_NET_ADMIN: u64 = 1 << 12;
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Answers each message with a namespace, until the manager lets go.
pub(super) fn take(state: &State<'_>) -> Result<()> {
    let home = own_network()?;
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
        if asked == LET_GO {
            continue;
        }
        let made = make(&home)?;
        kernel::message::send(&state.report, &Report::Network.encode(), &[made.as_fd()])?;
    }
}

fn make(home: &OwnedFd) -> Result<OwnedFd> {
    kernel::namespace::unshare(NETWORK)?;
    kernel::interface::bring_up(c"lo")?;
    let made = own_network()?;
    kernel::namespace::join(home, NETWORK)?;
    Ok(made)
}

fn own_network() -> Result<OwnedFd> {
    open(
        c"/proc/self/ns/net",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Namespaces are still to be made and entered, and an interface to be switched on; nothing else.
fn give_up_privileges() -> Result<()> {
    kernel::process::set_no_new_privileges()?;
    let mut sets = kernel::credentials::capabilities()?;
    sets.permitted &= CAP_NET_ADMIN | CAP_SYS_ADMIN;
    sets.effective = sets.permitted;
    sets.inheritable = 0;
    kernel::credentials::clear_ambient()?;
    kernel::credentials::set_capabilities(sets)
}
