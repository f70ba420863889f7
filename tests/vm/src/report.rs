//! Runs the command, and tells the host through two virtio ports: one takes its output as it comes, the other its exit status.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use rustix::system::{RebootCommand, reboot};

/// Where programs are looked for.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/vm";

/// Runs the command of `/vm/command`, tells its exit status, and powers the machine off.
pub(crate) fn run() -> Result<()> {
    let output = port("coracle.output")?;
    let mut words = fs::read("/vm/command")
        .context("cannot read /vm/command")?
        .split(|byte| *byte == 0)
        .map(|word| std::ffi::OsString::from_vec(word.to_vec()))
        .collect::<Vec<_>>()
        .into_iter();
    let program = words.next().context("/vm/command is empty")?;
    let status = Command::new(&program)
        .args(words)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status();
    let code = match status {
        Ok(status) => code(status),
        Err(error) => {
            writeln!(
                port("coracle.output")?,
                "cannot run {}: {error}",
                program.display()
            )?;
            127
        }
    };
    writeln!(port("coracle.status")?, "{code}")?;
    let position = fs::read_to_string("/vm/position").unwrap_or_default();
    if position.trim() == "machine" {
        return end_in_order();
    }
    power_off();
}

/// The end is what is looked at then.
fn end_in_order() -> Result<()> {
    let asked = Command::new("/usr/bin/coracle").arg("poweroff").status();
    anyhow::ensure!(asked?.success(), "the machine can't be switched off");
    Ok(())
}

/// The exit status as a shell tells it.
fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(255)
}

/// Opens the port that the host gave this name.
fn port(name: &str) -> Result<File> {
    for entry in fs::read_dir("/sys/class/virtio-ports").context("this machine has no ports")? {
        let entry = entry?;
        if fs::read_to_string(entry.path().join("name")).is_ok_and(|found| found.trim() == name) {
            let device = PathBuf::from("/dev").join(entry.file_name());
            return OpenOptions::new()
                .write(true)
                .open(&device)
                .with_context(|| format!("cannot open {}", device.display()));
        }
    }
    anyhow::bail!("the host gave no port {name}")
}

/// Tells the console, which the host shows when a machine ends without an exit status.
pub(crate) fn complain(error: &anyhow::Error) {
    if let Ok(mut console) = OpenOptions::new().write(true).open("/dev/console") {
        // There is nowhere left to say that the console can't be written.
        writeln!(console, "vm-init: {error:#}").unwrap_or(());
    }
}

/// Ends the machine. Nothing here is to be kept, so nothing is stopped in order.
pub(crate) fn power_off() -> ! {
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        complain(&anyhow::anyhow!("cannot power off: {error}"));
    }
    loop {
        std::thread::park();
    }
}
