//! `daemon-reload`, `daemon-reexec`, `daemon-exit`: verbs about the manager itself.

use anyhow::{Context as _, Result};
use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wire::methods::{Describe, Exit, Reexec, Reload};
use wire::{Done, ExitRequest};

use crate::context::Context;
use crate::terminal::{Paint, complain, plain};
use crate::verbs::Run;

/// Options of `daemon-reload`.
#[derive(Args, Debug)]
pub(crate) struct DaemonReload {}

impl Run for DaemonReload {
    fn run(self, context: &Context) -> Result<u8> {
        let Some(mut client) = context.connect_to_what_runs()? else {
            return Ok(0);
        };
        let reply = client.call(Reload, &Done {})?;
        for diagnostic in &reply.diagnostics {
            complain(&line(diagnostic, ""));
        }
        for generator in &reply.generators {
            let unit = plain(&generator.unit);
            let next = match generator.unit.ends_with(".service") {
                true => format!("; `coracle logs -u {unit}` shows what it said"),
                false => String::new(),
            };
            complain(&format!(
                "{} {unit}: units that it makes may be missing: {}{next}",
                Paint::Yellow.on("warning:"),
                plain(&generator.reason)
            ));
        }
        Ok(0)
    }
}

/// A message about a line of a unit file, or, where no file says it, of `unit`.
pub(crate) fn line(diagnostic: &wire::Diagnostic, unit: &str) -> String {
    let place = match (diagnostic.path.starts_with('/'), diagnostic.line) {
        (true, Some(line)) => format!("{}:{line}", diagnostic.path),
        (true, None) => diagnostic.path.clone(),
        (false, _) => unit.to_owned(),
    };
    let severity = if diagnostic.severity == "error" {
        Paint::Red.on("error:")
    } else {
        Paint::Yellow.on("warning:")
    };
    let hint = diagnostic
        .hint
        .as_ref()
        .map(|hint| format!(" ({hint})"))
        .unwrap_or_default();
    format!(
        "{severity} {}: {}{}",
        plain(&place),
        plain(&diagnostic.message),
        plain(&hint)
    )
}

/// Options of `daemon-reexec`.
#[derive(Args, Debug)]
pub(crate) struct DaemonReexec {}

impl Run for DaemonReexec {
    fn run(self, context: &Context) -> Result<u8> {
        context.connect()?.call(Reexec, &Done {})?;
        Ok(0)
    }
}

/// Options of `daemon-exit`.
#[derive(Args, Debug)]
pub(crate) struct DaemonExit {}

impl Run for DaemonExit {
    /// Stopping what does not run succeeds. Otherwise it returns when the keeper, the last to go, has ended: whoever starts
    /// an instance next must not meet the old one.
    fn run(self, context: &Context) -> Result<u8> {
        let Some(mut client) = context.connect_if_running()? else {
            return Ok(0);
        };
        let keeper = client.call(Describe, &Done {})?.keeper_pid;
        let keeper = i32::try_from(keeper)
            .ok()
            .and_then(Pid::from_raw)
            .context("the manager names no keeper")?;
        let keeper = match pidfd_open(keeper, PidfdFlags::empty()) {
            Ok(keeper) => keeper,
            Err(Errno::SRCH) => return Ok(0),
            Err(error) => return Err(error).context("cannot watch the keeper"),
        };
        match client.call(Exit, &ExitRequest::default()) {
            // It went away while it was asked.
            Ok(_) | Err(wire::ClientError::Connect { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            match poll(&mut [PollFd::new(&keeper, PollFlags::IN)], None) {
                Err(Errno::INTR) => {}
                other => return Ok(other.map(|_| 0)?),
            }
        }
    }
}
