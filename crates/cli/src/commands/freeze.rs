//! `freeze` and `thaw`.

use anyhow::Result;
use clap::Args;
use wire::FreezeRequest;
use wire::methods::Freeze as FreezeMethod;

use crate::context::Context;
use crate::verbs::Run;

/// Options of `freeze`.
#[derive(Args, Debug)]
pub(crate) struct Freeze {
    /// Units, patterns or portables
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
}

/// Options of `thaw`.
#[derive(Args, Debug)]
pub(crate) struct Thaw {
    /// Units, patterns or portables
    #[arg(required = true, value_name = "UNIT")]
    names: Vec<String>,
}

impl Run for Freeze {
    fn run(self, context: &Context) -> Result<u8> {
        ask(context, &self.names, false)
    }
}

impl Run for Thaw {
    fn run(self, context: &Context) -> Result<u8> {
        ask(context, &self.names, true)
    }
}

fn ask(context: &Context, names: &[String], thaw: bool) -> Result<u8> {
    let Some(mut client) = context.connect_to_what_runs()? else {
        return Ok(1);
    };
    let names = crate::portable::units_of(context, names)?;
    let request = FreezeRequest {
        names,
        thaw,
        ..FreezeRequest::default()
    };
    client.call(FreezeMethod, &request)?;
    Ok(0)
}
