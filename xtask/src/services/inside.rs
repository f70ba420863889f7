//! The other end, in the container: one service is started, asked for so long, looked at and stopped.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::load;
use super::table::Service;

/// Where the files that are tested are.
const COMMAND: &str = "/dist/coracle";

/// Where the packages have their units.
const UNITS: &str = "/etc/systemd/system:/usr/lib/systemd/system";

/// How many lines of the log tell why a unit failed.
const LOG_LINES: &str = "12";

/// What became of a service.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) restarts: String,
    /// Directives that the host could not apply in full.
    pub(super) reduced: Vec<String>,
    /// What went wrong, if anything did.
    pub(super) trouble: Vec<String>,
}

/// Runs a service for so long, as it is shipped or under the default profile.
pub(super) fn run(service: &Service, time: Duration, is_profiled: bool) -> Result<Ledger> {
    shell("systemd-tmpfiles --create 2> /dev/null || true")?;
    shell(service.prepare)?;
    if is_profiled {
        restrict(service)?;
    }
    if let Some(port) = service.origin {
        load::origin(port).with_context(|| format!("no server on port {port}"))?;
    }
    let mut ledger = Ledger::default();
    let started = ask(&["start", service.unit])?;
    if !started.status.success() {
        ledger.trouble.push(text(&started.stderr));
        ledger.trouble.push(log(service)?);
        return Ok(ledger);
    }
    match service.load.wait() {
        Ok(()) => {
            let count = service.load.run(time);
            (ledger.answered, ledger.failed) = (count.answered, count.failed);
            if count.failed > 0 {
                ledger.trouble.push(count.why);
            }
        }
        Err(error) => ledger.trouble.push(format!("no answer: {error:#}")),
    }
    look(service, &mut ledger)?;
    Ok(ledger)
}

/// What the manager says of it, before the stop and after.
fn look(service: &Service, ledger: &mut Ledger) -> Result<()> {
    ledger.restarts = property(service, "NRestarts")?;
    let status = ask(&["status", service.unit])?;
    let lines = text(&status.stdout);
    let reduced = lines.lines().filter_map(|line| {
        let (_, what) = line.split_once("Reduced: ")?;
        what.split('=').next().map(str::to_owned)
    });
    ledger.reduced = reduced.collect();
    ledger.reduced.sort();
    ledger.reduced.dedup();
    let state = property(service, "ActiveState")?;
    if state != "active" {
        ledger.trouble.push(format!("it is {state} under load"));
    }
    let stopped = ask(&["stop", service.unit])?;
    if !stopped.status.success() {
        ledger.trouble.push(text(&stopped.stderr));
    }
    let result = property(service, "Result")?;
    if result != "success" {
        ledger.trouble.push(format!("its result is {result}"));
    }
    if !ledger.trouble.is_empty() {
        ledger.trouble.push(log(service)?);
    }
    Ok(())
}

/// The default profile and the grants, as a drop-in of the administrator's.
fn restrict(service: &Service) -> Result<()> {
    let template = match service.unit.split_once('@') {
        Some((prefix, _)) => format!("{prefix}@.service"),
        None => service.unit.to_owned(),
    };
    let folder = Path::new("/etc/systemd/system").join(format!("{template}.d"));
    fs::create_dir_all(&folder)?;
    let profile = coracle_system_tests::profile::profile();
    let lines = profile
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let grants = service.grants.iter().map(|line| (*line).to_owned());
    let lines: Vec<String> = lines.chain(grants).collect();
    fs::write(
        folder.join("profile.conf"),
        format!("[Service]\n{}\n", lines.join("\n")),
    )?;
    Ok(())
}

fn property(service: &Service, name: &str) -> Result<String> {
    let said = ask(&["show", "-p", name, "--value", service.unit])?;
    Ok(text(&said.stdout))
}

fn log(service: &Service) -> Result<String> {
    let said = ask(&["logs", "-u", service.unit, "-n", LOG_LINES])?;
    Ok(text(&said.stdout))
}

fn ask(words: &[&str]) -> Result<Output> {
    let mut command = Command::new(COMMAND);
    command.args(words).env("CORACLE_UNIT_PATH", UNITS);
    let output = command.stdin(Stdio::null()).output();
    output.with_context(|| format!("cannot run {COMMAND}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn shell(script: &str) -> Result<()> {
    let said = Command::new("sh").args(["-e", "-c", script]).output()?;
    if !said.status.success() {
        bail!("cannot prepare with `{script}`: {}", text(&said.stderr));
    }
    Ok(())
}
