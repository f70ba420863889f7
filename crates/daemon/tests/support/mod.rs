//! An instance of its own for a test: keeper, manager and log process in temporary directories, ended with all that it runs.

// Each test file uses its own part of this; a test has no outside to reach.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wire::methods as call;
use wire::{
    Client, ClientError, Done, Failure, JobOutcome, JobRequest, TransientRequest, UnitStatus,
};

/// How long anything may take, in seconds: a loaded machine with a debug build is slow.
const PATIENCE_S: u64 = 60;

const PROGRAM: &str = env!("CARGO_BIN_EXE_coracled");

/// A running instance.
pub struct Instance {
    folder: tempfile::TempDir,
    keeper: Child,
}

impl Instance {
    /// Starts an instance.
    pub fn start() -> Self {
        Self::start_as(|_| PROGRAM.into())
    }

    /// Starts an instance that has this script for a worker.
    pub fn start_with_worker(script: &str) -> Self {
        Self::start_as(|folder| {
            let [program, worker] = ["coracled", "coracle"].map(|name| folder.join(name));
            std::fs::copy(PROGRAM, &program).unwrap();
            std::fs::write(&worker, script).unwrap();
            std::fs::set_permissions(&worker, Permissions::from_mode(0o755)).unwrap();
            program
        })
    }

    fn start_as(program: impl FnOnce(&Path) -> PathBuf) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let folder = tempfile::Builder::new()
            .prefix("coracle-daemon-")
            .tempdir()
            .unwrap();
        std::fs::create_dir_all(folder.path().join("config/units")).unwrap();
        let keeper = launch(&program(folder.path()), folder.path());
        let instance = Self { folder, keeper };
        drop(instance.client());
        instance
    }

    /// A file or directory of the instance.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a unit file and has it read.
    pub fn unit(&self, name: &str, text: &str) {
        std::fs::write(
            self.path("config/units").join(name),
            text.replace("@DIR@", &self.folder.path().to_string_lossy()),
        )
        .unwrap();
        self.client().call(call::Reload, &Done {}).unwrap();
    }

    /// A connection, as soon as somebody answers.
    pub fn client(&self) -> Client {
        let path = self.path("run/api");
        eventually("a manager that answers", || Client::connect(&path).ok())
    }

    /// Makes a call again until a manager is there to answer it: one may be killed in the midst of it.
    pub fn stubborn<T>(&self, make: impl Fn(&mut Client) -> Result<T, ClientError>) -> T {
        eventually("an answer", || match make(&mut self.client()) {
            Ok(reply) => Some(reply),
            Err(ClientError::Failure(failure)) => panic!("{failure}"),
            Err(_) => None,
        })
    }

    /// Starts a unit and waits for its job.
    pub fn start_unit(&self, name: &str) -> JobOutcome {
        let input = JobRequest {
            names: vec![name.into()],
            ..JobRequest::default()
        };
        self.client()
            .call(call::StartUnit, &input)
            .unwrap()
            .outcomes
            .remove(0)
    }

    /// Stops a unit and waits for its job.
    pub fn stop_unit(&self, name: &str) -> JobOutcome {
        let input = JobRequest {
            names: vec![name.into()],
            ..JobRequest::default()
        };
        self.client()
            .call(call::StopUnit, &input)
            .unwrap()
            .outcomes
            .remove(0)
    }

    /// Runs a command as a unit until it ends.
    pub fn run(&self, properties: &[&str], command: &[&str]) -> Result<JobOutcome, Failure> {
        let input = TransientRequest {
            wait: true,
            ..transient(properties, command)
        };
        match self.client().call(call::StartTransient, &input) {
            Ok(outcome) => Ok(outcome),
            Err(ClientError::Failure(failure)) => Err(failure),
            Err(error) => panic!("{error}"),
        }
    }

    /// Everything about a unit.
    pub fn status(&self, name: &str) -> UnitStatus {
        self.stubborn(|client| {
            client.call(
                call::Status,
                &wire::NamesRequest {
                    names: vec![name.into()],
                },
            )
        })
        .units
        .remove(0)
    }

    /// Waits until a unit is in a state, such as `active/running`.
    pub fn await_state(&self, name: &str, state: &str) -> UnitStatus {
        let mut last = String::new();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(PATIENCE_S) {
            let status = self.status(name);
            last = format!("{}/{}", status.active, status.sub);
            if last == state {
                return status;
            }
            std::thread::yield_now();
        }
        panic!("{name} is {last}, not {state}")
    }

    /// The main process of a service.
    pub fn main_pid(&self, name: &str) -> u32 {
        self.status(name).service.unwrap().main_pid.unwrap()
    }

    /// The manager's process.
    pub fn manager(&self) -> u32 {
        self.stubborn(|client| client.call(call::Describe, &Done {}))
            .pid
    }

    /// Kills the manager and waits until it is gone.
    pub fn kill_manager(&self) {
        kill(self.manager());
    }

    /// The control group of the instance.
    pub fn cgroup(&self) -> PathBuf {
        let path = self
            .stubborn(|client| client.call(call::Describe, &Done {}))
            .cgroup
            .unwrap();
        Path::new("/sys/fs/cgroup/unified").join(path.trim_start_matches('/'))
    }

    /// The log lines of a unit, as the log process stored them.
    pub fn log(&self, unit: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let logs = journal::query::Logs::new(&self.path("state/journal"));
        logs.each(&journal::query::Filter::default(), &mut |entry| {
            if entry.field("_SYSTEMD_UNIT") == Some(unit.as_bytes()) {
                lines.push(String::from_utf8_lossy(entry.message()).into_owned());
            }
            true
        })
        .unwrap();
        lines
    }

    /// The keeper's end, which was asked for before.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        self.keeper.wait().unwrap()
    }

    /// Ends the instance in order and checks that nothing is left of it.
    pub fn exit(mut self) {
        let cgroup = self.cgroup();
        self.client()
            .call(call::Exit, &wire::ExitRequest::default())
            .unwrap();
        let status = self.keeper.wait().unwrap();
        assert!(status.success(), "the keeper ended with {status}");
        assert!(!cgroup.exists(), "{} is left", cgroup.display());
        let left = std::fs::read_dir(self.path("run")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.keeper.try_wait().unwrap().is_some() {
            return;
        }
        let cgroup = Client::connect(&self.path("run/api"))
            .ok()
            .and_then(|mut client| {
                let group = client.call(call::Describe, &Done {}).ok()?.cgroup;
                client
                    .call(call::Exit, &wire::ExitRequest::default())
                    .ok()?;
                group
            });
        let ended = pidfd(self.keeper.id()).is_some_and(|keeper| {
            let patience = Timespec {
                tv_sec: 20,
                tv_nsec: 0,
            };
            poll(&mut [PollFd::new(&keeper, PollFlags::IN)], Some(&patience)).unwrap() > 0
        });
        if !ended {
            self.keeper.kill().unwrap();
        }
        self.keeper.wait().unwrap();
        if let Some(group) = cgroup {
            let kill = Path::new("/sys/fs/cgroup/unified")
                .join(group.trim_start_matches('/'))
                .join("cgroup.kill");
            std::fs::write(kill, "1").ok();
        }
    }
}

fn launch(program: &Path, folder: &Path) -> Child {
    let mut command = Command::new(program);
    for (option, name) in [
        ("--runtime-dir", "run"),
        ("--state-dir", "state"),
        ("--config-dir", "config"),
    ] {
        command.arg(option).arg(folder.join(name));
    }
    command.env_clear().stdin(Stdio::null()).spawn().unwrap()
}

/// A unit made at run time.
pub fn transient(properties: &[&str], command: &[&str]) -> TransientRequest {
    TransientRequest {
        properties: properties.iter().map(ToString::to_string).collect(),
        command: command.iter().map(ToString::to_string).collect(),
        ..TransientRequest::default()
    }
}

fn pidfd(pid: u32) -> Option<rustix::fd::OwnedFd> {
    pidfd_open(
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        PidfdFlags::empty(),
    )
    .ok()
}

/// Kills a process and waits until it is gone.
pub fn kill(pid: u32) {
    let Some(process) = pidfd(pid) else { return };
    pidfd_send_signal(&process, Signal::KILL).ok();
    poll(&mut [PollFd::new(&process, PollFlags::IN)], None).unwrap();
}

/// Asks again until there is an answer.
pub fn eventually<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(PATIENCE_S) {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::yield_now();
    }
    panic!("{what} did not come")
}
