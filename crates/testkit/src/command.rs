//! Commands that others execute: shells, tracers, and what enters namespaces.

use std::process::Command;

/// What `by` is to execute, as its further arguments: this command, in its environment.
#[must_use]
pub fn executed(mut by: Command, command: &Command) -> Command {
    by.arg(command.get_program()).args(command.get_args());
    surround(&mut by, command);
    by
}

/// Gives a command the environment of another one.
pub fn surround(command: &mut Command, as_is: &Command) {
    for (name, value) in as_is.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}
