//! The stub: PID 1 of a namespace that the profile made. After everything that sets up the process, so that the payload
//! inherits it; before the filter, which is the payload's.
//!
//! The payload's exit status becomes the stub's own. PID 1 is immune to signals that it sends itself, so after a death by one the
//! stub exits with 128 and its number, as shells do, and says in its name that it was a signal.

use core::ffi::CStr;
use kernel::signal::number::{SIGCHLD, SIGKILL, SIGSTOP};

use kernel::process::Forked;
use kernel::signal::{SignalSet, descriptor, set_mask};
use kernel::wait::Ending;
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::report::{Epitaph, Report};

use crate::state::State;
const CAP_KILL: u64 = 1 << 5;
/// What shells add to a signal's number.
const SIGNAL_BASE: i32 = 128;

/// Forks: the child goes on with the plan, the parent stays and comes back when the payload has ended.
pub(super) fn take(state: &mut State<'_>) -> Result<()> {
    set_mask(SignalSet::FULL)?;
    match kernel::process::fork_alone(0)? {
        Forked::Child => {
            set_mask(SignalSet::EMPTY)?;
            kernel::process::set_dumpable(false)?;
            // The kernel tells the manager who sent this.
            kernel::message::send(&state.report, &Report::Payload.encode(), &[]).map(drop)
        }
        Forked::Parent(pid, payload) => {
            let status = stay(pid.as_raw_nonzero().get().unsigned_abs(), &payload)?;
            state.finished = Some(status);
            // Ends the loop over the steps; `finished` says that nothing failed.
            Err(Errno::CANCELED)
        }
    }
}

fn stay(pid: u32, payload: &OwnedFd) -> Result<i32> {
    let signals = descriptor(SignalSet::FULL)?;
    // Everything else goes: the report (or the manager would never see it close), streams, the service's sockets.
    let signals = keep_two(&signals, payload)?;
    give_up_privileges()?;
    loop {
        match await_signal(&signals.0)? {
            SIGCHLD => {
                if let Some(status) = reap(pid)? {
                    return Ok(status);
                }
            }
            SIGKILL | SIGSTOP => {}
            signal => match kernel::process::send_signal(&signals.1, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno),
            },
        }
    }
}

/// Moves both descriptors to 0 and 1 and closes the rest.
fn keep_two(signals: &OwnedFd, payload: &OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
    const ASIDE: i32 = 10;
    let (signals, payload) = (
        kernel::descriptor::duplicate_from(signals, ASIDE)?,
        kernel::descriptor::duplicate_from(payload, ASIDE)?,
    );
    kernel::descriptor::place(&signals, 0)?;
    kernel::descriptor::place(&payload, 1)?;
    drop((signals, payload));
    kernel::descriptor::close_range(2, u32::MAX)?;
    Ok((
        kernel::descriptor::take_inherited(0)?,
        kernel::descriptor::take_inherited(1)?,
    ))
}

/// Only signals are still to be sent, perhaps to a payload that has changed its user.
fn give_up_privileges() -> Result<()> {
    kernel::process::set_no_new_privileges()?;
    let mut sets = kernel::credentials::capabilities()?;
    sets.permitted &= CAP_KILL;
    sets.effective = sets.permitted;
    sets.inheritable = 0;
    kernel::credentials::clear_ambient()?;
    kernel::credentials::set_capabilities(sets)
}

fn await_signal(signals: impl AsFd) -> Result<i32> {
    use kernel::rustix::event::{PollFd, PollFlags, poll};
    loop {
        if let Some(received) = kernel::signal::read(&signals)? {
            return Ok(received.signal);
        }
        match poll(&mut [PollFd::new(&signals, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reaps everything that is dead; gives the status when the payload was among them.
fn reap(payload: u32) -> Result<Option<i32>> {
    loop {
        match kernel::wait::reap_any() {
            Ok(Some(dead)) if dead.pid == payload => return status(dead.ending).map(Some),
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// The exit status that stands for an end; the name tells it exactly.
fn status(ending: Ending) -> Result<i32> {
    match ending {
        Ending::Exited(status) => Ok(status),
        Ending::Killed { signal, dumped } => {
            let number = u8::try_from(signal).unwrap_or_default();
            let name = Epitaph {
                signal: number,
                dumped,
            }
            .name();
            kernel::process::set_name(CStr::from_bytes_until_nul(&name).unwrap_or_default())?;
            Ok(SIGNAL_BASE + signal)
        }
    }
}
