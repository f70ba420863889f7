//! Running a program under observation, for `coracle build --observe`: in a sandbox without the network, where nothing of the host can be
//! written, watched for the files that it opens.
//!
//! Two processes of ours: `coracle worker observe` makes the sandbox and watches, `coracle worker observed` lets itself be watched and becomes
//! the program, after it has given up all that made the sandbox. Standard output of the first is for the list alone; what the program writes
//! comes through a pipe and is handed on as text.

mod sandbox;
mod watch;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use image::program::Opened;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::ARGUMENT;
use crate::terminal::one_line;

/// The longest line of the program's that is shown as one, in bytes.
const LINE_MAX: u64 = 4096;

/// The longest list, in files.
const FILES_MAX: usize = 100_000;

/// Runs a program for a while; all that it opened comes back.
///
/// # Errors
/// When it can't be run, or not be watched.
pub(crate) fn run(program: &Path, arguments: &[String], time: Duration) -> Result<Vec<Opened>> {
    let mut child = Command::new("/proc/self/exe")
        .args([ARGUMENT, "observe"])
        .arg(std::path::absolute(program)?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start what observes it")?;
    let said = child.stderr.take().context("there is nothing to hear")?;
    let hearing = std::thread::Builder::new().spawn(move || hand_on(said))?;
    let list = child.stdout.take().context("there is no list")?;
    let mut lines = BufReader::new(list).lines();
    let ending = lines
        .next()
        .transpose()?
        .map(|number| end_later(&number, time))
        .transpose()?;
    let mut opened = Vec::new();
    for line in lines {
        let one: Opened =
            serde_json::from_str(&line?).context("what observes it says something else")?;
        opened.push(one);
        if opened.len() > FILES_MAX {
            bail!("the program opens more than {FILES_MAX} files");
        }
    }
    if let Some((done, ending)) = ending {
        drop(done);
        drop(ending.join());
    }
    let status = child.wait()?;
    drop(hearing.join());
    if !status.success() {
        bail!("{} can't be observed", program.display());
    }
    Ok(opened)
}

/// Hands on what the program says, as text: a terminal is not for it to use.
fn hand_on(said: impl Read) {
    let mut said = BufReader::new(said);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut said).take(LINE_MAX).read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line);
        anstream::eprintln!("observed: {}", one_line(text.trim_end_matches('\n')));
        line.clear();
    }
}

/// Ends the program when its time is over, and with it, as it is the first of its pid namespace, all that it has started.
fn end_later(number: &str, time: Duration) -> Result<(Sender<()>, JoinHandle<()>)> {
    let number = number.parse().ok().and_then(Pid::from_raw);
    let process = pidfd_open(
        number.context("what observes it says no number")?,
        PidfdFlags::empty(),
    );
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let end = move || {
        if is_done.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
            && let Ok(process) = process
        {
            // One that has ended meanwhile can't be killed, and needs it no more.
            pidfd_send_signal(&process, Signal::KILL).ok();
        }
    };
    Ok((done, std::thread::Builder::new().spawn(end)?))
}

/// Makes the sandbox and watches.
///
/// # Errors
/// When one of it fails: what fails is told on standard error by the caller.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let program = PathBuf::from(arguments.next().context("no program")?);
    let (place, identity) = sandbox::enter(&program)?;
    // The list's own way: what the program writes must not get between.
    let list: OwnedFd = std::io::stdout().as_fd().try_clone_to_owned()?;
    let child = Command::new("/proc/self/exe")
        .args([ARGUMENT, "observed"])
        .arg(&place)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(std::io::stderr().as_fd().try_clone_to_owned()?)
        .spawn()
        .context("cannot start the program")?;
    watch::watch(child, &place, (&program, identity), list.into())
}

/// Becomes the program.
///
/// # Errors
/// When it can't.
pub(crate) fn observed(mut arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let program = PathBuf::from(arguments.next().context("no program")?);
    sandbox::own_processes()?;
    // Into a terminal that is not its own it can't type.
    rustix::process::setsid().context("cannot leave the session")?;
    // Nor into what the caller has left open.
    kernel::descriptor::close_range(3, u32::MAX)?;
    sandbox::give_up()?;
    kernel::trace::trace_me().context(
        "it can't be watched: a debugger may be there already, or ptrace is forbidden here",
    )?;
    sandbox::refuse_calls()?;
    kernel::process::kill(rustix::process::getpid().as_raw_nonzero().get(), 19)?;
    let failed = Command::new(&program).args(arguments).exec();
    Err(failed).with_context(|| format!("cannot run {}", program.display()))
}
