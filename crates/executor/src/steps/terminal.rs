//! The terminal: before the streams, which it may be, as root and on the host, and after the session, which it may control.

use core::ffi::CStr;

use kernel::descriptor::set_controlling_terminal;
use kernel::rustix::event::{PollFd, PollFlags, poll};
use kernel::rustix::fs::inotify;
use kernel::rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
use kernel::terminal::{self, Size, Tidying};
use kernel::{Errno, OwnedFd, Result};
use plan::Step;
use plan::step::TerminalControl;

use crate::state::State;

/// Mode of a terminal that belongs to a service: nobody else reads it or writes there.
const MODE: u32 = 0o600;

/// Opens it and makes it ready.
pub(super) fn take(state: &mut State<'_>, step: &Step<'_>) -> Result<()> {
    let Step::Terminal {
        path,
        control,
        reset,
        hang_up,
        clear,
        rows,
        columns,
    } = *step
    else {
        return Err(Errno::PROTO);
    };
    // Who was there before must not stay; what it looks like is no reason not to start.
    let before = Tidying {
        hang_up,
        ..Tidying::default()
    };
    terminal::tidy(path, before).map_err(|untidy| untidy.error)?;
    let looks = Tidying {
        clear,
        reset,
        ..Tidying::default()
    };
    match terminal::tidy(path, looks) {
        Ok(()) | Err(_) => {}
    }
    let found = match control {
        TerminalControl::None => terminal::open(path, false)?,
        _ => controlling(path, control)?,
    };
    if rows != 0 || columns != 0 {
        let size = |number| u16::try_from(number).map_err(|_| Errno::INVAL);
        terminal::set_size(
            &found,
            Size {
                rows: size(rows)?,
                columns: size(columns)?,
            },
        )?;
    }
    if control != TerminalControl::None {
        let user = Uid::from_raw(state.frame.uid);
        give(&found, user)?;
    }
    state.terminal = Some(found);
    Ok(())
}

/// A terminal of a file system that can't be changed keeps its owner.
fn give(terminal: &OwnedFd, user: Uid) -> Result<()> {
    let given = fchown(terminal, Some(user), None::<Gid>);
    match given.and_then(|()| fchmod(terminal, Mode::from_raw_mode(MODE))) {
        Err(Errno::ROFS) => Ok(()),
        other => other,
    }
}

/// Makes it the terminal of the session, which is ours since the step before.
fn controlling(name: &CStr, control: TerminalControl) -> Result<OwnedFd> {
    loop {
        let found = terminal::open(name, true)?;
        match set_controlling_terminal(&found, control == TerminalControl::Force) {
            Err(Errno::PERM) if control == TerminalControl::Wait => wait(&found, name)?,
            // Its session ended while it was opened.
            Err(Errno::IO) => {}
            other => return other.map(|()| found),
        }
    }
}

/// Waits until somebody else's session may have let go of a terminal: it closed it, or it ended, which hangs up all who have it open. It
/// stays open here meanwhile, as an end of our own use would be told like any other.
fn wait(terminal: &OwnedFd, name: &CStr) -> Result<()> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, name, inotify::WatchFlags::CLOSE)?;
    // It may have ended before the watch began.
    if set_controlling_terminal(terminal, false).is_ok() {
        return Ok(());
    }
    let mut ready = [
        PollFd::new(terminal, PollFlags::empty()),
        PollFd::new(&watch, PollFlags::IN),
    ];
    loop {
        match poll(&mut ready, None) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}
