//! `completion` and `man`: what shells and readers need, printed from the definitions of the verbs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use clap_complete::Shell;

use crate::context::Context;
use crate::failure::hint;
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
    /// The page of this verb; none: of the command as a whole
    #[arg(value_name = "VERB", conflicts_with = "output")]
    verb: Option<String>,
    /// Write coracle.1 and a page for each verb into this directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Run for Man {
    fn run(self, context: &Context) -> Result<u8> {
        let Some(directory) = &self.output else {
            say(page(self.verb.as_deref())?.trim_end());
            return Ok(0);
        };
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        clap_mangen::generate_to(whole_command(), directory)
            .with_context(|| format!("cannot write into {}", directory.display()))?;
        context.narrate(&format!(
            "wrote coracle.1 and a page for each verb to {}",
            directory.display()
        ));
        Ok(0)
    }
}

/// The page of a verb, or of the whole, as man(1) reads it.
fn page(verb: Option<&str>) -> Result<String> {
    let mut whole = whole_command();
    whole.build();
    let command = match verb {
        None => whole,
        Some(verb) => whole.find_subcommand(verb).cloned().ok_or_else(|| {
            hint(
                format!("there is no verb {verb:?}"),
                "`coracle help` lists the verbs; `--output DIR` writes all pages",
            )
        })?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
