//! Passes on what comes and goes between our standard streams and a sandbox where some of them are terminals and others are not: the
//! terminals stay with us. Whoever holds one, in a session of whichever, can read what is typed into it long after.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::termios::isatty;

/// Bytes passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Whether one of our standard streams is a terminal.
pub(crate) fn is_wanted() -> bool {
    isatty(rustix::stdio::stdin())
        || isatty(rustix::stdio::stdout())
        || isatty(rustix::stdio::stderr())
}

/// Runs a program with pipes in the place of terminals, until it ends; returns its exit status as a shell has it.
///
/// # Errors
/// When the program can't be started, or nothing can be passed on.
pub(crate) fn run(mut command: Command) -> Result<u8> {
    command
        .stdin(stand_in(isatty(rustix::stdio::stdin())))
        .stdout(stand_in(isatty(rustix::stdio::stdout())))
        .stderr(stand_in(isatty(rustix::stdio::stderr())));
    let mut child = command.spawn().context("cannot start with pipes")?;
    let passed = Streams::new(&mut child).and_then(|mut streams| streams.run());
    passed.context("cannot pass on what is typed and shown")?;
    Ok(crate::pseudo_terminal::code(child.wait()?))
}

fn stand_in(terminal: bool) -> Stdio {
    if terminal {
        Stdio::piped()
    } else {
        Stdio::inherit()
    }
}

/// The pipes that stand in for terminals.
struct Streams {
    ended: OwnedFd,
    /// Gone when nothing is typed any more, or nobody reads it.
    input: Option<OwnedFd>,
    typed: Vec<u8>,
    /// What is shown, and on which of our streams.
    outputs: Vec<(OwnedFd, File)>,
}

impl Streams {
    fn new(child: &mut Child) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        let mut outputs = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            let screen = rustix::stdio::stdout().try_clone_to_owned()?;
            outputs.push((non_blocking(pipe.into())?, screen.into()));
        }
        if let Some(pipe) = child.stderr.take() {
            let screen = rustix::stdio::stderr().try_clone_to_owned()?;
            outputs.push((non_blocking(pipe.into())?, screen.into()));
        }
        let input = child.stdin.take().map(|pipe| non_blocking(pipe.into()));
        Ok(Self {
            ended: pidfd_open(pid, PidfdFlags::empty())?,
            input: input.transpose()?,
            typed: Vec::new(),
            outputs,
        })
    }

    /// Until the program has ended and all that it wrote is shown; what others of the sandbox may write later is nobody's.
    fn run(&mut self) -> io::Result<()> {
        loop {
            let keyboard = rustix::stdio::stdin();
            let mut watched = vec![PollFd::new(&self.ended, PollFlags::IN)];
            watched.extend(
                self.outputs
                    .iter()
                    .map(|(pipe, _)| PollFd::new(pipe, PollFlags::IN)),
            );
            if let Some(input) = &self.input {
                watched.push(if self.typed.is_empty() {
                    PollFd::from_borrowed_fd(keyboard, PollFlags::IN)
                } else {
                    PollFd::new(input, PollFlags::OUT)
                });
            }
            match poll(&mut watched, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let ready: Vec<bool> = watched
                .iter()
                .map(|one| !one.revents().is_empty())
                .collect();
            self.show()?;
            if ready.first() == Some(&true) {
                return self.show();
            }
            if self.input.is_some() && ready.last() == Some(&true) {
                self.pass_on()?;
            }
        }
    }

    /// Reads what is typed, or writes what was.
    fn pass_on(&mut self) -> io::Result<()> {
        let Some(input) = &self.input else {
            return Ok(());
        };
        if self.typed.is_empty() {
            let mut buffer = [0; CHUNK_BYTES];
            let count = rustix::io::read(rustix::stdio::stdin(), &mut buffer)?;
            self.typed.extend(buffer.iter().take(count));
            if count == 0 {
                self.input = None;
            }
            return Ok(());
        }
        match rustix::io::write(input, &self.typed) {
            Ok(count) => drop(self.typed.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Nobody reads any more.
            Err(_) => self.input = None,
        }
        Ok(())
    }

    /// Shows what is there.
    fn show(&mut self) -> io::Result<()> {
        let mut open = Vec::new();
        for (pipe, mut screen) in std::mem::take(&mut self.outputs) {
            if pass(&pipe, &mut screen)? {
                open.push((pipe, screen));
            }
        }
        self.outputs = open;
        Ok(())
    }
}

/// Shows at most as much as a pipe holds, as somebody who never ceases must not keep us from the rest; answers whether more may come.
fn pass(pipe: &OwnedFd, screen: &mut File) -> io::Result<bool> {
    const CHUNKS: usize = (1 << 20) / CHUNK_BYTES;
    let mut buffer = [0; CHUNK_BYTES];
    for _ in 0..CHUNKS {
        match rustix::io::read(pipe.as_fd(), &mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => screen.write_all(buffer.get(..count).unwrap_or_default())?,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(true)
}

fn non_blocking(pipe: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
    Ok(pipe)
}
