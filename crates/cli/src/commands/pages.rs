//! `completion` and `man`: what shells and readers need, printed from the definitions of the verbs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use clap_complete::Shell;

use crate::context::Context;
use crate::terminal::say;
use crate::verbs::{Run, whole_command};

/// Options of `completion`.
#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Run for Completion {
    fn run(self, _context: &Context) -> Result<u8> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut whole_command(), "coracle", &mut text);
        say(String::from_utf8_lossy(&text).trim_end());
        Ok(0)
    }
}

/// Options of `man`.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Directory for coracle.1 and a page for each verb
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Run for Man {
    fn run(self, context: &Context) -> Result<u8> {
        std::fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot make {}", self.directory.display()))?;
        clap_mangen::generate_to(whole_command(), &self.directory)
            .with_context(|| format!("cannot write into {}", self.directory.display()))?;
        context.narrate(&format!(
            "wrote coracle.1 and a page for each verb to {}",
            self.directory.display()
        ));
        Ok(0)
    }
}
