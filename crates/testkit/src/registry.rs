//! A registry of container images on loopback: Debian's docker-registry.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::free_port;

/// Where the package has it; another place is named by this variable.
const PROGRAM: &str = "/usr/bin/docker-registry";
const VARIABLE: &str = "CORACLE_TEST_REGISTRY";

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who may ask, where somebody has to be: `me`, whose password is `open sesame` (bcrypt).
const USERS: &str = "me:$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n";

/// A running registry; it ends when the value is dropped.
pub struct Registry {
    /// `oci://127.0.0.1:PORT`.
    pub address: String,
    child: Child,
}

impl Registry {
    /// Starts one that keeps everything in a folder; `is_private`: it wants to know who asks.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn start(folder: &Path, is_private: bool) -> Registry {
        let program = std::env::var(VARIABLE).unwrap_or_else(|_| PROGRAM.to_owned());
        assert!(
            Path::new(&program).exists(),
            "no {program}: `cargo xtask setup` installs it"
        );
        let port = free_port();
        let mut text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            folder.join("registry").display()
        );
        if is_private {
            let users = folder.join("users");
            fs::write(&users, USERS).expect("a file");
            text.push_str(&format!(
                "auth:\n  htpasswd:\n    realm: boats\n    path: {}\n",
                users.display()
            ));
        }
        let configuration = folder.join("registry.yml");
        fs::write(&configuration, text).expect("a file");
        let child = Command::new(program)
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry");
        let registry = Registry {
            address: format!("oci://127.0.0.1:{port}"),
            child,
        };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < PATIENCE, "the registry does not come up");
            std::thread::yield_now();
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
