//! Coracle and a real systemd in the container that it has booted: what `systemctl` is asked, `coracle` is asked, in turns.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Pid;
use testkit::Instance;

use super::figure::{Figure, Times};
use super::{start, timing};

/// Where systemd looks for units that are gone at its end.
const UNITS: &str = "/run/systemd/system";

/// What a service that is exposed to a network would set, on both sides the same.
pub(super) const HARDENED: &str = "\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallFilter=@system-service
";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Coracle,
    Systemd,
}

impl Side {
    pub(super) const ALL: [Side; 2] = [Side::Coracle, Side::Systemd];

    pub(super) fn name(self) -> &'static str {
        match self {
            Side::Coracle => "coracle",
            Side::Systemd => "systemd",
        }
    }
}

/// Both sides, with the same unit files.
pub(super) struct Both {
    pub(super) coracle: Instance,
    written: Vec<String>,
}

impl Both {
    pub(super) fn new() -> Both {
        let coracle = Instance::below(Path::new("/run"));
        coracle.ok(&["list-units"]);
        Both {
            coracle,
            written: Vec::new(),
        }
    }

    /// Writes a unit file for both.
    pub(super) fn unit(&mut self, name: &str, text: &str) -> Result<()> {
        self.coracle.unit(name, text);
        fs::create_dir_all(UNITS)?;
        fs::write(Path::new(UNITS).join(name), text)
            .with_context(|| format!("cannot write {name}"))?;
        self.written.push(name.to_owned());
        Ok(())
    }

    /// Writes `count` services and a target that has `relation` to each; both sides know them afterwards.
    pub(super) fn services(&mut self, count: usize, relation: &str, service: &str) -> Result<()> {
        let mut target = String::from("[Unit]\nDefaultDependencies=no\n");
        for number in 0..count {
            let name = format!("bench-{number}.service");
            self.unit(&name, service)?;
            target.push_str(&relation.replace("{}", &name));
        }
        self.unit("bench.target", &target)?;
        self.each(&["daemon-reload"])
    }

    /// The same verb on both sides, not measured.
    pub(super) fn each(&self, arguments: &[&str]) -> Result<()> {
        for side in Side::ALL {
            timing::once(&mut self.command(side, arguments))?;
        }
        Ok(())
    }

    pub(super) fn command(&self, side: Side, arguments: &[&str]) -> Command {
        match side {
            Side::Coracle => start::command_beside(&self.coracle, arguments),
            Side::Systemd => {
                let mut command = Command::new("systemctl");
                command.args(arguments);
                command
            }
        }
    }

    /// A transient command with these properties: `coracle run` and `systemd-run` take the same words.
    pub(super) fn transient(&self, side: Side, options: &[&str], properties: &str) -> Command {
        let mut command = match side {
            Side::Coracle => start::command_beside(&self.coracle, &["run"]),
            Side::Systemd => Command::new("systemd-run"),
        };
        command.arg("--quiet").args(options);
        command.args(properties.lines().map(|line| format!("--property={line}")));
        command
    }

    /// The times of one verb on both sides, in turns; `before` makes ready for each run, and is not counted.
    pub(super) fn times(
        &self,
        rounds: usize,
        verb: &[&str],
        before: &[&[&str]],
    ) -> Result<[Times; 2]> {
        self.alternate(rounds, |side| {
            for arguments in before {
                timing::once(&mut self.command(side, arguments))?;
            }
            timing::once(&mut self.command(side, verb))
        })
    }

    /// The times of any work, in turns.
    pub(super) fn alternate(
        &self,
        rounds: usize,
        mut work: impl FnMut(Side) -> Result<std::time::Duration>,
    ) -> Result<[Times; 2]> {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (side, times) in Side::ALL.into_iter().zip(&mut times) {
                times.push(work(side)?);
            }
        }
        Ok(times.map(Times::new))
    }

    /// The processes that manage units: keeper and manager of ours, systemd's one.
    pub(super) fn resident(&self, side: Side) -> Vec<Pid> {
        match side {
            Side::Coracle => ["KeeperPID", "ManagerPID"]
                .map(|name| self.coracle.process(name))
                .to_vec(),
            Side::Systemd => vec![Pid::INIT],
        }
    }
}

impl Drop for Both {
    /// The next bench of the same container has units of its own.
    fn drop(&mut self) {
        for name in &self.written {
            if let Err(error) = fs::remove_file(Path::new(UNITS).join(name)) {
                eprintln!("bench: {name} stays: {error}");
            }
        }
        if let Err(error) = timing::once(&mut self.command(Side::Systemd, &["daemon-reload"])) {
            eprintln!("bench: {error:#}");
        }
    }
}

/// The figure of one work that both did: ours is to take at most a tenth.
pub(super) fn figure(work: impl Into<String>, [ours, theirs]: &[Times; 2]) -> Figure {
    Figure::new(work, "µs")
        .times(Side::Coracle.name(), ours)
        .times(Side::Systemd.name(), theirs)
        .share_of(Side::Systemd.name(), 0.1)
}
