//! Asking the systemd of the container.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// What a command of theirs said and how it ended.
pub(super) struct Said {
    pub(super) is_success: bool,
    /// The exit status; -1 where a signal ended it.
    pub(super) status: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command to its end, whatever that is.
pub(super) fn said(command: &mut Command) -> Result<Said> {
    let output = command
        .stdin(Stdio::null())
        .env("SYSTEMD_PAGER", "")
        .env("SYSTEMD_COLORS", "0")
        .output()
        .with_context(|| format!("cannot run {}", Path::new(command.get_program()).display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said {
        is_success: output.status.success(),
        status: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    })
}

/// One of their programs with these words.
pub(super) fn ask(program: &str, words: &[&str]) -> Result<Said> {
    said(Command::new(program).args(words))
}
