//! `run --pty` and `run --shell`: a command on a terminal of its own, whose other end is ours.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use super::run::RunCommand;
use crate::context::Context;
use crate::failure::hint;
use crate::pseudo_terminal;

const SHELL: &str = "/bin/sh";
/// Set by the command for itself.
const AGAIN: &str = "--on-own-terminal";

/// Where the command's standard streams are, besides `--pipe`.
#[derive(Args, Debug, Default)]
pub(crate) struct Terminal {
    /// Give it a terminal of its own, and pass on what is typed and shown, until it ended; with --pipe: only where we are on one
    #[arg(short = 't', long, conflicts_with = "scope")]
    pub(super) pty: bool,
    /// Run a shell, or COMMAND, in the directory that we are in, as --pty --pipe --same-dir --wait --collect --service-type=exec
    #[arg(short = 'S', long, conflicts_with = "scope")]
    shell: bool,
    /// Our standard streams are the terminal that was made for the command
    #[arg(long, hide = true)]
    on_own_terminal: bool,
}

impl RunCommand {
    /// What `--shell` stands for.
    pub(super) fn settle(&mut self) {
        if self.terminal.shell {
            (self.terminal.pty, self.pipe, self.collect) = (true, true, true);
            self.same_dir = self.working_directory.is_none();
            self.service_type.get_or_insert_with(|| "exec".to_owned());
            if self.command.is_empty() {
                let own = std::env::var("SHELL").ok();
                let own = own.filter(|shell| shell.starts_with('/'));
                self.command.push(own.unwrap_or_else(|| SHELL.to_owned()));
            }
        }
        self.wait |= self.terminal.pty;
    }

    /// The same command once more, for a new terminal; none where there is to be none, or this is it.
    pub(super) fn on_new_terminal(&mut self, context: &Context) -> Result<Option<Command>> {
        if !self.terminal.pty {
            return Ok(None);
        }
        if context.globals.json {
            return Err(hint(
                "--json and a terminal both want standard output",
                "leave out one of them; --wait waits without --pty",
            ));
        }
        if self.terminal.on_own_terminal {
            self.pipe = false;
            return Ok(None);
        }
        if pseudo_terminal::is_wanted() {
            return again(std::env::args_os()).map(Some);
        }
        self.terminal.pty = false;
        match self.pipe {
            true => Ok(None),
            false => Err(hint(
                "--pty is for terminals, and not all of our standard streams are one",
                "--pipe takes streams as they are; both together take what is there",
            )),
        }
    }

    /// The lines by which the service has that terminal.
    pub(super) fn terminal_lines(&self) -> Result<Vec<String>> {
        if !(self.terminal.pty && self.terminal.on_own_terminal) {
            return Ok(Vec::new());
        }
        let path = std::fs::read_link("/proc/self/fd/0").context("cannot see our terminal")?;
        let mut lines = ["StandardInput", "StandardOutput", "StandardError"]
            .map(|name| format!("{name}=tty"))
            .to_vec();
        lines.push(format!("TTYPath={}", path.display()));
        if let Ok(kind) = std::env::var("TERM")
            && kind
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"%\"\\'".contains(&byte))
        {
            lines.push(format!("Environment=TERM={kind}"));
        }
        Ok(lines)
    }
}

/// Our own command line with the mark behind the verb.
fn again(arguments: impl Iterator<Item = OsString>) -> Result<Command> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let verb = crate::verbs::place(&arguments).context("no verb")?;
    arguments.insert(verb + 1, AGAIN.into());
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments.into_iter().skip(1));
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_behind_the_verb_and_never_in_the_command() {
        let words = [
            "coracle",
            "--state-dir",
            "run",
            "-q",
            "run",
            "-t",
            "echo",
            "run",
        ];
        let again = again(words.iter().map(OsString::from)).unwrap();
        let words: Vec<_> = again.get_args().collect();
        let expected = [
            "--state-dir",
            "run",
            "-q",
            "run",
            AGAIN,
            "-t",
            "echo",
            "run",
        ];
        assert_eq!(words, expected);
    }
}
