//! `coracle`: the command. It finds the verb, builds only that verb's options, and runs it.

mod autostart;
mod check;
mod clock;
mod commands;
mod context;
mod exposure;
mod failure;
mod hosts;
mod interrupt;
mod listing;
mod moment;
mod moving;
mod ownership;
mod portable;
mod progress;
mod pseudo_terminal;
mod reference;
mod relay;
mod terminal;
mod toolbox;
mod unit_files;
mod verbs;
mod workers;
mod zones;

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::process::ExitCode;

use clap::error::ErrorKind;
use rustix::fs::Mode;
use rustix::process::umask;

use context::{Context, Globals};

/// The C library's own takes a mapping from the kernel and gives it back for every handful of pages; this one keeps what it has, for the
/// price of some kilobytes.
#[global_allocator]
static ALLOCATOR: kernel::allocator::Kept<dlmalloc::GlobalDlmalloc> =
    kernel::allocator::Kept::new(dlmalloc::GlobalDlmalloc);

/// Nobody else writes to what the command makes, even where its caller's mask of file modes would let them.
fn close_file_modes() {
    let others_write = Mode::WGRP | Mode::WOTH;
    let caller = umask(others_write);
    umask(caller | others_write);
}

fn main() -> ExitCode {
    close_file_modes();
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments
        .get(1)
        .is_some_and(|word| word == workers::ARGUMENT)
    {
        return failure::exit(None, workers::main(arguments.into_iter().skip(2)));
    }
    let is_asked_here = match hosts::arrive(&mut arguments) {
        Ok(arrived) => !arrived,
        Err(errno) => return failure::exit(None, Err(errno.into())),
    };
    let verb = verbs::of(&arguments);
    // Its parts are not given back one by one: the process ends soon.
    let mut command = ManuallyDrop::new(command_for(verb));
    match command.try_get_matches_from_mut(&arguments) {
        Ok(matches) => {
            let globals = Globals::from_matches(&matches);
            match &globals.host {
                Some(hosts) if is_asked_here => {
                    let outcome = hosts::run(hosts, &globals, (&arguments, &matches));
                    failure::exit(None, outcome)
                }
                _ => run(verb, globals, &matches),
            }
        }
        Err(error) => usage(&error),
    }
}

/// Building the options of all verbs costs more than a start; so only the verb that is run is built, and all of them for help and errors.
fn command_for(verb: Option<&'static verbs::Verb>) -> clap::Command {
    let whole = || verbs::whole_command().disable_help_subcommand(false);
    verb.map_or_else(whole, |verb| {
        verbs::root_command().subcommand((verb.command)())
    })
}

fn run(verb: Option<&verbs::Verb>, globals: Globals, matches: &clap::ArgMatches) -> ExitCode {
    let context = match Context::new(globals) {
        Ok(context) => context,
        Err(error) => return failure::exit(None, Err(error)),
    };
    let outcome = match (verb, matches.subcommand()) {
        (Some(verb), Some((_, options))) => (verb.run)(options, &context),
        _ => commands::overview(&context),
    };
    failure::exit(Some(&context), outcome)
}

fn usage(error: &clap::Error) -> ExitCode {
    let asked_for_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if error.print().is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(if asked_for_help { 0 } else { 2 })
}
