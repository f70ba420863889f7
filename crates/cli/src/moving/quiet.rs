//! Services that wait while their state is copied: frozen in one moment, or stopped. Whatever ends the copy, they go on.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use delivery::portables::Portable;
use model::value::{BackupMode, ExecCommand, HealthOnFailure};
use model::{Unit, key};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use wire::methods::{Freeze, Show, StartUnit};
use wire::{FreezeRequest, ShowRequest};

use crate::commands::jobs::{self, JobOptions};
use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::portable::purge;
use crate::terminal::{Paint, complain, one_line, plain};

/// For all commands of one service.
const COMMANDS_TIME: Duration = Duration::from_secs(600);
/// Until a frozen group is: processes in the kernel are frozen when they leave it.
const FREEZE_TIME: Duration = Duration::from_secs(10);
const FREEZE_STEP: Duration = Duration::from_millis(5);
/// What is told in one line at most.
const LINE_MAX_BYTES: usize = 4096;

/// What the services of a portable do while its state is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Freeze,
    Stop,
    Live,
}

impl Mode {
    /// From `--mode`.
    pub(crate) fn of_word(word: &str) -> Result<Mode> {
        match word {
            "freeze" => Ok(Mode::Freeze),
            "stop" => Ok(Mode::Stop),
            "live" => Ok(Mode::Live),
            _ => Err(hint(
                format!("--mode={word} is nothing that services do meanwhile"),
                "say freeze, stop or live",
            )),
        }
    }
}

/// What runs of a portable, and the units of its services among them.
pub(crate) struct Services {
    running: Vec<String>,
    units: Vec<(String, Unit)>,
}

/// Runs the commands that make what services store whole.
///
/// # Errors
/// When one of them fails.
pub(crate) fn prepare(context: &Context, portable: &Portable) -> Result<Services> {
    let running = purge::running(context, portable)?;
    let mut units = Vec::new();
    for name in running.iter().filter(|unit| unit.ends_with(".service")) {
        let unit = crate::check::from_path(context, name)?.unit;
        run_commands(context, name, &unit)?;
        units.push((name.clone(), unit));
    }
    Ok(Services { running, units })
}

/// Services that wait.
pub(crate) struct Quiet<'c> {
    context: &'c Context,
    frozen: Vec<String>,
    /// They are frozen as long as this is there, so that nothing that ends us leaves them so.
    lease: Option<wire::Client>,
    stopped: Vec<String>,
    is_live: bool,
}

impl Quiet<'_> {
    /// Makes services quiet, as their units or `mode` say.
    ///
    /// # Errors
    /// When they can't be stopped.
    pub(crate) fn begin<'c>(
        context: &'c Context,
        services: &Services,
        mode: Option<Mode>,
    ) -> Result<Quiet<'c>> {
        let mut quiet = Quiet {
            context,
            frozen: Vec::new(),
            lease: None,
            stopped: Vec::new(),
            is_live: false,
        };
        let Services { running, units } = services;
        let wants = |wanted| units.iter().any(|(_, unit)| wish(unit) == wanted);
        let mode = mode.unwrap_or(match () {
            () if units.iter().any(|(_, unit)| must_stop(unit)) => Mode::Stop,
            () if wants(BackupMode::Stop) => Mode::Stop,
            () if wants(BackupMode::Freeze) => Mode::Freeze,
            () => Mode::Live,
        });
        if mode == Mode::Freeze {
            let names = units
                .iter()
                .filter(|(_, unit)| wish(unit) == BackupMode::Freeze);
            quiet.frozen = names.map(|(name, _)| name.clone()).collect();
            if let Err(error) = quiet.freeze() {
                (quiet.frozen, quiet.lease) = (Vec::new(), None);
                context.narrate(&format!(
                    "{} its services are stopped meanwhile, as they can't be frozen: {}",
                    Paint::Yellow.on("warning:"),
                    one_line(&format!("{error:#}"))
                ));
                quiet.stop(running.clone())?;
            }
        } else if mode == Mode::Stop {
            quiet.stop(running.clone())?;
        } else {
            quiet.is_live = !units.is_empty();
        }
        Ok(quiet)
    }

    /// What the services do, in a word.
    pub(crate) fn word(&self) -> &'static str {
        match (self.frozen.is_empty(), self.stopped.is_empty()) {
            _ if self.is_live => "live",
            (false, _) => "frozen",
            (_, false) => "stopped",
            _ => "down",
        }
    }

    fn stop(&mut self, running: Vec<String>) -> Result<()> {
        if running.is_empty() {
            return Ok(());
        }
        // Those that were stopped before one can't be are started again, too.
        self.stopped = running;
        match jobs::stop(self.context, &self.stopped, &JobOptions::replacing())? {
            0 => Ok(()),
            _ => Err(hint(
                "its services can't be stopped, so nothing was copied",
                "`coracle status` shows what still runs",
            )),
        }
    }

    fn freeze(&mut self) -> Result<()> {
        if self.frozen.is_empty() {
            return Ok(());
        }
        let client = self.lease.insert(self.context.connect()?);
        client.call(Freeze, &order(&self.frozen, false))?;
        let begin = Instant::now();
        loop {
            let request = ShowRequest {
                names: self.frozen.clone(),
                properties: vec!["FreezerState".to_owned()],
            };
            let shown = client.call(Show, &request)?.units;
            let state = |unit: &wire::UnitProperties| unit.properties.get("FreezerState").cloned();
            if shown
                .iter()
                .all(|unit| state(unit).as_deref() == Some("frozen"))
            {
                return Ok(());
            }
            if begin.elapsed() > FREEZE_TIME {
                anyhow::bail!("a process did not stop within {} s", FREEZE_TIME.as_secs());
            }
            std::thread::sleep(FREEZE_STEP);
        }
    }

    /// Lets services go on.
    ///
    /// # Errors
    /// When one that was to be frozen was not so all the time: what was copied meanwhile is not of one moment.
    pub(crate) fn end(mut self) -> Result<()> {
        let Some(mut lease) = self.lease.take() else {
            return Ok(());
        };
        lease.call(Freeze, &order(&self.frozen, true)).or_hint(
            || "what was copied is not of one moment, so there is no archive".to_owned(),
            "somebody let its services go on, or the manager was replaced meanwhile; say it again",
        )?;
        Ok(())
    }
}

/// To be frozen as long as we are there.
fn order(names: &[String], thaw: bool) -> FreezeRequest {
    FreezeRequest {
        names: names.to_vec(),
        thaw,
        while_connected: true,
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        if self.stopped.is_empty() {
            return;
        }
        let options = JobOptions {
            findings_told: true,
            ..JobOptions::replacing()
        };
        // What did not start was told.
        if let Err(error) = jobs::queue(self.context, StartUnit, &self.stopped, &options) {
            tell(&error, &self.stopped);
        }
    }
}

fn tell(error: &anyhow::Error, names: &[String]) {
    complain(&format!(
        "{} {} still waits: {}; `coracle start {}` lets it go on",
        Paint::Red.on("Error:"),
        plain(&names.join(", ")),
        one_line(&format!("{error:#}")),
        plain(&names.join(" "))
    ));
}

fn wish(unit: &Unit) -> BackupMode {
    unit.value(&key::BACKUP_MODE)
}

/// Who would be taken for dead while it is frozen.
fn must_stop(unit: &Unit) -> bool {
    let is_watched = unit.is_set(key::WATCHDOG_SEC.directive())
        || unit.value(&key::HEALTH_ON_FAILURE) != HealthOnFailure::None;
    wish(unit) == BackupMode::Freeze && is_watched
}

/// What makes its state whole, one after the other, in its sandbox.
fn run_commands(context: &Context, name: &str, unit: &Unit) -> Result<()> {
    let commands = unit.get(&key::BACKUP_COMMAND);
    let until = Instant::now() + COMMANDS_TIME;
    for command in commands.into_iter().flat_map(|commands| commands.iter()) {
        let failed = run_command(context, name, command, until)
            .with_context(|| format!("cannot run BackupCommand={} of {name}", command.path))?;
        if let Some(how) = failed.filter(|_| !command.ignore_failure) {
            return Err(hint(
                format!(
                    "BackupCommand={} of {name} {how}, so nothing was copied",
                    plain(&command.path)
                ),
                format!(
                    "`coracle shell {name} {}` runs it by hand",
                    plain(&command.path)
                ),
            ));
        }
    }
    Ok(())
}

/// How it failed, where it did.
fn run_command(
    context: &Context,
    unit: &str,
    command: &ExecCommand,
    until: Instant,
) -> Result<Option<String>> {
    let mut run = Command::new("/proc/self/exe");
    for (option, directory) in context.directories.given() {
        run.arg(option).arg(directory);
    }
    run.args(["shell", unit, "--", &command.path]);
    run.args(command.argv.iter().skip(1));
    let (status, is_late) = watch(run, until)?;
    Ok(match () {
        () if is_late => Some(format!("took longer than {} s", COMMANDS_TIME.as_secs())),
        () if status.success() => None,
        () => Some(format!("failed ({status})")),
    })
}

/// Runs a command to its end, or until it is too late: then it and what it started in its group are killed. What it says is the service's
/// word, and standard output may be the archive's: it is told on standard error, without what a terminal obeys.
fn watch(mut run: Command, until: Instant) -> Result<(ExitStatus, bool)> {
    let (mut said, to) = std::io::pipe()?;
    fcntl_setfl(&said, OFlags::NONBLOCK)?;
    run.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to);
    // A group of its own does not hear the keys of our terminal: it ends with us.
    kernel::session::end_with_caller(run.process_group(0));
    let mut child = run.spawn()?;
    // It has the pipe's other end, which would stay open.
    drop(run);
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let mut words = Words::default();
    let mut is_open = true;
    loop {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now()))?;
        let mut fds = [
            PollFd::new(&process, PollFlags::IN),
            PollFd::new(&said, PollFlags::IN),
        ];
        let watched = if is_open { 2 } else { 1 };
        let is_late = poll(fds.get_mut(..watched).unwrap_or_default(), Some(&left))? == 0;
        let has_ended = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        if is_late {
            kill_process_group(Pid::from_child(&child), Signal::KILL)?;
        }
        is_open = is_open && words.take(&mut said)?;
        if is_late || has_ended {
            words.tell();
            return Ok((child.wait()?, is_late));
        }
    }
}

/// What a command says, told by lines.
#[derive(Default)]
struct Words {
    line: Vec<u8>,
}

impl Words {
    /// Tells what is there by now, and says whether more may come.
    fn take(&mut self, from: &mut impl Read) -> Result<bool> {
        let mut buffer = [0; LINE_MAX_BYTES];
        // So many at once: one that never pauses is late, too.
        for _ in 0..64 {
            let bytes = match from.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(done) => buffer.get(..done).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            for part in bytes.split_inclusive(|&byte| byte == b'\n') {
                self.line.extend_from_slice(part);
                if part.ends_with(b"\n") || self.line.len() >= LINE_MAX_BYTES {
                    self.tell();
                }
            }
        }
        Ok(true)
    }

    fn tell(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            complain(&shown(&line));
        }
    }
}

fn shown(line: &[u8]) -> String {
    one_line(String::from_utf8_lossy(line).trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_is_told_without_what_a_terminal_obeys() {
        assert_eq!(shown(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb");
        let mut words = Words::default();
        assert!(!words.take(&mut &b"line\nrest"[..]).unwrap());
        assert_eq!(words.line, b"rest");
    }

    #[test]
    fn a_command_that_is_late_ends_with_what_it_started() {
        let script = |text: &str| {
            let mut run = Command::new("/bin/sh");
            run.args(["-c", text]);
            run
        };
        let far = Instant::now() + COMMANDS_TIME;
        let (status, is_late) = watch(script("echo said; exit 3"), far).unwrap();
        assert_eq!((status.code(), is_late), (Some(3), false));
        let (mut end, held) = std::io::pipe().unwrap();
        let run = script("sleep 1000 & wait");
        let held = std::fs::File::from(std::os::fd::OwnedFd::from(held));
        rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty()).unwrap();
        let (status, is_late) = watch(run, Instant::now()).unwrap();
        drop(held);
        assert!(is_late && !status.success());
        // Whoever still ran would have it open.
        assert_eq!(end.read(&mut [0; 1]).unwrap(), 0);
    }
}
