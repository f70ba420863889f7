//! A host whose configuration a test may change.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use testkit::Instance;

/// A place where /etc is a copy that a test may change: processes started in it see that one, and so does what they start.
pub struct OwnEtc {
    etc: PathBuf,
    keeper: Child,
}

impl OwnEtc {
    /// Makes the copy and a process that keeps the place.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn new(coracle: &Instance) -> OwnEtc {
        let etc = coracle.folder().join("etc");
        let copied = Command::new("cp").args(["-a", "/etc"]).arg(&etc).status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "no copy of /etc"
        );
        let script = format!(
            "mount --bind {} /etc && echo there && exec sleep infinity",
            etc.display()
        );
        let mut keeper = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "slave",
                "/bin/sh",
                "-c",
                &script,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a mount namespace");
        let mut line = String::new();
        BufReader::new(keeper.stdout.as_mut().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line, "there\n");
        let own = OwnEtc { etc, keeper };
        own.replace("resolv.conf", "nameserver 192.0.2.1\n");
        own.replace("localtime", "a zone\n");
        own
    }

    /// Runs a command of the instance in it, which must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, coracle: &Instance, arguments: &[&str]) -> String {
        let command = coracle.command(arguments);
        let mut entered = Command::new("nsenter");
        entered
            .args(["--mount", "--target", &self.keeper.id().to_string()])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        let done = entered.output().expect("the command starts");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).expect("text")
    }

    /// Puts another file in the place of one, as tools that configure a host do.
    ///
    /// # Panics
    /// When it can't.
    pub fn replace(&self, name: &str, text: impl AsRef<[u8]>) {
        let staged = self.etc.join("staged");
        fs::write(&staged, text).expect("a file");
        fs::rename(staged, self.etc.join(name)).expect("the file takes its place");
    }
}

impl Drop for OwnEtc {
    fn drop(&mut self) {
        self.keeper.kill().expect("it can be killed");
        self.keeper.wait().expect("its end");
    }
}
