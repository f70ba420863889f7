//! `stdio`: this host's side of another host's `coracle -H`.

use anyhow::Result;
use clap::Args;

use crate::context::Context;
use crate::failure::hint;
use crate::hosts;
use crate::verbs::Run;

/// `stdio` has no options: what is asked comes over standard input.
#[derive(Args, Debug)]
pub(crate) struct Stdio {}

impl Run for Stdio {
    fn run(self, _context: &Context) -> Result<u8> {
        if rustix::termios::isatty(rustix::stdio::stdin()) {
            return Err(hint(
                "`stdio` speaks with another host's command, not with people",
                "`coracle -H HOST VERB` on the other host asks this one",
            ));
        }
        hosts::serve()
    }
}
