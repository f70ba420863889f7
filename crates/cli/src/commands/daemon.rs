//! `daemon-reload`, `daemon-reexec`, `daemon-exit`: verbs about the manager itself.

use anyhow::Result;
use clap::Args;
use wire::Done;
use wire::methods::{Exit, Reexec, Reload};

use crate::context::Context;
use crate::terminal::{Paint, complain, plain};
use crate::verbs::Run;

/// Options of `daemon-reload`.
#[derive(Args, Debug)]
pub(crate) struct DaemonReload {}

impl Run for DaemonReload {
    fn run(self, context: &Context) -> Result<u8> {
        let reply = context.connect()?.call(Reload, &Done {})?;
        for diagnostic in &reply.diagnostics {
            tell(diagnostic);
        }
        Ok(0)
    }
}

/// Tells a message about a line of a unit file.
pub(crate) fn tell(diagnostic: &wire::Diagnostic) {
    let place = diagnostic.line.map_or_else(
        || diagnostic.path.clone(),
        |line| format!("{}:{line}", diagnostic.path),
    );
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
    complain(&format!(
        "{severity} {}: {}{}",
        plain(&place),
        plain(&diagnostic.message),
        plain(&hint)
    ));
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
    /// Stopping what does not run succeeds.
    fn run(self, context: &Context) -> Result<u8> {
        match context.connect_if_running()? {
            Some(mut client) => client.call(Exit, &Done {}).map(|_| 0).map_err(Into::into),
            None => Ok(0),
        }
    }
}
