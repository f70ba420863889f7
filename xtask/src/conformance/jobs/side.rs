//! The two sides: a manager of its own for each lane, what is asked of it, and what its services' processes have written down.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use testkit::Instance;

use super::actor::{GATE_FILE, LOG_FILE};
use crate::conformance::systemd::{Said, said};

/// How long a command may take, in seconds: longer than all that a case gives up on together.
const COMMAND_SECONDS: &str = "60";

enum Manager {
    /// systemd for a user, which is the same program: isolating reaches nothing but its units. The second is its own unit.
    Theirs(PathBuf, String),
    Ours(Box<Instance>),
}

pub(super) struct Side {
    manager: Manager,
    pub(super) units: PathBuf,
    pub(super) folder: PathBuf,
    /// Both ends of the pipe that is the gate: it is open as long as a byte is in it.
    gate: File,
}

impl Side {
    pub(super) fn theirs(lane: usize) -> Result<Side> {
        let folder = PathBuf::from(format!("/run/jobs-{lane}"));
        let (runtime, units) = (folder.join("runtime"), folder.join("units"));
        fs::create_dir_all(&runtime)?;
        fs::create_dir_all(&units)?;
        fs::write(
            units.join("default.target"),
            "[Unit]\nDefaultDependencies=no\n",
        )?;
        let unit = format!("jobs-{lane}.service");
        let started = said(
            Command::new("systemd-run")
                .args(["--quiet", "--unit", &unit, "--property=Delegate=yes"])
                .args(["--property=Type=notify", "--property=KillSignal=SIGKILL"])
                .arg(format!("--setenv=XDG_RUNTIME_DIR={}", runtime.display()))
                .arg(format!("--setenv=SYSTEMD_UNIT_PATH={}", units.display()))
                .args(["/usr/lib/systemd/systemd", "--user"]),
        )?;
        if !started.is_success {
            bail!("systemd for a user does not start: {}", started.stderr);
        }
        Side::new(Manager::Theirs(runtime, unit), units, folder)
    }

    pub(super) fn ours() -> Result<Side> {
        let instance = Instance::below(Path::new("/run"));
        let units = instance.folder().join("config/units");
        let folder = instance.folder().join("jobs");
        fs::create_dir_all(&folder)?;
        Side::new(Manager::Ours(Box::new(instance)), units, folder)
    }

    fn new(manager: Manager, units: PathBuf, folder: PathBuf) -> Result<Side> {
        fs::write(folder.join(LOG_FILE), "")?;
        let gate = folder.join(GATE_FILE);
        mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        Ok(Side {
            manager,
            units,
            gate: OpenOptions::new().read(true).write(true).open(&gate)?,
            folder,
        })
    }

    pub(super) fn open_gate(&mut self) -> Result<()> {
        Ok(self.gate.write_all(b"!")?)
    }

    pub(super) fn close_gate(&mut self) -> Result<()> {
        Ok(self.gate.read_exact(&mut [0])?)
    }

    /// Runs one of its commands.
    pub(super) fn ask(&self, words: &[&str]) -> Result<Said> {
        let mut command = Command::new("timeout");
        command.arg(COMMAND_SECONDS);
        match &self.manager {
            Manager::Theirs(runtime, _) => {
                command.args(["systemctl", "--user", "--no-pager"]);
                command.env("XDG_RUNTIME_DIR", runtime);
            }
            Manager::Ours(instance) => {
                command = testkit::executed(command, &instance.command(&[]));
            }
        }
        said(command.args(words))
    }

    /// Runs one that must go well.
    pub(super) fn must(&self, words: &[&str]) -> Result<String> {
        let said = self.ask(words)?;
        if !said.is_success {
            bail!("{} fails: {}", words.join(" "), said.stderr);
        }
        Ok(said.stdout)
    }

    pub(super) fn log(&self) -> Result<Vec<Line>> {
        let text = fs::read_to_string(self.folder.join(LOG_FILE))?;
        text.lines().map(Line::read).collect()
    }

    pub(super) fn forget_log(&self) -> Result<()> {
        // Who has it open appends.
        Ok(fs::write(self.folder.join(LOG_FILE), "")?)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Manager::Theirs(_, unit) = &self.manager {
            // The container ends, and with it what stays.
            said(Command::new("systemctl").args(["stop", unit])).ok();
        }
    }
}

/// What a process has written down.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) unit: String,
    pub(super) process: u32,
    pub(super) role: String,
    pub(super) event: String,
}

impl Line {
    fn read(line: &str) -> Result<Line> {
        let mut words = line.splitn(4, ' ');
        let mut word = || {
            words
                .next()
                .map(str::to_owned)
                .context("a line of the log is half")
        };
        Ok(Line {
            unit: word()?,
            process: word()?.parse()?,
            role: word()?,
            event: word()?,
        })
    }
}
