//! `kill` and `reset-failed`.

use anyhow::Result;
use clap::Args;
use wire::methods::{Kill as KillMethod, ResetFailed as ResetFailedMethod};
use wire::{ClientError, Failure, KillRequest, NamesRequest};

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
    #[arg(long, value_name = "WHOM", default_value = "all", value_parser = ["all", "main", "control"])]
    kill_whom: String,
}

impl Run for Kill {
    fn run(self, context: &Context) -> Result<u8> {
        let Some(mut client) = context.connect_to_what_runs()? else {
            // All processes of what is down are none; one that is named is not there.
            return Ok(u8::from(self.kill_whom != "all"));
        };
        for name in &self.names {
            let units = crate::portable::units_of(context, std::slice::from_ref(name))?;
            self.kill(&mut client, units)?;
        }
        Ok(0)
    }
}

impl Kill {
    /// A portable's units without a process, such as its sockets, are left out as long as another one has some.
    fn kill(&self, client: &mut wire::Client, units: Vec<String>) -> Result<()> {
        let (mut reached, mut missed) = (false, None);
        for unit in units {
            let request = KillRequest {
                names: vec![unit],
                signal: self.signal.clone(),
                whom: self.kill_whom.clone(),
            };
            match client.call(KillMethod, &request) {
                Ok(_) => reached = true,
                // The service's own failure says more than its socket's, which comes before it.
                Err(failed @ ClientError::Failure(Failure::NoProcess { .. })) => {
                    missed = Some(failed)
                }
                Err(failed) => return Err(failed.into()),
            }
        }
        match missed {
            Some(failed) if !reached => Err(failed.into()),
            _ => Ok(()),
        }
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
        if let Some(mut client) = context.connect_to_what_runs()? {
            client.call(ResetFailedMethod, &NamesRequest { names })?;
        }
        Ok(0)
    }
}
