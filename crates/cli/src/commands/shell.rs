//! `shell`: a shell, or a given command, inside a running service's sandbox.
//!
//! This process joins the service's control group and namespaces, becomes the service's user, gives up the capabilities and installs
//! the system-call filter that the service has, and only then starts the command. Where the image has no shell, the host's programs
//! are laid under the image's own in a copy of the mount namespace that the service never sees.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use kernel::{Errno, credentials, descriptor, keyring, namespace, process, seccomp};
use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};
use wire::methods::EnterSandbox;
use wire::{OneUnit, SandboxReply};

use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::pseudo_terminal;
use crate::relay;
use crate::toolbox;
use crate::verbs::Run;

/// What a shell finds its programs by.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Exit statuses of a shell for a command that can't be executed, or is not there (POSIX, 2.8.2).
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Options of `shell`.
#[derive(Args, Debug)]
pub(crate) struct Shell {
    /// The portable or unit
    #[arg(value_name = "UNIT")]
    unit: String,
    /// Standard streams are on a terminal that was made for the sandbox: set by the command for itself
    #[arg(long, hide = true)]
    on_own_terminal: bool,
    /// The command and its arguments [default: a shell]
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
}

impl Run for Shell {
    fn run(self, context: &Context) -> Result<u8> {
        if !self.on_own_terminal && pseudo_terminal::is_wanted() {
            return pseudo_terminal::run(self.again(context, true));
        }
        if !self.on_own_terminal && relay::is_wanted() {
            return relay::run(self.again(context, false));
        }
        let mut client = context.connect()?;
        let unit = service(context, &self.unit)?;
        let sandbox = client.call(EnterSandbox, &OneUnit { unit: unit.clone() })?;
        let pidfd = client
            .take_descriptors()
            .into_iter()
            .next()
            .context("the manager sent no process descriptor")?;
        drop(client);
        enter(&sandbox, &pidfd).or_hint(
            || format!("cannot enter the sandbox of {unit}"),
            "the service may have ended; `coracle status` tells",
        )?;
        execute(&self.words(), &sandbox, self.on_own_terminal)
    }
}

impl Shell {
    /// The same command once more, for a terminal of its own or pipes.
    fn again(&self, context: &Context, on_own_terminal: bool) -> Command {
        let mut command = Command::new("/proc/self/exe");
        for (option, directory) in context.directories.given() {
            command.arg(option).arg(directory);
        }
        command.arg("shell");
        if on_own_terminal {
            command.arg("--on-own-terminal");
        }
        command.args([&self.unit, "--"]).args(self.words());
        command
    }

    fn words(&self) -> Vec<String> {
        if self.command.is_empty() {
            vec!["/bin/sh".to_owned()]
        } else {
            self.command.clone()
        }
    }
}

/// The service of a portable, or the unit itself.
fn service(context: &Context, name: &str) -> Result<String> {
    let units = crate::portable::units_of(context, &[name.to_owned()])?;
    let services: Vec<&String> = units
        .iter()
        .filter(|unit| !unit.contains('.') || unit.ends_with(".service"))
        .collect();
    match services.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(hint(
            format!("{name} has no service"),
            "`coracle list-units` lists what runs",
        )),
        several => Err(hint(
            format!("{name} has {} services", several.len()),
            format!("say which: {}", units.join(", ")),
        )),
    }
}

/// Becomes a process of the sandbox. The order is the executor's: what needs privileges first, the filter last.
fn enter(sandbox: &SandboxReply, pidfd: &OwnedFd) -> Result<()> {
    // We become a process of the service's user: what is in our memory, our caller's environment at least, stays out of its reach,
    // and so do the descriptors that our caller left open and the keys of the caller's session.
    process::set_dumpable(false).context("cannot close our memory to others")?;
    descriptor::close_range_at_exec(3, u32::MAX).context("cannot close what is open")?;
    let host = open_tree(
        CWD,
        "/usr",
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    let filter = filter(sandbox)?;
    if let Some(group) = &sandbox.cgroup {
        fs::write(Path::new(group).join("cgroup.procs"), "0")
            .with_context(|| format!("cannot join {group}"))?;
    }
    // Before the user namespace, whose root may give no keyring away.
    leave_keys(sandbox)?;
    let namespaces = joined(sandbox.main_pid)?;
    // Another process may have its number by now, one that lives in no sandbox.
    if process::has_ended(pidfd) {
        bail!("its main process has ended");
    }
    if namespaces != 0 {
        namespace::join(pidfd, namespaces).context("cannot join the namespaces")?;
    }
    toolbox::add(&host)?;
    if let Some(directory) = &sandbox.working_directory {
        std::env::set_current_dir(directory.trim_start_matches('-'))
            .or_else(|_| std::env::set_current_dir("/"))?;
    } else {
        std::env::set_current_dir("/")?;
    }
    become_user(sandbox)?;
    process::set_no_new_privileges().context("cannot give up new privileges")?;
    if let Some(program) = filter {
        seccomp::install(&program, 0).context("cannot install the system-call filter")?;
    }
    Ok(())
}

/// The namespaces in which the service differs from us: joining one's own user namespace again is refused by the kernel.
fn joined(pid: u32) -> Result<u32> {
    const KINDS: &[(&str, u32)] = &[
        ("user", namespace::USER),
        ("mnt", namespace::MOUNT),
        ("pid", namespace::PID),
        ("net", namespace::NETWORK),
        ("ipc", namespace::IPC),
        ("uts", namespace::UTS),
        ("cgroup", namespace::CGROUP),
    ];
    let mut kinds = 0;
    for (name, kind) in KINDS {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{name}"))
            .with_context(|| format!("cannot see the {name} namespace of process {pid}"))?;
        if theirs != fs::read_link(format!("/proc/self/ns/{name}"))? {
            kinds |= kind;
        }
    }
    Ok(kinds)
}

fn become_user(sandbox: &SandboxReply) -> Result<()> {
    for capability in 0..64 {
        if credentials::in_bounding_set(capability).unwrap_or(false) {
            credentials::drop_from_bounding_set(capability).context("cannot drop capabilities")?;
        }
    }
    credentials::set_groups(&sandbox.groups).context("cannot take the groups")?;
    credentials::set_group(sandbox.gid.unwrap_or(0)).context("cannot take the group")?;
    credentials::set_user(sandbox.uid.unwrap_or(0)).context("cannot take the user")?;
    credentials::clear_ambient().context("cannot clear ambient capabilities")?;
    credentials::set_capabilities(credentials::CapabilitySets::default())
        .context("cannot drop capabilities")
}

/// Gives up our caller's session keyring for an empty one.
fn leave_keys(sandbox: &SandboxReply) -> Result<()> {
    match keyring::join_new_session() {
        Ok(_) => keyring::give_session(sandbox.uid.unwrap_or(0), sandbox.gid.unwrap_or(0)),
        // A kernel without keys, or one that lets us, and so what we start, make no call about any.
        Err(Errno::NOSYS | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno),
    }
    .context("cannot take a keyring of its own")
}

/// The service's own system-call program, compiled from its directives.
fn filter(sandbox: &SandboxReply) -> Result<Option<Vec<u8>>> {
    let unit = crate::check::unit_of_settings(&sandbox.unit, &sandbox.settings)?;
    Ok(plan::seccomp::program(&unit)?)
}

fn execute(words: &[String], sandbox: &SandboxReply, on_own_terminal: bool) -> Result<u8> {
    let Some((program, arguments)) = words.split_first() else {
        bail!("no command")
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", SEARCH_PATH);
    if let Ok(terminal) = std::env::var("TERM") {
        command.env("TERM", terminal);
    }
    for (name, value) in sandbox
        .environment
        .iter()
        .filter_map(|variable| variable.split_once('='))
    {
        command.env(name, value);
    }
    kernel::session::lead(&mut command, on_own_terminal);
    match command.status() {
        Ok(status) => Ok(pseudo_terminal::code(status)),
        Err(error) => {
            crate::terminal::complain(&format!("cannot execute {program} in the sandbox: {error}"));
            Ok(if error.kind() == std::io::ErrorKind::NotFound {
                NOT_FOUND
            } else {
                NOT_EXECUTABLE
            })
        }
    }
}
