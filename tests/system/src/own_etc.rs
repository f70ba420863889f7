//! A host whose configuration a test may change.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testkit::Instance;

use crate::namespaces::Namespaces;

/// A place where /etc is a copy that a test may change: processes started in it see that one, and so does what they start.
pub struct OwnEtc {
    etc: PathBuf,
    namespaces: Namespaces,
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
        let set_up = format!("mount --bind {} /etc", etc.display());
        let namespaces = Namespaces::new(&["--mount"], &set_up);
        let own = OwnEtc { etc, namespaces };
        own.replace("resolv.conf", "nameserver 192.0.2.1\n");
        own.replace("localtime", "a zone\n");
        own
    }

    /// Runs a command of the instance in it, which must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, coracle: &Instance, arguments: &[&str]) -> String {
        let done = self.namespaces.ok(&coracle.command(arguments));
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
