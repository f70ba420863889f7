//! `run`: a command as a transient service.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use wire::methods::{StartTransient, Status};
use wire::{ClientError, Failure, NamesRequest, TransientRequest};

use super::jobs;
use super::run_terminal::Terminal;
use super::run_trigger::Trigger;
use crate::context::Context;
use crate::failure::hint;
use crate::interrupt;
use crate::pseudo_terminal;
use crate::terminal::{Paint, say_json};
use crate::verbs::Run;

/// Options of `run`.
#[derive(Args, Debug)]
pub(crate) struct RunCommand {
    /// A directive of the service, as in a unit file; may be given again
    #[arg(short, long = "property", value_name = "DIRECTIVE=VALUE")]
    pub(super) property: Vec<String>,
    /// Name of the unit [default: one is made]
    #[arg(short, long, value_name = "NAME")]
    pub(super) unit: Option<String>,
    /// What the unit is called in listings
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Restrict it as portables are restricted (`default`), or hardly (`trusted`)
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Run as this user
    #[arg(long, value_name = "USER")]
    uid: Option<String>,
    /// Run with this group
    #[arg(long, value_name = "GROUP")]
    gid: Option<String>,
    /// Run with this niceness
    #[arg(long, value_name = "NICENESS", allow_negative_numbers = true)]
    nice: Option<i8>,
    /// Run with this directory as its root
    #[arg(long, value_name = "PATH")]
    root_directory: Option<String>,
    /// Tell its processes by SIGHUP, too, when it is stopped
    #[arg(long)]
    send_sighup: bool,
    /// What becomes of jobs that are queued: `fail`, `replace`, `replace-irreversibly`, `isolate`, `ignore-dependencies` …
    #[arg(long, value_name = "MODE", default_value = "fail")]
    job_mode: String,
    /// Set a variable; without a value, pass ours on
    #[arg(short = 'E', long = "setenv", value_name = "NAME[=VALUE]")]
    setenv: Vec<String>,
    /// Run in this directory
    #[arg(long, value_name = "PATH")]
    pub(super) working_directory: Option<String>,
    /// Run in the directory that we are in
    #[arg(short = 'd', long)]
    pub(super) same_dir: bool,
    /// Keep the unit active after its command ended
    #[arg(short, long)]
    remain_after_exit: bool,
    /// Wait until it ended, and end with its exit status
    #[arg(long)]
    pub(super) wait: bool,
    /// Give it our standard input, output and error
    #[arg(short = 'P', long)]
    pub(super) pipe: bool,
    /// Forget the unit when it ended, also when it failed
    #[arg(short = 'G', long)]
    pub(super) collect: bool,
    /// Return as soon as the start is queued
    #[arg(long)]
    no_block: bool,
    /// Place the unit in this slice of the tree of resources
    #[arg(long, value_name = "SLICE")]
    slice: Option<String>,
    /// What the service says of its start: `simple`, `exec`, `oneshot`, `notify` …
    #[arg(long, value_name = "TYPE")]
    pub(super) service_type: Option<String>,
    #[command(flatten)]
    pub(super) terminal: Terminal,
    #[command(flatten)]
    trigger: Trigger,
    /// Run it here and now, as our own process, in a scope unit
    #[arg(long, conflicts_with_all = ["pipe", "wait", "no_block", "remain_after_exit", "profile", "uid", "gid", "nice", "root_directory"])]
    pub(super) scope: bool,
    /// Start although this version does not enforce a sandboxing directive
    #[arg(long)]
    allow_unenforced: bool,
    /// The command and its arguments, to which all belongs that comes after it
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

impl Run for RunCommand {
    fn run(mut self, context: &Context) -> Result<u8> {
        self.settle();
        self.trigger.check(&self)?;
        if self.scope {
            return self.run_here(context);
        }
        if let Some(again) = self.on_new_terminal(context)? {
            return pseudo_terminal::run(again);
        }
        if self.pipe && context.globals.json {
            return Err(hint(
                "--json and --pipe both want standard output",
                "leave out one of them; --wait waits without --pipe",
            ));
        }
        let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let streams: [BorrowedFd<'_>; 3] = [input.as_fd(), output.as_fd(), error.as_fd()];
        let descriptors = if self.pipe { streams.as_slice() } else { &[] };
        let request = self.request(context)?;
        let mut client = context.connect()?;
        let interrupts = request
            .wait
            .then(|| interrupt::catch(context, &mut client, &request.unit))
            .transpose()?;
        let outcome = client.call_with(StartTransient, &request, descriptors)?;
        if let Some(status) = interrupts.and_then(|interrupts| interrupts.status()) {
            return Ok(status);
        }
        jobs::tell(context, &outcome);
        if context.globals.json {
            say_json(&Ran::of(context, &outcome)?)?;
        }
        Ok(self.finish(context, &outcome))
    }
}

/// What came of a command, as `--json` tells it.
#[derive(Serialize)]
struct Ran<'a> {
    unit: &'a str,
    /// Of its job: `done`, `failed`, `queued` …
    result: &'a str,
    invocation_id: Option<String>,
    /// Of the service, while it runs and after.
    main_pid: Option<u32>,
    /// Where it was waited for, or has ended already.
    exit: Option<wire::ExitStatus>,
}

impl Ran<'_> {
    /// What the outcome does not say is asked of the unit, which may be gone by now.
    fn of<'a>(context: &Context, outcome: &'a wire::JobOutcome) -> Result<Ran<'a>> {
        let names = vec![outcome.unit.clone()];
        let units = match context.connect()?.call(Status, &NamesRequest { names }) {
            Ok(reply) => reply.units,
            Err(ClientError::Failure(Failure::NoSuchUnit { .. })) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let service = units.into_iter().find_map(|unit| unit.service);
        let service = service.unwrap_or_default();
        let exit = outcome.exit.clone().or(service.exit);
        Ok(Ran {
            unit: &outcome.unit,
            result: &outcome.result,
            invocation_id: outcome.invocation_id.clone().or(service.invocation_id),
            main_pid: service.main_pid.or(exit.as_ref().and_then(|exit| exit.pid)),
            exit,
        })
    }
}

impl RunCommand {
    /// The unit's lines: the profile first, so that a property of the command line comes after and wins.
    fn request(&self, context: &Context) -> Result<TransientRequest> {
        let mut properties = match self.profile.as_deref() {
            None => Vec::new(),
            Some(name) => crate::check::profile_lines(name).ok_or_else(|| {
                hint(
                    format!("there is no profile {name:?}"),
                    "profiles are default, classic, nonetwork, strict and trusted",
                )
            })?,
        };
        // What an option says is meant as it is; specifiers are for properties.
        let mut add = |name: &str, value: Option<&String>| {
            properties.extend(value.map(|value| format!("{name}={}", value.replace('%', "%%"))))
        };
        add("Description", self.description.as_ref());
        add("User", self.uid.as_ref());
        add("Group", self.gid.as_ref());
        add("Nice", self.nice.map(|nice| nice.to_string()).as_ref());
        add("RootDirectory", self.root_directory.as_ref());
        add(
            "SendSIGHUP",
            self.send_sighup.then(|| "yes".to_owned()).as_ref(),
        );
        add(
            "Slice",
            self.slice.as_deref().map(slice).transpose()?.as_ref(),
        );
        add("Type", self.service_type.as_ref());
        add(
            "RemainAfterExit",
            self.remain_after_exit.then(|| "yes".to_owned()).as_ref(),
        );
        // In a scope these are ours.
        if !self.scope {
            add("WorkingDirectory", self.directory()?.as_ref());
            for variable in &self.setenv {
                properties.extend(environment(context, variable)?);
            }
        }
        properties.extend(self.terminal_lines()?);
        properties.extend(self.property.iter().cloned());
        let descriptor = |index| self.pipe.then_some(index);
        let request = TransientRequest {
            unit: match &self.unit {
                Some(unit) if self.scope && model::UnitName::new(unit).is_err() => {
                    format!("{unit}.scope")
                }
                Some(unit) => unit.clone(),
                None => own_name(if self.scope { "scope" } else { "service" })?,
            },
            properties,
            command: match self.scope {
                true => Vec::new(),
                false => self.command.clone(),
            },
            processes: self.scope.then_some(0).into_iter().collect(),
            mode: self.job_mode.clone(),
            stdin: descriptor(0),
            stdout: descriptor(1),
            stderr: descriptor(2),
            wait: self.wait || self.pipe,
            no_block: self.no_block,
            collect: self.collect,
            allow_unenforced: self.allow_unenforced,
            again: false,
            ..TransientRequest::default()
        };
        match self.trigger.kind() {
            Some(kind) => self.trigger.request(kind, request),
            None => Ok(request),
        }
    }

    /// Lets this process be a scope, and then become the command.
    fn run_here(&self, context: &Context) -> Result<u8> {
        let program = self.command.first().context("no command is given")?;
        let directory = self.directory()?;
        let own = rustix::process::getpid();
        let own = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty())
            .context("cannot open our own process")?;
        let request = self.request(context)?;
        let mut client = context.connect()?;
        let outcome = client.call_with(StartTransient, &request, &[own.as_fd()])?;
        drop(client);
        jobs::tell(context, &outcome);
        let status = self.finish(context, &outcome);
        if status != 0 {
            return Ok(status);
        }
        let mut command = std::process::Command::new(program);
        command.args(self.command.iter().skip(1));
        for variable in &self.setenv {
            // One without a value is passed on, as all that are set here.
            if let Some((name, value)) = variable.split_once('=') {
                command.env(name, value);
            }
        }
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        let error = std::os::unix::process::CommandExt::exec(&mut command);
        Err(error).with_context(|| format!("cannot execute {program}"))
    }

    fn directory(&self) -> Result<Option<String>> {
        if !self.same_dir {
            return Ok(self.working_directory.clone());
        }
        let here = std::env::current_dir().context("cannot tell in which directory we are")?;
        here.into_os_string()
            .into_string()
            .map(Some)
            .map_err(|path| {
                hint(
                    format!("the name of {} is not UTF-8", path.display()),
                    "go to a directory whose name is, or leave out --same-dir",
                )
            })
    }

    fn finish(&self, context: &Context, outcome: &wire::JobOutcome) -> u8 {
        match (&outcome.exit, outcome.result.as_str()) {
            (Some(exit), _) if self.wait || self.pipe => {
                if outcome.failure.is_none() {
                    tell_end(context, &outcome.unit, exit);
                }
                jobs::exit_status(exit)
            }
            (_, "done" | "queued") => {
                match self.trigger.kind() {
                    Some(kind) => self.trigger.tell(context, kind, &outcome.unit, self),
                    None => context.narrate(&format!("running as unit {}", outcome.unit)),
                }
                0
            }
            _ => 1,
        }
    }
}

/// Tells an end that the exit status alone does not explain: the command was not executed, or something else ended the unit.
fn tell_end(context: &Context, unit: &str, exit: &wire::ExitStatus) {
    /// From here on exit statuses say which step before the command failed; those of programs end at 78 (sysexits).
    const NOT_EXECUTED_MIN: u8 = 200;
    let step = u8::try_from(exit.status)
        .ok()
        .filter(|status| exit.code == "exited" && *status >= NOT_EXECUTED_MIN)
        .and_then(model::tables::exit_status::name);
    let what = match (exit.result.as_str(), step) {
        ("exit-code", Some(step)) => format!(
            "{unit}: the command was not executed (status {}/{step})",
            exit.status
        ),
        ("success" | "exit-code" | "signal" | "core-dump", _) => return,
        (other, _) => format!("{unit} ended, result: {other}"),
    };
    context.narrate(&what);
    context.narrate(&format!(
        "{} `coracle logs -u {unit}` tells more",
        Paint::Bold.on("Hint:")
    ));
}

/// A name that no other unit has, made here: by it the next manager knows the unit when the one that was asked went away.
fn own_name(kind: &str) -> Result<String> {
    let mut number = [0; 8];
    rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())
        .context("cannot make a name for the unit")?;
    Ok(format!("run-{:016x}.{kind}", u64::from_ne_bytes(number)))
}

/// `Environment=` with the variable quoted; a bare name takes our own value, and nothing where we have none.
fn environment(context: &Context, variable: &str) -> Result<Option<String>> {
    let whole = if variable.contains('=') {
        variable.to_owned()
    } else {
        match std::env::var(variable) {
            Ok(value) => format!("{variable}={value}"),
            Err(std::env::VarError::NotPresent) => {
                context.narrate(&format!(
                    "{variable} is not set here, so it is not passed on"
                ));
                return Ok(None);
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(hint(
                    format!("the value of {variable} is not UTF-8"),
                    "put it into a file, and name that with -p EnvironmentFile=",
                ));
            }
        }
    };
    let mut quoted = String::new();
    for letter in whole.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '%' => quoted.push_str("%%"),
            '\n' => quoted.push_str("\\n"),
            letter => quoted.push(letter),
        }
    }
    Ok(Some(format!("Environment=\"{quoted}\"")))
}

/// The slice that is meant: its suffix may be left out.
fn slice(name: &str) -> Result<String> {
    let full = match name.ends_with(".slice") {
        true => name.to_owned(),
        false if crate::context::is_full_unit_name(name) => {
            return Err(hint(
                format!("{name:?} is not a slice"),
                "slices end with .slice, which may be left out",
            ));
        }
        false => format!("{name}.slice"),
    };
    full.parse::<model::UnitName>()
        .map(|_| full.clone())
        .map_err(|error| {
            hint(
                format!("{full:?} names no slice: {error}"),
                "`coracle list-units --type=slice --all` lists slices",
            )
        })
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::context::Globals;

    /// The properties that a command line asks for.
    fn check(words: &[&str], expected: &[&str]) {
        let command = RunCommand::augment_args(clap::Command::new("run"));
        let line = ["run"].iter().chain(words).chain(&["true"]);
        let matches = command.try_get_matches_from(line).unwrap();
        let run = RunCommand::from_arg_matches(&matches).unwrap();
        let context = Context::new(Globals::default()).unwrap();
        assert_eq!(run.request(&context).unwrap().properties, expected);
    }

    #[test]
    fn options_are_taken_as_they_are_and_properties_as_in_a_unit_file() {
        check(
            &["--description", "100% done", "--working-directory=/a%b"],
            &["Description=100%% done", "WorkingDirectory=/a%%b"],
        );
        check(&["-p", "Description=%n"], &["Description=%n"]);
        check(&["-E", "RATE=5%"], &["Environment=\"RATE=5%%\""]);
        check(
            &["--nice=-3", "--root-directory=/srv", "--send-sighup"],
            &["Nice=-3", "RootDirectory=/srv", "SendSIGHUP=yes"],
        );
    }

    /// The request that a command line makes.
    fn request(words: &[&str]) -> Result<TransientRequest> {
        let command = RunCommand::augment_args(clap::Command::new("run"));
        let matches = command
            .try_get_matches_from(["run"].iter().chain(words))
            .unwrap();
        let mut run = RunCommand::from_arg_matches(&matches).unwrap();
        run.settle();
        run.trigger.check(&run)?;
        run.request(&Context::new(Globals::default()).unwrap())
    }

    #[test]
    fn a_timer_a_path_or_a_socket_has_its_lines_and_the_service_its_own() {
        let words = [
            "--on-active=5s",
            "--on-calendar=daily",
            "--unit=tea",
            "-p",
            "Nice=3",
            "true",
        ];
        let timer = request(&words).unwrap();
        let lines = [
            "OnActiveSec=5s",
            "OnCalendar=daily",
            "RemainAfterElapse=no",
            "Unit=tea.service",
        ];
        assert_eq!(
            (timer.unit.as_str(), timer.properties),
            ("tea.timer", lines.map(str::to_owned).to_vec())
        );
        assert_eq!(
            (timer.starts.as_str(), timer.started_properties),
            ("tea.service", vec!["Nice=3".to_owned()])
        );
        assert_eq!(
            (timer.started_command, timer.command),
            (vec!["true".to_owned()], Vec::new())
        );
        let path = request(&["--path-property=PathExists=/x", "--unit=a.service", "true"]).unwrap();
        assert_eq!(
            (path.unit.as_str(), path.properties),
            (
                "a.path",
                vec!["PathExists=/x".to_owned(), "Unit=a.service".to_owned()]
            )
        );
        let socket = request(&["--socket-property=ListenStream=1", "true"]).unwrap();
        assert!(
            socket.unit.ends_with(".socket") && socket.properties[1].starts_with("Service=run-")
        );
        let there = request(&["--on-boot=1h", "--unit=backup"]).unwrap();
        assert!(there.starts.is_empty() && there.unit == "backup.timer");
    }

    #[test]
    fn a_shell_is_a_command_on_a_terminal_that_is_waited_for_and_forgotten() {
        let run = |words: &[&str]| {
            let command = RunCommand::augment_args(clap::Command::new("run"));
            let line = ["run"].iter().chain(words);
            let matches = command.try_get_matches_from(line).unwrap();
            let mut run = RunCommand::from_arg_matches(&matches).unwrap();
            run.settle();
            let context = Context::new(Globals::default()).unwrap();
            assert!(run.on_new_terminal(&context).unwrap().is_none());
            run.request(&context).unwrap()
        };
        let shell = run(&["--shell", "--on-own-terminal"]);
        assert!(shell.wait && shell.collect && shell.stdin.is_none());
        assert_eq!(shell.command.len(), 1);
        for line in ["Type=exec", "StandardInput=tty", "StandardError=tty"] {
            assert!(shell.properties.iter().any(|one| one == line), "{line}");
        }
        let here = format!(
            "WorkingDirectory={}",
            std::env::current_dir().unwrap().display()
        );
        assert!(shell.properties.contains(&here), "{:?}", shell.properties);
        let other = run(&[
            "-S",
            "--on-own-terminal",
            "--working-directory=/",
            "ls",
            "-l",
        ]);
        assert!(other.properties.contains(&"WorkingDirectory=/".to_owned()));
        assert_eq!(other.command, ["ls", "-l"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused_before_anything_is_made() {
        const NOTHING: &str = "no command is given";
        const LATER: &str = "what is started later can't be waited for";
        for (words, expected) in [
            (&[][..], NOTHING),
            (&["--unit=a"], NOTHING),
            (&["--on-active=5s"], NOTHING),
            (&["--on-active=5s", "--wait", "true"], LATER),
            (&["--on-active=5s", "--pipe", "true"], LATER),
            (&["--on-active=5s", "--pty", "true"], LATER),
            (
                &["--on-active=5s", "--path-property=PathExists=/x", "true"],
                "not by several of them",
            ),
            (
                &["--timer-property=AccuracySec=1s", "true"],
                "no moment at which it elapses",
            ),
            (
                &["--on-active=5s", "--unit=a.timer", "true"],
                "is not a service",
            ),
        ] {
            let error = request(words).unwrap_err().to_string();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
    }
}
