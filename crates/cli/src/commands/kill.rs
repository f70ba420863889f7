//! `kill` and `reset-failed`.

use anyhow::Result;
use clap::Args;
use wire::methods::{Kill as KillMethod, ResetFailed as ResetFailedMethod};
use wire::{KillRequest, NamesRequest};

use crate::context::Context;
use crate::verbs::Run;

/// Options of `kill`.
#[derive(Args, Debug)]
pub(crate) struct Kill {
    /// Units, patterns or portables
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGTERM")]
    signal: String,
    /// Which processes: all, main, control
    #[arg(long, value_name = "WHOM", default_value = "all")]
    kill_whom: String,
}

impl Run for Kill {
    fn run(self, context: &Context) -> Result<u8> {
        let names = crate::portable::units_of(context, &self.names)?;
        context.connect()?.call(
            KillMethod,
            &KillRequest {
                names,
                signal: self.signal,
                whom: self.kill_whom,
            },
        )?;
        Ok(0)
    }
}

/// Options of `reset-failed`.
#[derive(Args, Debug)]
pub(crate) struct ResetFailed {
    /// Units, patterns or portables; none: all
    #[arg(value_name = "UNIT")]
    names: Vec<String>,
}

impl Run for ResetFailed {
    fn run(self, context: &Context) -> Result<u8> {
        let names = crate::portable::units_of(context, &self.names)?;
        context
            .connect()?
            .call(ResetFailedMethod, &NamesRequest { names })?;
        Ok(0)
    }
}
