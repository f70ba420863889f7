//! `set-environment`, `unset-environment`, `show-environment`: variables of services that start from now on.

use anyhow::Result;
use clap::Args;
use wire::methods::{SetEnvironment as Set, ShowEnvironment as Show, UnsetEnvironment as Unset};
use wire::{Done, Environment};

use crate::context::Context;
use crate::terminal::{plain, say, say_json};
use crate::verbs::Run;

/// Options of `set-environment`.
#[derive(Args, Debug)]
pub(crate) struct SetEnvironment {
    /// Variables
    #[arg(required = true, value_name = "NAME=VALUE")]
    environment: Vec<String>,
}

impl Run for SetEnvironment {
    fn run(self, context: &Context) -> Result<u8> {
        context.connect()?.call(
            Set,
            &Environment {
                environment: self.environment,
            },
        )?;
        Ok(0)
    }
}

/// Options of `unset-environment`.
#[derive(Args, Debug)]
pub(crate) struct UnsetEnvironment {
    /// Variables; with a value, only where they have that value
    #[arg(required = true, value_name = "NAME[=VALUE]")]
    environment: Vec<String>,
}

impl Run for UnsetEnvironment {
    fn run(self, context: &Context) -> Result<u8> {
        context.connect()?.call(
            Unset,
            &Environment {
                environment: self.environment,
            },
        )?;
        Ok(0)
    }
}

/// Options of `show-environment`.
#[derive(Args, Debug)]
pub(crate) struct ShowEnvironment {}

impl Run for ShowEnvironment {
    fn run(self, context: &Context) -> Result<u8> {
        let reply = context.connect()?.call(Show, &Done {})?;
        if context.globals.json {
            say_json(&reply.environment)?;
            return Ok(0);
        }
        reply
            .environment
            .iter()
            .for_each(|variable| say(&plain(variable)));
        Ok(0)
    }
}
