//! `poweroff`, `reboot`, `halt`, `kexec`, and the verbs that change the state of the whole: `default`, `rescue`, `emergency`,
//! `is-system-running`.

use anyhow::Result;
use clap::Args;
use wire::methods::{Describe, Exit, Monitor};
use wire::{Done, ExitRequest, MonitorRequest};

use super::jobs::{self, JobOptions};
use crate::context::Context;
use crate::failure::hint;
use crate::terminal::say;
use crate::verbs::Run;

/// The exit status of systemctl for a whole that is not `running`.
const NOT_RUNNING: u8 = 1;

/// The state in which the default target is still on its way.
const STARTING: &str = "starting";

/// Options of the verbs that switch the machine.
#[derive(Args, Debug, Clone)]
struct Force {
    /// Kill all units instead of stopping them; given twice, switch the machine at once, and lose what is not written
    #[arg(short, long, action = clap::ArgAction::Count)]
    force: u8,
}

/// The word of the action, as FailureAction= has it.
fn action(verb: &str, force: u8) -> String {
    match force {
        0 => verb.to_owned(),
        1 => format!("{verb}-force"),
        _ => format!("{verb}-immediate"),
    }
}

/// Asks for the end, and returns as soon as it is decided: whoever waits longer is stopped with the rest.
fn switch(context: &Context, verb: &str, force: &Force, argument: &str) -> Result<u8> {
    let Some(mut client) = context.connect_if_running()? else {
        return Err(hint(
            format!("{verb} is not done: coracle does not run here"),
            format!("`{verb}` of the machine's own init does it"),
        ));
    };
    let request = ExitRequest {
        action: action(verb, force.force),
        argument: argument.to_owned(),
    };
    match client.call(Exit, &request) {
        // It went away while it was asked.
        Ok(_) | Err(wire::ClientError::Connect { .. }) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

macro_rules! switches {
    ($($(#[doc = $doc:literal])* $name:ident $verb:literal;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Args, Debug)]
        pub(crate) struct $name {
            #[command(flatten)]
            force: Force,
        }

        impl Run for $name {
            fn run(self, context: &Context) -> Result<u8> {
                switch(context, $verb, &self.force, "")
            }
        }
    )*};
}

switches! {
    /// Options of `poweroff`.
    Poweroff "poweroff";
    /// Options of `halt`.
    Halt "halt";
    /// Options of `kexec`.
    Kexec "kexec";
}

/// Options of `reboot`.
#[derive(Args, Debug)]
pub(crate) struct Reboot {
    #[command(flatten)]
    force: Force,
    /// For the firmware: reboot(2)'s argument
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reboot_argument: String,
}

impl Run for Reboot {
    fn run(self, context: &Context) -> Result<u8> {
        switch(context, "reboot", &self.force, &self.reboot_argument)
    }
}

macro_rules! targets {
    ($($(#[doc = $doc:literal])* $name:ident $target:literal;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Args, Debug)]
        pub(crate) struct $name {
            /// Return as soon as the jobs are queued
            #[arg(long)]
            no_block: bool,
        }

        impl Run for $name {
            fn run(self, context: &Context) -> Result<u8> {
                let options = JobOptions { no_block: self.no_block, ..JobOptions::isolating() };
                jobs::start(context, &[$target.to_owned()], &options)
            }
        }
    )*};
}

targets! {
    /// Options of `default`.
    Default "default.target";
    /// Options of `rescue`.
    Rescue "rescue.target";
    /// Options of `emergency`.
    Emergency "emergency.target";
}

/// Options of `isolate`.
#[derive(Args, Debug)]
pub(crate) struct Isolate {
    /// The unit; a name without a suffix is a target's
    #[arg(value_name = "UNIT")]
    name: String,
    /// Return as soon as the jobs are queued
    #[arg(long)]
    no_block: bool,
}

impl Run for Isolate {
    fn run(self, context: &Context) -> Result<u8> {
        let name = match self.name.contains('.') {
            true => self.name,
            false => format!("{}.target", self.name),
        };
        let options = JobOptions {
            no_block: self.no_block,
            ..JobOptions::isolating()
        };
        jobs::start(context, &[name], &options)
    }
}

/// The state once the default target is up or has failed.
fn came_up(context: &Context) -> Result<String> {
    let request = MonitorRequest {
        names: vec!["default.target".into()],
    };
    let mut events = context.connect()?;
    for event in events.more(Monitor, &request, &[])? {
        event?;
        let state = context.connect()?.call(Describe, &Done {})?.state;
        if state != STARTING {
            return Ok(state);
        }
    }
    Err(hint(
        "the manager went away while it was asked",
        "ask again",
    ))
}

/// Options of `is-system-running`.
#[derive(Args, Debug)]
pub(crate) struct IsSystemRunning {
    /// Wait until it has come up
    #[arg(long)]
    wait: bool,
}

impl Run for IsSystemRunning {
    fn run(self, context: &Context) -> Result<u8> {
        let Some(mut client) = context.connect_if_running()? else {
            say("offline");
            return Ok(NOT_RUNNING);
        };
        let mut state = client.call(Describe, &Done {})?.state;
        if self.wait && state == STARTING {
            state = came_up(context)?;
        }
        if !context.globals.quiet {
            say(&state);
        }
        Ok(if state == "running" { 0 } else { NOT_RUNNING })
    }
}
