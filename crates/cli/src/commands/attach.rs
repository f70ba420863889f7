//! `attach`: installs a portable without starting it.

use anyhow::Result;
use clap::Args;

use super::start::Start;
use crate::context::Context;
use crate::verbs::Run;

/// Options of `attach`: those of `start` that are about installing.
#[derive(Args, Debug)]
pub(crate) struct Attach {
    #[command(flatten)]
    start: Start,
}

impl Run for Attach {
    fn run(mut self, context: &Context) -> Result<u8> {
        self.start.attach_only = true;
        self.start.run(context)
    }
}
