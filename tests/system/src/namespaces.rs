//! Namespaces of a test's own, which last as long as the process that rests in them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// Namespaces in which commands are run. What a command starts stays in them, and needs no more of this.
pub struct Namespaces {
    kinds: &'static [&'static str],
    keeper: Child,
}

impl Namespaces {
    /// Makes namespaces of these kinds, by their options of unshare(1) and nsenter(1), and runs a command of the shell in them. Of mounts that
    /// are made there the host sees nothing.
    ///
    /// # Panics
    /// When they can't be made, or the command fails.
    #[must_use]
    pub fn new(kinds: &'static [&'static str], set_up: &str) -> Namespaces {
        let mut unshare = Command::new("unshare");
        unshare.args(kinds);
        if kinds.contains(&"--mount") {
            unshare.args(["--propagation", "slave"]);
        }
        let mut keeper = unshare
            .args(["/bin/sh", "-c"])
            .arg(format!("{set_up} && echo there && exec sleep infinity"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is installed");
        let mut line = String::new();
        BufReader::new(keeper.stdout.as_mut().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line, "there\n", "{kinds:?}: {set_up}");
        Namespaces { kinds, keeper }
    }

    /// Runs a command in them, which must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, command: &Command) -> Output {
        let done = self.run(command);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{command:?}: {said}");
        done
    }

    /// Runs a command in them.
    ///
    /// # Panics
    /// When nsenter(1) is not there.
    #[must_use]
    pub fn run(&self, command: &Command) -> Output {
        let output = testkit::executed(self.entering(), command).output();
        output.expect("nsenter is installed")
    }

    /// A command that enters them and executes what its further arguments say.
    #[must_use]
    pub fn entering(&self) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter
            .args(self.kinds)
            .args(["--target", &self.keeper.id().to_string()]);
        nsenter
    }

    /// What /proc has of the process that keeps them.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.keeper.id())
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.keeper.kill().expect("it can be killed");
        self.keeper.wait().expect("its end");
    }
}
