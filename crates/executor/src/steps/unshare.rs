//! New namespaces, all in one call: before everything that is set up inside of them.

use kernel::namespace::{IPC, NETWORK};
use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::{AsFd, OwnedFd, Result};
use plan::frame::Role;
use plan::report::Report;

use crate::ahead::{Ahead, Part};
use crate::state::State;

/// Makes and enters them, and tells the manager of those that others are to be in. Those that were made ahead, and that nobody else has been
/// given, are entered instead of making them.
pub(super) fn take(state: &mut State<'_>, kinds: u32, told: u32) -> Result<()> {
    take_made(state, kinds)?;
    let mut missing = kinds;
    let mut entered = [const { None }; 2];
    for ((kind, part), slot) in [(NETWORK, Part::Network), (IPC, Part::Ipc)]
        .into_iter()
        .zip(&mut entered)
    {
        if kinds & kind != 0
            && let Some(made) = state.ahead.take(part)
        {
            kernel::namespace::join(&made, kind)?;
            missing &= !kind;
            *slot = Some(made);
        }
    }
    state.network_is_made = kinds & !missing & NETWORK != 0;
    if missing != 0 {
        kernel::namespace::unshare(missing)?;
    }
    if told != 0 {
        tell(state, told, entered)?;
    }
    Ok(())
}

/// Hands the namespaces that this process is in to the manager.
fn tell(state: &State<'_>, told: u32, entered: [Option<OwnedFd>; 2]) -> Result<()> {
    let report = Report::Namespaces { kinds: told }.encode();
    let [network, ipc] = entered;
    let opened = |wanted: u32, entered: Option<OwnedFd>, path| match entered {
        _ if told & wanted == 0 => Ok(None),
        Some(entered) => Ok(Some(entered)),
        None => open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(Some),
    };
    let network = opened(NETWORK, network, c"/proc/self/ns/net")?;
    let ipc = opened(IPC, ipc, c"/proc/self/ns/ipc")?;
    let sent = match (&network, &ipc) {
        (Some(network), Some(ipc)) => {
            kernel::message::send(&state.report, &report, &[network.as_fd(), ipc.as_fd()])
        }
        (Some(one), None) | (None, Some(one)) => {
            kernel::message::send(&state.report, &report, &[one.as_fd()])
        }
        (None, None) => return Ok(()),
    };
    sent.map(drop)
}

/// What was made ahead: namespaces are for a start with a network of its own.
fn take_made(state: &mut State<'_>, kinds: u32) -> Result<()> {
    if let Ok(socket) = state.take(Role::MadeFiles) {
        state.ahead = Ahead::unpack(socket)?;
    }
    if kinds & NETWORK == 0 {
        return Ok(());
    }
    if let Ok(socket) = state.take(Role::MadeAhead) {
        state.ahead = Ahead::unpack(socket)?;
        if kinds & IPC == 0 {
            // They show another namespace than the service is in.
            drop(state.ahead.take(Part::Queues));
        }
    } else if let Ok(made) = state.take(Role::MadeNetwork) {
        state.ahead.put(Part::Network, made);
    }
    Ok(())
}

/// Those that belong to the user namespace that was entered last.
pub(super) fn late(kinds: u32) -> Result<()> {
    kernel::namespace::unshare(kinds)
}
