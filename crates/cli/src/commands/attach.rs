//! `attach`: installs a portable without starting it.

use anyhow::Result;
use clap::Args;

use super::start::{InstallOptions, Start};
use crate::context::Context;
use crate::verbs::Run;

/// Options of `attach`: those of `start` that are about installing.
#[derive(Args, Debug)]
pub(crate) struct Attach {
    /// Portables: an http or https address, an image, a directory, or the name of one that is here
    #[arg(value_name = "WHAT", required = true)]
    what: Vec<String>,
    #[command(flatten)]
    install: InstallOptions,
}

impl Run for Attach {
    fn run(self, context: &Context) -> Result<u8> {
        Start::only_install(self.what, self.install).run(context)
    }
}
