//! Terminals as services have them (ioctl_tty(2), ioctl_console(2)): opening without waiting, taking, clearing, resetting.

use core::ffi::CStr;

use linux_raw_sys::ioctl::{KDSETMODE, TIOCNXCL, TIOCVHANGUP, VT_DISALLOCATE};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex,
    tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::descriptor::control;
use crate::{Errno, Result};

/// Height and width in characters; 0 leaves one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// Opens a terminal, to write only or to read, too, without waiting for its line and without letting it control anybody. ENOTTY where it is
/// none.
pub fn open(path: &CStr, reads: bool) -> Result<OwnedFd> {
    let access = if reads { OFlags::RDWR } else { OFlags::WRONLY };
    let found = open_nonblocking(path, access)?;
    let flags = fcntl_getfl(&found)?;
    fcntl_setfl(&found, flags - OFlags::NONBLOCK)?;
    Ok(found)
}

fn open_nonblocking(path: &CStr, access: OFlags) -> Result<OwnedFd> {
    let flags = access | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let found = rustix::fs::open(path, flags, Mode::empty())?;
    if rustix::termios::isatty(&found) {
        Ok(found)
    } else {
        Err(Errno::NOTTY)
    }
}

/// What is done to a terminal before and after its service. Whoever has it open can make some of it wait, for good: it is nothing for a process
/// that others wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidying {
    /// Everyone on it is hung up.
    pub hang_up: bool,
    /// What is seen of it is cleared.
    pub clear: bool,
    /// It gets the usual settings.
    pub reset: bool,
    /// It is root's again, and who is in the group `tty` may write to it.
    pub give_back: bool,
}

/// What of it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untidy {
    /// A clause such as `hang up who is on it`.
    pub what: &'static str,
    /// Why.
    pub error: Errno,
}

/// Makes a terminal as it is to be for the next who comes; all of it, also where a part fails. Gives the first failure.
pub fn tidy(path: &CStr, tidying: Tidying) -> core::result::Result<(), Untidy> {
    type Work = (bool, &'static str, fn(&CStr) -> Result<()>);
    let work: [Work; 4] = [
        (tidying.hang_up, "hang up who is on it", |path| {
            hang_up(open_nonblocking(path, OFlags::RDWR)?)
        }),
        (tidying.clear, "clear it", clear),
        (tidying.reset, "give it the usual settings", |path| {
            reset(open_nonblocking(path, OFlags::RDWR)?)
        }),
        (tidying.give_back, "give it back", give_back),
    ];
    let mut first = Ok(());
    for (_, what, work) in work.into_iter().filter(|(is_asked, ..)| *is_asked) {
        let done = work(path).map_err(|error| Untidy { what, error });
        first = first.and(done);
    }
    first
}

/// The same by a process of its own, which is nobody's child and has none of our descriptors: who has the terminal open may keep it waiting.
/// What fails there is told to nobody; what matters is tried again by the next who uses the terminal.
#[cfg(feature = "std")]
pub fn tidy_aside(path: &CStr, tidying: Tidying) -> Result<()> {
    use crate::process::{Forked, exit_group, fork_plain};
    // SAFETY: the child makes plain system calls and ends, and so does its own.
    let forked = unsafe { fork_plain(0) }?;
    let Forked::Parent(_, child) = forked else {
        // SAFETY: as above.
        let second = unsafe { fork_plain(0) };
        let Ok(Forked::Child) = second else {
            exit_group(i32::from(second.is_err()));
        };
        let closed = crate::descriptor::close_range(0, u32::MAX);
        if closed.is_ok() {
            // It is all tried; there is nobody to hear what failed.
            match tidy(path, tidying) {
                Ok(()) | Err(_) => {}
            }
        }
        exit_group(0);
    };
    match crate::wait::wait(&child)?.ending {
        crate::wait::Ending::Exited(0) => Ok(()),
        _ => Err(Errno::AGAIN),
    }
}

/// Terminals that nobody has are root's, and who is in the group with this number, everywhere that of `tty`, may write there.
fn give_back(path: &CStr) -> Result<()> {
    const TTY_GROUP: u32 = 5;
    let terminal = open_nonblocking(path, OFlags::WRONLY)?;
    let (root, group) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::from_raw(TTY_GROUP));
    rustix::fs::fchown(&terminal, Some(root), Some(group))?;
    rustix::fs::fchmod(&terminal, Mode::from_raw_mode(0o620))
}

/// Ends everyone's use of it: what they have open reads as ended. Needs CAP_SYS_ADMIN.
fn hang_up(terminal: impl AsFd) -> Result<()> {
    control(terminal, TIOCVHANGUP, 0)
}

/// Takes a virtual terminal's content away, by giving its memory back where nobody uses it, or else by clearing it. Of other terminals
/// only what is seen is cleared.
fn clear(path: &CStr) -> Result<()> {
    if let Some(number) = virtual_number(path) {
        let any = open_nonblocking(c"/dev/tty0", OFlags::RDWR)?;
        match control(any, VT_DISALLOCATE, number) {
            Err(Errno::BUSY) => {}
            other => return other,
        }
    }
    let terminal = open_nonblocking(path, OFlags::RDWR)?;
    // Without a scrolling region, from the first place on, and what was scrolled away too (console_codes(4)).
    rustix::io::write(&terminal, b"\x1b[r\x1b[H\x1b[3J\x1b[2J")
        .map(drop)
        .or_else(|error| match error {
            // Its line is stopped: who starts it again sees what was there.
            Errno::AGAIN => Ok(()),
            error => Err(error),
        })
}

/// The number of a virtual terminal.
fn virtual_number(path: &CStr) -> Option<usize> {
    let digits = path.to_bytes().strip_prefix(b"/dev/tty")?;
    let number = core::str::from_utf8(digits).ok()?.parse().ok()?;
    // 0 stands for whichever is seen now; to give its memory back would be to give back that of all that nobody uses.
    (number > 0).then_some(number)
}

/// Gives it the usual settings: lines are edited and echoed, keys send signals, a virtual terminal shows text.
fn reset(terminal: impl AsFd) -> Result<()> {
    const TEXT: usize = 0;
    let terminal = terminal.as_fd();
    control(terminal, TIOCNXCL, 0)?;
    match control(terminal, KDSETMODE, TEXT) {
        // No virtual terminal has no modes.
        Ok(()) | Err(Errno::NOTTY | Errno::INVAL) => {}
        Err(error) => return Err(error),
    }
    let mut modes = tcgetattr(terminal)?;
    modes.input_modes -= InputModes::IGNBRK
        | InputModes::BRKINT
        | InputModes::ISTRIP
        | InputModes::INLCR
        | InputModes::IGNCR
        | InputModes::IUCLC
        | InputModes::IXOFF;
    modes.input_modes |= InputModes::ICRNL | InputModes::IMAXBEL | InputModes::IUTF8;
    modes.output_modes |= OutputModes::ONLCR | OutputModes::OPOST;
    modes.control_modes |= ControlModes::CREAD;
    modes.local_modes = LocalModes::ISIG
        | LocalModes::ICANON
        | LocalModes::IEXTEN
        | LocalModes::ECHO
        | LocalModes::ECHOE
        | LocalModes::ECHOK
        | LocalModes::ECHOCTL
        | LocalModes::ECHOKE;
    for (index, code) in [
        (SpecialCodeIndex::VINTR, 0x03),
        (SpecialCodeIndex::VQUIT, 0x1c),
        (SpecialCodeIndex::VERASE, 0x7f),
        (SpecialCodeIndex::VKILL, 0x15),
        (SpecialCodeIndex::VEOF, 0x04),
        (SpecialCodeIndex::VSTART, 0x11),
        (SpecialCodeIndex::VSTOP, 0x13),
        (SpecialCodeIndex::VSUSP, 0x1a),
        (SpecialCodeIndex::VLNEXT, 0x16),
        (SpecialCodeIndex::VWERASE, 0x17),
        (SpecialCodeIndex::VREPRINT, 0x12),
        (SpecialCodeIndex::VEOL, 0),
        (SpecialCodeIndex::VEOL2, 0),
        (SpecialCodeIndex::VTIME, 0),
        (SpecialCodeIndex::VMIN, 1),
    ] {
        modes.special_codes[index] = code;
    }
    tcsetattr(terminal, OptionalActions::Now, &modes)
}

/// Sets its size.
pub fn set_size(terminal: impl AsFd, size: Size) -> Result<()> {
    let terminal = terminal.as_fd();
    let mut found = tcgetwinsize(terminal)?;
    if size.rows != 0 {
        found.ws_row = size.rows;
    }
    if size.columns != 0 {
        found.ws_col = size.columns;
    }
    tcsetwinsize(terminal, found)
}
