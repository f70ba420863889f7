//! The terminal: before the streams, which it may be, as root and on the host, and after the session, which it may control.

use core::ffi::CStr;

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
        hang_up: false,
    };
    match terminal::tidy(path, looks) {
        Ok(()) | Err(_) => {}
    }
    let found = match control {
        TerminalControl::None => terminal::open(path)?,
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
    // Watched before it is tried, so that no end of another session is missed.
    let watch = match control {
        TerminalControl::Wait => Some(closes_of(name)?),
        _ => None,
    };
    loop {
        let found = terminal::open(name)?;
        match terminal::control(&found, control == TerminalControl::Force) {
            Err(Errno::PERM) => {}
            other => return other.map(|()| found),
        }
        let Some(watch) = &watch else {
            return Err(Errno::PERM);
        };
        drop(found);
        let mut events = [0; 512];
        kernel::rustix::io::read(watch, &mut events)?;
    }
}

fn closes_of(name: &CStr) -> Result<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, name, inotify::WatchFlags::CLOSE)?;
    Ok(watch)
}
