//! A terminal of its own for what runs in a sandbox (pty(7)): it never holds the administrator's, into which it could push input.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use kernel::signal::{self, SignalSet};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// Bytes passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// SIGWINCH: the window has another size (signal(7)).
const WINDOW_CHANGED: i32 = 28;

/// Whether somebody sits at both ends of a conversation, and nothing of it goes elsewhere.
pub(crate) fn is_wanted() -> bool {
    isatty(rustix::stdio::stdin())
        && isatty(rustix::stdio::stdout())
        && isatty(rustix::stdio::stderr())
}

/// Runs a program whose standard streams are a new terminal, and passes on what is typed and shown until it ends; returns its exit
/// status as a shell has it. The program gives the terminal to whom it is for.
///
/// # Errors
/// When there is no new terminal, or the program can't be started.
pub(crate) fn run(mut command: Command) -> Result<u8> {
    let keyboard = rustix::stdio::stdin();
    let (master, terminal) = pair().context("cannot make a terminal")?;
    tcsetwinsize(&master, tcgetwinsize(keyboard)?)?;
    command
        .stdin(Stdio::from(terminal.try_clone()?))
        .stdout(Stdio::from(terminal.try_clone()?))
        .stderr(Stdio::from(terminal));
    let mut child = command.spawn().context("cannot start on a new terminal")?;
    // The last of our own descriptors of it: the terminal hangs up when the program's are closed.
    drop(command);
    let raw = Raw::enter(keyboard)?;
    let passed = Conversation::new(&master, &child).and_then(|mut conversation| conversation.run());
    drop(raw);
    passed.context("cannot pass on what is typed and shown")?;
    Ok(code(child.wait()?))
}

/// An exit status as a shell has it.
pub(crate) fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Gives a terminal so many rows and columns.
pub(crate) fn resize(terminal: &OwnedFd, (rows, columns): (u16, u16)) -> rustix::io::Result<()> {
    tcsetwinsize(
        terminal,
        Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
}

/// Both ends of a new terminal: ours, which never blocks, and the program's.
pub(crate) fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let terminal = ioctl_tiocgptpeer(&master, flags)?;
    fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    Ok((master, terminal))
}

/// Our terminal passes every key on while this value lives.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    pub(crate) fn enter(keyboard: BorrowedFd<'_>) -> rustix::io::Result<Raw> {
        let before = tcgetattr(keyboard)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(keyboard, OptionalActions::Now, &raw)?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before).ok();
    }
}

/// What the program's side had to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Bytes,
    Silence,
    /// Nobody holds the other end any more.
    HangUp,
}

/// What goes to and fro.
struct Conversation<'a> {
    master: &'a OwnedFd,
    ended: OwnedFd,
    window: OwnedFd,
    /// Typed, and not yet taken by the program.
    typed: Vec<u8>,
    keyboard_open: bool,
}

impl<'a> Conversation<'a> {
    fn new(master: &'a OwnedFd, child: &Child) -> io::Result<Conversation<'a>> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        let signals = SignalSet::EMPTY.with(WINDOW_CHANGED);
        signal::set_mask(signals)?;
        Ok(Conversation {
            master,
            ended: pidfd_open(pid, PidfdFlags::empty())?,
            window: signal::descriptor(signals)?,
            typed: Vec::new(),
            keyboard_open: true,
        })
    }

    /// Until the program has ended and all that it wrote is shown.
    fn run(&mut self) -> io::Result<()> {
        loop {
            let keyboard = rustix::stdio::stdin();
            let listens = self.keyboard_open && self.typed.is_empty();
            let towards = if self.typed.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            let mut watched = [
                PollFd::from_borrowed_fd(self.master.as_fd(), towards),
                PollFd::from_borrowed_fd(self.ended.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.window.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(keyboard, PollFlags::IN),
            ];
            let count = if listens { 4 } else { 3 };
            match poll(watched.get_mut(..count).unwrap_or_default(), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let [_, ended, window, keys] = watched.map(|one| !one.revents().is_empty());
            if window {
                self.resize()?;
            }
            if listens && keys {
                self.listen()?;
            }
            self.type_on()?;
            let heard = self.show()?;
            if ended {
                // What it wrote last may be in the terminal still.
                while self.show()? == Heard::Bytes {}
            }
            if ended || heard == Heard::HangUp {
                return Ok(());
            }
        }
    }

    fn resize(&self) -> io::Result<()> {
        while signal::read(&self.window)?.is_some() {}
        let size = tcgetwinsize(rustix::stdio::stdin())?;
        Ok(tcsetwinsize(self.master, size)?)
    }

    fn listen(&mut self) -> io::Result<()> {
        let mut buffer = [0; CHUNK_BYTES];
        let count = rustix::io::read(rustix::stdio::stdin(), &mut buffer)?;
        self.keyboard_open = count > 0;
        self.typed.extend(buffer.iter().take(count));
        Ok(())
    }

    fn type_on(&mut self) -> io::Result<()> {
        if self.typed.is_empty() {
            return Ok(());
        }
        match rustix::io::write(self.master, &self.typed) {
            Ok(count) => drop(self.typed.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Nobody reads any more: the end will be told.
            Err(Errno::IO) => self.typed.clear(),
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Shows what is there.
    fn show(&self) -> io::Result<Heard> {
        use std::io::Write as _;
        let mut buffer = [0; CHUNK_BYTES];
        match rustix::io::read(self.master, &mut buffer) {
            Ok(0) | Err(Errno::IO) => Ok(Heard::HangUp),
            Ok(count) => {
                let mut out = io::stdout().lock();
                out.write_all(buffer.get(..count).unwrap_or_default())?;
                out.flush()?;
                Ok(Heard::Bytes)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Heard::Silence),
            Err(errno) => Err(errno.into()),
        }
    }
}
