//! One Coracle in folders of its own, driven by the shipped command; it ends, with all that it runs, when the value is dropped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::ground::{self, Ground};
use crate::namespaces::Namespaces;
use crate::{picture, resident};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Variable that names the directory of the files to be tested; without it, `dist` in the checkout.
pub const DIST: &str = "CORACLE_DIST";

/// How long what an instance had may take to go: a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit status; 128 + the signal's number when a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// The same value, when the command succeeded.
    ///
    /// # Panics
    /// When it failed; the message has both streams.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> Finished {
        assert!(
            self.status == 0,
            "ended with {}\n{}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The same value, when the command failed and said all of these phrases on standard error.
    ///
    /// # Panics
    /// When it is not so; the message has both streams.
    #[track_caller]
    pub fn refused(self, phrases: &[&str]) -> Finished {
        assert_ne!(self.status, 0, "{self:#?}");
        for phrase in phrases {
            let is_said = self.stderr.contains(phrase);
            assert!(is_said, "no {phrase:?} in {self:#?}");
        }
        self
    }
}

/// An instance with its own runtime, state and configuration directories.
pub struct Instance {
    folder: tempfile::TempDir,
    dist: PathBuf,
    before: Ground,
}

impl Instance {
    /// Makes the folders; the keeper starts with the first command.
    ///
    /// # Panics
    /// When the release files are not there, or no folder can be made.
    #[must_use]
    pub fn new() -> Instance {
        Instance::below(&std::env::temp_dir())
    }

    /// The same below a folder of the caller's choice: on a host, the runtime directory is in memory.
    ///
    /// # Panics
    /// When the release files are not there, or no folder can be made.
    #[must_use]
    pub fn below(parent: &Path) -> Instance {
        let dist = std::env::var_os(DIST).map_or_else(default_dist, PathBuf::from);
        assert!(
            dist.join("coracled").exists(),
            "no {}: run `cargo xtask dist` first",
            dist.join("coracled").display()
        );
        let folder = tempfile::Builder::new()
            .prefix("coracle-test-")
            .tempdir_in(parent)
            .expect("a temporary folder");
        for name in ["run", "state", "config/units"] {
            fs::create_dir_all(folder.path().join(name)).expect("the instance's folders");
        }
        Instance {
            folder,
            dist,
            before: Ground::take(),
        }
    }

    /// The folder that holds everything of this instance: `run`, `state` and `config`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The directory of the files that are tested.
    #[must_use]
    pub fn dist(&self) -> &Path {
        &self.dist
    }

    /// Writes a unit file of the administrator.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn unit(&self, name: &str, text: &str) -> &Instance {
        fs::write(self.folder().join("config/units").join(name), text).expect("a unit file");
        self
    }

    /// A command of this instance, not yet run.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.dist.join("coracle"));
        command.args(arguments).stdin(Stdio::null());
        for (name, folder) in [("RUNTIME", "run"), ("STATE", "state"), ("CONFIG", "config")] {
            command.env(format!("CORACLE_{name}_DIR"), self.folder().join(folder));
        }
        command
    }

    /// Starts `coracled` itself with these variables and further arguments, as a container's engine starts its first process, and waits until it answers.
    /// Who starts it waits for it, after the instance's end.
    ///
    /// # Panics
    /// When it can't be started, or ends.
    #[must_use]
    pub fn first_process<'a>(
        &self,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
        arguments: &[&str],
    ) -> Child {
        let mut first = Command::new(self.dist.join("coracled"));
        for (name, folder) in [("runtime", "run"), ("state", "state"), ("config", "config")] {
            let path = self.folder().join(folder);
            first.arg(format!("--{name}-dir")).arg(path);
        }
        let first = first.args(arguments).stdin(Stdio::null());
        let mut first = first.envs(variables).spawn().expect("coracled starts");
        while !self.folder().join("run/api").exists() {
            let ended = first.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "coracled ended with {ended:?}");
            std::thread::yield_now();
        }
        first
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn coracle(&self, arguments: &[&str]) -> Finished {
        finished(
            &self
                .command(arguments)
                .output()
                .expect("the command starts"),
        )
    }

    /// Runs a command that must succeed and returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.coracle(arguments).ok().stdout
    }

    /// One property of a unit, as `show -p NAME --value` prints it.
    ///
    /// # Panics
    /// When the command fails.
    #[track_caller]
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.ok(&["show", "-p", name, "--value", unit])
            .trim()
            .to_owned()
    }

    /// The process that `NAME` of the instance's own description is: `KeeperPID` or `ManagerPID`.
    ///
    /// # Panics
    /// When the instance does not run.
    #[track_caller]
    #[must_use]
    pub fn process(&self, name: &str) -> Pid {
        let number: i32 = self
            .ok(&["show", "-p", name, "--value"])
            .trim()
            .parse()
            .expect("a process id");
        Pid::from_raw(number).expect("a process id")
    }

    /// The control group below which this instance's units live; a word that occurs nowhere, where there is none.
    ///
    /// # Panics
    /// When the instance does not answer.
    #[track_caller]
    #[must_use]
    pub fn control_group(&self) -> String {
        let group = self.ok(&["show", "-p", "ControlGroup", "--value"]);
        if group.trim().is_empty() {
            "no control group".to_owned()
        } else {
            group.trim().to_owned()
        }
    }

    /// Ends the instance, waits until its keeper is gone, and proves that nothing of it is left on the machine.
    ///
    /// # Panics
    /// When something is left, unless the test failed anyway.
    pub fn stop(&self) {
        let group = fs::read_to_string(self.folder().join("run/control-group")).unwrap_or_default();
        let group = Some(group.trim().trim_start_matches('/')).filter(|group| !group.is_empty());
        let group = group.map(|group| format!("/{group}"));
        let users = self.dynamic_users();
        let names = ground::names_of(&self.folder().join("config/units"));
        let namespaces = Namespaces::of(self.folder(), group.as_deref());
        self.end();
        if std::thread::panicking() {
            return;
        }
        let begin = std::time::Instant::now();
        let after = namespaces.ended();
        let mut lasting: Option<BTreeSet<String>> = None;
        loop {
            let mut seen = picture::belongings(self.folder(), group.as_deref(), &users);
            seen.extend(self.before.left_behind(&names, &users));
            seen.extend(after.held());
            // What was left is there at each look; what comes and goes is of another test's instance.
            let seen: BTreeSet<String> = seen.into_iter().collect();
            let left = match lasting.take() {
                Some(known) => known.intersection(&seen).cloned().collect(),
                None => seen,
            };
            if left.is_empty() {
                return;
            }
            // The kernel lets a loop device go some time after its last user, and what was killed needs a moment.
            assert!(
                begin.elapsed() < PATIENCE,
                "the test left behind: {left:#?}"
            );
            lasting = Some(left);
            std::thread::yield_now();
        }
    }

    /// Numbers of the users that the instance's units have or had, and that nobody else has meanwhile.
    fn dynamic_users(&self) -> Vec<String> {
        let mut users = Vec::new();
        let records = fs::read_dir(self.folder().join("run/units"));
        for record in records.into_iter().flatten().flatten() {
            let text = fs::read_to_string(record.path()).unwrap_or_default();
            for user in text.split("\"user\":{").skip(1) {
                let user = user.split('}').next().unwrap_or_default();
                let number = user
                    .split("\"uid\":")
                    .nth(1)
                    .and_then(|rest| rest.split(',').next());
                users.extend(
                    number
                        .filter(|_| user.contains("\"dynamic\":true"))
                        .map(str::to_owned),
                );
            }
        }
        users
    }

    /// Stops and forgets all units, and proves that nothing is held for them any more.
    fn come_to_rest(&self, keeper: Pid) {
        let mut said = String::new();
        for verb in ["stop", "reset-failed"] {
            let asked = self.command(&["--no-autostart", verb, "*.*"]).output();
            // Some units refuse it, or fail on the way: what counts is what is held then.
            said += &finished(&asked.expect("the command starts")).stderr;
        }
        let asked = self.command(&["--no-autostart", "show", "-p", "ControlGroup", "--value"]);
        let at_rest = resident::at_rest(has_groups(asked));
        let begin = std::time::Instant::now();
        loop {
            let found = resident::holdings(keeper, self.folder());
            let differs = resident::difference(&at_rest, &found);
            if differs.is_empty() {
                return;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "with all units stopped, what keeper, manager and log hold differs from what they began with: {differs:#?}\n{said}"
            );
            std::thread::yield_now();
        }
    }

    fn end(&self) {
        let Ok(answer) = self
            .command(&["--no-autostart", "show", "-p", "KeeperPID", "--value"])
            .output()
        else {
            return;
        };
        let number = String::from_utf8_lossy(&answer.stdout).trim().parse().ok();
        let Some(pid) = number.and_then(Pid::from_raw) else {
            return;
        };
        let Ok(keeper) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if !std::thread::panicking() {
            self.come_to_rest(pid);
        }
        let asked = self.command(&["--no-autostart", "daemon-exit"]).output();
        if !asked.is_ok_and(|output| output.status.success()) {
            pidfd_send_signal(&keeper, Signal::TERM).expect("the keeper takes a signal");
        }
        poll(&mut [PollFd::new(&keeper, PollFlags::IN)], None).expect("the keeper ends");
    }
}

impl Default for Instance {
    fn default() -> Instance {
        Instance::new()
    }
}

impl Drop for Instance {
    /// A test that failed leaves its portables, whose directories are the host's: they go, too.
    fn drop(&mut self) {
        let portables = fs::read_dir(self.folder().join("state/portables"));
        for portable in portables.into_iter().flatten().flatten() {
            let name = portable.file_name();
            let mut purge = self.command(&["purge", "--forget"]);
            // Nothing can be told from here; what is left is seen by the next test's picture.
            purge.arg(name).output().ok();
        }
        self.stop();
    }
}

/// Whether what is asked for its control group has one; who does not answer is another check's business.
fn has_groups(mut asked: Command) -> bool {
    let answer = asked.output();
    !answer.is_ok_and(|answer| answer.status.success() && answer.stdout.trim_ascii().is_empty())
}

fn default_dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist")
}

fn finished(output: &Output) -> Finished {
    use std::os::unix::process::ExitStatusExt;
    let status = output
        .status
        .code()
        .unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Finished {
        status,
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}
