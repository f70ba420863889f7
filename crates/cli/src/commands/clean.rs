//! `clean`.

use anyhow::Result;
use clap::Args;
use wire::methods::Clean as CleanMethod;
use wire::{CleanRequest, ClientError};

use crate::context::Context;
use crate::failure;
use crate::verbs::Run;

/// Options of `clean`.
#[derive(Args, Debug)]
pub(crate) struct Clean {
    /// Units, patterns or portables
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
    /// What to remove, with commas between: configuration, state, cache, logs, runtime, fdstore, all; without it cache and runtime
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    what: Vec<String>,
}

impl Run for Clean {
    fn run(self, context: &Context) -> Result<u8> {
        let units = crate::portable::units_of(context, &self.names)?;
        let mut client = context.connect()?;
        let mut status = 0;
        for unit in units {
            let request = CleanRequest {
                unit,
                what: self.what.clone(),
            };
            match client.call(CleanMethod, &request) {
                Ok(_) => {}
                Err(ClientError::Failure(failure)) => {
                    status = failure::status_of(&failure).max(1);
                    failure::tell_failure(context, failure);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(status)
    }
}
