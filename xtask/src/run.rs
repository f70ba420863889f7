//! Running other programs, and where things are in this checkout.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs `command` with our standard streams, and says which command failed.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` and returns what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", shown(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command`, passes on what it writes to standard output as it comes, and returns that and whether it went well.
pub(crate) fn echoed(command: &mut Command) -> Result<(bool, String)> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    let mut said = Vec::new();
    let mut part = [0; 4096];
    let mut from = child.stdout.take().context("its output is a pipe")?;
    loop {
        let count = from.read(&mut part)?;
        let part = part.get(..count).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        std::io::stdout().write_all(part)?;
        std::io::stdout().flush()?;
        said.extend_from_slice(part);
    }
    let passed = child.wait()?.success();
    Ok((passed, String::from_utf8_lossy(&said).into_owned()))
}

/// Refuses, with the reason, where a command needs root.
pub(crate) fn need_root(what: &str) -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let uids = status.lines().find(|line| line.starts_with("Uid:"));
    if uids.and_then(|line| line.split_whitespace().nth(2)) != Some("0") {
        bail!("{what} needs root: run it again as root");
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
