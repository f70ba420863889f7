//! How many system calls a work takes, of all who take part in it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::timing;

/// The system calls of the command, of its children, and of what the `resident` processes and their new children do meanwhile.
///
/// # Errors
/// Without strace, or where processes can't be traced.
pub(super) fn of(resident: &[Pid], command: &mut Command) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    // What is done for the first time only is not counted.
    timing::once(command)?;
    let own = folder.path().join("command");
    let mut traced = testkit::executed(strace(&own), command);
    let residents = folder.path().join("resident");
    let tracer = attach(resident, &residents)?;
    timing::once(&mut traced)?;
    if let Some(mut tracer) = tracer {
        kill_process(pid_of(&tracer)?, Signal::INT)?;
        tracer.wait()?;
        return Ok(total(&own)? + total(&residents)?);
    }
    total(&own)
}

/// A tracer of processes that run already, attached to each of them.
fn attach(processes: &[Pid], report: &Path) -> Result<Option<Child>> {
    if processes.is_empty() {
        return Ok(None);
    }
    let mut strace = strace(report);
    for process in processes {
        strace.arg(format!("--attach={}", process.as_raw_pid()));
    }
    let mut tracer = strace
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run strace")?;
    let own = format!("TracerPid:\t{}", tracer.id());
    for process in processes {
        while !status(*process)?.contains(&own) {
            ensure!(
                tracer.try_wait()?.is_none(),
                "strace can't attach to process {}",
                process.as_raw_pid()
            );
            std::thread::yield_now();
        }
    }
    Ok(Some(tracer))
}

fn strace(report: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--summary-only", "--output"]);
    strace.arg(report);
    strace
}

fn pid_of(child: &Child) -> Result<Pid> {
    Pid::from_raw(child.id().cast_signed()).context("a process has a number")
}

fn status(process: Pid) -> Result<String> {
    let path = format!("/proc/{}/status", process.as_raw_pid());
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

/// The number of calls in the last line of strace's summary: share, seconds, microseconds per call, calls.
fn total(report: &Path) -> Result<f64> {
    let text = fs::read_to_string(report)?;
    text.lines()
        .find(|line| line.trim_end().ends_with(" total"))
        .and_then(|line| line.split_whitespace().nth(3))
        .and_then(|calls| calls.parse().ok())
        .with_context(|| format!("strace gave no total: {text}"))
}
