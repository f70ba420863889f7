//! The user's own `ssh`, with their configuration, agents and jump hosts. No word of the user's goes through the other host's shell:
//! it is given lines that are made here, of nothing else.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use kernel::signal::{Disposition, SignalSet, set_disposition, set_mask};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::address::Address;
use crate::failure::WithHint as _;

/// What a shell says for a command that is not there (POSIX, 2.8.2).
pub(crate) const NOT_FOUND: u8 = 127;
/// What ssh says when it did not come through.
pub(crate) const NOT_REACHED: u8 = 255;
/// Any login shell hands this to `sh`. Commands come in without the user's profile, which is what knows `~/.local/bin`.
const SERVE: &str = "exec sh -c 'PATH=$PATH:/usr/local/bin:$HOME/.local/bin; command -v coracle >/dev/null || exit 127; exec coracle stdio'";

/// How connections are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Seconds until a host that does not answer is given up.
    pub(crate) timeout_s: u16,
    /// Nobody is asked for passwords, and what ssh says is kept.
    pub(crate) silent: bool,
}

impl Manner {
    /// Seconds between signs of life.
    pub(crate) fn beat_s(&self) -> u16 {
        (self.timeout_s / 3).max(1)
    }
}

/// Connects to the other side's `coracle stdio`.
///
/// # Errors
/// When there is no ssh here.
pub(crate) fn serve(address: &Address, manner: Manner) -> Result<Child> {
    // Ctrl-C is ours: we pass it on, and ssh lives to carry what comes of it.
    spawn(address, manner, (SERVE, Disposition::Ignore))
}

/// Ends one that is needed no more. It is asked first: it may have switched the terminal's echo off for a password.
///
/// # Errors
/// When it can't be waited for.
pub(crate) fn end(mut child: Child) -> Result<ExitStatus> {
    const PATIENCE: Duration = Duration::from_millis(500);
    let pid = Pid::from_child(&child);
    // Gone meanwhile: it is only waited for then.
    if kill_process(pid, Signal::TERM).is_ok()
        && let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
    {
        let ended = poll(
            &mut [PollFd::new(&process, PollFlags::IN)],
            Some(&PATIENCE.try_into()?),
        );
        if ended != Ok(1) {
            child.kill()?;
        }
    }
    Ok(child.wait()?)
}

/// Runs a line of shell over there that files are sent to; Ctrl-C ends it.
///
/// # Errors
/// When there is no ssh here.
pub(crate) fn copy(address: &Address, manner: Manner, line: &str) -> Result<Child> {
    spawn(address, manner, (line, Disposition::Default))
}

/// What a process does at a signal is the whole process's, and hosts are connected to at the same time.
static SPAWNING: Mutex<()> = Mutex::new(());

fn spawn(
    address: &Address,
    manner: Manner,
    (line, at_interrupt): (&str, Disposition),
) -> Result<Child> {
    let mut ssh = Command::new("ssh");
    ssh.args([
        "-T",
        "-o",
        "RemoteCommand=none",
        "-o",
        "ServerAliveCountMax=3",
    ]);
    ssh.arg("-o")
        .arg(format!("ConnectTimeout={}", manner.timeout_s));
    ssh.arg("-o")
        .arg(format!("ServerAliveInterval={}", manner.beat_s()));
    if manner.silent {
        ssh.args(["-o", "BatchMode=yes"]);
    }
    if let Some(port) = address.port {
        ssh.arg("-p").arg(port.to_string());
    }
    ssh.arg("--").arg(&address.destination).arg(line);
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
    if manner.silent {
        ssh.stderr(Stdio::piped());
    }
    // It has signals as anybody has them: those that we hear of by a descriptor are blocked here.
    let alone = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    set_disposition(2, at_interrupt)?;
    let blocked = set_mask(SignalSet::EMPTY)?;
    let spawned = ssh.spawn();
    set_mask(blocked)?;
    drop(alone);
    spawned.or_hint(
        || "cannot run ssh".to_owned(),
        "other hosts are reached by ssh: install an ssh client, such as openssh-client",
    )
}
