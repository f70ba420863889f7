//! Other hosts for `-H`: sshd of the machine's own package, each with a configuration, keys and a port of its own, and an `ssh` that knows them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::instance::{Finished, Instance};

/// A folder with keys that all its hosts share, and the `ssh` that finds them.
pub struct Ssh {
    folder: tempfile::TempDir,
}

impl Ssh {
    /// Makes the keys.
    ///
    /// # Panics
    /// Where there is no OpenSSH.
    #[must_use]
    pub fn new() -> Ssh {
        let folder = tempfile::Builder::new()
            .prefix("coracle-test-ssh-")
            .tempdir()
            .expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at(key));
            assert!(keygen.status().expect("ssh-keygen").success());
        }
        let public = fs::read_to_string(at("host.pub")).expect("the host's key");
        fs::write(at("known"), format!("host {public}")).expect("known hosts");
        let config = format!(
            "Host *\nHostKeyAlias host\nUserKnownHostsFile {}\nIdentityFile {}\nIdentitiesOnly yes\nStrictHostKeyChecking yes\nLogLevel ERROR\n",
            at("known").display(),
            at("user").display(),
        );
        fs::write(at("config"), config).expect("a configuration");
        fs::create_dir(at("bin")).expect("a folder");
        let script = format!(
            "#!/bin/sh\necho $$ >>{}\nexec /usr/bin/ssh -F {} \"$@\"\n",
            at("calls").display(),
            at("config").display(),
        );
        fs::write(at("bin/ssh"), script).expect("a program");
        fs::set_permissions(at("bin/ssh"), fs::Permissions::from_mode(0o755)).expect("its mode");
        fs::create_dir_all("/run/sshd").expect("where sshd locks its children in");
        Ssh { folder }
    }

    /// The folder of all this.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `coracle`, by this ssh, as on a host that has no instance of its own.
    #[must_use]
    pub fn command(&self, coracle: &Instance, arguments: &[&str]) -> Command {
        let mut command = Command::new(coracle.dist().join("coracle"));
        let path = format!("{}:/usr/bin:/bin", self.folder().join("bin").display());
        command
            .args(arguments)
            .env("PATH", path)
            .stdin(Stdio::null());
        command
    }

    /// The same, to its end.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn coracle(&self, coracle: &Instance, arguments: &[&str]) -> Finished {
        let output = self
            .command(coracle, arguments)
            .output()
            .expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Finished {
            status: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// The processes that were an `ssh`, one for each handshake.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// An sshd for one instance on a free port of the loopback.
    ///
    /// # Panics
    /// When it does not listen.
    #[must_use]
    pub fn host(&self, coracle: &Instance) -> Sshd {
        let path = format!("{}:/usr/bin:/bin", coracle.dist().display());
        self.host_with("127.0.0.1", &[], &path, Some(coracle))
    }

    /// An sshd that listens at this address, started by these words, whose sessions have this search path and know this instance.
    ///
    /// # Panics
    /// When it does not listen.
    #[must_use]
    pub fn host_with(
        &self,
        address: &str,
        words: &[&str],
        path: &str,
        coracle: Option<&Instance>,
    ) -> Sshd {
        let port = free_port();
        let mut environment = format!("PATH={path}");
        for (name, folder) in [("RUNTIME", "run"), ("STATE", "state"), ("CONFIG", "config")] {
            if let Some(coracle) = coracle {
                let folder = coracle.folder().join(folder);
                environment += &format!(" CORACLE_{name}_DIR={}", folder.display());
            }
        }
        let at = |name: &str| self.folder().join(name).display().to_string();
        let config = at(&format!("sshd-{address}-{port}"));
        let pid_file = format!("{config}.pid");
        let text = format!(
            "Port {port}\nListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile {pid_file}\nSetEnv {environment}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nLogLevel ERROR\nMaxStartups 100\n",
            at("host"),
            at("user.pub"),
        );
        fs::write(&config, text).expect("a configuration");
        let words = [words, &["/usr/sbin/sshd", "-D", "-e", "-f", &config]].concat();
        let mut command = Command::new(words[0]);
        let child = command.args(&words[1..]).stdin(Stdio::null()).spawn();
        let mut child = child.expect("sshd starts");
        let pid_file = PathBuf::from(pid_file);
        while !pid_file.exists() {
            let ended = child.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "sshd ended with {ended:?}");
            std::thread::yield_now();
        }
        Sshd {
            name: format!("{address}:{port}"),
            child,
        }
    }
}

impl Default for Ssh {
    fn default() -> Self {
        Ssh::new()
    }
}

/// A port that nobody had a moment ago.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its number").port()
}

/// A running sshd; it ends when the value is dropped, and its sessions by themselves.
pub struct Sshd {
    /// As `-H` takes it.
    pub name: String,
    child: Child,
}

impl Sshd {
    /// The listening process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
